"""What a later run must know to go on with an interrupted folder: a JSON document beside the manifests.

It is written before the manifests that show the same, so that no number that a manifest ever named is used again.
Reading is strict: names from it lead to files that are removed.
"""

import json
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, TypeVar, get_args

from evotools.errors import ParseError
from evotools.media.track import Kind, Track
from evotools.packaging.files import is_ours
from evotools.packaging.presentation import MediaSegment, Period, Presentation, Rendition, Type
from evotools.packaging.roster import Key

SCHEMA = "evotools-package"
VERSION = 1
MAX_STATE = 64 * 2**20
"""A day-long event in six renditions of 6 s segments makes 8 MB; larger files are none of ours."""
MAX_UNIX_S = float(1 << 33)
"""The year 2242: manifests print dates."""
MAX_NUMBER = 2**62
"""No count or time reaches this: a nanosecond clock needs 2^61 in the year 2043."""

_RENDITION = re.compile(r"[va][0-9]{1,4}")
_T = TypeVar("_T")


@dataclass(slots=True)
class State:
    """A presentation between two runs."""

    presentation: Presentation
    keys: dict[str, Key]
    """By rendition id."""
    next_numbers: dict[int, int] = field(default_factory=dict)
    """By input."""
    breaks: int = 0
    """Discontinuities so far."""
    late: list[tuple[float, str]] = field(default_factory=list)
    """Files that have left the manifests: when they may go, on the presentation's clock, and their paths."""
    folders: list[str] = field(default_factory=list)
    """Ids of all renditions that ever had files here."""


def encode(state: State) -> bytes:
    """The document. An on-demand presentation is not gone on with, so its segments are left out."""
    presentation = state.presentation
    resumable = presentation.type != "vod"
    document = {
        "schema": SCHEMA, "version": VERSION, "type": presentation.type, "container": presentation.container,
        "target_s": presentation.target_s, "window_s": presentation.window_s, "ended": presentation.ended,
        "availability_start_unix_s": presentation.availability_start_unix_s,
        "periods": [[p.index, p.start_s, p.media_start_s] for p in presentation.periods],
        "next_numbers": {str(number): value for number, value in state.next_numbers.items()},
        "breaks": state.breaks,
        "renditions": [_encode_rendition(r, state.keys[r.id], resumable) for r in presentation.renditions],
        "late": [[at_s, path] for at_s, path in state.late], "folders": state.folders,
    }  # fmt: skip
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def _encode_rendition(rendition: Rendition, key: Key, resumable: bool) -> dict[str, Any]:
    return {
        "id": rendition.id, "kind": rendition.kind.value, "input": key.number, "ordinal": key.ordinal,
        "timescale": rendition.timescale, "target_duration": rendition.target_duration,
        "discontinuity_sequence": rendition.discontinuity_sequence, "peak_bps": rendition.peak_bps,
        "total_bytes": rendition.total_bytes, "total_duration_s": rendition.total_duration_s,
        "tracks": [_encode_track(t) for t in rendition.tracks],
        "epochs": {str(period): [_encode_track(t) for t in tracks] for period, tracks in rendition.epochs.items()},
        "segments": [
            [s.name, s.number, s.period, s.time, s.duration, s.size_bytes, s.start_unix_s, s.init,
             s.independent | s.discontinuity << 1 | s.gap << 2, s.sap, s.lead, s.tail]
            for s in rendition.segments
        ] if resumable else [],
    }  # fmt: skip


def _encode_track(track: Track) -> dict[str, Any]:
    return {
        "id": track.id, "kind": track.kind.value, "codec": track.codec, "timescale": track.timescale,
        "config": track.config.hex(), "codec_string": track.codec_string, "width": track.width, "height": track.height,
        "fps": [track.fps.numerator, track.fps.denominator] if track.fps else None, "profile": track.profile,
        "sample_rate": track.sample_rate, "channels": track.channels, "language": track.language,
        "label": track.label, "bitrate_bps": track.bitrate_bps, "rotation": track.rotation,
    }  # fmt: skip


def decode(data: bytes) -> State:
    """Read a document. Raises ParseError for anything that `encode` does not write."""
    if len(data) > MAX_STATE:
        raise ParseError(f"{len(data)} bytes are too many for a state file")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ParseError(f"not JSON: {error}") from None
    try:
        return _state(_mapping(document))
    except (KeyError, ValueError, TypeError, IndexError, OverflowError) as error:
        raise ParseError(f"not a state file: {type(error).__name__}: {error}") from None


def _state(document: Mapping[str, Any]) -> State:
    if document["schema"] != SCHEMA or document["version"] != VERSION:
        raise ParseError("not a state file of this version of evotools")
    kind = _one_of(document["type"], get_args(Type))
    container = _one_of(document["container"], ("ts", "fmp4"))
    window_s = document["window_s"]
    presentation = Presentation(
        kind, container, target_s=_seconds(document["target_s"]),  # type: ignore[arg-type]
        window_s=None if window_s is None else _seconds(window_s), ended=_is(document["ended"], bool),
        availability_start_unix_s=_unix_s(document["availability_start_unix_s"]),
    )  # fmt: skip
    for index, start_s, media_start_s in _list(document["periods"]):
        presentation.periods.append(Period(_count(index), _seconds(start_s), _seconds(media_start_s)))
    state = State(presentation, {}, breaks=_count(document["breaks"]))
    for number, value in _mapping(document["next_numbers"]).items():
        state.next_numbers[_count(int(number))] = _count(value)
    for item in _list(document["renditions"]):
        fields = _mapping(item)
        rendition = _rendition(fields)
        if rendition.id in state.keys:
            raise ParseError(f"rendition {rendition.id} twice")
        state.keys[rendition.id] = Key(rendition.number_of_input, rendition.kind, _count(fields["ordinal"]))
        presentation.renditions.append(rendition)
    for at_s, path in _list(document["late"]):
        folder, _, name = _is(path, str).partition("/")
        if not _RENDITION.fullmatch(folder) or not is_ours(name):
            raise ParseError("a late file that is not ours")
        state.late.append((_seconds(at_s), path))
    for folder in _list(document["folders"]):
        if not _RENDITION.fullmatch(_is(folder, str)):
            raise ParseError("a folder that is not ours")
        state.folders.append(folder)
    return state


def _rendition(fields: Mapping[str, Any]) -> Rendition:
    name = _is(fields["id"], str)
    if not _RENDITION.fullmatch(name):
        raise ParseError("a rendition of another name than ours")
    tracks = tuple(_track(_mapping(t)) for t in _list(fields["tracks"]))
    if not tracks:
        raise ParseError(f"rendition {name} without a track")
    rendition = Rendition(
        name, Kind(fields["kind"]), tracks, _count(fields["timescale"]) or 1, number_of_input=_count(fields["input"]),
        discontinuity_sequence=_count(fields["discontinuity_sequence"]),
        target_duration=_count(fields["target_duration"]), peak_bps=_count(fields["peak_bps"]),
        total_bytes=_count(fields["total_bytes"]), total_duration_s=_seconds(fields["total_duration_s"]),
    )  # fmt: skip
    for period, found in _mapping(fields.get("epochs", {})).items():
        rendition.epochs[_count(int(period))] = tuple(_track(_mapping(t)) for t in _list(found)) or tracks
    segments: deque[MediaSegment] = rendition.segments
    for file, number, period, time, duration, size, unix_s, init, flags, sap, lead, tail in _list(fields["segments"]):
        if not is_ours(_is(file, str)) or (_is(init, str) and not is_ours(init)):
            raise ParseError("a segment of another name than ours")
        if segments and _count(number) != segments[-1].number + 1:
            raise ParseError(f"rendition {name}: segment numbers that do not follow each other")
        bits = _count(flags)
        segments.append(
            MediaSegment(
                file, _count(number), _count(period), _count(time), _count(duration), _count(size), _unix_s(unix_s),
                init, bool(bits & 1), bool(bits & 2), bool(bits & 4), _count(sap), _count(lead), _count(tail),
            )
        )  # fmt: skip
    return rendition


def _track(fields: Mapping[str, Any]) -> Track:
    fps = fields["fps"]
    return Track(
        _count(fields["id"]), Kind(fields["kind"]), _is(fields["codec"], str), _count(fields["timescale"]) or 1,
        config=bytes.fromhex(_is(fields["config"], str)), codec_string=_is(fields["codec_string"], str),
        width=_count(fields["width"]), height=_count(fields["height"]),
        fps=Fraction(_count(fps[0]), _count(fps[1]) or 1) if fps else None, profile=_is(fields["profile"], str),
        sample_rate=_count(fields["sample_rate"]), channels=_count(fields["channels"]),
        language=_is(fields["language"], str), label=_is(fields["label"], str),
        bitrate_bps=_count(fields["bitrate_bps"]), rotation=_count(fields.get("rotation", 0)),
    )  # fmt: skip


def _is(value: Any, kind: type[_T]) -> _T:
    if type(value) is not kind:
        raise ParseError(f"{kind.__name__} expected")
    return value


def _count(value: Any) -> int:
    number = _is(value, int)
    if not 0 <= number < MAX_NUMBER:
        raise ParseError("a number out of range")
    return number


def _seconds(value: Any) -> float:
    if type(value) not in (int, float) or not -MAX_NUMBER < value < MAX_NUMBER:
        raise ParseError("seconds expected")
    return float(value)


def _unix_s(value: Any) -> float:
    found = _seconds(value)
    if not 0 <= found <= MAX_UNIX_S:
        raise ParseError("a date out of all calendars")
    return found


def _mapping(value: Any) -> dict[str, Any]:
    return _is(value, dict)


def _list(value: Any) -> list[Any]:
    return _is(value, list)


def _one_of(value: Any, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ParseError(f"one of {', '.join(allowed)} expected")
    return _is(value, str)
