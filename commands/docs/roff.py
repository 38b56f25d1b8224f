"""Manual pages in roff with the macros of man(7), as groff and mandoc both read them.

The output depends on the input alone: no date of the build, no version of Python.
"""

import re
import textwrap

DATE = "2026-11-21"
"""On every page; changed by hand when the manual is revised, so that the same sources give the same bytes."""
WIDTH = 79
"""Columns of the source: pages are kept under version control and read as differences."""

_SPECIAL = {
    "\\": r"\e", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti", '"': r"\(dq", "…": "...", "–": r"\(en",
    "×": r"\(mu", "→": r"\(->", "µ": "u", "\u00a0": r"\ ",
}  # fmt: skip
_OPTION = re.compile(r"(?<![\w/-])(--?[a-zA-Z][\w-]*)")
_LITERAL = re.compile(r"`([^`]+)`")


def code(text: str) -> str:
    """Text to be typed as it stands: every hyphen is the ASCII one."""
    return "".join(_SPECIAL.get(c) or (r"\-" if c == "-" else _plain(c)) for c in text)


def words(text: str) -> str:
    """Plain prose."""
    return "".join(_SPECIAL.get(c) or _plain(c) for c in text)


def prose(text: str) -> str:
    """Prose with options and `literals` in bold."""
    parts = []
    for number, piece in enumerate(_LITERAL.split(text)):
        if number % 2:
            parts.append(bold(piece))
            continue
        for index, part in enumerate(_OPTION.split(piece)):
            parts.append(bold(part) if index % 2 else words(part))
    return "".join(parts)


def bold(text: str) -> str:
    """What is typed as it stands."""
    return rf"\fB{code(text)}\fR" if text else ""


def italic(text: str) -> str:
    """What is replaced by a value."""
    return rf"\fI{code(text)}\fR" if text else ""


def _plain(char: str) -> str:
    return char if ord(char) < 128 else rf"\[u{ord(char):04X}]"


class Page:
    """One page, written from top to bottom."""

    def __init__(self, name: str, section: int, summary: str) -> None:
        self._lines = [
            r".\" Generated from the commands' declarations by `make docs`; do not edit.",
            f'.TH "{code(name.upper())}" {section} "{DATE}" evotools "evotools manual"',
            # Names of options and variables are copied: no hyphens in them, no blanks stretched.
            ".nh",
            ".ad l",
        ]
        self.section("Name")
        self._lines.append(rf"{code(name)} \- {words(summary)}")

    def text(self) -> str:
        """The page."""
        return "\n".join(self._lines) + "\n"

    def section(self, title: str, *, as_is: bool = False) -> None:
        """A heading, in capitals unless it is `as_is` something to be typed."""
        self._lines.append(f".SH {words(title if as_is else title.upper())}")

    def subsection(self, title: str) -> None:
        """A smaller heading."""
        self._lines.append(f".SS {words(title)}")

    def paragraph(self, text: str) -> None:
        """Prose."""
        if not self._lines[-1].startswith((".SH", ".SS")):
            self._lines.append(".PP")
        self._add(prose(text))

    def synopsis(self, start: str, parts: list[str]) -> None:
        """A command line; `parts` are marked up already and are not broken."""
        self._lines += [".HP", start, *parts]

    def tagged(self, term: str, *paragraphs: str) -> None:
        """A term, marked up already, and what it means."""
        self._lines += [".TP", term]
        if not paragraphs:
            return
        self._add(prose(paragraphs[0]))
        for paragraph in paragraphs[1:]:
            self._lines.append(".br")
            self._add(prose(paragraph))

    def example(self, text: str) -> None:
        """Lines to be typed as they stand."""
        if not self._lines[-1].startswith((".SH", ".SS")):
            self._lines.append(".PP")
        self._lines += [".RS 4", ".EX", *(_guard(code(line)) for line in text.splitlines()), ".EE", ".RE"]

    def see_also(self, pages: list[str]) -> None:
        """The last section: names such as `evotools-relay(1)`."""
        self.section("See also")
        for number, page in enumerate(pages):
            name, _, section = page.partition("(")
            comma = "," if number + 1 < len(pages) else ""
            self._lines.append(f".BR {code(name)} ({section}{comma}")

    def _add(self, text: str) -> None:
        # An escaped blank is none to wrap at.
        kept = text.replace(r"\ ", "\0")
        lines = textwrap.wrap(kept, WIDTH, break_long_words=False, break_on_hyphens=False)
        self._lines += [_guard(line.replace("\0", r"\ ")) for line in lines]


def _guard(line: str) -> str:
    """A line that begins with a dot is text, not a request."""
    return rf"\&{line}" if line.startswith((".", "'")) else line
