"""Timed data among the forms that containers have for it: ID3 tags, and JSON for messages of RTMP and FLV.

A data message becomes an ID3 tag with a TXXX frame, its name as the description and its value as JSON: what packagers
of RTMP streams for HTTP Live Streaming give to players. A TSSE frame tells such tags from those of others, so that
they become the same messages again.
"""

import json
from typing import Any, Final

from evotools.codecs import id3
from evotools.errors import ParseError
from evotools.media.frame import ON_METADATA, Metadata

EMSG: Final = "emsg"
"""Name of event messages of MP4: the value is the message, `options` its `scheme`, `value`, `id` and `duration_s`."""
ON_ID3: Final = "onID3"
"""Name of ID3 tags that others wrote: the value has what is in the frames, `options["id3"]` the whole tag."""
ID3_SCHEME: Final = "https://aomedia.org/emsg/ID3"
"""AOM "Carriage of ID3 Timed Metadata in CMAF" 2: `scheme_id_uri` of event messages that are ID3 tags."""
JSON_SCHEME: Final = "urn:evotools:metadata"
"""`scheme_id_uri` of the event messages that carry data messages: `value` is the name, the payload JSON."""
MAX_JSON_BYTES: Final = 48 * 1024
"""JSON of one message; cue points are a few hundred bytes, and a PES packet holds 64 KiB."""
MAX_SHOWN_BYTES: Final = 1024
"""Binary frames of ID3 tags that are shown in the value; larger ones are pictures."""

_OURS: Final = "evotools"
OF_THE_WHOLE: Final = frozenset((ON_METADATA, "@setDataFrame", "colorInfo"))
"""Names of what describes the stream or a track of it (colorInfo: Enhanced RTMP's HDR), and is no event in time."""


def to_json(value: Any) -> bytes | None:
    """`value` as JSON; None for what it has no form for, and for more than MAX_JSON_BYTES."""
    try:
        data = json.dumps(value, default=_plain, allow_nan=False, separators=(",", ":")).encode()
    except (ValueError, TypeError, RecursionError):
        return None
    return data if len(data) <= MAX_JSON_BYTES else None


def _plain(value: Any) -> Any:
    """What JSON has no form for."""
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    return str(value)


def from_json(name: str, data: bytes, time_s: float) -> Metadata | None:
    """The message of this name; None when it is none, or would speak of the whole stream."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return Metadata(name, value, time_s) if name and name not in OF_THE_WHOLE else None


def to_id3(metadata: Metadata) -> bytes | None:
    """Timed data as an ID3 tag; None for what describes the whole stream, and for what does not fit."""
    name, value = metadata.name, metadata.value
    own = metadata.options.get("id3")
    if isinstance(own, bytes):
        return own
    if name in OF_THE_WHOLE:
        return None
    if name == EMSG and isinstance(value, bytes):
        if metadata.options.get("scheme") == ID3_SCHEME:
            return value
        return id3.tag(id3.private(str(metadata.options.get("scheme", EMSG)), value))
    data = to_json(value)
    return None if data is None else id3.tag(id3.user_text(name, data.decode()), id3.text("TSSE", _OURS))


def from_id3(data: bytes, time_s: float, **options: Any) -> list[Metadata]:
    """The tags in `data` as events; `options` are added to theirs, `id3` is the tag itself."""
    found: list[Metadata] = []
    for tag in id3.split(data):
        try:
            frames = id3.frames(tag)
        except ParseError:
            frames = []
        ours = _message(frames, time_s)
        event = ours or Metadata(ON_ID3, _describe(frames), time_s)
        event.options.update(options, id3=tag)
        found.append(event)
    return found


def _message(frames: list[tuple[str, bytes]], time_s: float) -> Metadata | None:
    if [name for name, _ in frames] != ["TXXX", "TSSE"] or id3.texts(frames[1][1]) != [_OURS]:
        return None
    name, *rest = id3.texts(frames[0][1])
    return from_json(name, "\0".join(rest).encode(errors="replace"), time_s)


def _describe(frames: list[tuple[str, bytes]]) -> dict[str, Any]:
    """Text by the name of its frame; of TXXX and PRIV by what they say it is; the rest in hexadecimal."""
    told: dict[str, Any] = {}
    for name, body in frames:
        if name == "TXXX":
            description, *rest = id3.texts(body)
            told.setdefault(name, {})[description] = "\0".join(rest)
        elif name.startswith("T"):
            told[name] = "\0".join(id3.texts(body))
        elif name.startswith("W") and name != "WXXX":
            told[name] = body.decode("latin-1").rstrip("\0")
        elif len(body) <= MAX_SHOWN_BYTES:
            owner, separator, data = body.partition(b"\0")
            if name == "PRIV" and separator:
                told.setdefault(name, {})[owner.decode("latin-1")] = data.hex()
            else:
                told[name] = body.hex()
    return told
