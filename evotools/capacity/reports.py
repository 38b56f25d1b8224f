"""Streams out of what `probe --json` printed: one report, a list of them, or one on each line."""

import json
from fractions import Fraction
from typing import Any

from evotools.capacity.demand import MAX_RATE_BPS, MAX_STREAMS, Rendition, Stream
from evotools.errors import UsageError

SCHEMA = "evotools.probe/1"
MAX_BYTES = 64 * 2**20
"""A report takes a few kilobytes, a long one with all its lists some hundred."""
HINT = "print one with evotools probe --json SOURCE"


def parse_reports(text: str, subject: str) -> list[Stream]:
    """A stream for each report in `text`, at the bit rates of its tracks added up. Raises UsageError.

    Lines of figures that `probe --watch` prints before its report are passed over.
    """
    if not text.strip():
        raise UsageError(f"{subject}: empty", hint="the program that should have written it may have failed")
    found = [_stream(document, subject) for document in _documents(text, subject) if not _is_watch_line(document)]
    if not found:
        raise UsageError(f"{subject}: no report, only figures of --watch", hint=HINT)
    if len(found) > MAX_STREAMS:
        raise UsageError(f"{subject}: more than {MAX_STREAMS} reports")
    return found


def _documents(text: str, subject: str) -> list[Any]:
    """Everything in a sequence of JSON texts; lists are opened."""
    decoder = json.JSONDecoder()
    documents: list[Any] = []
    position = 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        try:
            document, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            line = text.count("\n", 0, position) + 1
            raise UsageError(f"{subject}: not JSON from line {line} on", hint=HINT) from None
        documents += document if isinstance(document, list) else [document]
    return documents


def _is_watch_line(document: Any) -> bool:
    return isinstance(document, dict) and "schema" not in document and "media_s" in document


def _stream(document: Any, subject: str) -> Stream:
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != SCHEMA:
        told = f"its schema is {str(schema)[:60]!r}, not {SCHEMA}" if schema else "it is no report of probe"
        raise UsageError(f"{subject}: {told}", hint=HINT)
    tracks = document.get("tracks")
    if not isinstance(tracks, list) or not all(isinstance(track, dict) for track in tracks):
        raise UsageError(f"{subject}: the report has no list of tracks", hint=HINT)
    total = sum(_track_bps(track) for track in tracks)
    # What a report says goes to terminals and into pictures.
    name = "".join(c if c.isprintable() else "?" for c in str(document.get("source") or "-")[:200])
    if not 0 < total <= MAX_RATE_BPS:
        raise UsageError(
            f"{subject}: the report on {name} tells no bit rate", hint="let probe run longer, or say --bitrate"
        )
    return Stream((Rendition(round(total), Fraction(1)),), origin=name)


def _track_bps(track: dict[str, Any]) -> float:
    """Measured, else what the container declares, else nothing."""
    for key in ("bitrate_bps", "declared_bitrate_bps"):
        value = track.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= MAX_RATE_BPS:
            return value
    return 0
