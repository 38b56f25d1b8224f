"""Files over WebSocket: pace, pause, seek, speed, tracks, the end, and clients that take nothing."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from evotools.containers.flv.demux import FlvDemuxer
from evotools.containers.flv.mux import FlvMuxer
from evotools.containers.mpegts.demux import TsDemuxer
from evotools.containers.sniff import make_demuxer
from evotools.hub.hub import Hub
from evotools.media.frame import Frame
from evotools.media.track import Kind
from evotools.server.config import FilesConfig, ServerConfig
from evotools.server.listeners import websocket as module
from evotools.server.listeners.http import HttpListener
from evotools.server.names import RESERVED
from evotools.transport.flush import Flusher
from tests.conftest import run_ffmpeg
from tests.unit.server.test_http_listener import VIDEO, Rules, Server, until
from tests.unit.server.test_websocket_listener import Client, client, frames_of, kinds, status_of

LENGTH_S = 20
"""Longer than what is sent ahead."""


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a film: a key frame each second, two sound tracks."""
    folder = tmp_path_factory.mktemp("films")
    made = tmp_path_factory.mktemp("made")
    # Sound goes through ADTS, which has no edit list: pictures and sound begin at zero.
    for name, pitch in (("one", 440), ("two", 880)):
        run_ffmpeg("-f", "lavfi", "-i", f"sine=f={pitch}:r=48000", "-t", str(LENGTH_S), "-c:a", "aac", "-b:a", "32k",
                   str(made / f"{name}.aac"))  # fmt: skip
    run_ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=s=64x64:r=25", "-i", str(made / "one.aac"), "-i", str(made / "two.aac"), "-t",
        str(LENGTH_S), "-map", "0", "-map", "1", "-map", "2", "-c:v", "libx264", "-preset", "ultrafast", "-g", "25",
        "-c:a", "copy", "-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=deu",
        str(folder / "film.mp4"),
    )  # fmt: skip
    muxer = FlvMuxer()
    data = [muxer.start((VIDEO,))]
    for n in range(200):
        nal = bytes((0x65 if n % 25 == 0 else 0x41,)) + b"\x55" * 199_999
        data.append(
            muxer.write(Frame(VIDEO, n * 3600, n * 3600, len(nal).to_bytes(4, "big") + nal, 3600, key=n % 25 == 0))
        )
    (folder / "large.flv").write_bytes(b"".join(data))
    (folder / "broken.mp4").write_bytes(b"no film at all")
    return folder


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Server]:
    hub = Hub(time.monotonic, reserved=RESERVED)
    flusher = Flusher(hub, 0.0)
    rules = Rules()
    listener = HttpListener(hub, rules, ServerConfig(files={"films": FilesConfig(folder=str(folder))}))
    await listener.start("127.0.0.1", 0)
    try:
        yield Server(hub, rules, listener)
    finally:
        await listener.close()
        flusher.close()
        hub.close()


def mp4(data: list[bytes]) -> list[Frame]:
    return frames_of(b"".join(data), lambda: make_demuxer("mp4"))


def pictures(frames: list[Frame]) -> list[int]:
    """Decode times of the pictures in milliseconds."""
    return [round(frame.dts_s * 1000) for frame in frames if frame.track.kind is Kind.VIDEO]


async def all_of(viewer: Client) -> list[bytes]:
    """Media to the end of the file."""
    await viewer.text("codec_data")
    await viewer.text("on_stop")
    return viewer.data


@pytest.mark.parametrize(
    ("suffix", "make"),
    [("mp4", lambda: make_demuxer("mp4")), ("flv", FlvDemuxer), ("ts", TsDemuxer)],
)
async def test_a_whole_file_in_each_form(films: Path, suffix: str, make: Callable[[], Any]) -> None:
    async with serving(films) as server, client(server, f"/films/film.{suffix}?token=t") as viewer:
        told = await viewer.text("codec_data")
        assert told["live"] is False
        assert told["duration"] == pytest.approx(LENGTH_S * 1000, abs=100)
        assert [track["type"] for track in told["tracks"]] == ["video", "audio"]
        await viewer.say("set_speed", play_rate=0)
        assert await viewer.text("set_speed") == {"play_rate_prev": 1.0, "play_rate_curr": 0.0}
        assert await viewer.text("on_stop") == {"reason": "the file has ended"}
        frames = frames_of(b"".join(viewer.data), make)
        times = pictures(frames)
        assert len(times) == LENGTH_S * 25
        assert [b - a for a, b in zip(times, times[1:], strict=False)] == [40] * (LENGTH_S * 25 - 1)
        assert abs(len(frames) - len(times) - LENGTH_S * 48000 / 1024) < 4
        assert [(asked.action, asked.protocol, asked.token) for asked in server.rules.asked] == [
            ("read", f"ws-{suffix}", "t")
        ]


async def test_media_comes_at_its_pace_behind_a_lead(films: Path) -> None:
    async with serving(films) as server, client(server, "/films/film.mp4") as viewer:
        begun = time.monotonic()
        seen = [(await viewer.text("on_time"))["current"] for _ in range(3)]
        took_s = time.monotonic() - begun
        # The first comes with the first picture; five seconds of media come at once, then a second each second.
        assert seen[0] <= 100
        assert seen[1] == pytest.approx(6000, abs=700)
        assert seen[2] - seen[1] == pytest.approx(1000, abs=500)
        assert took_s == pytest.approx(2.0, abs=0.8)


async def test_a_pause_holds_the_file_where_it_is(films: Path) -> None:
    async with serving(films) as server, client(server, "/films/film.mp4") as viewer:
        await viewer.say("set_speed", play_rate=4)
        await viewer.text("codec_data")
        await viewer.say("hold")
        assert await viewer.text("pause") == {"paused": True}
        # What was on its way; then nothing.
        await viewer.say("info")
        told = await viewer.text("info")
        assert told["paused"] is True
        held = len(viewer.data)
        await asyncio.sleep(0.5)
        await viewer.say("on_time")
        await viewer.text("on_time")
        assert len(viewer.data) - held <= 30
        await viewer.say("set_speed", play_rate=0)
        await viewer.say("play")
        assert await viewer.text("pause") == {"paused": False}
        await viewer.text("on_stop")
        assert pictures(mp4(viewer.data)) == list(range(0, LENGTH_S * 1000, 40))


async def test_seek_begins_with_the_key_frame_before(films: Path) -> None:
    async with serving(films) as server, client(server, "/films/film.mp4") as viewer:
        await viewer.text("codec_data")
        await viewer.say("seek", seek_time=12_700)
        assert await viewer.text("seek") == {"live_point": False, "seek_time": 12_700}
        await viewer.text("codec_data")
        init = (await viewer.binary())[0]
        assert kinds(init) == [b"ftyp", b"moov"]
        frames = mp4([init, *await viewer.binary(5)])
        assert pictures(frames)[0] == 12_000
        assert next(frame for frame in frames if frame.track.kind is Kind.VIDEO).key
        told = await viewer.text("on_time")
        assert (told["begin"], told["end"]) == (0, pytest.approx(LENGTH_S * 1000, abs=100))
        # Back, and past the end.
        await viewer.say("seek", seek_time=0)
        await viewer.text("seek")
        await viewer.text("codec_data")
        assert pictures(mp4(await viewer.binary(5)))[0] == 0
        await viewer.say("seek", seek_time=10**9)
        assert (await viewer.text("seek"))["seek_time"] == pytest.approx(LENGTH_S * 1000, abs=100)
        await viewer.text("on_stop")
        # The end is not the end of the connection.
        await viewer.say("seek", seek_time=5000)
        await viewer.text("codec_data")
        assert pictures(mp4(await viewer.binary(5)))[0] == 5000


async def test_a_paused_client_that_seeks_sees_where_it_is(films: Path) -> None:
    async with serving(films) as server, client(server, "/films/film.mp4") as viewer:
        await viewer.say("hold")
        await viewer.text("pause")
        await viewer.say("seek", seek_time=12_700)
        await viewer.text("seek")
        await viewer.text("codec_data")
        times = pictures(mp4(await viewer.binary(17)))
        assert times[0] == 12_000
        await viewer.say("on_time")
        assert (await viewer.text("on_time"))["current"] == pytest.approx(12_700, abs=250)
        await viewer.say("info")
        assert (await viewer.text("info"))["paused"] is True


async def test_fast_forward_sends_without_a_pace_up_to_a_time(films: Path) -> None:
    async with serving(films) as server, client(server, "/films/film.mp4") as viewer:
        await viewer.text("codec_data")
        await viewer.say("fast_forward", ff_to=13_000)
        assert await viewer.text("fast_forward") == {"ff_to": 13_000}
        begun = time.monotonic()
        while (await viewer.text("on_time"))["current"] < 12_900:
            pass
        assert time.monotonic() - begun < 4
        await viewer.say("info")
        assert (await viewer.text("info"))["paused"] is False


async def test_other_tracks_from_where_the_client_is(films: Path) -> None:
    async with serving(films) as server, client(server, "/films/film.mp4?audio=none") as viewer:
        assert [track["type"] for track in (await viewer.text("codec_data"))["tracks"]] == ["video"]
        await viewer.say("tracks", audio="lang:de", seek_time=3_500)
        await viewer.text("tracks")
        told = await viewer.text("codec_data")
        assert [track.get("lang") for track in told["tracks"]] == [None, "deu"]
        frames = mp4(await viewer.binary(10))
        assert pictures(frames)[0] == 3000
        assert {frame.track.kind for frame in frames} == {Kind.VIDEO, Kind.AUDIO}
        await viewer.say("tracks", video="none", audio="none")
        assert "no track" in (await viewer.text("error"))["message"]
        await viewer.say("info")
        assert len((await viewer.text("info"))["available"]) == 3


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("set_speed", {"play_rate": 5}), ("set_speed", {"play_rate": -1}), ("set_speed", {}), ("seek", {}),
        ("seek", {"seek_time": "live"}), ("fast_forward", {}),
    ],
)  # fmt: skip
async def test_commands_that_make_no_sense_change_nothing(films: Path, kind: str, values: dict[str, object]) -> None:
    async with serving(films) as server, client(server, "/films/film.mp4") as viewer:
        await viewer.say(kind, **values)
        assert (await viewer.text("error"))["message"]
        await viewer.say("set_speed", play_rate=0)
        await viewer.text("on_stop")


async def test_start_in_the_address(films: Path) -> None:
    async with serving(films) as server:
        async with client(server, "/films/film.mp4?start=7.5") as viewer:
            assert pictures(mp4(await viewer.binary(10)))[0] == 7000
        assert await status_of(server, "/films/film.mp4?start=soon") == 400
        assert await status_of(server, "/films/film.mp4?start=nan") == 400


async def test_what_cannot_be_played_is_refused_before_the_handshake(films: Path) -> None:
    async with serving(films) as server:
        assert await status_of(server, "/films/none.mp4") == 404
        assert await status_of(server, "/films/broken.mp4") == 406
        assert await status_of(server, "/films/film.mp4?video=none&audio=none") == 406
        assert await status_of(server, "/films/../secret.mp4") in (400, 404)


async def test_a_client_that_takes_nothing_costs_little_and_is_let_go(films: Path) -> None:
    async with serving(films) as server:
        _, writer = await server.connect()
        # Nothing is read from here on: what the kernels hold, and then the server waits.
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        fields = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        writer.write(f"GET /films/large.flv HTTP/1.1\r\nHost: x\r\n{fields}Sec-WebSocket-Version: 13\r\n\r\n".encode())
        sockets = server.listener._websockets
        await until(lambda: len(sockets) == 1)
        (session,) = sockets._sessions
        await until(lambda: session.out.full)
        await asyncio.sleep(0.1)
        unsent = session.out.unsent()
        # One frame of 200 kB, above the mark at which the reader waits.
        assert 0 < unsent < 400_000
        now = server.hub.clock()
        sockets.tick(now)
        sockets.tick(now + module.STALL_S - 1)
        assert len(sockets) == 1
        sockets.tick(now + module.STALL_S + 1)
        assert len(sockets) == 0
        await until(lambda: not held_open(films / "large.flv"))
        writer.close()


async def test_the_file_is_closed_with_the_connection(films: Path, tmp_path: Path) -> None:
    # A folder of its own: where a test's loop ends in the middle of a read, the file stays open until it is collected.
    film = tmp_path / "film.mp4"
    film.write_bytes((films / "film.mp4").read_bytes())
    async with serving(tmp_path) as server:
        async with client(server, "/films/film.mp4") as viewer:
            await viewer.text("codec_data")
            assert held_open(film)
        await until(lambda: not held_open(film))
        # In whatever a connection ends.
        for wait in range(12):
            async with client(server, "/films/film.mp4") as viewer:
                await viewer.say("set_speed", play_rate=0)
                for seconds in (3, 9, 1):
                    await viewer.say("seek", seek_time=seconds * 1000)
                    await asyncio.sleep(wait / 2000)
                viewer.socket.transport.abort()
        await until(lambda: not held_open(film))
        assert len(server.listener._websockets) == 0
        # Also when the server goes first.
        async with client(server, "/films/film.mp4") as viewer:
            await viewer.text("codec_data")
            closing = asyncio.create_task(server.listener.close())
            assert (await viewer.closed())[0] == 1001
            await closing
        await until(lambda: not held_open(film))


async def test_files_played_at_once_are_bounded(films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_TITLES", 2)
    async with serving(films) as server:
        for _ in range(3):
            async with client(server, "/films/film.mp4") as first, client(server, "/films/large.flv") as second:
                await first.text("codec_data")
                await second.text("codec_data")
                assert await status_of(server, "/films/film.ts") == 503
            await until(lambda: not server.listener._websockets._titles)
        # What could not be opened counts no more, either.
        for _ in range(3):
            assert await status_of(server, "/films/none.mp4") == 404
        assert not server.listener._websockets._titles


async def test_dragging_a_slider_ends_where_it_was_let_go(films: Path) -> None:
    async with serving(films) as server, client(server, "/films/film.mp4") as viewer:
        for seconds in range(1, 16):
            await viewer.say("seek", seek_time=seconds * 1000)
        for _ in range(15):
            told = await viewer.text("seek")
        assert told["seek_time"] == 15_000
        await viewer.text("codec_data")
        assert pictures(mp4(await viewer.binary(20)))[0] == 15_000


def held_open(path: Path) -> bool:
    """Whether this process has the file open."""
    for entry in os.scandir("/proc/self/fd"):
        try:
            if os.readlink(entry.path) == str(path):
                return True
        except OSError:
            continue
    return False


def test_json_of_messages_has_no_holes() -> None:
    from evotools.protocols.mediasocket import Window, notice, on_time

    frame = notice("on_time", on_time(1.0005, Window(0.0, 0.5), [1], rate=2.0))
    assert json.loads(frame[2:] if frame[1] < 126 else frame[4:]) == {
        "type": "on_time",
        "data": {"current": 1000, "play_rate_curr": 2.0, "tracks": [1], "begin": 0, "end": 1000},
    }
