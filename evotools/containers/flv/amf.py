"""Values of AMF0 and AMF3 that Python has no type for."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

MAX_DEPTH = 32
"""Nesting of objects and arrays. Real commands nest three deep; recursion below this is safe in CPython."""
MAX_VALUES = 1 << 18
"""Values in one message. The longest honest ones are the keyframe index of a day-long file: two arrays of 10^5.

Text counts as one value more for each 64 bytes, wherever it is referred to: nobody who prints or writes the values
shall meet more than 16 MiB."""
MAX_STRING = 1 << 20
"""Bytes of one string. XMP packets in onMetaData are the longest seen, tens of kilobytes."""
MAX_ENCODED = 8 << 20
"""Bytes that values may become. References make small messages of large values; written out they stay below this."""


class Undefined:
    """The type of `UNDEFINED`; false in conditions, as None is."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "UNDEFINED"


UNDEFINED: Final = Undefined()


class EcmaArray(dict[str, Any]):
    """An associative array: a dict that AMF0 writes with marker 8, as onMetaData wants it."""

    __slots__ = ()


class TypedObject(dict[str, Any]):
    """An object of a named class (AMF0 2.18, AMF3 3.12)."""

    __slots__ = ("class_name",)

    def __init__(self, class_name: str, values: Iterable[tuple[str, Any]] = ()) -> None:
        super().__init__(values)
        self.class_name = class_name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TypedObject) and self.class_name == other.class_name and dict.__eq__(self, other)

    __hash__ = None

    def __repr__(self) -> str:
        return f"TypedObject({self.class_name!r}, {dict.__repr__(self)})"


@dataclass(frozen=True, slots=True)
class Date:
    """AMF0 2.13, AMF3 3.10: milliseconds since 1970-01-01 UTC; the zone, in minutes, is reserved and 0."""

    milliseconds: float
    timezone: int = 0


class Xml(str):
    """An XML document (AMF0 2.17, AMF3 3.9 and 3.13)."""

    __slots__ = ()


class Vector(list[Any]):
    """AMF3 3.15: a dense array of one type: `int`, `uint`, `double`, or the name of a class (empty: any object)."""

    __slots__ = ("fixed", "kind")

    def __init__(self, kind: str, values: Iterable[Any] = (), *, fixed: bool = False) -> None:
        super().__init__(values)
        self.kind = kind
        self.fixed = fixed

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Vector)
            and (self.kind, self.fixed) == (other.kind, other.fixed)
            and list.__eq__(self, other)
        )

    __hash__ = None

    def __repr__(self) -> str:
        return f"Vector({self.kind!r}, {list.__repr__(self)}, fixed={self.fixed})"


class Dictionary(list[tuple[Any, Any]]):
    """AMF3 3.16: pairs whose keys may be of any type, objects too."""

    __slots__ = ("weak",)

    def __init__(self, pairs: Iterable[tuple[Any, Any]] = (), *, weak: bool = False) -> None:
        super().__init__(pairs)
        self.weak = weak

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dictionary) and self.weak == other.weak and list.__eq__(self, other)

    __hash__ = None

    def __repr__(self) -> str:
        return f"Dictionary({list.__repr__(self)}, weak={self.weak})"
