"""The progressive formats by suffix: muxer, MIME type, the name `access` knows, and the choice of tracks."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from evotools.containers.adts import AdtsMuxer
from evotools.containers.base import Muxer
from evotools.containers.flv.mux import FlvMuxer
from evotools.containers.matroska import MatroskaMuxer
from evotools.containers.mp3 import Mp3Muxer
from evotools.containers.mp4.live import LiveMp4Muxer
from evotools.containers.mpegts.mux import TsMuxer
from evotools.containers.ogg import OggMuxer
from evotools.errors import ParseError
from evotools.media.select import first_of_each_kind, match
from evotools.media.track import Kind, Track
from evotools.protocols.mediasocket import codec_string

MAX_PARTS = 8
"""Selectors in one query value; every one is matched against all tracks."""
SELECTION_HINT = "use a number, all, none, max, min, lang:de, a codec, #3, or several with commas"

Choose = Callable[[Sequence[Track]], Sequence[Track]]


def _webm() -> MatroskaMuxer:
    return MatroskaMuxer("webm")


def _one_sound(tracks: Sequence[Track]) -> Sequence[Track]:
    return [track for track in tracks if track.kind is Kind.AUDIO][:1]


@dataclass(frozen=True, slots=True)
class Format:
    """One way to carry a stream over HTTP."""

    key: str
    """Of its feeds."""
    mime: str
    make: Callable[[], Muxer]
    choose: Choose = first_of_each_kind
    """The tracks of a stream that it carries when nobody says more."""
    audio_mime: str = ""
    """When there are no pictures; empty: the same."""
    codecs: bool = False
    """The `codecs` parameter is usual with this type (RFC 6381, RFC 9559 appendix)."""

    @property
    def protocol(self) -> str:
        """What `access` calls it."""
        return f"http-{self.key}"

    def carried(self, tracks: Sequence[Track]) -> list[Track]:
        """Those of `tracks` for which the format has a name."""
        muxer = self.make()
        return [track for track in tracks if muxer.accepts(track)]

    def content_type(self, tracks: Sequence[Track]) -> str:
        """The MIME type of these tracks."""
        if not tracks:
            return self.mime
        has_pictures = any(track.kind is Kind.VIDEO for track in tracks)
        mime = self.mime if has_pictures or not self.audio_mime else self.audio_mime
        if not self.codecs:
            return mime
        names = [_codec(self.key, track) for track in tracks]
        return f'{mime}; codecs="{", ".join(names)}"' if all(names) else mime


def _codec(key: str, track: Track) -> str:
    """What a browser calls the codec in this container; empty where nobody knows."""
    if key != "mp4" and track.codec in ("opus", "vorbis", "flac", "vp8"):
        return track.codec
    name = codec_string(track)
    return name if _TOKEN.fullmatch(name) else ""


_TOKEN = re.compile(r"[A-Za-z0-9._-]{1,64}")

FORMATS: Mapping[str, Format] = {
    "flv": Format("flv", "video/x-flv", FlvMuxer),
    "ts": Format("ts", "video/mp2t", TsMuxer),
    "mp4": Format("mp4", "video/mp4", LiveMp4Muxer, audio_mime="audio/mp4", codecs=True),
    "mkv": Format("mkv", "video/x-matroska", MatroskaMuxer, audio_mime="audio/x-matroska"),
    "webm": Format("webm", "video/webm", _webm, audio_mime="audio/webm", codecs=True),
    "ogg": Format("ogg", "audio/ogg", OggMuxer, _one_sound, codecs=True),
    "aac": Format("aac", "audio/aac", AdtsMuxer, _one_sound),
    "mp3": Format("mp3", "audio/mpeg", Mp3Muxer, _one_sound),
}
"""By suffix, without the dot."""


class Selection(NamedTuple):
    """Which tracks a request wants."""

    choose: Choose
    """From a track list, those wanted that the format carries, in stream order."""
    key: tuple[str, ...]
    """Equal for equal wishes; empty when nothing was said."""


def parse_selection(query: Mapping[str, str], form: Format) -> Selection:
    """`video=0&audio=lang:de` and the like: which tracks of each kind, the format's own choice for kinds not named.

    A value is a list with commas of: a number (from 0), `all` or `*`, `none` or `-1`, `max`, `min`, `lang:de`, a codec,
    a language of two or three letters, `#3` (track id); `!` in front takes away. Raises ParseError.
    """
    wishes: dict[Kind, tuple[str, ...]] = {}
    for kind in Kind:
        value = query.get(kind.value)
        if value:
            wishes[kind] = tuple(_selector(kind, part) for part in _parts(value))

    def choose(tracks: Sequence[Track]) -> list[Track]:
        carried = form.carried(tracks)
        own = {track.id for track in form.choose(carried) if track.kind not in wishes}
        for kind, parts in wishes.items():
            mine = [track for track in carried if track.kind is kind]
            own |= _matching(parts, mine)
        return [track for track in carried if track.id in own]

    return Selection(choose, tuple(f"{kind.value}={','.join(parts)}" for kind, parts in wishes.items()))


def _parts(value: str) -> list[str]:
    parts = [part.strip().lower() for part in value.split(",")]
    if len(parts) > MAX_PARTS or not all(_PART.fullmatch(part) for part in parts):
        raise ParseError("a track selection cannot be read", hint=SELECTION_HINT)
    return parts


_PART = re.compile(r"!?(?:-1|\*|#\d{1,9}|\d{1,9}|lang[:=][a-z-]{2,8}|[a-z0-9]{2,12})")
_WORDS = {
    "*": "all", "-1": "none", "best": "max", "high": "max", "maxbps": "max", "maxres": "max",
    "worst": "min", "low": "min", "minbps": "min", "minres": "min",
}  # fmt: skip
"""MistServer's words (and its numbers) for the same."""


def _selector(kind: Kind, part: str) -> str:
    """One part as a selector of `media.select`, which `!` may precede."""
    sign = "!" if part.startswith("!") else ""
    word = part.removeprefix("!")
    word = _WORDS.get(word, word)
    if word in ("none", "all") or word.startswith("#"):
        return sign + word
    if word in ("max", "min") or word.isdigit():
        return f"{sign}{kind.value}:{word}"
    if word.startswith("lang"):
        return f"{sign}{kind.value}:lang={word[5:]}"
    return sign + word


def _matching(parts: Sequence[str], tracks: Sequence[Track]) -> set[int]:
    chosen: set[int] = set()
    if parts[0].startswith("!"):
        chosen = {track.id for track in tracks}
    for part in parts:
        selector = part.removeprefix("!")
        found = match(selector, tracks)
        if not found and _LANGUAGE.fullmatch(selector) and selector != "all":
            found = match(f"all:lang={selector}", tracks)
        ids = {track.id for track in found}
        chosen = chosen - ids if part.startswith("!") else chosen | ids
    return chosen


_LANGUAGE = re.compile(r"[a-z]{2,3}")
