"""The server end of RTMP: one connection that publishes or plays.

"Adobe's Real Time Messaging Protocol" 1.0; Enhanced RTMP 2 for the abilities in connect. Deviations of real clients
that are served: publish or play on stream 0 or without createStream; media on a foreign stream id; `FCPublish` and
its kin; commands sent before the answer to the last one.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from evotools.containers.flv.amf0 import UNDEFINED
from evotools.errors import ParseError, ProtocolError
from evotools.protocols.rtmp import message as m
from evotools.protocols.rtmp import states
from evotools.protocols.rtmp.chunk import Message
from evotools.protocols.rtmp.connection import CHUNK_SIZE, WINDOW_ACK_SIZE, Connection, broken
from evotools.protocols.rtmp.events import (
    CAPS_MODEX,
    CAPS_MULTITRACK,
    CAPS_RECONNECT,
    Connect,
    Pause,
    PlayRequest,
    PublishRequest,
    Receive,
    Seek,
    ServerEvent,
    StopPlay,
    Unpublish,
)
from evotools.protocols.rtmp.handshake import ServerHandshake
from evotools.protocols.rtmp.message import Command
from evotools.protocols.rtmp.names import split_name, split_url
from evotools.protocols.rtmp.states import Server

MAX_NET_STREAMS = 8
"""Streams that one connection may create; one is used at a time."""
MAX_WAITING = 8 << 20
"""Bytes that wait while the application decides: encoders that do not wait for the answer send seconds of media."""
_WAITING_OVERHEAD = 128
MAX_PLAY_MS = 86_400_000.0 * 30
"""A play for longer than thirty days is one to the end."""
MAX_FOURCCS = 64
"""Entries of a capability list in connect; Enhanced RTMP 2 names fewer than twenty."""
MEDIA_STREAM_ID = 1
"""The stream id that the first createStream of every connection gets."""

CAN_FORWARD = 4
VIDEO_FOURCCS = ("avc1", "hvc1", "av01", "vp09", "vp08")
AUDIO_FOURCCS = ("mp4a", "Opus", "ac-3", "ec-3", "fLaC", ".mp3")
FMS_VERSION = "FMS/3,5,7,7009"
"""Flash clients send H.264 only to version 3 and later."""

_FREE_STATES = (Server.CONNECTING, Server.READY)
_ASKED_STATES = (Server.CONNECT_ASKED, Server.PUBLISH_ASKED, Server.PLAY_ASKED)


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Times in seconds, sizes in bytes."""

    chunk_size: int = CHUNK_SIZE
    window_ack_size: int = WINDOW_ACK_SIZE
    handshake_timeout_s: float = 10.0
    command_timeout_s: float = 30.0
    """From the handshake, or the end of a stream, to the next publish or play."""
    ping_interval_s: float = 60.0
    """Silence after which a publisher or player is pinged."""
    ping_timeout_s: float = 30.0
    video_fourccs: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(VIDEO_FOURCCS, CAN_FORWARD))
    """Enhanced RTMP abilities; told to clients that tell theirs."""
    audio_fourccs: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(AUDIO_FOURCCS, CAN_FORWARD))
    caps_ex: int = CAPS_RECONNECT | CAPS_MULTITRACK | CAPS_MODEX


class ServerConnection(Connection[ServerEvent]):
    """Answers one client. Drain `next_event` and send `data_to_send` after every call.

    The application answers `Connect`, `PublishRequest` and `PlayRequest`, at once or later, with `accept_connect`,
    `accept_publish`, `accept_play` or `reject`; what the client sends meanwhile waits. Answers that come after the
    end of the connection are ignored.

    After `accept_play` the caller sends `data_to_send()`, then chunk bytes made by `type0_chunks` with `chunk_size`
    and `media_stream_id`. Those bytes and later `data_to_send()` may be mixed at message boundaries.
    """

    def __init__(self, now: float, random_bytes: Callable[[int], bytes], options: ServerOptions | None = None) -> None:
        super().__init__(ServerHandshake(random_bytes), now)
        self.options = options or ServerOptions()
        self.state = Server.HANDSHAKE
        self.app = ""
        self.media_stream_id = MEDIA_STREAM_ID
        """Stream id of the accepted publish or play."""
        self._state_since: float | None = now
        """None right after a change of state, until the next call that knows the time."""
        self._pinged_at: float | None = None
        self._query: dict[str, str] = {}
        self._connect = Command("connect")
        self._request = Command("")
        self._duration_s: float | None = None
        """Of the recorded stream that is played; None: live."""
        self._play_s = 0.0
        """How long the player wants to play; 0: to the end."""
        self._wants = {"receiveAudio": True, "receiveVideo": True}
        self._streams: set[int] = set()
        self._waiting: deque[Message] = deque()
        self._waiting_bytes = 0

    @property
    def chunk_size(self) -> int:
        """The chunk size of bytes sent after `accept_connect`."""
        return self.options.chunk_size

    def receive(self, data: bytes | bytearray | memoryview, now: float) -> None:
        """Bytes from the client. Raises ProtocolError; the connection must end then."""
        self._pinged_at = None
        super().receive(data, now)
        if self._state_since is None:
            self._state_since = now

    def deadline(self) -> float | None:
        """When `tick` wants to be called, or None while the application decides."""
        options = self.options
        since = self._state_since
        if self.state is Server.HANDSHAKE and since is not None:
            return since + options.handshake_timeout_s
        if self.state in _FREE_STATES:
            return self._last_heard if since is None else since + options.command_timeout_s
        if self.state in (Server.PUBLISHING, Server.PLAYING):
            if self._play_s and since is None:
                return self._last_heard
            if self._pinged_at is not None:
                due = self._pinged_at + options.ping_timeout_s
            else:
                due = self._last_heard + options.ping_interval_s
            return min(due, since + self._play_s) if self._play_s and since is not None else due
        return None

    def tick(self, now: float) -> None:
        """Time passed. Raises ProtocolError when the client was too slow."""
        deadline = self.deadline()
        if deadline is None or now < deadline:
            return
        options = self.options
        if self.state is Server.HANDSHAKE:
            reason = f"no RTMP handshake within {options.handshake_timeout_s:g} s"
        elif self.state in _FREE_STATES:
            if self._state_since is None:
                self._state_since = now
                return
            reason = f"no publish or play within {options.command_timeout_s:g} s"
        elif self._play_s and (self._state_since is None or now >= self._state_since + self._play_s):
            if self._state_since is None:
                self._state_since = now
                return
            self.finish_play(unpublished=False)
            self._events.append(StopPlay())
            return
        elif self._pinged_at is None:
            self._pinged_at = now
            self.ping(now)
            return
        else:
            reason = f"no answer to a ping within {options.ping_timeout_s:g} s"
        self._close(reason)
        raise ProtocolError(reason)

    def accept_connect(self) -> None:
        """Let the client use its application."""
        if self.closed:
            return
        self._go("accept connect")
        options = self.options
        self._announce_window(options.window_ack_size)
        self._send(m.build_set_peer_bandwidth(options.window_ack_size))
        self._out.append(self._writer.set_chunk_size(options.chunk_size))
        properties: dict[str, Any] = {"fmsVer": FMS_VERSION, "capabilities": 31, "mode": 1}
        asked = self._connect.object if isinstance(self._connect.object, dict) else {}
        # Enhanced RTMP 2, "Enhancing NetConnection connect Command". Old clients get the old answer.
        if "fourCcList" in asked:
            properties["fourCcList"] = [*options.video_fourccs, *options.audio_fourccs]
        if "videoFourCcInfoMap" in asked or "audioFourCcInfoMap" in asked:
            properties["videoFourCcInfoMap"] = dict(options.video_fourccs)
            properties["audioFourCcInfoMap"] = dict(options.audio_fourccs)
        if "capsEx" in asked:
            properties["capsEx"] = options.caps_ex
        info = {
            "level": "status",
            "code": "NetConnection.Connect.Success",
            "description": "Connection succeeded.",
            # A client that can do both gets AMF0 all the same, as from nginx-rtmp and SRS; Flash goes by the type of
            # each message, and needs its own number back.
            "objectEncoding": 3 if asked.get("objectEncoding") == 3 else 0,
        }
        self._send(
            m.build_user_control(m.STREAM_BEGIN, 0),
            m.build_command("_result", self._connect.transaction, properties, info),
        )
        self._resume()

    def accept_publish(self) -> None:
        """Let the client publish; `MediaMessage` events follow."""
        if self.closed:
            return
        self._go("accept publish")
        stream_id = self._request.stream_id
        self._unwrap.reset()
        self._send(
            m.build_user_control(m.STREAM_BEGIN, self.media_stream_id),
            m.build_status("NetStream.Publish.Start", "Publishing started.", stream_id=stream_id),
        )
        self._resume()

    def accept_play(self, *, duration_s: float | None = None) -> None:
        """Let the client play; send `data_to_send()` and then media.

        With `duration_s` the stream is a recorded one of that length, and `Seek` events may come.
        """
        if self.closed:
            return
        self._go("accept play")
        stream_id = self.media_stream_id
        self._duration_s = duration_s
        self._wants = dict.fromkeys(self._wants, True)
        wanted_ms = self._request.argument(2, float, -1000.0)
        self._play_s = wanted_ms / 1000 if 0 < wanted_ms < MAX_PLAY_MS else 0.0
        if duration_s is not None:
            self._send(m.build_user_control(m.STREAM_IS_RECORDED, stream_id))
        self._send(m.build_user_control(m.STREAM_BEGIN, stream_id))
        if _resets(self._request):
            self._send(m.build_status("NetStream.Play.Reset", "Playing and resetting.", stream_id=stream_id))
        if self._request.name == "play2":
            # What Flash waits for before it lets go of the old stream.
            self._send(m.build_status("NetStream.Play.Transition", "Changing streams.", stream_id=stream_id))
        self._send(
            m.build_status("NetStream.Play.Start", "Started playing.", stream_id=stream_id),
            # Flash lets scripts touch the samples only after this; other players expect it to be there.
            m.build_data("|RtmpSampleAccess", True, True, stream_id=stream_id),
        )
        self._resume()

    def challenge(self, description: str) -> None:
        """Refuse connect with the words of an access manager (see `auth.AdobeServer`); `Closed` follows."""
        if self.closed:
            return
        if self.state is not Server.CONNECT_ASKED:
            raise ProtocolError(f"RTMP: nothing to challenge in state '{self.state.value}'")
        self.reject("NetConnection.Connect.Rejected", description)

    def request_reconnect(self, tc_url: str = "", description: str = "") -> bool:
        """Ask the client to connect again, to `tc_url` or to the same place, and go on serving it meanwhile.

        False when it has not said that it understands (Enhanced RTMP 2, "Reconnect Request"); nothing is sent then.
        """
        asked = self._connect.object if isinstance(self._connect.object, dict) else {}
        states_ = (Server.READY, Server.PUBLISH_ASKED, Server.PUBLISHING, Server.PLAY_ASKED, Server.PLAYING)
        if not _whole(asked.get("capsEx")) & CAPS_RECONNECT or self.state not in states_:
            return False
        info = {"level": "status", "code": "NetConnection.Connect.ReconnectRequest"}
        if tc_url:
            info["tcUrl"] = tc_url
        if description:
            info["description"] = description
        self._send(m.build_command("onStatus", 0, None, info))
        return True

    def notify_unpublished(self) -> None:
        """Tell a player that its publisher left; it may wait for the next one."""
        self._notify("NetStream.Play.UnpublishNotify", "The publisher left.")

    def notify_published(self) -> None:
        """Tell a player that waited that there is a publisher again."""
        self._notify("NetStream.Play.PublishNotify", "Publishing begins.")

    def _notify(self, code: str, description: str) -> None:
        if self.state is Server.PLAYING:
            self._send(m.build_status(code, description, stream_id=self.media_stream_id))

    def reject(self, code: str, description: str, *, close: bool = True) -> None:
        """Refuse the request that waits for an answer, or end the stream that runs.

        `code` is one of the protocol, such as NetConnection.Connect.Rejected, NetStream.Publish.BadName,
        NetStream.Play.StreamNotFound. With `close` (always for connect) a `Closed` event follows; without, the
        client may ask again.
        """
        if self.closed:
            return
        if self.state is Server.CONNECT_ASKED:
            info = {"level": "error", "code": code, "description": description}
            self._send(m.build_command("_error", self._connect.transaction, None, info))
            close = True
        elif self.state in (Server.HANDSHAKE, *_FREE_STATES):
            raise ProtocolError(f"RTMP: nothing to reject in state '{self.state.value}'")
        else:
            active = self.state in (Server.PUBLISHING, Server.PLAYING)
            stream_id = self._request.stream_id
            self._send(m.build_status(code, description, level="error", stream_id=stream_id))
            self._go("end" if active else "refuse")
        if close:
            self._close(f"refused: {code}")
        else:
            self._resume()

    def finish_play(self, *, unpublished: bool = True) -> None:
        """Tell the player that the stream is over: its publisher left, or (False) it came to its end."""
        if self.state is not Server.PLAYING:
            return
        stream_id = self.media_stream_id
        if unpublished:
            self._send(m.build_status("NetStream.Play.UnpublishNotify", "The publisher left.", stream_id=stream_id))
        self._send(
            m.build_user_control(m.STREAM_EOF, stream_id),
            m.build_status("NetStream.Play.Stop", "Stopped playing.", stream_id=stream_id),
        )
        self._go("end")

    def _go(self, signal: str) -> None:
        self.state = states.after(states.SERVER, self.state, signal)
        self._state_since = None
        self._play_s = 0.0

    def _greeted(self) -> None:
        self._go("greeted")

    def _close(self, reason: str) -> None:
        if not self.closed:
            if self.state is Server.PUBLISHING:
                self._events.append(Unpublish())
            elif self.state is Server.PLAYING:
                self._events.append(StopPlay())
            self._waiting.clear()
            self._go("close")
            super()._close(reason)

    def _resume(self) -> None:
        """Go on with what waited for the application's answer. Raises ProtocolError as `receive` does."""
        waiting = self._waiting
        try:
            while waiting and self.state not in _ASKED_STATES:
                message = waiting.popleft()
                self._waiting_bytes -= len(message.payload) + _WAITING_OVERHEAD
                self._other(message)
        except ParseError as error:
            self._close("the client broke the protocol")
            raise broken(error) from error
        except ProtocolError:
            self._close("the client broke the protocol")
            raise

    def _other(self, message: Message) -> None:
        state = self.state
        kind = message.type
        if self.closed:
            return
        if state in _ASKED_STATES:
            self._waiting_bytes += len(message.payload) + _WAITING_OVERHEAD
            if self._waiting_bytes > MAX_WAITING:
                raise ProtocolError("the client sends too much while its request waits for an answer")
            self._waiting.append(message)
        elif kind == m.COMMAND or kind == m.COMMAND_AMF3:
            self._command(m.parse_command(message))
        elif state is Server.PUBLISHING:
            self._emit_media(message)

    def _command(self, command: Command) -> None:
        handle = _COMMANDS.get(command.name)
        if handle is not None:
            handle(self, command)
        elif command.name not in ("_result", "_error", "onStatus") and command.transaction:
            info = {"level": "error", "code": "NetConnection.Call.Failed", "description": "Method not found."}
            self._send(m.build_command("_error", command.transaction, None, info))

    def _on_connect(self, command: Command) -> None:
        self._go("connect")
        self._connect = command
        asked = command.object if isinstance(command.object, dict) else {}
        tc_url = _text(asked, "tcUrl")
        path, query = split_url(tc_url)
        app, app_query = split_name(_text(asked, "app"))
        self.app = app or path
        self._query = {**query, **app_query}
        encoding = asked.get("objectEncoding")
        fourccs = asked.get("fourCcList")
        if not isinstance(fourccs, list):
            fourccs = []
        self._events.append(
            Connect(
                app=self.app,
                query=self._query,
                tc_url=tc_url,
                flash_ver=_text(asked, "flashVer"),
                page_url=_text(asked, "pageUrl"),
                swf_url=_text(asked, "swfUrl"),
                object_encoding=3 if encoding == 3 else 0,
                fourccs=tuple(f for f in fourccs[:MAX_FOURCCS] if isinstance(f, str)),
                video_fourccs=_abilities(asked.get("videoFourCcInfoMap")),
                audio_fourccs=_abilities(asked.get("audioFourCcInfoMap")),
                caps_ex=_whole(asked.get("capsEx")),
                publishes=_encodes(asked),
                arguments=asked,
                extra=command.arguments,
            )
        )

    def _on_create_stream(self, command: Command) -> None:
        free = [i for i in range(1, MAX_NET_STREAMS + 1) if i not in self._streams]
        if not free:
            info = {"level": "error", "code": "NetConnection.Call.Failed", "description": "Too many streams."}
            self._send(m.build_command("_error", command.transaction, None, info))
            return
        self._streams.add(free[0])
        self._send(m.build_command("_result", command.transaction, None, free[0]))

    def _claim(self, command: Command, signal: str, failure: str) -> bool:
        """Whether a publish or play may be asked for now; otherwise the client has been told."""
        if self.state in (Server.PUBLISHING, Server.PLAYING) or command.stream_id > MAX_NET_STREAMS:
            text = "No such stream." if command.stream_id > MAX_NET_STREAMS else "A stream is active already."
            self._send(m.build_status(failure, text, level="error", stream_id=command.stream_id))
            return False
        self._go(signal)
        self._request = command
        # Some encoders publish on stream 0, which is the connection's own.
        self.media_stream_id = command.stream_id or MEDIA_STREAM_ID
        self._streams.add(self.media_stream_id)
        return True

    def _on_publish(self, command: Command) -> None:
        name, query = split_name(command.argument(0, str, ""))
        if self._claim(command, "publish", "NetStream.Publish.BadName"):
            kind = command.argument(1, str, "live").lower()
            kind = kind if kind in ("record", "append") else "live"
            query = {**self._query, **query}
            self._events.append(PublishRequest(self.app, name, query, kind, self.media_stream_id))

    def _on_play(self, command: Command) -> None:
        name, query = split_name(command.argument(0, str, ""))
        if self.state is Server.PLAYING and command.stream_id in (0, self.media_stream_id):
            self._end()
        if self._claim(command, "play", "NetStream.Play.Failed"):
            query = {**self._query, **query}
            start = _milliseconds(command.argument(1, float, -2000.0))
            duration = _milliseconds(command.argument(2, float, -1000.0))
            reset = _resets(command)
            self._events.append(PlayRequest(self.app, name, query, start, duration, reset, self.media_stream_id))

    def _on_play2(self, command: Command) -> None:
        # Flash Player 10 changes the bitrate with it: an object that names the stream, for play's arguments.
        asked = command.argument(0, dict, {})
        start, length = (_seconds(asked.get(name), default) for name, default in (("start", -2.0), ("len", -1.0)))
        values = (_text(asked, "streamName"), start, length, True)
        self._on_play(Command("play2", command.transaction, None, values, command.stream_id))

    def _end(self) -> None:
        """The client ended its publish or play."""
        stream_id = self._request.stream_id
        if self.state is Server.PUBLISHING:
            self._go("end")
            self._events.append(Unpublish())
            self._send(m.build_status("NetStream.Unpublish.Success", "Publishing ended.", stream_id=stream_id))
        elif self.state is Server.PLAYING:
            self._go("end")
            self._events.append(StopPlay())

    def _on_delete_stream(self, command: Command) -> None:
        stream_id = _whole(command.argument(0, float, 0.0))
        self._streams.discard(stream_id)
        if stream_id == self.media_stream_id:
            self._end()

    def _on_close_stream(self, command: Command) -> None:
        if command.stream_id in (0, self.media_stream_id):
            self._end()

    def _on_fc_unpublish(self, command: Command) -> None:
        if self.state is Server.PUBLISHING:
            self._end()
        info = {"level": "status", "code": "NetStream.Unpublish.Success", "description": "FCUnpublish accepted."}
        self._acknowledge(command)
        self._send(m.build_command("onFCUnpublish", 0, None, info))

    def _on_fc_publish(self, command: Command) -> None:
        # FMLE and Wirecast wait for this one; others ignore it.
        info = {"level": "status", "code": "NetStream.Publish.Start", "description": "FCPublish accepted."}
        self._acknowledge(command)
        self._send(m.build_command("onFCPublish", 0, None, info))

    def _on_fc_subscribe(self, command: Command) -> None:
        # librtmp and ffmpeg with `subscribe` play only after this (Akamai, Limelight).
        info = {"level": "status", "code": "NetStream.Play.Start", "description": "FCSubscribe accepted."}
        self._acknowledge(command)
        self._send(m.build_command("onFCSubscribe", 0, None, info))

    def _acknowledge(self, command: Command) -> None:
        if command.transaction:
            self._send(m.build_command("_result", command.transaction, None, UNDEFINED))

    def _on_bandwidth(self, command: Command) -> None:
        # Flash players measure before they play, and wait for the end of it. librtmp answers every onBWDone with
        # `_checkbw`, which therefore must not be answered with another.
        self._acknowledge(command)
        self._send(m.build_command("onBWDone", 0, None, 0, 0, 0, 0))

    def _on_stream_length(self, command: Command) -> None:
        # 0: live, or not known before it plays.
        self._send(m.build_command("_result", command.transaction, None, self._duration_s or 0))

    def _on_pause(self, command: Command) -> None:
        if self.state is not Server.PLAYING:
            return
        paused = command.argument(0, bool, True)
        code = "NetStream.Pause.Notify" if paused else "NetStream.Unpause.Notify"
        self._send(m.build_status(code, "Paused." if paused else "Resumed.", stream_id=self.media_stream_id))
        self._events.append(Pause(paused, command.argument(1, float, 0.0)))

    def _on_seek(self, command: Command) -> None:
        if self.state is not Server.PLAYING:
            return
        stream_id = self.media_stream_id
        position_ms = command.argument(0, float, -1.0)
        if self._duration_s is None or not 0 <= position_ms <= self._duration_s * 1000:
            text = "A live stream cannot be sought." if self._duration_s is None else "There is no such time."
            self._send(m.build_status("NetStream.Seek.Failed", text, level="error", stream_id=stream_id))
            return
        # 7.2.2.7
        self._send(
            m.build_user_control(m.STREAM_BEGIN, stream_id),
            m.build_status("NetStream.Seek.Notify", f"Seeking {position_ms:.0f}.", stream_id=stream_id),
            m.build_status("NetStream.Play.Start", "Started playing.", stream_id=stream_id),
        )
        self._events.append(Seek(position_ms))

    def _on_receive(self, command: Command) -> None:
        # 7.2.2.4 and 7.2.2.5: nothing is said to "no"; "yes" has the answers of a seek.
        if self.state is not Server.PLAYING:
            return
        wanted = command.argument(0, bool, True)
        if wanted == self._wants[command.name]:
            return
        self._wants[command.name] = wanted
        if wanted:
            self._notify("NetStream.Seek.Notify", "Receiving again.")
            self._notify("NetStream.Play.Start", "Started playing.")
        self._events.append(Receive(self._wants["receiveAudio"], self._wants["receiveVideo"]))


_COMMANDS: dict[str, Callable[[ServerConnection, Command], None]] = {
    "connect": ServerConnection._on_connect,
    "createStream": ServerConnection._on_create_stream,
    "publish": ServerConnection._on_publish,
    "play": ServerConnection._on_play,
    "play2": ServerConnection._on_play2,
    "deleteStream": ServerConnection._on_delete_stream,
    "closeStream": ServerConnection._on_close_stream,
    "FCPublish": ServerConnection._on_fc_publish,
    "FCUnpublish": ServerConnection._on_fc_unpublish,
    "FCSubscribe": ServerConnection._on_fc_subscribe,
    "FCUnSubscribe": ServerConnection._acknowledge,
    "releaseStream": ServerConnection._acknowledge,
    "_checkbw": ServerConnection._acknowledge,
    "checkBandwidth": ServerConnection._on_bandwidth,
    "getStreamLength": ServerConnection._on_stream_length,
    "pause": ServerConnection._on_pause,
    "pauseRaw": ServerConnection._on_pause,
    "seek": ServerConnection._on_seek,
    "receiveAudio": ServerConnection._on_receive,
    "receiveVideo": ServerConnection._on_receive,
}


def _text(values: dict[str, Any], name: str) -> str:
    value = values.get(name)
    return value if isinstance(value, str) else ""


def _whole(value: Any) -> int:
    """A number from the wire as a non-negative 32-bit integer; 0 for anything else."""
    return int(value) if isinstance(value, (int, float)) and 0 <= value < 2**32 else 0


def _encodes(asked: dict[str, Any]) -> bool:
    """Whether this is connect as FMLE and those that claim to be it say it, which players do not."""
    version = _text(asked, "flashVer").lower()
    return version.startswith("fmle") or "fmsc" in version or _text(asked, "type") == "nonprivate"


def _seconds(value: Any, default: float) -> float:
    """A time of play2, which is in seconds, in the milliseconds of play."""
    seconds = float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else default
    return seconds if seconds < 0 else seconds * 1000


def _milliseconds(value: float) -> float:
    # 7.2.2.1 says seconds; Flash, ffmpeg and librtmp send milliseconds. -2 and -1 are the seconds of other clients.
    return value * 1000 if value in (-1, -2) else value


def _resets(command: Command) -> bool:
    # 7.2.2.1: a boolean, or a number whose 0 means "append to the playlist".
    value = command.arguments[3] if len(command.arguments) > 3 else True
    return value not in (False, 0.0)


def _abilities(value: Any) -> dict[str, int]:
    if not isinstance(value, dict):
        return {}
    return {name: _whole(bits) for name, bits in list(value.items())[:MAX_FOURCCS]}
