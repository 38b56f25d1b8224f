"""Names of recorded files from a pattern of strftime directives and counters, and back. Pure: no clock, no files.

Nothing in a name comes from the media or the network: only the start time and the number of a file.
"""

import re
from datetime import UTC, datetime

from evotools.errors import UsageError

_TWO, _WORD = r"[0-9]{2}", r"[^\W\d_]+"
_TIME = {
    "Y": r"[0-9]{4}", "m": _TWO, "d": _TWO, "H": _TWO, "M": _TWO, "S": _TWO, "f": r"[0-9]{6}", "s": r"[0-9]+",
    "y": _TWO, "j": r"[0-9]{3}", "I": _TWO, "p": _WORD, "a": _WORD, "A": _WORD, "b": _WORD, "B": _WORD, "U": _TWO,
    "W": _TWO, "V": _TWO, "G": r"[0-9]{4}", "u": r"[0-9]", "w": r"[0-9]", "z": r"[+-][0-9]{4}(?:[0-9]{2})?",
    "Z": r"[\w+-]+",
}  # fmt: skip
"""Directives and what they look like; those whose output has a slash are left out."""
_SHORT = {"F": "%Y-%m-%d", "T": "%H:%M:%S", "R": "%H:%M"}
_TOKEN = re.compile(r"%(?:(?P<zeros>0?)(?P<width>\d{0,2})d|(?P<one>.))|(?P<text>[^%]+)", re.DOTALL)
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,8}\Z")
COUNTER = "number"
"""Name of the group that holds the counter."""


class Pattern:
    """A pattern such as `rec/%Y-%m-%d/cam-%H%M%S.ts` or `part-%03d.mp4`.

    `%03d` is a counter. A plain `%d` is one, too, unless the pattern has other directives of time: then it is the day.
    """

    def __init__(self, text: str) -> None:
        """Raises UsageError for a pattern that cannot name files."""
        self.text = text
        parts = text.split("/")
        if not parts[-1]:
            raise UsageError(f"'{text}' is a folder", hint=f"name files in it: {text}%Y%m%d-%H%M%S.ts")
        if "\0" in text:
            raise UsageError("a pattern contains a control character")
        self.dated = bool(_times(text) - {"d"})
        """The time is part of the name."""
        self._tokens = [_tokens(part, self.dated, text) for part in parts]
        free = [all(kind == "text" for kind, _ in tokens) for tokens in self._tokens]
        self.counts = any(kind == "count" for tokens in self._tokens for kind, _ in tokens)
        """A counter is part of the name."""
        if all(free):
            raise UsageError(
                f"'{text}' names one file only", hint="put a counter (%03d) or a time (%Y%m%d-%H%M%S) into it"
            )
        depth = free.index(False)
        self._depth = depth
        below = parts[depth:]
        if ".." in below or "." in below or "" in below:
            raise UsageError(f"'{text}': below a folder whose name changes there are only folders and files with names")
        self._prefix = [_plain(self._tokens[:depth])] if depth else []
        self.root = self._prefix[0] or "/" if depth else ""
        """The folders before the first directive; empty for the current one."""
        found = _SUFFIX.search(parts[-1])
        self.suffix = found[0] if found and "%" not in found[0] else ""
        """The file name's suffix with its dot."""
        self._stem = _tokens(parts[-1][: -len(self.suffix)], self.dated, text) if self.suffix else self._tokens[-1]
        seen: list[bool] = []
        # A name that is taken gets a number behind it.
        repeat = r"(?:-[1-9][0-9]*)?" + re.escape(self.suffix)
        folders = [_regex(tokens, seen) for tokens in self._tokens[depth:-1]]
        last = _regex(self._stem, seen) + repeat
        self.levels = tuple(re.compile(level + r"\Z") for level in (*folders, last))
        """What the folders below `root`, and last the file, look like. Named groups are in the whole only."""
        self._whole = re.compile("/".join((*folders, last)) + r"\Z")

    def name(self, start: datetime, number: int, repeat: int = 0) -> str:
        """The path of file `number` that begins at `start` (aware, or local time); as relative as the pattern.

        `repeat` above 0 makes another name of the same time and number.
        """
        below = [_fill(tokens, start, number) for tokens in self._tokens[self._depth : -1]]
        last = _fill(self._stem, start, number) + (f"-{repeat}" if repeat else "") + self.suffix
        return "/".join([*self._prefix, *below, last])

    def number_of(self, relative: str) -> int | None:
        """The counter in a path relative to `root` that this pattern makes: -1 where it has none, None when the
        pattern does not make such a path."""
        found = self._whole.match(relative)
        if found is None:
            return None
        return int(found[COUNTER]) if self.counts else -1


def moment(unix_s: float, *, utc: bool) -> datetime:
    """A Unix time as the clock on the wall shows it, or in UTC. A time beyond all calendars is 1970."""
    try:
        found = datetime.fromtimestamp(unix_s, UTC)
        return found if utc else found.astimezone()
    except (ValueError, OverflowError, OSError):
        return moment(0.0, utc=True)


def _times(text: str) -> set[str]:
    found: set[str] = set()
    for match in _TOKEN.finditer(text):
        one = match["one"]
        if one is not None and one != "%":
            found |= {c for c in _SHORT[one] if c.isalpha()} if one in _SHORT else {one}
    return found


def _tokens(part: str, dated: bool, whole: str) -> list[tuple[str, str]]:
    """(kind, value): text; time with its directive; count with its width."""
    tokens: list[tuple[str, str]] = []
    position = 0
    while position < len(part):
        match = _TOKEN.match(part, position)
        if match is None:
            raise UsageError(f"'{whole}' ends in the middle of a directive", hint="write %% for a percent sign")
        position = match.end()
        text, one = match["text"], match["one"]
        if text is not None:
            tokens.append(("text", text))
        elif one is None:
            if match["width"] and not match["zeros"]:
                raise UsageError(f"'{whole}': {match[0]} would have blanks in it", hint=f"use %0{match['width']}d")
            tokens.append(
                ("time", "d") if dated and not match["width"] else ("count", match["width"].lstrip("0") or "1")
            )
        elif one == "%":
            tokens.append(("text", "%"))
        elif one in _SHORT:
            tokens += _tokens(_SHORT[one], True, whole)
        elif one in _TIME:
            tokens.append(("time", one))
        else:
            raise UsageError(
                f"'{whole}': %{one} is not a directive that names files",
                hint=f"use %03d, %{' %'.join(_TIME)} %{' %'.join(_SHORT)}; %% is a percent sign",
            )
    return tokens


def _plain(parts: list[list[tuple[str, str]]]) -> str:
    return "/".join("".join(value for _, value in tokens) for tokens in parts)


def _regex(tokens: list[tuple[str, str]], seen: list[bool]) -> str:
    out = []
    for kind, value in tokens:
        if kind == "text":
            out.append(re.escape(value))
        elif kind == "time":
            out.append(_TIME[value])
        else:
            width = int(value)
            # Exactly what the counter writes, so that other people's files are not taken for ours.
            digits = rf"[0-9]{{{width}}}|[1-9][0-9]{{{width},}}"
            out.append(f"(?:{digits})" if seen else f"(?P<{COUNTER}>{digits})")
            seen.append(True)
    return "".join(out)


def _fill(tokens: list[tuple[str, str]], start: datetime, number: int) -> str:
    out = []
    for kind, value in tokens:
        if kind == "text":
            out.append(value)
        elif kind == "count":
            out.append(f"{number:0{value}d}")
        elif value == "s":
            out.append(str(int(start.timestamp())))
        elif value == "Y":
            out.append(f"{start.year:04d}")
        else:
            out.append(start.strftime("%" + value))
    return "".join(out)
