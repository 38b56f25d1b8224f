"""Media over WebSocket: FLV, TS or fragmented MP4 in binary messages, commands and answers as JSON in text messages.

The message names are those of MistServer's control channel. A feed's bytes hold the WebSocket frames already, and with
them the announcements that all its viewers get alike, so that nothing is framed per viewer.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from evotools.containers.base import Muxer
from evotools.containers.mp4 import entries
from evotools.errors import ParseError
from evotools.media.frame import Frame, Metadata
from evotools.media.track import Track
from evotools.protocols.websocket import message, text_message

ON_TIME_S: Final = 1.0
"""Media time between two `on_time` messages in a feed."""
MAX_NAME: Final = 32
"""Characters of a command's name that are read; the longest one known has 18."""
MAX_NUMBER: Final = 1e15
"""Greatest number in a command: milliseconds of 30,000 years."""
COMMANDS: Final = frozenset({
    "request_codec_data", "play", "pause", "hold", "seek", "set_speed", "tracks", "fast_forward", "stop", "on_time",
    "info",
})  # fmt: skip


class Command(NamedTuple):
    """A command from the client."""

    kind: str
    """One of COMMANDS."""
    values: dict[str, Any]

    def number(self, name: str) -> float | None:
        """A finite number, or None when the field is missing. Raises ParseError for anything else."""
        value = self.values.get(name)
        if value is None:
            return None
        # NaN fails every comparison.
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not -MAX_NUMBER <= value <= MAX_NUMBER:
            raise ParseError(f"'{name}' must be a number")
        return float(value)

    def text(self, name: str) -> str | None:
        """A string; numbers count as their digits. None when the field is missing. Raises ParseError."""
        value = self.values.get(name)
        if value is None:
            return None
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str):
            raise ParseError(f"'{name}' must be a string")
        return value


def parse_command(text: str) -> Command:
    """A text message of the client: a JSON object with a `type`. Raises ParseError."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise ParseError("a command must be JSON") from None
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        raise ParseError("a command must be an object with a 'type'")
    kind = value["type"]
    if kind not in COMMANDS:
        raise ParseError(f"there is no command '{kind[:MAX_NAME]}'")
    return Command(kind, value)


def notice(kind: str, data: object = None) -> bytes:
    """A message of the server as a whole frame."""
    body: dict[str, Any] = {"type": kind}
    if data is not None:
        body["data"] = data
    return text_message(json.dumps(body, separators=(",", ":")))


def milliseconds(time_s: float) -> int:
    """A time as messages tell it."""
    return round(time_s * 1000)


def describe_track(track: Track) -> dict[str, Any]:
    """A track as messages tell it."""
    told: dict[str, Any] = {"id": track.id, "type": track.kind.value, "codec": track.codec}
    string = codec_string(track)
    if string:
        told["codecs"] = string
    if track.width:
        told |= {"width": track.width, "height": track.height}
    if track.fps:
        told["fps"] = round(float(track.fps), 3)
    if track.sample_rate:
        told |= {"rate": track.sample_rate, "channels": track.channels}
    if track.language:
        told["lang"] = track.language
    if track.label:
        told["label"] = track.label
    return told


def codec_string(track: Track) -> str:
    """RFC 6381 string of a track; empty when nothing tells it."""
    try:
        return entries.codec_string(entries.completed(track))
    except ParseError:
        return track.codec_string


def codec_data(tracks: Sequence[Track], mime: str, **facts: object) -> dict[str, Any]:
    """What the binary messages that follow hold: `mime` is what `MediaSource.isTypeSupported` wants to know. `facts` go
    along as they are."""
    codecs = [string for string in map(codec_string, tracks) if string]
    kind = f'{mime}; codecs="{",".join(codecs)}"' if codecs else mime
    return {"mime": kind, "codecs": codecs, "tracks": [describe_track(track) for track in tracks], **facts}


class Window(NamedTuple):
    """What can be played now, on the clock of the media."""

    begin_s: float
    end_s: float
    wall_s: float | None = None
    """Unix time of time 0, for live streams."""


def on_time(current_s: float, window: Window | None, tracks: Sequence[int], *, rate: float = 1.0) -> dict[str, Any]:
    """Where the media that was just sent lies. Times in milliseconds."""
    told: dict[str, Any] = {"current": milliseconds(current_s), "play_rate_curr": rate, "tracks": list(tracks)}
    if window is not None:
        told |= {"begin": milliseconds(window.begin_s), "end": milliseconds(max(window.end_s, current_s))}
        if window.wall_s is not None:
            told["unixoffset"] = milliseconds(window.wall_s)
    return told


class WebSocketMuxer:
    """A `Muxer` around another one: each chunk in one binary message, aligned to frames.

    A header comes behind `codec_data` in a text message. With `window` an `on_time` follows about once a second: one
    for all viewers of the feed, in the bytes that they share.
    """

    def __init__(
        self,
        inner: Muxer,
        *,
        facts: Mapping[str, object] | None = None,
        window: Callable[[], Window | None] | None = None,
    ) -> None:
        """`facts` go into each `codec_data`. `window` is asked when an `on_time` is due; None leaves it out."""
        self._inner = inner
        self._write = inner.write
        self._facts = dict(facts or {})
        self._window = window
        self._due_s = -math.inf
        self._ids: list[int] = []
        self.mime = inner.mime
        write_metadata = getattr(inner, "write_metadata", None)
        self._metadata: Callable[[Metadata], bytes] | None = write_metadata
        self._flush: Callable[[], bytes] | None = getattr(inner, "flush", None)

    def accepts(self, track: Track) -> bool:
        """As the inner muxer says."""
        return self._inner.accepts(track)

    def start(self, tracks: Sequence[Track]) -> bytes:
        """What was held, `codec_data`, and the header. Raises MediaError."""
        # What was held belongs to the last epoch, and so stands before the announcement of the next.
        held = self._flush() if self._flush is not None else b""
        header = self._inner.start(tracks)
        self._ids = [track.id for track in tracks]
        self._due_s = -math.inf
        return (
            (message(held) if held else b"")
            + notice("codec_data", codec_data(tracks, self.mime, **self._facts))
            + (message(header) if header else b"")
        )

    def write(self, frame: Frame) -> bytes:
        """The message of one chunk."""
        data = self._write(frame)
        if not data:
            return b""
        framed = message(data)
        if self._window is not None:
            now_s = frame.dts / frame.track.timescale
            # A clock that went back is told at once.
            if now_s >= self._due_s or now_s < self._due_s - 2 * ON_TIME_S:
                window = self._window()
                if window is not None:
                    self._due_s = now_s + ON_TIME_S
                    return framed + notice("on_time", on_time(now_s, window, self._ids))
        return framed

    def write_metadata(self, metadata: Metadata) -> bytes:
        """Timed data as the inner format has it."""
        data = self._metadata(metadata) if self._metadata is not None else b""
        return message(data) if data else b""

    def finish(self) -> bytes:
        """The message of what was held."""
        data = self._inner.finish()
        return message(data) if data else b""
