"""AMF3: values behind the avmplus marker of AMF0. "Action Message Format -- AMF 3", Adobe, January 2013.

| AMF3 | Python |
|---|---|
| undefined, null, false, true | UNDEFINED, None, False, True |
| integer (29 bits), double | int, float |
| string, byte array | str, bytes |
| date, XML document, XML | Date, Xml, Xml |
| array without and with names | list, EcmaArray (ordinal items under "0", "1" ...) |
| object, object of a class | dict, TypedObject |
| vectors, dictionary | Vector, Dictionary |

Externalizable objects are refused: only their class knows how they are written.
"""

import struct
from collections.abc import Callable
from typing import Any

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

MAX_MEMBERS = 1024
"""Sealed members of one class; each object of it has a value for every one."""
MAX_BYTES = 1 << 20
"""Bytes of one byte array."""

# AMF3 3.1
UNDEFINED_MARKER, NULL, FALSE, TRUE, INTEGER, DOUBLE, STRING, XML_DOCUMENT, DATE = range(9)
ARRAY, OBJECT, XML, BYTE_ARRAY, VECTOR_INT, VECTOR_UINT, VECTOR_DOUBLE, VECTOR_OBJECT, DICTIONARY = range(9, 18)

_DOUBLE = struct.Struct(">d")
_MIN_INT, _MAX_INT = -(1 << 28), (1 << 28) - 1
_MAX_U29 = (1 << 29) - 1
_VECTORS = {VECTOR_INT: ("int", "i"), VECTOR_UINT: ("uint", "I"), VECTOR_DOUBLE: ("double", "d")}
_VECTOR_MARKERS = {name: (marker, letter) for marker, (name, letter) in _VECTORS.items()}


def encode(value: Any) -> bytes:
    """One value. Raises TypeError for a type that AMF3 cannot name, ValueError beyond the caps of `amf`."""
    writer = Writer(bytearray())
    writer.write(value, 0)
    return bytes(writer.out)


def decode(data: bytes | bytearray | memoryview) -> Any:
    """The one value that `data` is. Raises ParseError."""
    reader = Reader(bytes(data))
    value = reader.value(0)
    if reader.position != len(reader.data):
        raise ParseError("bytes follow an AMF3 value", offset=reader.position)
    return value


class _Traits:
    __slots__ = ("class_name", "dynamic", "members")

    def __init__(self, class_name: str, dynamic: bool, members: tuple[str, ...]) -> None:
        self.class_name = class_name
        self.dynamic = dynamic
        self.members = members


class Reader:
    """A cursor with the reference tables of one message (2.2). `position` and `count` may be set from outside."""

    __slots__ = ("count", "data", "objects", "position", "strings", "traits")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0
        self.count = 0
        self.strings: list[str] = []
        self.traits: list[_Traits] = []
        # As in AMF0: None while the value is open, then it and the number of values inside.
        self.objects: list[tuple[Any, int] | None] = []

    def take(self, size: int) -> int:
        """The offset of the next `size` bytes, which are consumed."""
        start = self.position
        end = start + size
        if end > len(self.data):
            raise ParseError("an AMF3 value runs past the end of the data", offset=start)
        self.position = end
        return start

    def u29(self) -> int:
        """1.3.1: seven bits a byte, eight in the fourth."""
        value = 0
        for _ in range(3):
            byte = self.data[self.take(1)]
            value = value << 7 | byte & 0x7F
            if byte < 0x80:
                return value
        return value << 8 | self.data[self.take(1)]

    def add(self, count: int) -> None:
        self.count += count
        if self.count > MAX_VALUES:
            raise ParseError(f"an AMF message holds more than {MAX_VALUES} values", offset=self.position)

    def text(self, size: int) -> str:
        if size > MAX_STRING:
            raise ParseError(f"an AMF3 string is longer than {MAX_STRING} bytes", offset=self.position)
        if size >= 64:
            self.add(size >> 6)
        start = self.take(size)
        return self.data[start : start + size].decode("utf-8", "replace")

    def string(self) -> str:
        """3.8, without marker."""
        head = self.u29()
        if not head & 1:
            index = head >> 1
            if index >= len(self.strings):
                raise ParseError("an AMF3 string reference names no string", offset=self.position)
            text = self.strings[index]
            self.add(len(text) >> 6)
            return text
        text = self.text(head >> 1)
        # 1.3.2: the empty string is never referred to.
        if text:
            self.strings.append(text)
        return text

    def value(self, depth: int) -> Any:
        self.add(1)
        start = self.take(1)
        marker = self.data[start]
        read = _READERS.get(marker)
        if read is None:
            raise ParseError(f"unknown AMF3 marker {marker}", offset=start)
        return read(self, depth)

    def begin(self) -> int:
        """The number behind the marker of a value that can be referred to; for a reference -1 minus its index."""
        head = self.u29()
        return head >> 1 if head & 1 else -1 - (head >> 1)

    def referred(self, head: int) -> Any:
        index = -1 - head
        known = self.objects[index] if index < len(self.objects) else None
        if known is None:
            raise ParseError("an AMF3 reference names no finished value", offset=self.position)
        self.add(known[1])
        return known[0]

    def open(self, depth: int) -> int:
        if depth >= MAX_DEPTH:
            raise ParseError(f"AMF3 values nest deeper than {MAX_DEPTH}", offset=self.position)
        self.objects.append(None)
        return len(self.objects) - 1

    def leaf(self, value: Any) -> Any:
        """Note a value without parts in the table of objects."""
        self.objects.append((value, len(value) >> 6 if isinstance(value, (str, bytes)) else 0))
        return value

    def room(self, count: int, size: int) -> None:
        """Every item takes `size` bytes at least: refuse a count beyond the data before anything is built."""
        if count * size > len(self.data) - self.position:
            raise ParseError("an AMF3 value counts more items than there are bytes", offset=self.position)

    def named(self, target: dict[str, Any], depth: int) -> None:
        """Pairs up to the empty name."""
        while name := self.string():
            target[name] = self.value(depth + 1)

    def array(self, depth: int) -> Any:
        size = self.begin()
        if size < 0:
            return self.referred(size)
        self.room(size, 1)
        index, before = self.open(depth), self.count
        names = EcmaArray()
        self.named(names, depth)
        items = [self.value(depth + 1) for _ in range(size)]
        value: Any = items
        if names:
            names.update((str(number), item) for number, item in enumerate(items))
            value = names
        self.objects[index] = (value, self.count - before)
        return value

    def object(self, depth: int) -> Any:
        head = self.begin()
        if head < 0:
            return self.referred(head)
        traits = self.class_of(head)
        index, before = self.open(depth), self.count
        target: dict[str, Any] = TypedObject(traits.class_name) if traits.class_name else {}
        for name in traits.members:
            target[name] = self.value(depth + 1)
        if traits.dynamic:
            self.named(target, depth)
        self.objects[index] = (target, self.count - before)
        return target

    def class_of(self, head: int) -> _Traits:
        """3.12: U29O-traits-ref, U29O-traits-ext or U29O-traits, behind its first bit."""
        if not head & 1:
            index = head >> 1
            if index >= len(self.traits):
                raise ParseError("an AMF3 traits reference names no class", offset=self.position)
            return self.traits[index]
        if head & 2:
            raise ParseError("an AMF3 object is externalizable: only its class can read it", offset=self.position)
        count = head >> 3
        if count > MAX_MEMBERS:
            raise ParseError(f"an AMF3 class has more than {MAX_MEMBERS} members", offset=self.position)
        self.room(count, 1)
        class_name = self.string()
        traits = _Traits(class_name, bool(head & 4), tuple(self.string() for _ in range(count)))
        self.traits.append(traits)
        return traits

    def integer(self, depth: int) -> int:
        # 3.6: 29 bits, two's complement.
        value = self.u29()
        return value - (1 << 29) if value > _MAX_INT else value

    def double(self, depth: int) -> float:
        return float(_DOUBLE.unpack_from(self.data, self.take(8))[0])

    def plain_string(self, depth: int) -> str:
        return self.string()

    def xml(self, depth: int) -> Any:
        size = self.begin()
        return self.referred(size) if size < 0 else self.leaf(Xml(self.text(size)))

    def date(self, depth: int) -> Any:
        head = self.begin()
        return self.referred(head) if head < 0 else self.leaf(Date(self.double(depth)))

    def byte_array(self, depth: int) -> Any:
        size = self.begin()
        if size < 0:
            return self.referred(size)
        if size > MAX_BYTES:
            raise ParseError(f"an AMF3 byte array is longer than {MAX_BYTES} bytes", offset=self.position)
        self.add(size >> 6)
        start = self.take(size)
        return self.leaf(self.data[start : start + size])

    def numbers(self, marker: int) -> Any:
        size = self.begin()
        if size < 0:
            return self.referred(size)
        kind, letter = _VECTORS[marker]
        fixed = self.data[self.take(1)] != 0
        self.add(size)
        layout = struct.Struct(f">{size}{letter}")
        values = layout.unpack_from(self.data, self.take(layout.size))
        vector = Vector(kind, values, fixed=fixed)
        self.objects.append((vector, size))
        return vector

    def objects_vector(self, depth: int) -> Any:
        size = self.begin()
        if size < 0:
            return self.referred(size)
        index, before = self.open(depth), self.count
        fixed = self.data[self.take(1)] != 0
        vector = Vector(self.string(), fixed=fixed)
        self.room(size, 1)
        vector += [self.value(depth + 1) for _ in range(size)]
        self.objects[index] = (vector, self.count - before)
        return vector

    def dictionary(self, depth: int) -> Any:
        size = self.begin()
        if size < 0:
            return self.referred(size)
        index, before = self.open(depth), self.count
        pairs = Dictionary(weak=self.data[self.take(1)] != 0)
        self.room(size, 2)
        pairs += [(self.value(depth + 1), self.value(depth + 1)) for _ in range(size)]
        self.objects[index] = (pairs, self.count - before)
        return pairs


_READERS: dict[int, Callable[[Reader, int], Any]] = {
    UNDEFINED_MARKER: lambda reader, depth: UNDEFINED,
    NULL: lambda reader, depth: None,
    FALSE: lambda reader, depth: False,
    TRUE: lambda reader, depth: True,
    INTEGER: Reader.integer,
    DOUBLE: Reader.double,
    STRING: Reader.plain_string,
    XML_DOCUMENT: Reader.xml,
    DATE: Reader.date,
    ARRAY: Reader.array,
    OBJECT: Reader.object,
    XML: Reader.xml,
    BYTE_ARRAY: Reader.byte_array,
    VECTOR_INT: lambda reader, depth: reader.numbers(VECTOR_INT),
    VECTOR_UINT: lambda reader, depth: reader.numbers(VECTOR_UINT),
    VECTOR_DOUBLE: lambda reader, depth: reader.numbers(VECTOR_DOUBLE),
    VECTOR_OBJECT: Reader.objects_vector,
    DICTIONARY: Reader.dictionary,
}


class Writer:
    """Values of one message; strings and classes are written once and referred to."""

    __slots__ = ("out", "strings", "traits")

    def __init__(self, out: bytearray) -> None:
        self.out = out
        self.strings: dict[str, int] = {}
        self.traits: dict[tuple[str, tuple[str, ...]], int] = {}

    def u29(self, value: int) -> None:
        if not 0 <= value <= _MAX_U29:
            raise ValueError(f"{value} does not fit into 29 bits")
        out = self.out
        if value < 0x80:
            out.append(value)
        elif value < 0x4000:
            out += bytes((value >> 7 | 0x80, value & 0x7F))
        elif value < 0x200000:
            out += bytes((value >> 14 | 0x80, value >> 7 & 0x7F | 0x80, value & 0x7F))
        else:
            out += bytes((value >> 22 | 0x80, value >> 15 & 0x7F | 0x80, value >> 8 & 0x7F | 0x80, value & 0xFF))

    def string(self, text: str) -> None:
        known = self.strings.get(text)
        if known is not None:
            self.u29(known << 1)
            return
        if text:
            self.strings[text] = len(self.strings)
        self.raw(text.encode("utf-8", "replace"))

    def raw(self, data: bytes) -> None:
        self.u29(len(data) << 1 | 1)
        self.out += data

    def write(self, value: Any, depth: int) -> None:
        """Append `value` with its marker."""
        out = self.out
        if depth > MAX_DEPTH:
            raise ValueError(f"AMF3 values nest deeper than {MAX_DEPTH}")
        if len(out) > MAX_ENCODED:
            raise ValueError(f"AMF values of more than {MAX_ENCODED} bytes")
        if value is None:
            out.append(NULL)
        elif isinstance(value, bool):
            out.append(TRUE if value else FALSE)
        elif isinstance(value, int) and _MIN_INT <= value <= _MAX_INT:
            out.append(INTEGER)
            self.u29(value & _MAX_U29)
        elif isinstance(value, (int, float)):
            out.append(DOUBLE)
            out += _DOUBLE.pack(value)
        elif isinstance(value, Xml):
            out.append(XML)
            self.raw(value.encode("utf-8", "replace"))
        elif isinstance(value, str):
            out.append(STRING)
            self.string(value)
        elif isinstance(value, (bytes, bytearray)):
            out.append(BYTE_ARRAY)
            self.raw(bytes(value))
        elif isinstance(value, Undefined):
            out.append(UNDEFINED_MARKER)
        elif isinstance(value, Date):
            out.append(DATE)
            self.u29(1)
            out += _DOUBLE.pack(value.milliseconds)
        elif isinstance(value, EcmaArray):
            out.append(ARRAY)
            self.u29(1)
            self.pairs(value, depth)
        elif isinstance(value, dict):
            self.object(value, depth)
        elif isinstance(value, Vector):
            self.vector(value, depth)
        elif isinstance(value, Dictionary):
            out.append(DICTIONARY)
            self.u29(len(value) << 1 | 1)
            out.append(value.weak)
            for key, item in value:
                self.write(key, depth + 1)
                self.write(item, depth + 1)
        elif isinstance(value, (list, tuple)):
            out.append(ARRAY)
            self.u29(len(value) << 1 | 1)
            self.string("")
            for item in value:
                self.write(item, depth + 1)
        else:
            raise TypeError(f"AMF3 has no name for {type(value).__name__}")

    def pairs(self, values: dict[str, Any], depth: int) -> None:
        for name, item in values.items():
            # The empty name ends the list, so that it cannot be one.
            if name:
                self.string(name)
                self.write(item, depth + 1)
        self.string("")

    def object(self, value: dict[str, Any], depth: int) -> None:
        """A class with sealed members for a typed object, an anonymous dynamic one for a dict."""
        out = self.out
        out.append(OBJECT)
        typed = isinstance(value, TypedObject)
        class_name = value.class_name if isinstance(value, TypedObject) else ""
        members = tuple(value) if typed and len(value) <= MAX_MEMBERS else ()
        dynamic = not typed or len(members) < len(value)
        known = self.traits.get((class_name, members))
        if known is not None:
            self.u29(known << 2 | 1)
        else:
            self.traits[class_name, members] = len(self.traits)
            self.u29(len(members) << 4 | dynamic << 3 | 3)
            self.string(class_name)
            for name in members:
                self.string(name)
        for name in members:
            self.write(value[name], depth + 1)
        if dynamic:
            self.pairs({name: value[name] for name in value if name not in members} if members else value, depth)

    def vector(self, value: Vector, depth: int) -> None:
        out = self.out
        marker, letter = _VECTOR_MARKERS.get(value.kind, (VECTOR_OBJECT, ""))
        out.append(marker)
        self.u29(len(value) << 1 | 1)
        out.append(value.fixed)
        if letter:
            try:
                out += struct.pack(f">{len(value)}{letter}", *value)
            except struct.error:
                raise ValueError(f"a value does not fit into a vector of {value.kind}") from None
            return
        self.string(value.kind)
        for item in value:
            self.write(item, depth + 1)
