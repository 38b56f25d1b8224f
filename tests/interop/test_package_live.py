"""Live presentations while they are made: whoever looks at the folder at any moment finds what the manifests name, and
ffmpeg and GStreamer play along without a hole.

ffmpeg reads no live DASH with a SegmentTimeline: it runs ahead of the manifest and asks for segments that there are
not yet, of its own muxer's presentations too. Browsers play it (tests/browser).
"""

import concurrent.futures
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.browser.folder_server import FolderServer
from tests.commands import program
from tests.commands.program import EVOTOOLS, Serving, free_port
from tests.interop import peers
from tests.interop.peers import Child, Media
from tests.interop.players import play_gstreamer
from tests.interop.test_package import packets
from tests.manifests import NS, Watch, look, mpd_segments, seconds
from tests.together import together

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

SEGMENT_S = 1.0
WINDOW_S = 4
LENGTH_S = 12
VIDEOGEN = ("videogen", "--seed", "5", "-s", "160x120", "-g", "25", "--bitrate", "200k")
PACKAGE = ("package", "--type", "live", "--segment", f"{SEGMENT_S:g}s", "--window", f"{WINDOW_S}s")


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What every publisher sends: longer than any test, a key frame every second."""
    path = tmp_path_factory.mktemp("live") / "film.ts"
    done = program.run(*VIDEOGEN, "--no-realtime", "-t", "40s", str(path))
    assert done.returncode == 0, done.stderr.decode()
    return path


def ffmpeg_publisher(film: Path, length_s: float, *output: str) -> list[str]:
    return [*peers.quiet(peers.ffmpeg5()), "-re", "-i", str(film), "-t", f"{length_s:g}", "-c", "copy", *output]


@dataclass
class Scene:
    """One live presentation."""

    folder: Path
    length_s: float = LENGTH_S

    @contextmanager
    def packaging(self, *options: str, source: str = "-", **popen: object) -> Iterator[Child]:
        child = Child([*EVOTOOLS, *PACKAGE, *options, "-i", source, str(self.folder)],
                      self.folder.with_suffix(".log"), **popen)  # fmt: skip
        try:
            yield child
        finally:
            child.stop(signal.SIGKILL)


def _pipe(scene: Scene, film: Path, *options: str) -> Iterator[Child]:
    """`ffmpeg | evotools package`."""
    publisher = Child(ffmpeg_publisher(film, scene.length_s, "-f", "mpegts", "-"), scene.folder.with_suffix(".pub"),
                      stdout=subprocess.PIPE)  # fmt: skip
    with scene.packaging(*options, stdin=publisher.process.stdout) as child:
        yield child
    publisher.stop()


def _rtmp(scene: Scene, film: Path) -> Iterator[Child]:
    """`evotools package -i rtmp://:PORT/live/show`, which listens."""
    port = free_port()
    with scene.packaging(source=f"rtmp://:{port}/live/show") as child:
        _wait_for_port(port, child)
        publisher = Child(ffmpeg_publisher(film, scene.length_s, "-f", "flv", f"rtmp://127.0.0.1:{port}/live/show"),
                          scene.folder.with_suffix(".pub"))  # fmt: skip
        yield child
    publisher.stop()


def _wait_for_port(port: int, child: Child) -> None:
    import socket

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    peers.until(lambda: listens() or not child.alive(), repr(child))


def _serve(scene: Scene, film: Path) -> Iterator[Child]:
    """`evotools serve`, and `evotools package -i rtmp://server/…`, which reads from it."""
    with Serving() as server:
        url = f"{server.rtmp}/live/show"
        publisher = Child(ffmpeg_publisher(film, scene.length_s, "-f", "flv", url), scene.folder.with_suffix(".pub"))
        peers.until(lambda: peers.on_air(server.http, "live/show"), repr(publisher))
        with scene.packaging(source=url) as child:
            yield child
        publisher.stop()


def _ingest(scene: Scene, film: Path) -> Iterator[Child]:
    """`evotools ingest rtmp://:PORT | evotools package`."""
    port = free_port()
    ingest = Child([*EVOTOOLS, "ingest", f"rtmp://:{port}/live/show"], scene.folder.with_suffix(".in"),
                   stdout=subprocess.PIPE)  # fmt: skip
    with scene.packaging(stdin=ingest.process.stdout) as child:
        _wait_for_port(port, ingest)
        publisher = Child(ffmpeg_publisher(film, scene.length_s, "-f", "flv", f"rtmp://127.0.0.1:{port}/live/show"),
                          scene.folder.with_suffix(".pub"))  # fmt: skip
        yield child
    for other in (publisher, ingest):
        other.stop()


SCENES: dict[str, Callable[[Scene, Path], Iterator[Child]]] = {
    "pipe": _pipe,
    "ts": lambda scene, film: _pipe(scene, film, "--format", "ts"),
    "rtmp": _rtmp,
    "serve": _serve,
    "ingest": _ingest,
}


@dataclass
class Outcome:
    """What a scene came to."""

    folder: Path
    code: int
    said: str
    watch: Watch
    got: Media
    missing: list[str]
    dynamic: dict[str, str]
    """Attributes of the MPD while it was live."""


def play(name: str, film: Path, root: Path) -> Outcome:
    """Run a scene to its end, with ffmpeg reading from its third segment on."""
    scene = Scene(root / name)
    scene.folder.mkdir()
    running = contextmanager(SCENES[name])(scene, film)
    with FolderServer(scene.folder) as web, Watch(scene.folder) as watch, running as child:
        peers.until(lambda: len(watch.seen) >= 6 or not child.alive(), repr(child))
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            reading = pool.submit(packets, f"{web.url}/index.m3u8", ("h264", "aac"), "5.1", root / f"{name}.got")
            if name == "serve":
                # The server waits for its publisher to come back.
                time.sleep(scene.length_s)
                child.process.send_signal(signal.SIGTERM)
            got = reading.result()
        code = child.process.wait(30)
        watch.look_until_ended()
        return Outcome(scene.folder, code, child.said(), watch, got, web.missing, watch.dynamic)


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, film: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, "concurrent.futures.Future[Outcome]"]:
    """Every scene that is asked for, all at once; the other tests of this module run meanwhile."""
    root = tmp_path_factory.mktemp("scenes")
    wanted = {
        c.params["scene"] for i in request.session.items if (c := getattr(i, "callspec", None)) and "scene" in c.params
    }
    pool = concurrent.futures.ThreadPoolExecutor(len(SCENES))
    return {name: pool.submit(play, name, film, root) for name in sorted(wanted)}


@pytest.mark.usefixtures("outcomes")
@together
def test_numbers_go_on_after_a_kill(film: Path, tmp_path: Path) -> None:
    """`kill -9` while live, and the same command again: the same folder goes on, and its readers with it."""
    folder = tmp_path / "live"
    folder.mkdir()
    copy = tmp_path / "reader"

    def publish(n: int) -> Child:
        return Child(ffmpeg_publisher(film, 30, "-f", "mpegts", "-"), tmp_path / f"pub{n}", stdout=subprocess.PIPE)

    def package(n: int, publisher: Child) -> Child:
        return Child([*EVOTOOLS, *PACKAGE, str(folder)], tmp_path / f"package{n}", stdin=publisher.process.stdout)

    with FolderServer(folder) as web, Watch(folder) as watch:
        children = [publish(0)]
        children.append(package(0, children[0]))
        peers.until(lambda: len(watch.latest.playlists.get("v0", watch.nothing).lines) >= 4, repr(children[1]))
        command = [*peers.quiet(peers.ffmpeg5()), "-i", f"{web.url}/index.m3u8", "-map", "0:v", "-c", "copy", "-bsf"]
        command += [peers._BARE["h264"], "-f", "framehash", "-hash", "md5", str(copy)]
        reader = Child(command, tmp_path / "reader.log")
        time.sleep(1.5)
        children[1].process.kill()
        children[1].process.wait()
        children[0].stop(signal.SIGKILL)
        before = look(folder)
        assert not before.ended
        last = max(n for name, n in watch.seen if name == "v0")
        children += [publish(1)]
        children.append(package(1, children[2]))
        peers.until(lambda: max(n for name, n in watch.seen if name == "v0") >= last + 4, repr(children[3]))
        children[2].stop(signal.SIGTERM)
        assert children[3].process.wait(20) == 0, repr(children[3])
        reader.process.wait(30)
        watch.look_until_ended()
    after = look(folder)
    numbers = sorted(n for name, n in watch.seen if name == "v0")
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    (broken,) = [n for n in numbers if watch.seen["v0", n].discontinuity]
    assert broken == last + 1
    paths = [watch.seen["v0", n].path for n in numbers]
    assert len(set(paths)) == len(paths)
    assert after.mpd is not None
    # The time that nothing came is a hole between two periods, at the wall clock's places.
    starts = [seconds(p.attrib["start"]) for p in after.mpd.iter(f"{NS}Period")]
    assert starts[-1] > watch.last_presented_s(f"v0/{last}.m4s") + 1 - 0.1
    # The reader has both parts, each without a hole.
    hashes = [row[2] for row in peers._rows(copy.read_text())]
    sent = [row[2] for row in packets(str(film), ("h264", "aac"), "5.1", tmp_path / "sent").video]
    places = [sent.index(h) for h in hashes]
    jumps = [n for n, (a, b) in enumerate(zip(places, places[1:], strict=False)) if b != a + 1]
    assert len(jumps) == 1, places
    assert web.missing == []


@pytest.mark.usefixtures("outcomes")
@together
def test_gstreamer_plays_along(film: Path, tmp_path: Path) -> None:
    scene = Scene(tmp_path / "live", length_s=10)
    scene.folder.mkdir()
    with (
        FolderServer(scene.folder) as web,
        Watch(scene.folder) as watch,
        contextmanager(_pipe)(scene, film, "--window", "8s") as child,
    ):
        peers.until(lambda: len(watch.latest.playlists.get("v0", watch.nothing).lines) >= 4, repr(child))
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            shown = {m: pool.submit(play_gstreamer, f"{web.url}/{m}") for m in ("index.m3u8", "manifest.mpd")}
            assert child.process.wait(30) == 0
        for manifest, future in shown.items():
            (video,) = future.result().of("video")
            # Players begin three segments before the newest one.
            assert video.count >= 25 * 6, manifest
            assert video.count % 25 == 0, manifest


@pytest.mark.parametrize("scene", SCENES)
def test_a_live_folder_is_whole_at_every_moment(
    outcomes: dict[str, "concurrent.futures.Future[Outcome]"], film: Path, scene: str, tmp_path: Path
) -> None:
    out = outcomes[scene].result()
    assert out.code == (143 if scene == "serve" else 0), out.said
    # Many looks, each at every file; none found one missing, cut or changed.
    assert out.watch.looks > 30
    assert out.watch.problems == []
    numbers = sorted(n for name, n in out.watch.seen if name == "v0")
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert len(numbers) >= LENGTH_S - 1
    final = look(out.folder)
    assert final.ended
    # The window slid: the first segments are not named any more.
    assert final.playlists["v0"].sequence > numbers[0] + 2
    assert sum(line.duration_s for line in final.playlists["v0"].lines) <= WINDOW_S + SEGMENT_S + 0.1
    first = out.folder / "v0" / Path(out.watch.seen["v0", numbers[0]].path).name
    assert not first.exists()
    if final.mpd is not None:
        assert out.dynamic["type"] == "dynamic"
        assert seconds(out.dynamic["timeShiftBufferDepth"]) == WINDOW_S
        assert final.mpd.get("type") == "static"
        assert [r[1] for r in mpd_segments(final.mpd)["v0"]] == [s.path for s in final.segments("v0")]
    # The reader came to the end, and has every packet from its first one on.
    assert out.missing == []
    assert out.got.errors == ""
    sent = packets(str(film), ("h264", "aac"), "5.1", tmp_path / "sent")
    assert peers.differences(out.got, sent, 0.002) == ""
    assert len(out.got.video) > (LENGTH_S - 6) * 25
