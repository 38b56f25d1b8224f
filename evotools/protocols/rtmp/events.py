"""What the RTMP state machines report. Names and queries may hold stream keys: no `repr` shows them."""

from dataclasses import dataclass, field
from typing import Any


class MediaMessage:
    """Audio (8), video (9) or script data (18): the body of an FLV tag, as it came.

    `timestamp_ms` is unwrapped, so that it goes on beyond 2^32, and may be negative when the clock of the peer
    steps back behind its first value.
    """

    __slots__ = ("payload", "timestamp_ms", "type")

    def __init__(self, kind: int, timestamp_ms: int, payload: bytes) -> None:
        self.type = kind
        self.timestamp_ms = timestamp_ms
        self.payload = payload

    def __repr__(self) -> str:
        return f"MediaMessage(type={self.type} {self.timestamp_ms} ms {len(self.payload)} bytes)"


@dataclass(frozen=True, slots=True)
class Connect:
    """A client wants to use application `app`: answer with `accept_connect` or `reject`."""

    app: str
    """Without slashes at the ends and without the query; may hold an instance (`live/instance`)."""
    query: dict[str, str] = field(repr=False)
    """Arguments behind `?` in tcUrl and app; app wins."""
    tc_url: str = field(repr=False)
    flash_ver: str = ""
    page_url: str = ""
    swf_url: str = ""
    object_encoding: int = 0
    """What the client asked for; the answer is always 0 (AMF0)."""
    fourccs: tuple[str, ...] = ()
    """Enhanced RTMP `fourCcList`; `*` means all."""
    video_fourccs: dict[str, int] = field(default_factory=dict)
    """Enhanced RTMP 2 `videoFourCcInfoMap`: bits 1 decode, 2 encode, 4 forward."""
    audio_fourccs: dict[str, int] = field(default_factory=dict)
    caps_ex: int = 0
    """Enhanced RTMP 2 `capsEx`: bits 1 reconnect, 2 multitrack, 4 ModEx, 8 nanosecond offsets."""
    arguments: dict[str, Any] = field(default_factory=dict, repr=False)
    """The whole command object."""
    extra: tuple[Any, ...] = field(default=(), repr=False)
    """Arguments behind the command object, such as librtmp's `conn=`."""


@dataclass(frozen=True, slots=True)
class PublishRequest:
    """A client wants to publish: answer with `accept_publish` or `reject`."""

    app: str
    name: str = field(repr=False)
    """Without query, `mp4:` and similar prefixes, and slashes at the ends; may hold slashes and may be empty."""
    query: dict[str, str] = field(repr=False)
    """Arguments of the stream name and of `Connect.query`; the name wins."""
    kind: str = "live"
    """`live`, `record` or `append`."""
    stream_id: int = 1

    @property
    def path(self) -> str:
        """App and name joined, `live/cam`."""
        return join_path(self.app, self.name)


@dataclass(frozen=True, slots=True)
class PlayRequest:
    """A client wants to play: answer with `accept_play` or `reject`."""

    app: str
    name: str = field(repr=False)
    """As in `PublishRequest`."""
    query: dict[str, str] = field(repr=False)
    start_ms: float = -2000.0
    """-2000: live, else recorded; -1000: live only; from 0 on: recorded, from that time (7.2.2.1, in seconds there)."""
    duration_ms: float = -1000.0
    """-1000: to the end."""
    reset: bool = True
    stream_id: int = 1

    @property
    def path(self) -> str:
        """App and name joined, `live/cam`."""
        return join_path(self.app, self.name)


@dataclass(frozen=True, slots=True)
class Pause:
    """A player paused or resumed; the answer has been queued."""

    paused: bool
    position_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Unpublish:
    """The publisher ended its stream; the connection may live on."""


@dataclass(frozen=True, slots=True)
class StopPlay:
    """The player ended its stream; the connection may live on."""


@dataclass(frozen=True, slots=True)
class Ready:
    """Client: the server accepted; media may be sent, or will come."""

    stream_id: int
    info: dict[str, Any] = field(default_factory=dict, repr=False)
    """Properties of the `_result` to connect: Enhanced RTMP abilities of the server among them."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Client: the server said no. The last event.

    `code` is the server's, such as NetStream.Publish.BadName; the stream name is masked in `description`.
    """

    code: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """Client, playing: the stream is over (StreamEOF, NetStream.Play.UnpublishNotify, Stop, Complete)."""

    code: str = ""


@dataclass(frozen=True, slots=True)
class Closed:
    """The conversation is over: send what is queued and close. The last event."""

    reason: str = ""


ServerEvent = Connect | PublishRequest | PlayRequest | MediaMessage | Pause | Unpublish | StopPlay | Closed
ClientEvent = Ready | MediaMessage | Refused | StreamEnded | Closed


def join_path(app: str, name: str) -> str:
    """`app/name`, or the one that is not empty."""
    return f"{app}/{name}" if app and name else app or name
