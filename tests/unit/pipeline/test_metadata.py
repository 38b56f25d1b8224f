"""Timed data on its way through routes: on the route's clock, in its place, and in the header of the output."""

from pathlib import Path

import pytest

from evotools.containers.flv.demux import FlvDemuxer
from evotools.containers.flv.mux import FlvMuxer
from evotools.endpoints import registry
from evotools.errors import PeerGone
from evotools.media.frame import Event, Frame, Metadata, Tracks
from evotools.pipeline.job import Runtime
from evotools.pipeline.route import OutputSpec, RouteSpec
from evotools.pipeline.run import run_route
from tests.unit.containers.flv import make
from tests.unit.pipeline.test_run import ListSink, ScriptSource

TRACKS = Tracks((make.VIDEO,))


def picture(time_ms: int, *, key: bool = True) -> Frame:
    return Frame(make.VIDEO, time_ms, time_ms, make.IDR, key=key, duration=40)


@pytest.fixture(autouse=True)
def _endpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    here = "tests.unit.pipeline.test_run"
    monkeypatch.setitem(registry.SCHEMES, "test", registry.Scheme("test", source=f"{here}:ScriptSource"))
    monkeypatch.setitem(registry.SCHEMES, "hub", registry.Scheme("hub", sink=f"{here}:ListSink"))
    monkeypatch.setattr("evotools.pipeline.supervise.FIRST_S", 0.001)
    ScriptSource.scripts, ScriptSource.live = [], False
    ListSink.taken, ListSink.opened, ListSink.finished, ListSink.behave, ListSink.gates = {}, {}, [], {}, {}


async def test_timed_data_moves_with_the_frames_when_the_source_begins_anew() -> None:
    cue = Metadata("onCuePoint", {"name": "a"}, 50.0)
    again: list[Event] = [TRACKS, cue, picture(50_000), Metadata("onCuePoint", {"name": "b"}, 50.04), picture(50_040)]
    ScriptSource.scripts = [[[TRACKS, picture(0), picture(40)], PeerGone("gone")], [again]]
    route = RouteSpec("test:", (OutputSpec("hub:a"),), reconnect=3)
    assert await run_route(route, Runtime()) == 0
    events = [e for e in ListSink.taken["a"] if not isinstance(e, Tracks)]
    late = [e for e in events if isinstance(e, Metadata)]
    first = next(e for e in events if isinstance(e, Frame) and e.dts not in (0, 40))
    assert [e.value["name"] for e in late] == ["a", "b"]
    # A frame that would not come behind the last one is moved by a tick.
    assert late[0].time_s == pytest.approx(first.dts_s, abs=0.002)
    assert late[1].time_s == pytest.approx(first.dts_s + 0.04, abs=0.002)
    assert first.dts_s < 10


async def test_a_file_has_the_publishers_words_in_its_first_tag_and_the_rest_in_place(tmp_path: Path) -> None:
    muxer = FlvMuxer()
    muxer.write_metadata(Metadata("onMetaData", {"title": "x", "encoder": "cam", "width": 1.0}))
    data = muxer.start([make.VIDEO]) + muxer.write(picture(0))
    data += muxer.write_metadata(Metadata("onCuePoint", {"name": "ad"}, 0.02)) + muxer.write(picture(40))
    (tmp_path / "in.flv").write_bytes(data)
    out = tmp_path / "out.flv"
    assert await run_route(RouteSpec(str(tmp_path / "in.flv"), (OutputSpec(str(out)),)), Runtime()) == 0
    demuxer = FlvDemuxer()
    events = demuxer.feed(out.read_bytes()) + demuxer.flush()
    named = [e.name if isinstance(e, Metadata) else e.dts for e in events if not isinstance(e, Tracks)]
    assert named == ["onMetaData", 0, "onCuePoint", 40]
    told = next(e.value for e in events if isinstance(e, Metadata))
    assert (told["title"], told["encoder"], told["width"]) == ("x", "cam", 320.0)
    assert out.read_bytes()[13] == 18


async def test_a_sink_without_a_header_gets_the_publishers_words_as_an_event() -> None:
    told = Metadata("onMetaData", {"title": "x"})
    ScriptSource.scripts = [[[TRACKS, told, picture(0)]]]
    assert await run_route(RouteSpec("test:", (OutputSpec("hub:a"),)), Runtime()) == 0
    assert [type(e) for e in ListSink.taken["a"]] == [Tracks, Metadata, Frame]
