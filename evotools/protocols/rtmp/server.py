"""The server end of RTMP: one connection, and up to `MAX_NET_STREAMS` streams that it publishes and plays.

"Adobe's Real Time Messaging Protocol" 1.0; Enhanced RTMP 2 for the abilities in connect. Deviations of real clients
that are served: publish or play on stream 0 or without createStream; media on a foreign stream id; `FCPublish` and
its kin; commands sent before the answer to the last one.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from evotools.containers.flv.amf0 import UNDEFINED
from evotools.errors import ParseError, ProtocolError
from evotools.protocols.rtmp import message as m
from evotools.protocols.rtmp import states
from evotools.protocols.rtmp.chunk import Message
from evotools.protocols.rtmp.connect import connect_answer, read_connect, whole
from evotools.protocols.rtmp.connection import CHUNK_SIZE, WINDOW_ACK_SIZE, Connection, broken
from evotools.protocols.rtmp.events import (
    CAPS_MODEX,
    CAPS_MULTITRACK,
    CAPS_RECONNECT,
    Connect,
    ServerEvent,
    StopPlay,
)
from evotools.protocols.rtmp.handshake import ServerHandshake
from evotools.protocols.rtmp.message import Command
from evotools.protocols.rtmp.names import split_name
from evotools.protocols.rtmp.netstream import NetStream, play2_as_play
from evotools.protocols.rtmp.states import Server, Stream

MAX_NET_STREAMS = 8
"""Streams of one connection. Encoders use one; a Flash page that shows a conference played as many as it had guests."""
MAX_WAITING = 8 << 20
"""Bytes that wait while the application decides: encoders that do not wait for the answer send seconds of media."""
_WAITING_OVERHEAD = 128
MEDIA_STREAM_ID = 1
"""The stream id that the first createStream of every connection gets."""

CAN_FORWARD = 4
VIDEO_FOURCCS = ("avc1", "hvc1", "av01", "vp09", "vp08")
AUDIO_FOURCCS = ("mp4a", "Opus", "ac-3", "ec-3", "fLaC", ".mp3")


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

    The application answers `Connect`, `PublishRequest` and `PlayRequest`, one at a time, at once or later, with
    `accept_connect`, `accept_publish`, `accept_play` or `reject`; what the client asks meanwhile waits, and media of
    streams that run goes on. Answers that come after the end of the connection are ignored.

    After `accept_play` the caller sends `data_to_send()`, then chunk bytes made by `type0_chunks` with `chunk_size`
    and the request's `stream_id`. Those bytes and later `data_to_send()` may be mixed at message boundaries.
    """

    def __init__(self, now: float, random_bytes: Callable[[int], bytes], options: ServerOptions | None = None) -> None:
        super().__init__(ServerHandshake(random_bytes), now)
        self.options = options or ServerOptions()
        self.state = Server.HANDSHAKE
        self.app = ""
        self.streams: dict[int, NetStream] = {}
        """By number: those the client created, and those it just used."""
        self._since: float | None = now
        """Since when the client neither publishes nor plays; None until the next call that knows the time."""
        self._pinged_at: float | None = None
        self._connect = Connect("", {}, "")
        self._transaction = 0.0
        """Of connect."""
        self._asked: NetStream | None = None
        """Whose request waits for an answer."""
        self._publishes_on = 0
        """The number that all publishing has used so far; -1 when there was a second."""
        self._waiting: deque[Message] = deque()
        self._waiting_bytes = 0

    @property
    def chunk_size(self) -> int:
        """The chunk size of bytes sent after `accept_connect`."""
        return self.options.chunk_size

    @property
    def active(self) -> bool:
        """The client publishes or plays, on one stream at least."""
        return any(stream.active for stream in self.streams.values())

    def receive(self, data: bytes | bytearray | memoryview, now: float) -> None:
        """Bytes from the client. Raises ProtocolError; the connection must end then."""
        self._pinged_at = None
        super().receive(data, now)
        if self._since is None:
            self._since = now

    def deadline(self) -> float | None:
        """When `tick` wants to be called, or None while the application decides."""
        options, since = self.options, self._since
        if self.state in (Server.CONNECT_ASKED, Server.CLOSED):
            return None
        if self.state is Server.HANDSHAKE:
            return (since or 0.0) + options.handshake_timeout_s
        running = [stream for stream in self.streams.values() if stream.active]
        if not running:
            if self._asked is not None:
                return None
            return self._last_heard if since is None else since + options.command_timeout_s
        if self._pinged_at is not None:
            due = self._pinged_at + options.ping_timeout_s
        else:
            due = self._last_heard + options.ping_interval_s
        for stream in running:
            if stream.play_s:
                due = min(due, self._last_heard if stream.since is None else stream.since + stream.play_s)
        return due

    def tick(self, now: float) -> None:
        """Time passed. Raises ProtocolError when the client was too slow."""
        deadline = self.deadline()
        if deadline is None or now < deadline:
            return
        self._end_plays(now)
        if self._since is None:
            self._since = now
        deadline = self.deadline()
        if deadline is None or now < deadline:
            return
        options = self.options
        if self.state is Server.HANDSHAKE:
            reason = f"no RTMP handshake within {options.handshake_timeout_s:g} s"
        elif not self.active:
            reason = f"no publish or play within {options.command_timeout_s:g} s"
        elif self._pinged_at is None:
            self._pinged_at = now
            self.ping(now)
            return
        else:
            reason = f"no answer to a ping within {options.ping_timeout_s:g} s"
        self._close(reason)
        raise ProtocolError(reason)

    def _end_plays(self, now: float) -> None:
        """End those that have played for as long as they wanted to."""
        for stream in self.streams.values():
            if stream.state is not Stream.PLAYING or not stream.play_s:
                continue
            if stream.since is None:
                stream.since = now
            elif now >= stream.since + stream.play_s:
                stream.finish_play(unpublished=False)
                self._since = None
                self._events.append(StopPlay(stream.id))

    def accept_connect(self) -> None:
        """Let the client use its application."""
        if self.closed:
            return
        self._go("accept connect")
        options = self.options
        self._announce_window(options.window_ack_size)
        self._send(m.build_set_peer_bandwidth(options.window_ack_size))
        self._out.append(self._writer.set_chunk_size(options.chunk_size))
        answer = connect_answer(self._connect, options.video_fourccs, options.audio_fourccs, options.caps_ex)
        self._send(m.build_user_control(m.STREAM_BEGIN, 0), m.build_command("_result", self._transaction, *answer))
        self._resume()

    def accept_publish(self) -> None:
        """Let the client publish what it asked for; `MediaMessage` events follow."""
        if not self.closed:
            self._answered("accept publish").accept_publish()
            self._resume()

    def accept_play(self, *, duration_s: float | None = None) -> None:
        """Let the client play what it asked for; send `data_to_send()` and then media.

        With `duration_s` the stream is a recorded one of that length, and `Seek` events may come.
        """
        if not self.closed:
            self._answered("accept play").accept_play(duration_s)
            self._resume()

    def _answered(self, signal: str) -> NetStream:
        stream, self._asked = self._asked, None
        if stream is None:
            raise ProtocolError(f"RTMP: '{signal}' is not possible in state '{self.state.value}'")
        return stream

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
        if self.state is not Server.READY or not self._connect.reconnects:
            return False
        info = {"level": "status", "code": "NetConnection.Connect.ReconnectRequest"}
        if tc_url:
            info["tcUrl"] = tc_url
        if description:
            info["description"] = description
        self._send(m.build_command("onStatus", 0, None, info))
        return True

    def reject(self, code: str, description: str, *, stream_id: int = 0, close: bool = True) -> None:
        """Refuse the request that waits for an answer, or end the stream `stream_id` that runs.

        `code` is one of the protocol, such as NetConnection.Connect.Rejected, NetStream.Publish.BadName,
        NetStream.Play.StreamNotFound. With `close` (always for connect) a `Closed` event follows, unless another
        stream of the connection runs; without, the client may ask again.
        """
        if self.closed:
            return
        if self.state is Server.CONNECT_ASKED:
            info = {"level": "error", "code": code, "description": description}
            self._send(m.build_command("_error", self._transaction, None, info))
            self._close(f"refused: {code}")
            return
        stream = self.streams.get(stream_id) if stream_id else self._asked or self._only()
        if stream is None or stream.state is Stream.IDLE:
            raise ProtocolError(f"RTMP: nothing to reject in state '{self.state.value}'")
        if stream is self._asked:
            self._asked = None
        stream.refuse(code, description)
        self._since = None
        if close and self._asked is None and not self.active:
            self._close(f"refused: {code}")
        else:
            self._resume()

    def finish_play(self, *, stream_id: int = 0, unpublished: bool = True) -> None:
        """Tell a player that its stream is over: its publisher left, or (False) it came to its end.

        Without `stream_id` all that the connection plays is over.
        """
        for stream in list(self.streams.values()):
            if stream.state is Stream.PLAYING and stream_id in (0, stream.id):
                stream.finish_play(unpublished=unpublished)
                self._since = None

    def _go(self, signal: str) -> None:
        self.state = states.after(states.SERVER, self.state, signal)
        self._since = None

    def _greeted(self) -> None:
        self._go("greeted")

    def _close(self, reason: str) -> None:
        if not self.closed:
            for stream in self.streams.values():
                stream.end(lost=reason)
            self._asked = None
            self._waiting.clear()
            self._go("close")
            super()._close(reason)

    # What comes from the client.

    def _resume(self) -> None:
        """Go on with what waited for the application's answer. Raises ProtocolError as `receive` does."""
        waiting = self._waiting
        try:
            while waiting and not self._undecided:
                message = waiting.popleft()
                self._waiting_bytes -= len(message.payload) + _WAITING_OVERHEAD
                self._other(message)
        except ParseError as error:
            self._close("the client broke the protocol")
            raise broken(error) from error
        except ProtocolError:
            self._close("the client broke the protocol")
            raise

    @property
    def _undecided(self) -> bool:
        return self._asked is not None or self.state is Server.CONNECT_ASKED

    def _other(self, message: Message) -> None:
        if self.closed:
            return
        kind = message.type
        command = kind == m.COMMAND or kind == m.COMMAND_AMF3
        stream = None
        if not command:
            stream = self.streams.get(message.stream_id)
            if stream is None or stream.state is not Stream.PUBLISHING:
                # Some encoders send media on stream 0, or on one that they did not create. Where a second stream was
                # published it may also be what comes too late for that.
                stream = self.streams.get(self._publishes_on)
            if stream is not None and stream.state is Stream.PUBLISHING:
                self._emit_media(message, stream.unwrap, stream.id)
                return
        if self._undecided:
            self._waiting_bytes += len(message.payload) + _WAITING_OVERHEAD
            if self._waiting_bytes > MAX_WAITING:
                raise ProtocolError("the client sends too much while its request waits for an answer")
            self._waiting.append(message)
        elif command:
            self._command(m.parse_command(message))

    def _command(self, command: Command) -> None:
        handle = _COMMANDS.get(command.name)
        if handle is not None:
            handle(self, command)
        elif command.name in _OF_PLAYERS:
            stream = self._of(command)
            if stream is not None and stream.state is Stream.PLAYING:
                _OF_PLAYERS[command.name](stream, command)
        elif command.name not in ("_result", "_error", "onStatus") and command.transaction:
            info = {"level": "error", "code": "NetConnection.Call.Failed", "description": "Method not found."}
            self._send(m.build_command("_error", command.transaction, None, info))

    def _of(self, command: Command) -> NetStream | None:
        """The stream that a command is about: some clients say all theirs on stream 0, the connection's own."""
        stream = self.streams.get(command.stream_id)
        return self._only() if stream is None else stream

    def _only(self) -> NetStream | None:
        """The one stream that runs; None when there are several."""
        found = [stream for stream in self.streams.values() if stream.active]
        return found[0] if len(found) == 1 else None

    def _on_connect(self, command: Command) -> None:
        self._go("connect")
        self._transaction = command.transaction
        self._connect = event = read_connect(command)
        self.app = event.app
        self._events.append(event)

    def _on_create_stream(self, command: Command) -> None:
        free = [i for i in range(1, MAX_NET_STREAMS + 1) if i not in self.streams]
        if not free:
            info = {"level": "error", "code": "NetConnection.Call.Failed", "description": "Too many streams."}
            self._send(m.build_command("_error", command.transaction, None, info))
            return
        self._open(free[0])
        self._send(m.build_command("_result", command.transaction, None, free[0]))

    def _open(self, number: int) -> NetStream:
        stream = self.streams.get(number)
        if stream is None:
            stream = self.streams[number] = NetStream(number, self._send, self._events.append)
        return stream

    def _claim(self, command: Command, failure: str) -> NetStream | None:
        """The stream that is to be published or played on."""
        if self.state is not Server.READY:
            raise ProtocolError(f"RTMP: '{command.name}' is not possible in state '{self.state.value}'")
        if command.stream_id > MAX_NET_STREAMS:
            self._send(m.build_status(failure, "No such stream.", level="error", stream_id=command.stream_id))
            return None
        return self._open(command.stream_id or MEDIA_STREAM_ID)

    def _on_publish(self, command: Command) -> None:
        stream = self._claim(command, "NetStream.Publish.BadName")
        if stream is not None and stream.publish(command, self.app, self._connect.query):
            self._asked = stream
            self._publishes_on = stream.id if self._publishes_on in (0, stream.id) else -1

    def _on_play(self, command: Command) -> None:
        stream = self._claim(command, "NetStream.Play.Failed")
        if stream is not None and stream.play(command, self.app, self._connect.query):
            self._asked = stream

    def _on_play2(self, command: Command) -> None:
        self._on_play(play2_as_play(command))

    def _end(self, stream: NetStream | None) -> None:
        if stream is not None and stream.active:
            stream.end()
            self._since = None

    def _on_delete_stream(self, command: Command) -> None:
        self._end(self.streams.pop(whole(command.argument(0, float, 0.0)), None))

    def _on_close_stream(self, command: Command) -> None:
        self._end(self._of(command))

    def _on_fc_unpublish(self, command: Command) -> None:
        # It names the stream, which a publisher of one need not get right.
        name, _ = split_name(command.argument(0, str, ""))
        publishing = [s for s in self.streams.values() if s.state is Stream.PUBLISHING]
        self._end(next((s for s in publishing if s.name == name or len(publishing) == 1), None))
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
        stream = self._of(command)
        duration = stream.duration_s or 0 if stream is not None else 0
        self._send(m.build_command("_result", command.transaction, None, duration))


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
}

_OF_PLAYERS: dict[str, Callable[[NetStream, Command], None]] = {
    "pause": NetStream.pause,
    "pauseRaw": NetStream.pause,
    "seek": NetStream.seek,
    "receiveAudio": NetStream.receive,
    "receiveVideo": NetStream.receive,
}
