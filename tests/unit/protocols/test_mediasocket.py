"""Messages of media over WebSocket: commands in, announcements out, chunks in frames."""

import json
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import pytest

from evotools.errors import ParseError
from evotools.media.frame import Frame, Metadata
from evotools.media.track import Kind, Track
from evotools.protocols.mediasocket import (
    COMMANDS,
    WebSocketMuxer,
    Window,
    codec_data,
    describe_track,
    notice,
    on_time,
    parse_command,
)
from evotools.protocols.websocket import Binary, Text, WebSocketConnection

VIDEO = Track(1, Kind.VIDEO, "h264", 1000, codec_string="avc1.42C01E", width=640, height=360, fps=Fraction(30000, 1001))
AUDIO = Track(2, Kind.AUDIO, "aac", 1000, codec_string="mp4a.40.2", sample_rate=48000, channels=2, language="deu",
              label="Ton")  # fmt: skip


class Inner:
    """A muxer one can read; it holds sound back."""

    mime = "video/x-test"

    def __init__(self) -> None:
        self.held = b""

    def accepts(self, track: Track) -> bool:
        return track.codec != "unknown"

    def start(self, tracks: Sequence[Track]) -> bytes:
        return b"".join(b"[%d]" % track.id for track in tracks)

    def write(self, frame: Frame) -> bytes:
        if frame.track is AUDIO:
            self.held += frame.payload
            return b""
        data, self.held = self.held + frame.payload, b""
        return data

    def write_metadata(self, metadata: Metadata) -> bytes:
        return metadata.name.encode()

    def flush(self) -> bytes:
        data, self.held = self.held, b""
        return data

    def finish(self) -> bytes:
        return self.flush() + b"end"


def read(data: bytes) -> list[Any]:
    """The messages in `data`: bytes, or what the JSON says."""
    socket = WebSocketConnection(new_mask=lambda: bytes(4), max_message=1 << 20)
    socket.receive(data)
    found: list[Any] = []
    while (event := socket.next_event()) is not None:
        if isinstance(event, Text):
            found.append(json.loads(event.text))
        elif isinstance(event, Binary):
            found.append(event.data)
    return found


def test_the_codecs_come_before_the_header_and_what_was_held_before_both() -> None:
    muxer = WebSocketMuxer(Inner(), facts={"live": True})
    assert muxer.mime == "video/x-test"
    first, header = read(muxer.start((VIDEO, AUDIO)))
    assert first["type"] == "codec_data"
    assert first["data"]["mime"] == 'video/x-test; codecs="avc1.42C01E,mp4a.40.2"'
    assert first["data"]["live"] is True
    assert header == b"[1][2]"
    assert muxer.write(Frame(AUDIO, 0, 0, b"a", key=True)) == b""
    held, second, header = read(muxer.start((AUDIO,)))
    assert (held, header) == (b"a", b"[2]")
    assert second["data"]["codecs"] == ["mp4a.40.2"]


@pytest.mark.parametrize("size", [1, 125, 126, 65535, 65536])
def test_a_chunk_is_one_message(size: int) -> None:
    muxer = WebSocketMuxer(Inner())
    muxer.start((VIDEO,))
    assert read(muxer.write(Frame(VIDEO, 0, 0, b"x" * size))) == [b"x" * size]


def test_timed_data_and_the_end_are_messages_too() -> None:
    muxer = WebSocketMuxer(Inner())
    muxer.start((VIDEO,))
    assert read(muxer.write_metadata(Metadata("cue", {}))) == [b"cue"]
    assert muxer.write_metadata(Metadata("", {})) == b""
    assert read(muxer.finish()) == [b"end"]
    assert muxer.accepts(VIDEO)
    assert not muxer.accepts(Track(9, Kind.DATA, "unknown", 1))


def test_on_time_goes_along_once_a_second_and_waits_for_a_window() -> None:
    window: Window | None = None
    muxer = WebSocketMuxer(Inner(), window=lambda: window)
    muxer.start((VIDEO,))

    def told(ms: int) -> list[Any]:
        return read(muxer.write(Frame(VIDEO, ms, ms, b"v")))[1:]

    assert told(0) == []
    window = Window(0.0, 0.04, 100.0)
    assert [message["data"] for message in told(40)] == [
        {"current": 40, "play_rate_curr": 1.0, "tracks": [1], "begin": 0, "end": 40, "unixoffset": 100_000}
    ]
    assert [len(told(ms)) for ms in range(80, 3080, 40)].count(1) == 2 + 1
    # A clock that goes back does not silence it.
    assert len(told(0)) == 1


def test_a_track_is_told_with_what_is_known_of_it() -> None:
    assert describe_track(VIDEO) == {
        "id": 1, "type": "video", "codec": "h264", "codecs": "avc1.42C01E", "width": 640, "height": 360, "fps": 29.97,
    }  # fmt: skip
    assert describe_track(AUDIO) == {
        "id": 2, "type": "audio", "codec": "aac", "codecs": "mp4a.40.2", "rate": 48000, "channels": 2, "lang": "deu",
        "label": "Ton",
    }  # fmt: skip
    broken = Track(3, Kind.VIDEO, "h264", 1000, b"\x01")
    assert describe_track(broken) == {"id": 3, "type": "video", "codec": "h264"}
    assert codec_data((broken,), "video/mp4") == {"mime": "video/mp4", "codecs": [], "tracks": [describe_track(broken)]}


def test_the_end_is_never_before_what_was_sent() -> None:
    assert on_time(5.0, Window(1.0, 4.0), [1])["end"] == 5000
    assert "end" not in on_time(5.0, None, [1])


def test_a_notice_is_a_whole_text_frame() -> None:
    assert notice("on_stop") == b'\x81\x12{"type":"on_stop"}'


# Commands.


@pytest.mark.parametrize("kind", sorted(COMMANDS))
def test_commands_are_known_by_name(kind: str) -> None:
    assert parse_command(json.dumps({"type": kind, "x": 1})).kind == kind


@pytest.mark.parametrize("text", ["", "1", "null", "[]", "{}", '{"type":1}', '{"type":"fly"}', "{", "[" * 10_000])
def test_what_is_no_command(text: str) -> None:
    with pytest.raises(ParseError):
        parse_command(text)


def test_a_name_nobody_knows_is_shown_only_in_part() -> None:
    with pytest.raises(ParseError) as caught:
        parse_command(json.dumps({"type": "x" * 10_000}))
    assert len(caught.value.message) < 100


def test_fields_are_of_the_kind_that_is_asked_for() -> None:
    command = parse_command('{"type":"seek","n":1.5,"i":7,"t":"x","b":true,"z":null,"big":1e999}')
    assert (command.number("n"), command.number("i"), command.number("none"), command.number("z")) == (
        1.5,
        7,
        None,
        None,
    )
    assert (command.text("t"), command.text("i"), command.text("none")) == ("x", "7", None)
    for name in ("t", "b", "big"):
        with pytest.raises(ParseError):
            command.number(name)
    for name in ("n", "b"):
        with pytest.raises(ParseError):
            command.text(name)
