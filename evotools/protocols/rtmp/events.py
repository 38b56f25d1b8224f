"""What the RTMP state machines report. Names and queries may hold stream keys: no `repr` shows them."""

from dataclasses import dataclass, field
from typing import Any

CAPS_RECONNECT, CAPS_MULTITRACK, CAPS_MODEX, CAPS_NANO = 1, 2, 4, 8
"""Enhanced RTMP 2, CapsExMask."""


class MediaMessage:
    """Audio (8), video (9) or script data (18): the body of an FLV tag, as it came.

    `timestamp_ms` is unwrapped, so that it goes on beyond 2^32, and may be negative when the clock of the peer
    steps back behind its first value. `stream_id` is that of the accepted publish or play.
    """

    __slots__ = ("payload", "stream_id", "timestamp_ms", "type")

    def __init__(self, kind: int, timestamp_ms: int, payload: bytes, stream_id: int = 1) -> None:
        self.type = kind
        self.timestamp_ms = timestamp_ms
        self.payload = payload
        self.stream_id = stream_id

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
    """0: the client reads AMF0 alone; 3: AMF3 too. It is answered in AMF0 either way."""
    fourccs: tuple[str, ...] = ()
    """Enhanced RTMP `fourCcList`; `*` means all."""
    video_fourccs: dict[str, int] = field(default_factory=dict)
    """Enhanced RTMP 2 `videoFourCcInfoMap`: bits 1 decode, 2 encode, 4 forward."""
    audio_fourccs: dict[str, int] = field(default_factory=dict)
    caps_ex: int = 0
    """Enhanced RTMP 2 `capsEx`: bits 1 reconnect, 2 multitrack, 4 ModEx, 8 nanosecond offsets."""
    publishes: bool = False
    """The client is an encoder by what it says of itself: it will publish, and knows how to give a password."""
    arguments: dict[str, Any] = field(default_factory=dict, repr=False)
    """The whole command object."""
    extra: tuple[Any, ...] = field(default=(), repr=False)
    """Arguments behind the command object, such as librtmp's `conn=`."""

    @property
    def reconnects(self) -> bool:
        """The client obeys a reconnect request."""
        return bool(self.caps_ex & CAPS_RECONNECT)

    @property
    def multitrack(self) -> bool:
        """The client understands more than one track of a kind."""
        return bool(self.caps_ex & CAPS_MULTITRACK)


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
    """Of the NetStream; later events of the same one say it too."""

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
    stream_id: int = 1


@dataclass(frozen=True, slots=True)
class Receive:
    """A player wants sound or pictures no longer, or again (receiveAudio, receiveVideo); answered where it is due."""

    audio: bool
    video: bool
    stream_id: int = 1


@dataclass(frozen=True, slots=True)
class Seek:
    """A player of a recorded stream wants to go on from elsewhere; the answer has been queued."""

    position_ms: float
    stream_id: int = 1


@dataclass(frozen=True, slots=True)
class Unpublish:
    """The publisher ended its stream; the connection may live on."""

    stream_id: int = 1
    lost: str = ""
    """What ended the connection, when that came first."""


@dataclass(frozen=True, slots=True)
class StopPlay:
    """The player ended its stream, or its time was over; the connection may live on."""

    stream_id: int = 1


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
class AuthRetry:
    """Client: the server wants credentials. The last event.

    Open another connection, with the same arguments and `auth` in the options.
    """

    auth: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ReconnectRequest:
    """Client: the server asks to connect again, soon and at a key frame, and goes on meanwhile (Enhanced RTMP 2)."""

    tc_url: str = field(default="", repr=False)
    """Where to, `rtmp(s)://host[:port]/app`; the present tcUrl when the server names no other."""
    description: str = ""


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """Client, playing: the stream is over (StreamEOF, NetStream.Play.UnpublishNotify, Stop, Complete)."""

    code: str = ""


@dataclass(frozen=True, slots=True)
class Closed:
    """The conversation is over: send what is queued and close. The last event."""

    reason: str = ""


ServerEvent = (
    Connect | PublishRequest | PlayRequest | MediaMessage | Pause | Receive | Seek | Unpublish | StopPlay | Closed
)
ClientEvent = Ready | MediaMessage | Refused | AuthRetry | ReconnectRequest | StreamEnded | Closed


def join_path(app: str, name: str) -> str:
    """`app/name`, or the one that is not empty."""
    return f"{app}/{name}" if app and name else app or name
