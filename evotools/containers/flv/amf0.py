"""AMF0: the values in RTMP commands and FLV script tags. "Action Message Format -- AMF 0", Adobe, 2007.

| AMF0 | Python |
|---|---|
| number | float (int is written as a number) |
| boolean, string, long string, null | bool, str, str, None |
| object, typed object | dict, TypedObject |
| ECMA array | EcmaArray, a dict that is written back as an ECMA array |
| strict array | list |
| date | Date |
| undefined, unsupported | UNDEFINED |
| XML document | Xml |
| avmplus object | what AMF3 has behind it; byte arrays, vectors and dictionaries are written so |
"""

import struct
from collections.abc import Callable
from typing import Any

from evotools.containers.flv import amf3
from evotools.containers.flv.amf import (
    MAX_DEPTH,
    MAX_ENCODED,
    MAX_STRING,
    MAX_VALUES,
    UNDEFINED,
    Date,
    Dictionary,
    EcmaArray,
    TypedObject,
    Undefined,
    Vector,
    Xml,
)
from evotools.errors import ParseError

__all__ = [
    "MAX_DEPTH",
    "MAX_STRING",
    "MAX_VALUES",
    "UNDEFINED",
    "Date",
    "EcmaArray",
    "TypedObject",
    "Undefined",
    "Xml",
    "decode_all",
    "encode",
]

# AMF0 2.1
NUMBER, BOOLEAN, STRING, OBJECT, MOVIECLIP, NULL, UNDEFINED_MARKER, REFERENCE = range(8)
ECMA_ARRAY, OBJECT_END, STRICT_ARRAY, DATE, LONG_STRING, UNSUPPORTED, RECORDSET, XML_DOCUMENT = range(8, 16)
TYPED_OBJECT, AVMPLUS_OBJECT = 16, 17

_NUMBER = struct.Struct(">Bd")
_DOUBLE = struct.Struct(">d")
_U16 = struct.Struct(">H")
_U32 = struct.Struct(">I")
_DATE = struct.Struct(">dh")


def encode(*values: Any) -> bytes:
    """The values one after another.

    Raises TypeError for a type that AMF cannot name and ValueError beyond the caps of `amf`.
    """
    writer = _Writer()
    for value in values:
        writer.write(value, 0)
    return bytes(writer.out)


def decode_all(data: bytes | bytearray | memoryview) -> list[Any]:
    """All values in `data`. Raises ParseError."""
    reader = _Reader(bytes(data))
    values = []
    while reader.position < len(reader.data):
        values.append(reader.value(0))
    return values


class _Writer:
    __slots__ = ("amf3", "out")

    def __init__(self) -> None:
        self.out = bytearray()
        self.amf3: amf3.Writer | None = None

    def write(self, value: Any, depth: int) -> None:
        out = self.out
        if depth > MAX_DEPTH:
            raise ValueError(f"AMF0 values nest deeper than {MAX_DEPTH}")
        if len(out) > MAX_ENCODED:
            raise ValueError(f"AMF values of more than {MAX_ENCODED} bytes")
        if value is None:
            out.append(NULL)
        elif isinstance(value, bool):
            out += b"\x01\x01" if value else b"\x01\x00"
        elif isinstance(value, (int, float)):
            out += _NUMBER.pack(NUMBER, value)
        elif isinstance(value, str):
            raw = value.encode("utf-8", "replace")
            if isinstance(value, Xml):
                out += b"\x0f" + _U32.pack(len(raw)) + raw
            elif len(raw) > 0xFFFF:
                out += b"\x0c" + _U32.pack(len(raw)) + raw
            else:
                out += b"\x02" + _U16.pack(len(raw)) + raw
        elif isinstance(value, dict):
            if isinstance(value, EcmaArray):
                out += b"\x08" + _U32.pack(len(value))
            elif isinstance(value, TypedObject):
                out.append(TYPED_OBJECT)
                self.key(value.class_name)
            else:
                out.append(OBJECT)
            for name, item in value.items():
                self.key(name)
                self.write(item, depth + 1)
            out += b"\x00\x00\x09"
        elif isinstance(value, (bytes, bytearray, Vector, Dictionary)):
            # AMF0 3.1: one value in AMF3.
            if self.amf3 is None:
                self.amf3 = amf3.Writer(out)
            out.append(AVMPLUS_OBJECT)
            self.amf3.write(value, depth)
        elif isinstance(value, (list, tuple)):
            out += b"\x0a" + _U32.pack(len(value))
            for item in value:
                self.write(item, depth + 1)
        elif isinstance(value, Undefined):
            out.append(UNDEFINED_MARKER)
        elif isinstance(value, Date):
            out += b"\x0b" + _DATE.pack(value.milliseconds, value.timezone)
        else:
            raise TypeError(f"AMF0 has no name for {type(value).__name__}")

    def key(self, text: str) -> None:
        raw = text.encode("utf-8", "replace")
        if len(raw) > 0xFFFF:
            raise ValueError("an AMF0 property name is longer than 65535 bytes")
        self.out += _U16.pack(len(raw)) + raw


class _Reader:
    """A cursor over one message; counts values, and remembers complex ones for references."""

    __slots__ = ("amf3", "complex", "count", "data", "position")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0
        self.count = 0
        # AMF0 2.9: a reference is an index into the complex values so far. None while one is still open; then it
        # with the number of values inside, so that nested references cannot multiply unseen.
        self.complex: list[tuple[Any, int] | None] = []
        self.amf3: amf3.Reader | None = None

    def take(self, size: int) -> int:
        """The offset of the next `size` bytes, which are consumed."""
        start = self.position
        end = start + size
        if end > len(self.data):
            raise ParseError("an AMF0 value runs past the end of the data", offset=start)
        self.position = end
        return start

    def text(self, size: int) -> str:
        if size > MAX_STRING:
            raise ParseError(f"an AMF0 string is longer than {MAX_STRING} bytes", offset=self.position)
        if size >= 64:
            self.add(size >> 6)
        start = self.take(size)
        # Some encoders write stream titles in the code page of their machine: keep what can be read.
        return self.data[start : start + size].decode("utf-8", "replace")

    def short_text(self) -> str:
        return self.text(_U16.unpack_from(self.data, self.take(2))[0])

    def add(self, count: int) -> None:
        self.count += count
        if self.count > MAX_VALUES:
            raise ParseError(f"an AMF0 message holds more than {MAX_VALUES} values", offset=self.position)

    def value(self, depth: int) -> Any:
        self.add(1)
        start = self.take(1)
        marker = self.data[start]
        if marker == STRING:
            return self.short_text()
        if marker == NUMBER:
            return _DOUBLE.unpack_from(self.data, self.take(8))[0]
        read = _READERS.get(marker)
        if read is None:
            raise ParseError(f"unknown AMF0 marker {marker}", offset=start)
        return read(self, depth)

    def begin(self, depth: int) -> int:
        if depth >= MAX_DEPTH:
            raise ParseError(f"AMF0 values nest deeper than {MAX_DEPTH}", offset=self.position)
        self.complex.append(None)
        return len(self.complex) - 1

    def properties(self, target: dict[str, Any], depth: int) -> dict[str, Any]:
        index, before = self.begin(depth), self.count
        while True:
            name = self.short_text()
            # AMF0 2.11: the empty name and the marker 9 end an object; the empty name alone is a property.
            if not name and self.data[self.position : self.position + 1] == b"\x09":
                self.position += 1
                break
            target[name] = self.value(depth + 1)
        self.complex[index] = (target, self.count - before)
        return target

    def object(self, depth: int) -> dict[str, Any]:
        return self.properties({}, depth)

    def typed_object(self, depth: int) -> dict[str, Any]:
        return self.properties(TypedObject(self.short_text()), depth)

    def ecma_array(self, depth: int) -> dict[str, Any]:
        # The count is a hint: ffmpeg and several cameras write one too few or zero. The end marker decides.
        self.take(4)
        return self.properties(EcmaArray(), depth)

    def strict_array(self, depth: int) -> list[Any]:
        size = _U32.unpack_from(self.data, self.take(4))[0]
        # Every value takes one byte at least, so a count beyond the data is refused before anything is built.
        if size > len(self.data) - self.position:
            raise ParseError("an AMF0 array counts more values than there are bytes", offset=self.position)
        index, before = self.begin(depth), self.count
        items = [self.value(depth + 1) for _ in range(size)]
        self.complex[index] = (items, self.count - before)
        return items

    def reference(self, depth: int) -> Any:
        index = _U16.unpack_from(self.data, self.take(2))[0]
        known = self.complex[index] if index < len(self.complex) else None
        if known is None:
            raise ParseError("an AMF0 reference names no finished value", offset=self.position)
        self.add(known[1])
        return known[0]

    def boolean(self, depth: int) -> bool:
        return self.data[self.take(1)] != 0

    def null(self, depth: int) -> None:
        return None

    def undefined(self, depth: int) -> Undefined:
        return UNDEFINED

    def date(self, depth: int) -> Date:
        return Date(*_DATE.unpack_from(self.data, self.take(10)))

    def long_text(self, depth: int) -> str:
        return self.text(_U32.unpack_from(self.data, self.take(4))[0])

    def xml(self, depth: int) -> Xml:
        return Xml(self.long_text(depth))

    def avmplus(self, depth: int) -> Any:
        # AMF0 3.1. The reference tables of AMF3 are those of the whole message.
        reader = self.amf3
        if reader is None:
            reader = self.amf3 = amf3.Reader(self.data)
        reader.position, reader.count = self.position, self.count
        value = reader.value(depth)
        self.position, self.count = reader.position, reader.count
        return value


_READERS: dict[int, Callable[[_Reader, int], Any]] = {
    BOOLEAN: _Reader.boolean,
    OBJECT: _Reader.object,
    NULL: _Reader.null,
    UNDEFINED_MARKER: _Reader.undefined,
    REFERENCE: _Reader.reference,
    ECMA_ARRAY: _Reader.ecma_array,
    STRICT_ARRAY: _Reader.strict_array,
    DATE: _Reader.date,
    LONG_STRING: _Reader.long_text,
    UNSUPPORTED: _Reader.undefined,
    XML_DOCUMENT: _Reader.xml,
    TYPED_OBJECT: _Reader.typed_object,
    AVMPLUS_OBJECT: _Reader.avmplus,
}
