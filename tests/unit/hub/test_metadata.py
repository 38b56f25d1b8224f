"""Timed data keeps its place among frames, and what describes the stream reaches viewers to come."""

from collections.abc import Sequence

from evotools.hub.viewer import Start, ViewerPolicy
from evotools.media.frame import ON_METADATA, Metadata, Tracks
from evotools.media.track import Track
from tests.unit.hub.make import AUDIO, INFO, VIDEO, Bench, TextMuxer, Wire, audio, video


class DataMuxer(TextMuxer):
    """Writes `<name@seconds=value>`; what came before the header goes into it."""

    def __init__(self) -> None:
        super().__init__()
        self.described = ""

    def start(self, tracks: Sequence[Track]) -> bytes:
        return super().start(tracks) + self.described.encode()

    def write_metadata(self, metadata: Metadata) -> bytes:
        if not self.starts:
            self.described += str(metadata.value) if metadata.name == ON_METADATA else "+"
            return b""
        return f"<{metadata.name}@{metadata.time_s:g}={metadata.value}>".encode()


def join(bench: Bench, policy: ViewerPolicy | None = None) -> Wire:
    wire = Wire()
    feed = bench.stream.feed("data", DataMuxer, now=0.0)
    feed.join(wire.write, wire.unsent, now=0.0, policy=policy or ViewerPolicy())
    return wire


def flush(bench: Bench) -> None:
    for feed in bench.stream.feeds.values():
        feed.flush(0.0)


def test_cue_points_stay_between_the_frames_they_came_between() -> None:
    bench = Bench()
    early = join(bench)
    bench.publication.push([video(0, key=True)], 0.0)
    flush(bench)
    bench.publication.push([Metadata("onCuePoint", "a", 0.04), video(40)], 0.0)
    flush(bench)
    late = join(bench)
    assert early.text == "[v:one]v0K;<onCuePoint@0.04=a>v40;"
    assert late.text == early.text
    bench.publication.push([video(60, key=True)], 0.0)
    flush(bench)
    assert join(bench).text == "[v:one]+v60K;", "from the next entry point on headers announce a place for such data"
    changed = VIDEO.with_(config=b"two")
    bench.publication.push([Tracks((changed,)), video(80, key=True, track=changed)], 0.0)
    flush(bench)
    assert join(bench).text == "[v:two]+v80K;"


def test_the_description_is_in_every_header_and_only_once() -> None:
    bench = Bench(tracks=())
    first = join(bench)
    bench.publication.push([Metadata(ON_METADATA, "HDR"), Tracks((VIDEO,)), video(0, key=True)], 0.0)
    flush(bench)
    assert first.text == "[v:one]HDRv0K;"
    bench.publication.push([Metadata(ON_METADATA, "SDR", 0.04), video(40, key=True)], 0.0)
    flush(bench)
    assert first.text == "[v:one]HDRv0K;<onMetaData@0.04=SDR>v40K;"
    assert join(bench).text == "[v:one]SDRv40K;"
    bench.stream.feeds.clear()
    assert join(bench).text == "[v:one]SDRv40K;"


def test_a_description_behind_the_tracks_counts_before_the_first_frame() -> None:
    bench = Bench()
    wire = join(bench)
    bench.publication.push([Metadata(ON_METADATA, "HDR"), video(0, key=True)], 0.0)
    flush(bench)
    assert wire.text == "[v:one]HDRv0K;"


def test_the_next_publisher_describes_its_own_stream() -> None:
    bench = Bench()
    bench.publication.push([Metadata(ON_METADATA, "HDR"), video(0, key=True)], 0.0)
    join(bench)
    bench.publication.close(0.0)
    again = bench.hub.publish("live/a", INFO, now=1.0)
    again.push([Tracks((VIDEO.with_(config=b"two"),)), video(0, key=True)], 1.0)
    flush(bench)
    assert "HDR" not in join(bench, ViewerPolicy(start=Start.KEYFRAME)).text


def test_its_time_is_on_the_streams_clock() -> None:
    bench = Bench()
    wire = join(bench)
    bench.publication.push([video(0, key=True)], 0.0)
    bench.publication.close(0.0)
    again = bench.hub.publish("live/a", INFO, now=0.0)
    again.push([Tracks((VIDEO,)), video(900_000, key=True), Metadata("cue", 1, 900.0)], 0.0)
    flush(bench)
    assert "<cue@0.04=1>" in wire.text


def test_a_description_while_there_is_nothing_to_mux_costs_no_viewer() -> None:
    class Strict(DataMuxer):
        def start(self, tracks: Sequence[Track]) -> bytes:
            assert tracks
            return super().start(tracks)

    bench = Bench()
    wire = Wire()
    feed = bench.stream.feed("strict", Strict, [VIDEO.id], now=0.0)
    feed.join(wire.write, wire.unsent, now=0.0)
    bench.publication.push([video(0, key=True)], 0.0)
    bench.publication.push([Tracks((AUDIO,)), Metadata(ON_METADATA, "radio"), audio(100)], 0.0)
    flush(bench)
    assert len(feed) == 1
    bench.publication.push([Tracks((VIDEO,)), video(200, key=True)], 0.0)
    flush(bench)
    assert wire.text == "[v:one]v0K;<onMetaData@0=radio>{v:one}v200K;"
    late = Wire()
    feed.join(late.write, late.unsent, now=0.0)
    assert late.text == "[v:one]radiov200K;"


def test_large_messages_count_with_what_they_hold() -> None:
    bench = Bench(ring_bytes=1_000_000)
    loop: list[object] = ["x"]
    loop.append(loop)
    bench.publication.push([video(0, key=True), *[Metadata("m", {"text": "x" * 50_000, "in": loop})] * 10], 0.0)
    assert 500_000 < bench.stream._ring.size < 520_000
    bench.publication.push([Metadata("m", [[1.0] * 5_000])] * 10, 0.0)
    assert bench.stream._ring.size == 0, "a group that is too large is not kept"
