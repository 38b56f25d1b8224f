"""One NetStream of a connection, the server's side: what it publishes or plays, and the commands about that (7.2.2)."""

from collections.abc import Callable
from typing import Any

from evotools.media.timeline import Unwrapper
from evotools.protocols.rtmp import message as m
from evotools.protocols.rtmp import states
from evotools.protocols.rtmp.events import (
    Pause,
    PlayRequest,
    PublishRequest,
    Receive,
    Seek,
    ServerEvent,
    StopPlay,
    Unpublish,
)
from evotools.protocols.rtmp.message import Command
from evotools.protocols.rtmp.names import split_name
from evotools.protocols.rtmp.states import Stream

MAX_PLAY_MS = 86_400_000.0 * 30
"""A play for longer than thirty days is one to the end."""


class NetStream:
    """Its state, and its part of the conversation. The connection takes care of numbers, order and time."""

    __slots__ = ("_answer_to", "_emit", "_reset", "_send", "_wants", "duration_s", "id", "kind", "name", "play_s",
                 "since", "state", "unwrap")  # fmt: skip

    def __init__(self, number: int, send: Callable[..., object], emit: Callable[[ServerEvent], object]) -> None:
        """`send` takes messages for the client, `emit` events for the application."""
        self.id = number
        self.state = Stream.IDLE
        self.name = ""
        """Of what is published or played, without query. A key, for some: never shown."""
        self.unwrap = Unwrapper(32)
        self.duration_s: float | None = None
        """Of the recorded stream that is played; None: live."""
        self.play_s = 0.0
        """How long the player wants to play; 0: to the end."""
        self.since: float | None = None
        """Since when it plays; None until the connection is told the time."""
        self.kind = ""
        """The command that asked: publish, play or play2."""
        self._answer_to = number
        """Stream id of that command: some encoders publish on stream 0, which is the connection's own."""
        self._reset = True
        self._wants = {"receiveAudio": True, "receiveVideo": True}
        self._send = send
        self._emit = emit

    @property
    def active(self) -> bool:
        """It publishes or plays."""
        return self.state in (Stream.PUBLISHING, Stream.PLAYING)

    # What the client asks for.

    def publish(self, command: Command, app: str, query: dict[str, str]) -> bool:
        """Ask the application; False when the stream is in use and the client has been told."""
        if self.state is not Stream.IDLE:
            self._refuse_use(command, "NetStream.Publish.BadName")
            return False
        name, own_query = split_name(command.argument(0, str, ""))
        kind = command.argument(1, str, "live").lower()
        kind = kind if kind in ("record", "append") else "live"
        self._ask(command, name, "publish")
        self._emit(PublishRequest(app, name, {**query, **own_query}, kind, self.id))
        return True

    def play(self, command: Command, app: str, query: dict[str, str]) -> bool:
        """Ask the application, at the end of what is played now; False as of `publish`."""
        name, own_query = split_name(command.argument(0, str, ""))
        if self.state is Stream.PLAYING:
            self.end()
        if self.state is not Stream.IDLE:
            self._refuse_use(command, "NetStream.Play.Failed")
            return False
        start = _milliseconds(command.argument(1, float, -2000.0))
        wanted_ms = command.argument(2, float, -1000.0)
        # 7.2.2.1: a boolean, or a number whose 0 means "append to the playlist".
        self._reset = command.arguments[3] not in (False, 0.0) if len(command.arguments) > 3 else True
        self._ask(command, name, "play")
        self.play_s = wanted_ms / 1000 if 0 < wanted_ms < MAX_PLAY_MS else 0.0
        self._emit(
            PlayRequest(app, name, {**query, **own_query}, start, _milliseconds(wanted_ms), self._reset, self.id)
        )
        return True

    def _ask(self, command: Command, name: str, signal: str) -> None:
        self._go(signal)
        self.name, self.kind = name, command.name
        self._answer_to = command.stream_id
        self.play_s = 0.0

    def _refuse_use(self, command: Command, code: str) -> None:
        self._send(m.build_status(code, "This stream is in use.", level="error", stream_id=command.stream_id))

    # What the application decides.

    def accept_publish(self) -> None:
        """Media will follow. Raises ProtocolError when nobody has asked to publish."""
        self._go("accept publish")
        self.unwrap.reset()
        self._send(
            m.build_user_control(m.STREAM_BEGIN, self.id),
            m.build_status("NetStream.Publish.Start", "Publishing started.", stream_id=self._answer_to),
        )

    def accept_play(self, duration_s: float | None) -> None:
        """Media will be sent. Raises ProtocolError when nobody has asked to play."""
        self._go("accept play")
        number = self.id
        self.duration_s = duration_s
        self.since = None
        self._wants = dict.fromkeys(self._wants, True)
        if duration_s is not None:
            self._send(m.build_user_control(m.STREAM_IS_RECORDED, number))
        self._send(m.build_user_control(m.STREAM_BEGIN, number))
        if self._reset:
            self._status("NetStream.Play.Reset", "Playing and resetting.")
        if self.kind == "play2":
            # What Flash waits for before it lets go of the old stream.
            self._status("NetStream.Play.Transition", "Changing streams.")
        self._status("NetStream.Play.Start", "Started playing.")
        # Flash lets scripts touch the samples only after this; other players expect it to be there.
        self._send(m.build_data("|RtmpSampleAccess", True, True, stream_id=number))

    def refuse(self, code: str, description: str) -> None:
        """End what is asked for, or what runs, for a reason that the client is told."""
        self._send(m.build_status(code, description, level="error", stream_id=self._answer_to))
        self._go("end")

    def finish_play(self, *, unpublished: bool) -> None:
        """Tell the player that what it plays is over: its publisher left, or it came to its end."""
        if unpublished:
            self._status("NetStream.Play.UnpublishNotify", "The publisher left.")
        self._send(m.build_user_control(m.STREAM_EOF, self.id))
        self._status("NetStream.Play.Stop", "Stopped playing.")
        self._go("end")

    # What the client says of what runs.

    def end(self, lost: str = "") -> None:
        """The client ended what it published or played; or the connection ended, for the reason `lost`."""
        if self.state is Stream.PUBLISHING:
            self._emit(Unpublish(self.id, lost))
            if not lost:
                text = "Publishing ended."
                self._send(m.build_status("NetStream.Unpublish.Success", text, stream_id=self._answer_to))
        elif self.state is Stream.PLAYING:
            self._emit(StopPlay(self.id))
        if self.state is not Stream.IDLE:
            self._go("end")

    def pause(self, command: Command) -> None:
        """Pause and resume (7.2.2.8)."""
        paused = command.argument(0, bool, True)
        if paused:
            self._status("NetStream.Pause.Notify", "Paused.")
        else:
            self._status("NetStream.Unpause.Notify", "Resumed.")
        self._emit(Pause(paused, command.argument(1, float, 0.0), self.id))

    def seek(self, command: Command) -> None:
        """Seek (7.2.2.7): a recorded stream can."""
        position_ms = command.argument(0, float, -1.0)
        if self.duration_s is None or not 0 <= position_ms <= self.duration_s * 1000:
            text = "A live stream cannot be sought." if self.duration_s is None else "There is no such time."
            self._send(m.build_status("NetStream.Seek.Failed", text, level="error", stream_id=self.id))
            return
        self._send(m.build_user_control(m.STREAM_BEGIN, self.id))
        self._status("NetStream.Seek.Notify", f"Seeking {position_ms:.0f}.")
        self._status("NetStream.Play.Start", "Started playing.")
        self._emit(Seek(position_ms, self.id))

    def receive(self, command: Command) -> None:
        """receiveAudio and receiveVideo (7.2.2.4, 7.2.2.5): nothing is said to "no"; "yes" has a seek's answers."""
        wanted = command.argument(0, bool, True)
        if wanted == self._wants[command.name]:
            return
        self._wants[command.name] = wanted
        if wanted:
            self._status("NetStream.Seek.Notify", "Receiving again.")
            self._status("NetStream.Play.Start", "Started playing.")
        self._emit(Receive(self._wants["receiveAudio"], self._wants["receiveVideo"], self.id))

    def _status(self, code: str, description: str) -> None:
        self._send(m.build_status(code, description, stream_id=self.id))

    def _go(self, signal: str) -> None:
        self.state = states.after(states.STREAM, self.state, signal)


def play2_as_play(command: Command) -> Command:
    """The play that a play2 means: Flash Player 10 changes the bitrate with it, and names all in one object."""
    asked: dict[str, Any] = command.argument(0, dict, {})
    name = asked.get("streamName")
    start, length = (_seconds(asked.get(key), default) for key, default in (("start", -2.0), ("len", -1.0)))
    values = (name if isinstance(name, str) else "", start, length, True)
    return Command("play2", command.transaction, None, values, command.stream_id)


def _seconds(value: Any, default: float) -> float:
    """A time of play2, which is in seconds, in the milliseconds of play."""
    seconds = float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else default
    return seconds if seconds < 0 else seconds * 1000


def _milliseconds(value: float) -> float:
    # 7.2.2.1 says seconds; Flash, ffmpeg and librtmp send milliseconds. -2 and -1 are the seconds of other clients.
    return value * 1000 if value in (-1, -2) else value
