"""Recordings: names, times, lists and what stays, with media whose times the test makes up."""

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from evotools.endpoints import archive, recording, segments
from evotools.endpoints.base import Context
from evotools.endpoints.segments import SegmentSink, segment_uri
from evotools.errors import EvotoolsError, ExitCode, MediaError, UnreachableError, UsageError
from evotools.hub.hub import Hub
from evotools.media.frame import Discontinuity, Event, Frame
from evotools.media.track import Kind, Track
from evotools.uri import Uri
from tests.unit.endpoints.media import Clip, payloads, read_all, source

AVCC = bytes.fromhex("0142c01effe100186742c01eda109a6a0c0c0c800000030080000019478b175001000468ce0fc8")
VIDEO = Track(1, Kind.VIDEO, "h264", 90000, config=AVCC, width=64, height=64)
AUDIO = Track(2, Kind.AUDIO, "aac", 48000, config=b"\x11\x90", sample_rate=48000, channels=2)
NOON = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC).timestamp()


def picture(n: int, *, key: bool, start_s: float = 0.0, track: Track = VIDEO) -> Frame:
    """A frame of 40 ms: one NAL unit, an IDR slice or another."""
    unit = (b"\x65" if key else b"\x41") + b"picture %06d" % n
    at = round((start_s + n / 25) * 90000)
    return Frame(track, at, at, len(unit).to_bytes(4, "big") + unit, duration=3600, key=key)


def sound(n: int, start_s: float = 0.0, track: Track = AUDIO) -> Frame:
    at = round(start_s * 48000) + n * 1920
    return Frame(track, at, at, b"sound %06d" % n, duration=1920, key=True)


def media(seconds: float, *, gop: int = 25, start_s: float = 0.0, first: int = 0) -> list[Frame]:
    """Pictures and sounds of 40 ms each, numbered from `first`."""
    frames: list[Frame] = []
    for n in range(round(seconds * 25)):
        frames += [picture(n, key=n % gop == 0, start_s=start_s), sound(n, start_s)]
    return frames


class Clock:
    """The clocks that the sink looks at, set by the test."""

    def __init__(self) -> None:
        self.unix_s = NOON
        self.steady_s = 1000.0

    def time(self) -> float:
        return self.unix_s

    def monotonic(self) -> float:
        return self.steady_s

    def run(self, seconds: float) -> None:
        self.unix_s += seconds
        self.steady_s += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    for module in (archive, segments):
        monkeypatch.setattr(module, "time", made)
    return made


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


class Recorder:
    """A sink and what it told."""

    def __init__(self, uri: str, *, live: bool = False, force: bool = False) -> None:
        self.files: list[str] = []
        self.facts: list[Mapping[str, Any]] = []
        self.sink = SegmentSink(Uri.parse(uri), Context(options={"force": force}, on_file=self._told))
        self.sink.live = live

    def _told(self, path: str, facts: Mapping[str, Any]) -> None:
        # What is told is complete, at once and for good.
        assert Path(path).stat().st_size == facts["bytes"]
        self.files.append(path)
        self.facts.append(facts)

    async def __aenter__(self) -> "Recorder":
        await self.sink.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.sink.close()
        self.sink._pool.shutdown(wait=True)

    async def begin(self, *tracks: Track) -> None:
        assert not self.sink.offer(tracks)
        await self.sink.start(tracks)

    async def write(self, frames: Sequence[Event], batch: int = 20) -> None:
        for at in range(0, len(frames), batch):
            await self.sink.write(frames[at : at + batch])

    async def until_it_fails(self, frames: Sequence[Event]) -> None:
        """Everything up to the error that is expected."""
        async with self:
            await self.begin(VIDEO, AUDIO)
            await self.write(frames)

    async def play(self, frames: Sequence[Frame], clock: Clock) -> None:
        """As a live source: every frame when its time has come."""
        start_s = frames[0].dts_s
        unix_s, steady_s = clock.unix_s, clock.steady_s
        for frame in frames:
            behind = clock.unix_s - unix_s - (clock.steady_s - steady_s)
            clock.steady_s = steady_s + frame.dts_s - start_s
            clock.unix_s = unix_s + behind + frame.dts_s - start_s
            await self.sink.write([frame])


async def record(
    uri: str, frames: Sequence[Event], *, tracks: Sequence[Track] = (VIDEO, AUDIO), live: bool = False,
    force: bool = False,
) -> Recorder:  # fmt: skip
    """Record to the end."""
    made = Recorder(uri, live=live, force=force)
    async with made:
        await made.begin(*tracks)
        await made.write(frames)
        await made.sink.finish()
    return made


async def contents(paths: Sequence[str]) -> list[dict[str, list[bytes]]]:
    """Payloads of each file, by our own readers."""
    return [payloads(await read_all(source(path))) for path in paths]


def joined(found: Sequence[Mapping[str, Sequence[bytes]]]) -> dict[str, list[bytes]]:
    together: dict[str, list[bytes]] = {}
    for one in found:
        for codec, own in one.items():
            together.setdefault(codec, []).extend(own)
    return together


# Files.


@pytest.mark.parametrize("name", ["ts", "flv", "mkv", "mp4", "fmp4"])
async def test_files_hold_every_frame_once_and_in_order(tmp_path: Path, name: str) -> None:
    frames = media(7.3)
    suffix = name.replace("fmp4", "mp4")
    made = await record(f"segment:{tmp_path}/p-%02d.{suffix}?time=2s&format={name}", frames)
    assert made.files == [f"{tmp_path}/p-0{n}.{suffix}" for n in range(4)]
    found = await contents(made.files)
    assert joined(found) == payloads(frames)
    assert [len(one["h264"]) for one in found] == [50, 50, 50, 32]
    assert [facts["duration_s"] for facts in made.facts] == pytest.approx([2, 2, 2, 1.28])


@pytest.mark.parametrize("name", ["ts", "flv", "mkv", "mp4", "fmp4"])
@pytest.mark.parametrize("timestamps", ["keep", "reset"])
async def test_times_go_on_or_begin_anew(tmp_path: Path, name: str, timestamps: str) -> None:
    uri = f"segment:{tmp_path}/%d.{name.replace('fmp4', 'mp4')}?time=2s&format={name}&timestamps={timestamps}"
    if "mp4" in name and timestamps == "keep":
        with pytest.raises(UsageError, match="cannot be 'keep'"):
            await record(uri, [])
        return
    frames = media(6, start_s=1000.0)
    made = await record(uri, frames)
    for n, path in enumerate(made.files):
        first = next(e for e in await read_all(source(path)) if isinstance(e, Frame) and e.track.kind is Kind.VIDEO)
        assert first.pts_s == pytest.approx(1000 + 2 * n if timestamps == "keep" else 0.0, abs=0.002)


async def test_transport_streams_join_as_they_are(tmp_path: Path) -> None:
    frames = media(10)
    made = await record(f"segment:{tmp_path}/%d.ts?time=3s", frames)
    whole = tmp_path / "whole.ts"
    whole.write_bytes(b"".join(Path(path).read_bytes() for path in made.files))
    events = await read_all(source(whole))
    assert payloads(events) == payloads(frames)
    assert not [e for e in events if isinstance(e, Discontinuity)]


async def test_sound_alone(tmp_path: Path) -> None:
    frames = [sound(n) for n in range(250)]
    made = await record(f"segment:{tmp_path}/%d.mkv?time=3s", frames, tracks=[AUDIO])
    assert len(made.files) == 4
    assert joined(await contents(made.files)) == payloads(frames)


async def test_by_size(tmp_path: Path) -> None:
    made = await record(f"segment:{tmp_path}/%d.ts?size=60kB", media(40))
    sizes = [Path(path).stat().st_size for path in made.files]
    assert len(sizes) > 2
    assert all(40_000 < size <= 60_000 for size in sizes[:-1])


async def test_at_every_key_frame(tmp_path: Path) -> None:
    made = await record(f"segment:{tmp_path}/%d.flv?key", media(5))
    assert len(made.files) == 5


async def test_whichever_comes_first(tmp_path: Path) -> None:
    made = await record(f"segment:{tmp_path}/%d.ts?time=4s&size=100MB", media(9))
    assert [facts["duration_s"] for facts in made.facts] == pytest.approx([4, 4, 1])


async def test_a_stored_source_is_cut_by_its_own_time(tmp_path: Path, clock: Clock) -> None:
    """However fast it is read, and whatever the clock says: a film has the same files every day."""
    clock.unix_s += 3.7
    made = await record(f"segment:{tmp_path}/%H%M%S.ts?every=5s&utc", media(12))
    assert [facts["duration_s"] for facts in made.facts] == pytest.approx([5, 5, 2])
    assert [Path(p).name for p in made.files] == ["120003.ts", "120008.ts", "120013.ts"]


async def test_a_pipe_with_a_live_source_behind_it_is_cut_by_the_clock(tmp_path: Path, clock: Clock) -> None:
    clock.run(3.0)
    made = Recorder(f"segment:{tmp_path}/%H%M%S.ts?every=10s&utc")
    async with made:
        await made.begin(VIDEO, AUDIO)
        await made.play(media(28), clock)
        await made.sink.finish()
    assert [Path(p).name for p in made.files] == ["120003.ts", "120010.ts", "120020.ts", "120030.ts"]
    assert joined(await contents(made.files)) == payloads(media(28))


async def test_a_live_source_is_cut_by_the_clock_of_the_place(tmp_path: Path, clock: Clock, berlin: None) -> None:
    clock.run(57.0)
    made = Recorder(f"segment:{tmp_path}/%Y-%m-%d_%H-%M-%S.ts?every=1m", live=True)
    async with made:
        await made.begin(VIDEO, AUDIO)
        await made.play(media(70), clock)
        await made.sink.finish()
    names = [Path(path).name for path in made.files]
    assert names == ["2026-11-21_13-00-57.ts", "2026-11-21_13-01-00.ts", "2026-11-21_13-02-00.ts"]
    assert [facts["started"] for facts in made.facts] == pytest.approx([NOON + 57, NOON + 60, NOON + 120], abs=0.05)


# Late, missing, changed.


@pytest.mark.parametrize("name", ["ts", "flv", "mkv", "mp4"])
async def test_a_track_that_comes_later(tmp_path: Path, name: str) -> None:
    early = [picture(n, key=n % 25 == 0) for n in range(40)]
    rest = [f for n in range(40, 150) for f in (picture(n, key=n % 25 == 0), sound(n))]
    made = Recorder(f"segment:{tmp_path}/%d.{name}?time=100s")
    async with made:
        await made.begin(VIDEO)
        await made.write(early)
        await made.begin(VIDEO, AUDIO)
        await made.write(rest)
        await made.sink.finish()
    found = await contents(made.files)
    assert joined(found) == payloads([*early, *rest])
    assert [sorted(one) for one in found] == [["h264"], ["aac", "h264"]]
    # The first file ends with a group of pictures, so both can be decoded alone.
    assert len(found[0]["h264"]) == 50


async def test_the_same_tracks_again_go_on_in_the_same_file(tmp_path: Path) -> None:
    """As after a reconnect, with the route's clock running on."""
    frames = media(4)
    made = Recorder(f"segment:{tmp_path}/%d.mkv?time=100s")
    async with made:
        await made.begin(VIDEO, AUDIO)
        await made.write(frames[:50])
        await made.begin(VIDEO, AUDIO)
        await made.write([Discontinuity("timestamps jumped forward; bridged"), *frames[50:]])
        await made.sink.finish()
    (path,) = made.files
    assert (await contents([path]))[0] == payloads(frames)


async def test_another_picture_begins_a_file(tmp_path: Path) -> None:
    other = VIDEO.with_(config=AVCC[:-1] + b"\x21")
    first = media(2.4)
    second = [f for n in range(50) for f in (picture(n, key=n % 25 == 0, start_s=2.4, track=other), sound(n, 2.4))]
    made = Recorder(f"segment:{tmp_path}/%d.ts?time=100s&list={tmp_path}/l.m3u8")
    async with made:
        await made.begin(VIDEO, AUDIO)
        await made.write(first)
        await made.begin(other, AUDIO)
        await made.write(second)
        await made.sink.finish()
    assert joined(await contents(made.files)) == payloads([*first, *second])
    assert len(made.files) == 2
    assert "#EXT-X-DISCONTINUITY\n" in (tmp_path / "l.m3u8").read_text()


async def test_sound_goes_on_while_another_picture_waits_for_its_key_frame(tmp_path: Path) -> None:
    """Only what was heard before one came in goes; a change in the middle costs no sound."""
    other = VIDEO.with_(config=AVCC[:-1] + b"\x21")
    early = [f for n in range(10) for f in (picture(n, key=False), sound(n))]
    first = [f for n in range(60) for f in (picture(n, key=n % 25 == 0, start_s=0.4), sound(n, 0.4))]
    second = [f for n in range(50) for f in (picture(n, key=n == 20, start_s=2.8, track=other), sound(n, 2.8))]
    made = Recorder(f"segment:{tmp_path}/%d.mkv?time=100s", live=True)
    async with made:
        await made.begin(VIDEO, AUDIO)
        await made.write([*early, *first])
        await made.begin(other, AUDIO)
        await made.write(second)
        await made.sink.finish()
    found = await contents(made.files)
    assert [len(one["h264"]) for one in found] == [60, 30]
    assert [len(one["aac"]) for one in found] == [60, 50]


async def test_without_any_key_frame_the_file_grows_and_one_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, told: list[str]
) -> None:
    frames = media(60, gop=10**6)
    made = await record(f"segment:{tmp_path}/%d.ts?time=2s", frames)
    assert joined(await contents(made.files)) == payloads(frames)
    assert len(made.files) == 1
    assert len([line for line in told if "no key frame has come to begin the next file" in line]) == 1


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Warnings."""
    lines: list[str] = []

    def warning(text: str, *values: object) -> None:
        lines.append(text % values)

    for module in (recording, archive):
        monkeypatch.setattr(module.log, "warning", warning)
    return lines


async def test_nothing_but_pictures_that_depend_on_others(tmp_path: Path) -> None:
    frames = [picture(n, key=False) for n in range(100)]
    with pytest.raises(MediaError, match="no key frame came") as caught:
        await record(f"segment:{tmp_path}/%d.ts?time=2s", frames, tracks=[VIDEO])
    assert caught.value.code == ExitCode.UNSUITABLE
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("live", [False, True])
async def test_a_stream_without_key_frames_is_recorded_after_a_while(
    tmp_path: Path, told: list[str], live: bool
) -> None:
    frames = [f for n in range(25 * 30) for f in (picture(n, key=False), sound(n))]
    made = await record(f"segment:{tmp_path}/%d.ts?time=100s", frames, live=live)
    (found,) = await contents(made.files)
    assert len(found["h264"]) == 250
    # What was heard before the first picture is of no use to one who came in the middle.
    assert len(found["aac"]) == (250 if live else 750)
    assert [line.split(": ")[1].split(";")[0] for line in told] == [
        *(["still waiting for the first key frame"] if live else []), "begins without a key frame",
    ]  # fmt: skip


async def test_slides_wait_for_their_key_frame(tmp_path: Path) -> None:
    """One picture in ten seconds, a key frame each minute: files begin there and nowhere else."""
    frames: list[Frame] = []
    for n in range(25 * 125):
        if n % 250 == 0:
            frames.append(picture(n, key=n % 1500 == 0))
        frames.append(sound(n))
    made = await record(f"segment:{tmp_path}/%d.mkv?time=50s", frames)
    assert [facts["duration_s"] for facts in made.facts] == pytest.approx([60, 60, 5.0])
    assert joined(await contents(made.files)) == payloads(frames)


# Names.


async def test_folders_are_made(tmp_path: Path) -> None:
    made = await record(f"segment:{tmp_path}/a/%Y/b%%/%03d.ts?time=3s", media(5))
    year = datetime.now().astimezone().strftime("%Y")
    assert made.files == [f"{tmp_path}/a/{year}/b%/000.ts", f"{tmp_path}/a/{year}/b%/001.ts"]


async def test_relative_names_stay_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert (await record("segment:%d.ts?time=3s", media(2))).files == ["0.ts"]
    assert (await record("segment:./a b/../%d.flv?time=3s&start_number=7", media(2))).files == ["./a b/../7.flv"]


async def test_a_taken_number_is_an_error_before_anything_is_opened(tmp_path: Path) -> None:
    uri = f"segment:{tmp_path}/p%d.ts?time=1s"
    await record(uri, media(3))
    (tmp_path / "p0.ts").unlink()
    with pytest.raises(UsageError, match=r"p1\.ts exists already; --start-number next goes on after it, --force"):
        Recorder(uri)
    assert Recorder(f"{uri}&start_number=3")
    with pytest.raises(UsageError, match=r"p2\.ts exists already"):
        Recorder(f"{uri}&start_number=2")
    made = await record(f"{uri}&start_number=next", media(2))
    assert [Path(p).name for p in made.files] == ["p3.ts", "p4.ts"]
    before = (tmp_path / "p1.ts").read_bytes()
    made = await record(uri, media(1.4), force=True)
    assert [Path(p).name for p in made.files] == ["p0.ts", "p1.ts"]
    assert (tmp_path / "p1.ts").read_bytes() != before


async def test_a_route_of_the_server_goes_on_counting_with_every_publisher(tmp_path: Path) -> None:
    uri = Uri.parse(f"segment:{tmp_path}/p%d.ts?time=1s")
    await record(str(uri.text), media(3))
    served = SegmentSink(uri, Context(hub=Hub(lambda: 0.0)))
    await served.open()
    await served.start((VIDEO, AUDIO))
    await served.write(media(2))
    await served.finish()
    await served.close()
    assert names(tmp_path) == [f"p{n}.ts" for n in range(5)]


async def test_a_number_that_is_taken_meanwhile(tmp_path: Path, told: list[str]) -> None:
    made = Recorder(f"segment:{tmp_path}/p%d.ts?time=1s")
    (tmp_path / "p1.ts").write_text("mine")
    async with made:
        await made.begin(VIDEO, AUDIO)
        await made.write(media(3))
        await made.sink.finish()
    assert [Path(p).name for p in made.files] == ["p0.ts", "p1-1.ts", "p2.ts"]
    assert (tmp_path / "p1.ts").read_text() == "mine"
    assert told == [f"{tmp_path}/p1.ts exists already; writing {tmp_path}/p1-1.ts"]


@pytest.mark.parametrize("force", [False, True])
async def test_a_time_that_comes_twice(tmp_path: Path, clock: Clock, force: bool, told: list[str]) -> None:
    """Summer time ends, the clock is set back, a name is too coarse: nothing is overwritten."""
    (tmp_path / "12.ts").write_text("of an earlier run")
    made = Recorder(f"segment:{tmp_path}/%H.ts?time=1s&utc", live=True, force=force)
    async with made:
        await made.begin(VIDEO, AUDIO)
        await made.play(media(4), clock)
        await made.sink.finish()
    names = [Path(path).name for path in made.files]
    assert names == (
        ["12.ts", "12-1.ts", "12-2.ts", "12-3.ts"] if force else ["12-1.ts", "12-2.ts", "12-3.ts", "12-4.ts"]
    )
    assert joined(await contents(made.files)) == payloads(media(4))


async def test_links_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("precious")
    folder = tmp_path / "rec"
    folder.mkdir()
    (folder / "p1.ts").symlink_to(outside)
    (folder / "p2.ts").symlink_to(tmp_path / "nowhere")
    made = await record(f"segment:{folder}/p%d.ts?time=1s&keep=1", media(3))
    assert [Path(p).name for p in made.files] == ["p0.ts", "p1-1.ts", "p2-1.ts"]
    assert outside.read_text() == "precious"
    assert sorted(p.name for p in folder.iterdir()) == ["p1.ts", "p2-1.ts", "p2.ts"]
    assert not (tmp_path / "nowhere").exists()


# The clock is set.


@pytest.mark.parametrize("step_s", [-7200.0, -600.0, 600.0, 86400.0 * 20000, -NOON - 600.0])
async def test_a_clock_that_is_set_loses_nothing(tmp_path: Path, clock: Clock, step_s: float) -> None:
    frames = media(60)
    made = Recorder(f"segment:{tmp_path}/%Y%m%d-%H%M%S.ts?every=10s&keep=1h&utc", live=True)
    async with made:
        await made.begin(VIDEO, AUDIO)
        await made.play(frames[:1450], clock)
        clock.unix_s += step_s
        await made.play(frames[1450:], clock)
        await made.sink.finish()
    # Nothing of this run is older than a minute, whatever the clock says.
    assert joined(await contents(made.files)) == payloads(frames)
    assert len(made.files) == len(set(made.files))
    assert 6 <= len(made.files) <= 8
    durations = [facts["duration_s"] for facts in made.facts]
    assert max(durations) <= 11


async def test_times_beyond_all_calendars(tmp_path: Path) -> None:
    """A presentation time that no clock knows, in a stream that is broken otherwise too."""
    frames = media(3)
    wild = frames[50]
    assert wild.key
    wild.pts = wild.dts + 10**17
    made = await record(f"segment:{tmp_path}/%Y-%d.mkv?key", frames, live=True)
    assert sum(len(found.get("h264", [])) for found in await contents(made.files)) >= 74


# What stays.


def touch(path: Path, age_s: float, size: int = 1000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    os.utime(path, (NOON - age_s, NOON - age_s))
    return path


def names(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir())


async def test_the_newest_files_stay(tmp_path: Path) -> None:
    made = await record(f"segment:{tmp_path}/%d.ts?time=1s&keep=3", media(8))
    assert len(made.files) == 8
    assert names(tmp_path) == ["5.ts", "6.ts", "7.ts"]


async def test_files_of_earlier_runs_count_and_others_do_not(tmp_path: Path, clock: Clock) -> None:
    for n in range(4):
        touch(tmp_path / f"cam-{n}.ts", 1000 - n)
    others = ["cam-01.ts", "cam-x.ts", "cam-1.mp4", "xcam-1.ts", "cam-1.ts.bak", "deep/cam-1.ts"]
    for name in others:
        touch(tmp_path / name, 10**6)
    (tmp_path / "cam-9.ts").mkdir()
    made = await record(f"segment:{tmp_path}/cam-%d.ts?time=1s&keep=4&start_number=next", media(2))
    assert [Path(p).name for p in made.files] == ["cam-4.ts", "cam-5.ts"]
    assert names(tmp_path) == sorted(["cam-2.ts", "cam-3.ts", "cam-4.ts", "cam-5.ts", *others])


async def test_old_files_go(tmp_path: Path, clock: Clock) -> None:
    touch(tmp_path / "old.ts", 10**6)
    touch(tmp_path / "20261120-120000.ts", 86500)
    touch(tmp_path / "20261121-110000.ts", 3500)
    made = Recorder(f"segment:{tmp_path}/%Y%m%d-%H%M%S.ts?time=10s&keep=1h&utc", live=True)
    async with made:
        assert names(tmp_path) == ["20261121-110000.ts", "old.ts"]
        await made.begin(VIDEO, AUDIO)
        await made.play(media(30), clock)
        assert "20261121-110000.ts" in names(tmp_path)
        clock.run(90)
        await made.play(media(30, start_s=120), clock)
        assert "20261121-110000.ts" not in names(tmp_path)
        clock.run(3500)
        await made.play(media(30, start_s=4000), clock)
        await made.sink.finish()
    # An hour after the first two.
    assert [name for name in made.files if Path(name).name not in names(tmp_path)] == made.files[:2]
    assert "old.ts" in names(tmp_path)


async def test_no_more_bytes_than_wanted(tmp_path: Path) -> None:
    await record(f"segment:{tmp_path}/%d.ts?time=1s&keep=60kB", media(20))
    sizes = [p.stat().st_size for p in tmp_path.iterdir()]
    assert sum(sizes) <= 60_000 < sum(sizes) + max(sizes)


async def test_empty_folders_of_days_go_too(tmp_path: Path, clock: Clock) -> None:
    touch(tmp_path / "rec/2026/01/a.ts", 10**7)
    touch(tmp_path / "rec/2026/02/01.ts", 10**7)
    touch(tmp_path / "rec/2026/03/01.ts", 10**7)
    touch(tmp_path / "rec/2026/03/notes.txt", 10**7)
    touch(tmp_path / "rec/2025/12/31.ts", 10**8)
    elsewhere = touch(tmp_path / "elsewhere/11/01.ts", 10**8)
    (tmp_path / "rec/2024").symlink_to(elsewhere.parent.parent)
    made = await record(f"segment:{tmp_path}/rec/%Y/%m/%d.ts?time=10s&keep=1d&utc", media(3))
    assert [Path(p).name for p in made.files] == ["21.ts"]
    assert names(tmp_path) == [
        "elsewhere/11/01.ts", "rec/2026/01/a.ts", "rec/2026/03/notes.txt", "rec/2026/11/21.ts",
    ]  # fmt: skip
    assert (tmp_path / "rec/2024").is_symlink()
    assert not (tmp_path / "rec/2025").exists()
    assert not (tmp_path / "rec/2026/02").exists()


async def test_what_somebody_took_away_is_not_missed(tmp_path: Path) -> None:
    """`while read f; do upload "$f" && rm "$f"; done` beside --keep."""
    made = Recorder(f"segment:{tmp_path}/%d.ts?time=1s&keep=3")
    async with made:
        await made.begin(VIDEO, AUDIO)
        for n in range(8):
            await made.write(media(1, start_s=n))
            for path in made.files[2:]:
                Path(path).unlink(missing_ok=True)
        await made.sink.finish()
    assert {"0.ts", "1.ts"} <= set(names(tmp_path))


async def test_a_file_that_cannot_be_deleted_is_told_once(
    tmp_path: Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unlink(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(archive.os, "unlink", unlink)
    made = await record(f"segment:{tmp_path}/%d.ts?time=1s&keep=2", media(6))
    assert len(made.files) == 6
    assert told == [f"{tmp_path}/0.ts: cannot be deleted: Permission denied"]


# Lists.


@pytest.mark.parametrize("kind", ["m3u8", "csv", "ffconcat"])
async def test_a_list_names_finished_files_only(tmp_path: Path, kind: str) -> None:
    listed = tmp_path / "lists" / f"parts.{kind}"
    made = Recorder(f"segment:{tmp_path}/rec/%d.ts?time=1s&list={listed}")
    async with made:
        await made.begin(VIDEO, AUDIO)
        for n in range(4):
            assert not listed.exists() or all(f"/{n}.ts" not in line for line in listed.read_text().splitlines())
            await made.write(media(1, start_s=n))
            found = [line for line in (listed.read_text() if listed.exists() else "").splitlines() if ".ts" in line]
            assert len(found) == len(made.files)
        await made.sink.finish()
    text = listed.read_text()
    assert text.count("../rec/") == 4
    assert ("#EXT-X-ENDLIST" in text) == (kind == "m3u8")
    assert os.listdir(listed.parent) == [listed.name]


async def test_a_list_follows_what_stays(tmp_path: Path) -> None:
    listed = tmp_path / "l.m3u8"
    await record(f"segment:{tmp_path}/%d.ts?time=1s&keep=2&list={listed}", media(6))
    text = listed.read_text()
    assert "#EXT-X-MEDIA-SEQUENCE:4\n" in text
    assert [line for line in text.splitlines() if line.endswith(".ts")] == ["4.ts", "5.ts"]
    assert names(tmp_path) == ["4.ts", "5.ts", "l.m3u8"]


@pytest.mark.parametrize("kind", ["m3u8", "csv", "ffconcat"])
async def test_a_later_run_goes_on_with_the_list(tmp_path: Path, kind: str) -> None:
    uri = f"segment:{tmp_path}/%d.ts?time=1s&list={tmp_path}/l.{kind}"
    await record(uri, media(2))
    with pytest.raises(UsageError, match="exists already"):
        Recorder(f"{uri}&start_number=5")
    await record(f"{uri}&start_number=next", media(2, start_s=50))
    text = (tmp_path / f"l.{kind}").read_text()
    assert [n for n in range(9) if f"{n}.ts" in text] == [0, 1, 2, 3]
    if kind == "csv":
        assert text.splitlines()[2:] == ["2.ts,2.000000,3.000000", "3.ts,3.000000,4.000000"]
    if kind == "m3u8":
        assert text.count("#EXT-X-DISCONTINUITY\n") == 1
        assert text.count("#EXT-X-ENDLIST") == 1


async def test_a_list_that_is_something_else_is_not_touched(tmp_path: Path) -> None:
    listed = tmp_path / "l.m3u8"
    listed.write_text("my notes")
    made = Recorder(f"segment:{tmp_path}/%d.ts?time=1s&list={listed}&start_number=next")
    with pytest.raises(UsageError, match="EXTM3U is missing"):
        await made.sink.open()
    await made.sink.close()
    assert listed.read_text() == "my notes"


async def test_fragmented_files_can_be_played_from_the_list(tmp_path: Path) -> None:
    made = await record(f"segment:{tmp_path}/%d.mp4?format=fmp4&time=2s&list={tmp_path}/l.m3u8", media(4))
    text = (tmp_path / "l.m3u8").read_text()
    for path in made.files:
        data = Path(path).read_bytes()
        header = data.index(b"moof") - 4
        assert f'#EXT-X-MAP:URI="{Path(path).name}",BYTERANGE="{header}@0"' in text
        assert f"#EXT-X-BYTERANGE:{len(data) - header}@{header}" in text


# What goes wrong.


@pytest.mark.parametrize("name", ["ts", "flv", "mkv", "mp4", "fmp4"])
@pytest.mark.parametrize("room", [60_000, 60_900, 61_800, 62_700])
async def test_a_full_disk(tmp_path: Path, name: str, room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Finished files stay, the last one plays up to where there was room, and nothing else is told."""
    write = os.write

    def narrow(fd: int, data: Any) -> int:
        nonlocal room
        if not room:
            raise OSError(28, "No space left on device")
        taken = min(room, len(data))
        room -= taken
        return write(fd, data[:taken])

    monkeypatch.setattr(recording.os, "write", narrow)
    made = Recorder(f"segment:{tmp_path}/%d.{name.replace('fmp4', 'mp4')}?time=2s&format={name}")
    with pytest.raises(EvotoolsError, match=r"\.\w+: cannot be written: No space left on device") as caught:
        await made.until_it_fails(media(60))
    assert caught.value.code == ExitCode.FAILED
    files = sorted(tmp_path.iterdir(), key=lambda p: int(p.stem))
    assert [str(p) for p in files][: len(made.files)] == made.files
    assert len(files) - len(made.files) <= 1
    assert all(p.stat().st_size for p in files)
    found = await contents([str(p) for p in files])
    sent = payloads(media(60))
    got = joined(found)
    assert got["h264"] == sent["h264"][: len(got["h264"])]
    assert got["aac"] == sent["aac"][: len(got["aac"])]
    assert len(made.files) > 1
    if name != "mp4":
        assert sum(p.stat().st_size for p in files) > 50_000


@pytest.mark.parametrize("unit", [0, 4])
@pytest.mark.parametrize("room", range(0, 31, 3))
def test_what_found_room_ends_with_a_whole_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int, unit: int
) -> None:
    write = os.write
    left = room

    def narrow(fd: int, data: Any) -> int:
        nonlocal left
        if not left:
            raise OSError(28, "No space left on device")
        taken = min(left, 7, len(data))
        left -= taken
        return write(fd, data[:taken])

    monkeypatch.setattr(recording.os, "write", narrow)
    parts = [bytes([n]) * 8 for n in range(4)]
    file = recording._File(str(tmp_path / "x"), overwrite=False)
    with pytest.raises(OSError, match="No space left"):
        file.append(parts, unit)
    file.close()
    assert (tmp_path / "x").read_bytes() == b"".join(parts)[: room - room % (unit or 8)]
    assert file.size == room - room % (unit or 8)


async def test_a_broken_name_in_the_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "2").write_text("a file")
    made = Recorder(f"segment:{tmp_path}/%d/x.ts?time=1s")
    with pytest.raises(EvotoolsError, match=r"2/x\.ts: cannot be created: Not a directory"):
        await made.until_it_fails(media(4))
    assert [Path(p).parent.name for p in made.files] == ["0", "1"]


async def test_without_a_place_nothing_begins(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnreachableError, match="is not a folder"):
        Recorder(f"segment:{tmp_path}/file/%d.ts?time=1s")
    with pytest.raises(UsageError, match="is a folder"):
        Recorder(f"segment:{tmp_path}/%d.ts?time=1s&list={tmp_path}&list_format=csv")


async def test_a_list_that_cannot_be_written_ends_it_but_the_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    made = Recorder(f"segment:{tmp_path}/%d.ts?time=1s&list={tmp_path}/f/l.csv")
    with pytest.raises(EvotoolsError, match=r"l\.csv: cannot be written: Not a directory"):
        await made.until_it_fails(media(4))
    assert [Path(p).name for p in made.files] == ["0.ts"]


async def test_closing_in_the_middle_leaves_what_came(tmp_path: Path) -> None:
    made = Recorder(f"segment:{tmp_path}/%d.mp4?time=10s")
    frames = media(3)
    async with made:
        await made.begin(VIDEO, AUDIO)
        await made.write(frames)
    assert made.files == []
    assert len(joined(await contents([str(tmp_path / "0.mp4")]))["h264"]) >= 74


async def test_nothing_is_written_without_media(tmp_path: Path) -> None:
    made = await record(f"segment:{tmp_path}/%d.ts?time=1s&list={tmp_path}/l.csv", [])
    assert made.files == []
    assert not list(tmp_path.iterdir())


# Options.


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("", "nothing says when"),
        ("time=0", "nothing says when"),
        ("time=x", "option time: 'x' is not a duration"),
        ("size=x", "is not a size"),
        ("every=5m&format=avi", "no format of recordings"),
        ("every=5m&keep=lots", "does not say what to keep"),
        ("every=5m&list=x.txt", "does not tell its format"),
        ("every=5m&list=x&list_format=xspf", "no format of lists"),
        ("every=5m&start_number=-1", "no number to start with"),
        ("every=5m&colour=red", "unknown option 'colour'"),
        ("every=5m&timestamps=odd", "cannot be 'odd'"),
    ],
)
def test_options_that_make_no_sense(tmp_path: Path, query: str, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        Recorder(f"segment:{tmp_path}/%d.ts?{query}")


def test_a_suffix_that_tells_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="suffix does not tell the format"):
        Recorder(f"segment:{tmp_path}/%d.xyz?time=1s")
    Recorder(f"segment:{tmp_path}/%d.xyz?time=1s&format=mkv")


def test_a_codec_without_a_name(tmp_path: Path) -> None:
    vp9 = Track(3, Kind.VIDEO, "vp9", 1000, width=64, height=64)
    quiet = Recorder(f"segment:{tmp_path}/%d.ts?time=1s").sink
    assert [(r.track, r.reason) for r in quiet.offer([vp9, AUDIO])] == [(vp9, "no name in ts")]
    loud = Recorder(f"segment:{tmp_path}/%d.ts?time=1s&format=ts").sink
    with pytest.raises(MediaError, match=r"ts cannot carry video vp9.*--format mkv"):
        loud.offer([vp9, AUDIO])
    assert not Recorder(f"segment:{tmp_path}/%d.webm?time=1s").sink.offer([vp9])


def test_the_uri_of_a_recording() -> None:
    uri = segment_uri("a b%03d.ts", {"list": "x & y.csv", "keep": "2h,10GB", "every": "", "key": "1"})
    assert uri == "segment:a b%03d.ts?list=x%20%26%20y.csv&keep=2h,10GB&key=1"
    parsed = Uri.parse(uri)
    assert parsed.path == "a b%03d.ts"
    assert parsed.options(("list", "keep", "key"))[0] == {"list": "x & y.csv", "keep": "2h,10GB", "key": "1"}
    for bad in ("", "a?%d.ts"):
        with pytest.raises(UsageError):
            segment_uri(bad, {})


async def test_real_pictures_in_every_container(tmp_path: Path, clip: Clip) -> None:
    for name in ("ts", "flv", "mkv", "mp4"):
        made = await record(f"segment:{tmp_path}/%d.{name}?key", clip.frames, tracks=clip.tracks)
        assert joined(await contents(made.files)) == clip.payloads


async def test_the_loop_is_free_while_the_disk_is_slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write: Callable[[int, Any], int] = os.write
    ticks = 0

    def slow(fd: int, data: Any) -> int:
        time.sleep(0.2)
        return write(fd, data)

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.005)
            ticks += 1

    monkeypatch.setattr(recording.os, "write", slow)
    task = asyncio.create_task(tick())
    await record(f"segment:{tmp_path}/%d.ts?time=10s", media(1))
    task.cancel()
    assert ticks > 20
