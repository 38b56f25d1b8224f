"""The client end of RTMP: publishes or plays one stream.

"Adobe's Real Time Messaging Protocol" 1.0. The order of commands is that of FMLE and ffmpeg, which every server knows.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from evotools.containers.flv import amf0
from evotools.errors import ProtocolError
from evotools.media.timeline import Unwrapper
from evotools.protocols.rtmp import auth, states
from evotools.protocols.rtmp import message as m
from evotools.protocols.rtmp.chunk import CHUNK_STREAMS, Message, type0_chunks
from evotools.protocols.rtmp.connection import CHUNK_SIZE, WINDOW_ACK_SIZE, Connection
from evotools.protocols.rtmp.events import (
    CAPS_RECONNECT,
    AuthRetry,
    ClientEvent,
    Ready,
    ReconnectRequest,
    Refused,
    StreamEnded,
)
from evotools.protocols.rtmp.handshake import ClientHandshake
from evotools.protocols.rtmp.message import Command
from evotools.protocols.rtmp.names import parse_query, resolve_url
from evotools.protocols.rtmp.states import Client

MAX_TEXT = 500
"""Characters kept of a server's description."""

# Transaction ids; 7.2.1.1 fixes the one of connect.
_CONNECT, _RELEASE, _FC_PUBLISH, _CREATE, _START = range(1, 6)
_ON_METADATA = amf0.encode("onMetaData")
_END_CODES = ("NetStream.Play.Stop", "NetStream.Play.UnpublishNotify", "NetStream.Play.Complete")
# Some servers send these with the level "status".
_REFUSALS = ("BadName", "StreamNotFound", "Rejected", "Denied", "Failed", "FileStructureInvalid")
_CODE = re.compile(r"Net(Connection|Stream)(\.[A-Za-z]{1,40}){1,4}")


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """Times in seconds, sizes in bytes."""

    flash_ver: str = ""
    """Empty: `FMLE/3.0 (compatible; evotools)` to publish, `LNX 9,0,124,2` (what ffmpeg says) to play."""
    chunk_size: int = CHUNK_SIZE
    buffer_ms: int = 3000
    """What the player says that it buffers (7.1.7); servers send that much ahead where they can."""
    start_ms: int = -2000
    """`start` of play: -2000 live or else recorded, -1000 live only, from 0 on recorded."""
    timeout_s: float = 10.0
    """From the start to `Ready`."""
    digest: bool = True
    """Sign the handshake."""
    fourccs: Sequence[str] = ()
    """Enhanced RTMP codecs to announce; nothing is said when empty, since some old servers refuse unknown fields."""
    caps_ex: int = 0
    """Enhanced RTMP 2 `capsEx`, told with `fourccs`."""
    reconnects: bool = False
    """Tell that `ReconnectRequest` is obeyed."""
    user: str = field(default="", repr=False)
    """For servers whose access manager asks (Adobe, Limelight)."""
    password: str = field(default="", repr=False)
    auth: str = field(default="", repr=False)
    """Of the `AuthRetry` that ended the connection before."""
    subscribe: bool = False
    """Say FCSubscribe before play, as the edges of some CDNs want it."""
    swf_url: str = ""
    page_url: str = ""
    connect: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the command object of connect."""


class ClientConnection(Connection[ClientEvent]):
    """Publishes to, or plays from, one server. Drain `next_event` and send `data_to_send` after every call.

    `tc_url` is `rtmp://host[:port]/app`, `stream` the name with its query. After `Ready`, `send_media` queues a
    publisher's messages; a player gets `MediaMessage` events until `StreamEnded`, `Refused` or `Closed`.
    """

    def __init__(
        self,
        tc_url: str,
        app: str,
        stream: str,
        mode: Literal["publish", "play"],
        now: float,
        random_bytes: Callable[[int], bytes],
        options: ClientOptions | None = None,
    ) -> None:
        self.options = options or ClientOptions()
        handshake = ClientHandshake(random_bytes, self.options.digest)
        super().__init__(handshake, now)
        self.tc_url = tc_url
        self.app = app
        self.stream = stream
        self.mode = mode
        self.state = Client.HANDSHAKE
        self.stream_id = 0
        self._started = now
        self._unwrap = Unwrapper(32)
        self._random = random_bytes
        self._measured = False
        self._info: dict[str, Any] = {}
        self._out.append(handshake.start())

    def deadline(self) -> float | None:
        """When `tick` wants to be called: while the dialogue lasts."""
        if self.state in (Client.PUBLISHING, Client.PLAYING, Client.CLOSED):
            return None
        return self._started + self.options.timeout_s

    def tick(self, now: float) -> None:
        """Time passed. Raises ProtocolError when the server was too slow."""
        deadline = self.deadline()
        if deadline is not None and now >= deadline:
            reason = f"no leave to {self.mode} within {self.options.timeout_s:g} s (state '{self.state.value}')"
            self._close(reason)
            raise ProtocolError(f"the server gave {reason}")

    def send_media(self, kind: int, timestamp_ms: int, parts: Sequence[bytes | bytearray | memoryview]) -> None:
        """Queue one message: `kind` 8, 9 or 18, `parts` of an FLV tag body. Raises ProtocolError before `Ready`.

        onMetaData is wrapped as servers want it.
        """
        if self.state is not Client.PUBLISHING:
            raise ProtocolError(f"RTMP: media cannot be sent in state '{self.state.value}'")
        if kind == m.DATA:
            body = b"".join(parts)
            parts = m.set_data_frame((body,)) if body.startswith(_ON_METADATA) else (body,)
        self._out.append(
            type0_chunks(kind, self.stream_id, CHUNK_STREAMS[kind], timestamp_ms, parts, self._writer.chunk_size)
        )

    def close(self) -> None:
        """Queue the farewell; no event follows."""
        if self.closed:
            return
        if self.stream_id:
            if self.mode == "publish":
                self._send(m.build_command("FCUnpublish", _START + 1, None, self.stream))
            self._send(m.build_command("deleteStream", _START + 2, None, self.stream_id))
        self._go("close")
        self.closed = True

    def _go(self, signal: str) -> None:
        self.state = states.after(states.CLIENT, self.state, signal)

    def _close(self, reason: str) -> None:
        if not self.closed:
            self._go("close")
            super()._close(reason)

    def _end(self, event: Refused | AuthRetry | StreamEnded) -> None:
        """The last event."""
        self._events.append(event)
        self._go("close")
        self.closed = True

    def _greeted(self) -> None:
        self._go("greeted")
        options = self.options
        publish = self.mode == "publish"
        flash_ver = options.flash_ver or ("FMLE/3.0 (compatible; evotools)" if publish else "LNX 9,0,124,2")
        app, tc_url = (_with_arguments(text, options.auth) for text in (self.app, self.tc_url))
        values: dict[str, Any] = {"app": app, "flashVer": flash_ver, "tcUrl": tc_url}
        if publish:
            # Access managers ask those for a password who say that they are encoders.
            values["type"] = "nonprivate"
        if options.swf_url:
            values["swfUrl"] = options.swf_url
        if options.page_url:
            values["pageUrl"] = options.page_url
        if not publish:
            # What a Flash player says: all codecs; FMS sends nothing to a client without.
            values |= {"fpad": False, "capabilities": 15, "audioCodecs": 4071, "videoCodecs": 252, "videoFunction": 1}
        values["objectEncoding"] = 0
        if options.fourccs:
            values["fourCcList"] = list(options.fourccs)
        caps = options.caps_ex | (CAPS_RECONNECT if options.reconnects else 0)
        if caps:
            values["capsEx"] = caps
        values |= options.connect
        self._send(m.build_command("connect", _CONNECT, values))

    def _connected(self, command: Command) -> None:
        self._go("connected")
        if isinstance(command.object, dict):
            self._info = command.object
        if self.mode == "publish":
            self._out.append(self._writer.set_chunk_size(self.options.chunk_size))
            self._send(
                m.build_command("releaseStream", _RELEASE, None, self.stream),
                m.build_command("FCPublish", _FC_PUBLISH, None, self.stream),
            )
        else:
            self._announce_window(WINDOW_ACK_SIZE)
            if self.options.subscribe:
                self._send(m.build_command("FCSubscribe", _RELEASE, None, self.stream))
        self._send(m.build_command("createStream", _CREATE, None))

    def _created(self, command: Command) -> None:
        number = command.argument(0, float, 1.0)
        if not 0 < number < 2**32:
            raise ProtocolError("the server created a stream without a usable number")
        self._go("created")
        self.stream_id = stream_id = int(number)
        if self.mode == "publish":
            self._send(m.build_command("publish", _START, None, self.stream, "live", stream_id=stream_id))
        else:
            self._send(
                m.build_command("play", _START, None, self.stream, self.options.start_ms, stream_id=stream_id),
                m.build_user_control(m.SET_BUFFER_LENGTH, stream_id, self.options.buffer_ms),
            )

    def _started_with(self, signal: str) -> None:
        self._go(signal)
        self._events.append(Ready(self.stream_id, self._info))

    def _other(self, message: Message) -> None:
        if self.closed:
            return
        kind = message.type
        if kind == m.COMMAND or kind == m.COMMAND_AMF3:
            self._command(m.parse_command(message))
        elif self.mode == "play":
            # Some servers send media without NetStream.Play.Start; script data alone may come before it.
            if self.state is Client.ASKING and kind in (m.AUDIO, m.VIDEO, m.AGGREGATE):
                self._started_with("play started")
            if self.state is Client.PLAYING:
                self._emit_media(message, self._unwrap, self.stream_id)

    def _user_control(self, event: int, values: list[int]) -> None:
        if event == m.STREAM_EOF and self.state is Client.PLAYING and values[:1] == [self.stream_id]:
            self._end(StreamEnded("StreamEOF"))

    def _command(self, command: Command) -> None:
        name, transaction = command.name, command.transaction
        if name == "_result":
            if transaction == _CONNECT and self.state is Client.CONNECTING:
                self._connected(command)
            elif transaction == _CREATE and self.state is Client.CREATING:
                self._created(command)
        elif name == "_error":
            # Many servers do not know releaseStream and FCPublish, and say so; that is no refusal.
            if transaction == _CONNECT and self._challenged(command):
                return
            if transaction in (_CONNECT, _CREATE, _START):
                self._refused(command, "NetConnection.Call.Failed")
        elif name == "onStatus":
            self._status(command)
        elif name == "close":
            self._close("the server closed the stream")
        elif name == "onBWDone" and not self._measured:
            # FMS measures when it is asked back, and some of its kin wait for that.
            self._measured = True
            self._send(m.build_command("_checkbw", _START + 3, None))
        elif name == "_onbwcheck" and transaction:
            self._send(m.build_command("_result", transaction, None, 0))

    def _challenged(self, command: Command) -> bool:
        """Whether an access manager refused connect; what follows from it has been reported then."""
        info = _info_of(command)
        description = info.get("description")
        rejection = auth.parse_rejection(description) if isinstance(description, str) else None
        if rejection is None:
            return False
        options = self.options
        app = self.app.partition("?")[0]
        if not rejection.mode:
            problem = "the server wants a kind of authentication that is not known"
        elif not options.user:
            problem = "the server wants a user name and a password"
        elif "response=" in options.auth or rejection.reason not in ("start", "needauth"):
            problem = "the server does not accept this user name and password"
        elif rejection.reason == "start" and options.auth:
            problem = "the server asks for the user name again and again"
        else:
            told = auth.answer(rejection, options.user, options.password, app, self._random(8))
            self._end(AuthRetry(told))
            return True
        self._end(Refused("NetConnection.Connect.Rejected", problem))
        return True

    def _status(self, command: Command) -> None:
        info = _info_of(command)
        code = info.get("code")
        code = code if isinstance(code, str) else ""
        state = self.state
        if code == "NetConnection.Connect.ReconnectRequest":
            target, description = info.get("tcUrl"), info.get("description")
            tc_url = resolve_url(self.tc_url, target if isinstance(target, str) else "")
            text = self._masked(description) if isinstance(description, str) else ""
            self._events.append(ReconnectRequest(tc_url, text))
        elif info.get("level") == "error" or code.endswith(_REFUSALS):
            # A refusal of what is only asked for, or the end of a running stream.
            self._refused(command, "NetStream.Failed")
        elif code == "NetStream.Publish.Start" and state is Client.ASKING and self.mode == "publish":
            self._started_with("publish started")
        elif code == "NetStream.Play.Start" and state is Client.ASKING and self.mode == "play":
            self._started_with("play started")
        elif code in _END_CODES and self.mode == "play":
            self._end(StreamEnded(code))
        elif code in ("NetStream.Unpublish.Success", "NetConnection.Connect.Closed"):
            self._close("the server ended the stream")

    def _refused(self, command: Command, fallback: str) -> None:
        info = _info_of(command)
        code, description = info.get("code"), info.get("description")
        self._end(
            Refused(
                code if isinstance(code, str) and _CODE.fullmatch(code) else fallback,
                self._masked(description) if isinstance(description, str) else "",
            )
        )

    def _masked(self, text: str) -> str:
        """A server's text without the stream name, its query and the query of the app: they may be keys."""
        name, _, query = self.stream.partition("?")
        app_query = self.app.partition("?")[2]
        values = [*parse_query(query).values(), *parse_query(app_query).values()]
        secrets = {self.stream, query, app_query, name, *name.split("/"), *values, self.options.password}
        for secret in sorted(filter(None, secrets), key=len, reverse=True):
            # A short name is masked as a word only: "a" is in every description.
            pattern = re.escape(secret) if len(secret) > 3 else rf"(?<!\w){re.escape(secret)}(?!\w)"
            text = re.sub(pattern, "****", text)
        return text[:MAX_TEXT]


def _with_arguments(text: str, arguments: str) -> str:
    """`text` with `?…` behind it, or with `&…` where it has arguments already."""
    return f"{text}&{arguments[1:]}" if arguments and "?" in text else text + arguments


def _info_of(command: Command) -> dict[str, Any]:
    """The information object: the first argument, or in its place the command object (some old servers)."""
    for value in (*command.arguments[:1], command.object):
        if isinstance(value, dict):
            return value
    return {}
