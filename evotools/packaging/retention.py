"""How many recorded files stay: by number, age and size. Pure: which ones have to go; deleting is done elsewhere."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from evotools.errors import UsageError
from evotools.units import parse_duration, parse_size

_HINT = "use a number of files (10), an age (2h, 7d) or a size with its B (10GB)"


class Kept(NamedTuple):
    """A finished file."""

    path: str
    size_bytes: int
    age_s: float


@dataclass(frozen=True, slots=True)
class Keep:
    """Limits that all hold at once; None is no limit."""

    count: int | None = None
    age_s: float | None = None
    size_bytes: int | None = None

    @classmethod
    def parse(cls, texts: Iterable[str]) -> "Keep":
        """`10`, `7d`, `10GB`; of several of a kind the strictest counts. Raises UsageError."""
        counts: list[int] = []
        ages: list[float] = []
        sizes: list[int] = []
        for text in texts:
            value = text.strip()
            if re.fullmatch(r"\d{1,9}", value, re.ASCII):
                counts.append(int(value))
            elif value[-1:] in ("b", "B"):
                sizes.append(parse_size(value))
            else:
                try:
                    ages.append(parse_duration(value))
                except UsageError:
                    raise UsageError(f"'{text}' does not say what to keep", hint=_HINT) from None
        if 0 in (*counts, *sizes, *ages):
            raise UsageError("nothing would be kept", hint=_HINT)
        return cls(min(counts, default=None), min(ages, default=None), min(sizes, default=None))

    def __bool__(self) -> bool:
        return (self.count, self.age_s, self.size_bytes) != (None, None, None)

    def surplus(self, files: Sequence[Kept]) -> int:
        """How many of `files`, oldest first, have to go. The newest one always stays."""
        go = 0
        if self.count is not None:
            go = max(len(files) - self.count, 0)
        if self.age_s is not None:
            while go < len(files) and files[go].age_s > self.age_s:
                go += 1
        if self.size_bytes is not None:
            left = sum(file.size_bytes for file in files[go:])
            while go < len(files) and left > self.size_bytes:
                left -= files[go].size_bytes
                go += 1
        return min(go, max(len(files) - 1, 0))
