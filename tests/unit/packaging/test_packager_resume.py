"""Going on after an interruption, and what is left when writing fails."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evotools.errors import ParseError
from evotools.packaging.files import STATE_NAME, Write, is_ours
from evotools.packaging.packager import Packager
from evotools.packaging.state import MAX_STATE, decode, encode
from tests.manifests import Watch, look
from tests.unit.packaging.films import AUDIO, NOW_S, VIDEO, Disk, audio, mixed, video
from tests.unit.packaging.test_packager import FRENCH, edges, feed, package, packager, rendition


def again(root: Path, kind: str, **options: Any) -> tuple[Packager, Disk]:
    """A packager that goes on with the folder."""
    made, disk = packager(kind, **options), Disk(root)
    made.resume(decode((root / STATE_NAME).read_bytes()))
    return made, disk


def interrupted(root: Path, kind: str = "live", seconds: float = 9, **options: Any) -> None:
    made, disk = packager(kind, **options), Disk(root)
    made.start(0, (VIDEO, AUDIO), NOW_S)
    feed(made, disk, mixed(video(seconds), audio(seconds)))


@pytest.mark.parametrize("kind", ["live", "event"])
@pytest.mark.parametrize("step_s", [0.0, -7200.0])
def test_a_later_run_goes_on(tmp_path: Path, kind: str, step_s: float) -> None:
    interrupted(tmp_path, kind)
    before = look(tmp_path)
    old = Watch(tmp_path)
    old.stop()
    made, disk = again(tmp_path, kind)
    # Another machine clock, another media clock.
    now_s = NOW_S + 60 + step_s
    made.start(0, (VIDEO, AUDIO), now_s)
    feed(made, disk, mixed(video(7, start=500), audio(7, start=500)), now_s=now_s - 500)
    look_now = disk.look()
    for name in ("v0", "a0"):
        new = look_now.playlists[name]
        assert [line.path for line in new.lines][: len(before.playlists[name].lines)] == [
            line.path for line in before.playlists[name].lines
        ]
        assert [line.discontinuity for line in new.lines] == [False] * 4 + [True, False, False]
        assert new.lines[4].path == f"{name}/5.m4s"
        assert new.lines[4].init != new.lines[3].init
    picture = rendition(made, "v0")
    assert [s.period for s in picture.segments] == [0] * 4 + [1] * 3
    spans = edges(made, "v0")
    assert all(b[0] >= a[1] - 0.001 for a, b in zip(spans, spans[1:], strict=False))
    assert spans[4][0] == pytest.approx(60.0 if not step_s else 8.0, abs=0.1)
    stamps = [s.start_unix_s for s in picture.segments]
    assert stamps == sorted(stamps)
    assert made.presentation.availability_start_unix_s == pytest.approx(NOW_S, abs=0.1)


def test_a_run_after_many_counts_discontinuities_on(tmp_path: Path) -> None:
    interrupted(tmp_path, window_s=6.0)
    for turn in range(1, 5):
        made, disk = again(tmp_path, "live", window_s=6.0)
        made.start(0, (VIDEO, AUDIO), NOW_S + 100 * turn)
        feed(made, disk, mixed(video(9), audio(9)), now_s=NOW_S + 100 * turn)
    found = disk.look().playlists
    assert found["v0"].discontinuity_sequence == found["a0"].discontinuity_sequence == 4
    assert found["v0"].sequence == found["a0"].sequence == 18
    # Late files of earlier runs go, too.
    assert min(int(p.stem) for p in (tmp_path / "v0").glob("*.m4s")) >= 14
    assert not (tmp_path / "v0/init-1.mp4").exists()
    assert {p.index for p in made.presentation.periods} == {4}


def test_an_ended_event_goes_on_too(tmp_path: Path) -> None:
    package(tmp_path, video(5), (VIDEO,), kind="event")
    assert look(tmp_path).ended
    made, disk = again(tmp_path, "event")
    made.start(0, (VIDEO,), NOW_S + 60)
    feed(made, disk, video(3), now_s=NOW_S + 60)
    assert not disk.look().ended
    assert len(disk.look().segments("v0")) == 4


def test_a_later_run_with_fewer_and_more_tracks(tmp_path: Path) -> None:
    interrupted(tmp_path, "event", 5)
    made, disk = again(tmp_path, "event")
    made.start(0, (VIDEO,), NOW_S + 60)
    feed(made, disk, video(5), now_s=NOW_S + 60)
    assert [s.gap for s in rendition(made, "a0").segments] == [False, False, True, True]
    made, disk = again(tmp_path, "event")
    made.start(0, (VIDEO, FRENCH.with_(id=2), AUDIO.with_(id=3)), NOW_S + 120)
    sound = [audio(5, track=FRENCH.with_(id=2)), audio(5, track=AUDIO.with_(id=3))]
    feed(made, disk, mixed(video(5), *sound), now_s=NOW_S + 120)
    assert [r.id for r in made.presentation.renditions] == ["v0", "a0", "a1"]
    assert [s.gap for s in rendition(made, "a1").segments] == [True] * 4 + [False] * 2
    assert {s.number for s in rendition(made, "a1").segments} == {s.number for s in rendition(made, "v0").segments}
    disk.look()


def test_what_was_killed_between_two_operations(tmp_path: Path) -> None:
    """Whatever was the last file that came through, the next run uses no number that a manifest ever named."""
    whole = packager("live", window_s=8.0)
    whole.start(0, (VIDEO, AUDIO), NOW_S)
    operations = []
    for at in range(0, 20, 2):
        whole.push(0, mixed(video(2, start=at), audio(2, start=at)), NOW_S + at + 2)
        operations += whole.take()
    assert len(operations) > 50
    for stop in range(1, len(operations), 3):
        root = tmp_path / str(stop)
        root.mkdir()
        disk = Disk(root)
        source = packager("live")
        source.take = lambda stop=stop: operations[:stop]  # type: ignore[method-assign]
        disk.take(source)
        named = {line.path for p in look(root).playlists.values() for line in p.lines}
        if not (root / STATE_NAME).exists():
            assert not named
            continue
        made, disk = again(root, "live", window_s=8.0)
        made.start(0, (VIDEO, AUDIO), NOW_S + 100)
        feed(made, disk, mixed(video(5), audio(5)), now_s=NOW_S + 100)
        assert named.isdisjoint(disk.written("segment"))
        assert disk.look().playlists.keys() == {"v0", "a0"}


def test_writing_fails_and_what_is_complete_is_kept(tmp_path: Path) -> None:
    made, disk = packager(), Disk(tmp_path)
    made.start(0, (VIDEO, AUDIO), NOW_S)
    feed(made, disk, mixed(video(7), audio(7)))
    made.push(0, mixed(video(4, start=7), audio(4, start=7)), NOW_S)
    lost = {o.path for o in made.take() if isinstance(o, Write)}
    assert lost
    operations = made.rescue(lost, NOW_S)
    made.take = lambda: operations  # type: ignore[method-assign]
    disk.take(made)
    found = disk.look()
    assert found.ended
    assert found.segments("v0")
    assert lost.isdisjoint(line.path for line in found.segments("v0"))


def test_nothing_is_complete_and_nothing_is_written() -> None:
    made = packager()
    made.start(0, (VIDEO,), NOW_S)
    made.push(0, video(5), NOW_S)
    assert made.rescue({o.path for o in made.take()}, NOW_S) == []


# The state file.


@pytest.fixture
def document(tmp_path: Path) -> bytes:
    interrupted(tmp_path, seconds=12, window_s=6.0)
    return (tmp_path / STATE_NAME).read_bytes()


def test_the_state_comes_back_as_it_was(document: bytes) -> None:
    assert encode(decode(document)) == document


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["schema"], "other"),
        (["version"], 2),
        (["type"], "catchup"),
        (["container"], "mkv"),
        (["periods", 0, 0], -1),
        (["renditions", 0, "id"], "../v0"),
        (["renditions", 0, "tracks"], []),
        (["renditions", 0, "timescale"], 1.5),
        (["renditions", 0, "segments", 0, 0], "../../etc/passwd"),
        (["renditions", 0, "segments", 0, 7], "init-../x.mp4"),
        (["renditions", 0, "segments", 1, 1], 77),
        (["renditions", 1, "id"], "v0"),
        (["late", 0], [1.0, "../x/1.m4s"]),
        (["late", 0], [1.0, "v0/../../1.m4s"]),
        (["folders"], ["v0", "/tmp"]),
        (["availability_start_unix_s"], float("inf")),
        (["availability_start_unix_s"], 1e15),
        (["renditions", 0, "segments", 0, 6], 1e15),
        (["next_numbers"], {"zero": 1}),
    ],
)
def test_a_state_file_that_is_not_ours_is_refused(document: bytes, path: list[Any], value: Any) -> None:
    data = json.loads(document)
    at = data
    for key in path[:-1]:
        at = at[key]
    assert at[path[-1]] != value
    at[path[-1]] = value
    with pytest.raises(ParseError):
        decode(json.dumps(data).encode())


def test_a_state_file_without_end_is_refused() -> None:
    with pytest.raises(ParseError):
        decode(bytes(MAX_STATE + 1))
    with pytest.raises(ParseError):
        decode(b"[" * 100_000)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_broken_state_file_raises_one_error(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    document = _DOCUMENTS.setdefault("", b"")
    if not document:
        root = tmp_path_factory.mktemp("state")
        interrupted(root)
        document = _DOCUMENTS[""] = (root / STATE_NAME).read_bytes()
    start = data.draw(st.integers(0, len(document)))
    end = data.draw(st.integers(start, min(start + 40, len(document))))
    broken = document[:start] + data.draw(st.binary(max_size=8)) + document[end:]
    try:
        decode(broken)
    except ParseError:
        pass


_DOCUMENTS: dict[str, bytes] = {}


@pytest.mark.parametrize(
    ("name", "ours"),
    [("1.m4s", True), ("12.ts", True), ("init-3.mp4", True), ("playlist.m3u8", True), (".1.m4s.tmp", True),
     ("x.m4s", False), ("1.mp4", False), ("init-.mp4", False), ("notes.txt", False), (".hidden", False),
     ("1.m4s.bak", False), ("²1.m4s", False), ("", False)],
)  # fmt: skip
def test_which_files_are_ours(name: str, ours: bool) -> None:
    assert is_ours(name) is ours
