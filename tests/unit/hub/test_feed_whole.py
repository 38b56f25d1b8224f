"""Feeds under everything at once: new track lists, publishers and timed data, slow and short writes, every policy."""

import random
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from evotools.hub.feed import Feed
from evotools.hub.viewer import Slow, Start, Viewer, ViewerPolicy
from evotools.media.frame import Frame, Metadata, Tracks
from evotools.media.track import Track
from tests.unit.hub.make import INFO, VIDEO, Bench, TextMuxer, Wire, video

TOKEN = re.compile(r"\[[^\]]*\]|\{[^}]*\}|<[^>]*>|END|[^;]*;")


class NamingMuxer(TextMuxer):
    """Every frame names its configuration: `120a3K;`. Headers as `[v:a3]` and `{v:a3}`."""

    def write(self, frame: Frame) -> bytes:
        return b"%d%s%s;" % (frame.dts, frame.track.config, b"K" if frame.key else b"")

    def write_metadata(self, metadata: Metadata) -> bytes:
        return f"<{metadata.name}>".encode() if self.starts else b""


class ShortWrites:
    """A Broadcast whose sockets sometimes take a part, or nothing."""

    def __init__(self, rnd: random.Random) -> None:
        self.rnd = rnd
        self.viewers: dict[Viewer, None] = {}

    def add(self, viewer: Viewer) -> None:
        assert viewer not in self.viewers
        self.viewers[viewer] = None

    def discard(self, viewer: Viewer) -> None:
        self.viewers.pop(viewer, None)

    def write(self, data: bytes) -> list[tuple[Viewer, int]]:
        short = []
        for viewer in self.viewers:
            assert viewer.unsent() == 0
            sent = self.rnd.choice([len(data)] * 3 + [0, self.rnd.randrange(len(data) + 1)])
            viewer.info.writes.append(data[:sent])
            if sent < len(data):
                short.append((viewer, sent))
        self.rnd.shuffle(short)
        return short


def check(text: str) -> None:
    """One header at the front; each run begins at a key frame; configurations are told before their frames."""
    tokens = TOKEN.findall(text)
    assert "".join(tokens) == text
    assert text.startswith("[")
    assert text.count("[") == 1
    config, last = "", -1
    for token in tokens:
        if token[0] in "[{":
            config = token[3:-1]
        elif token[0] not in "<E":
            found = re.fullmatch(r"(\d+)(a\d+)(K?);", token)
            assert found is not None
            assert found[2] == config
            assert int(found[1]) > last
            assert found[3] or last >= 0
            last = int(found[1])


def open_wire(rnd: random.Random) -> Wire:
    wire = Wire()
    wire.stuck = rnd.choice([0, 0, 5])

    def write(data: bytes) -> None:
        wire.writes.append(data)
        if rnd.random() < 0.3:
            wire.stuck = len(data)

    wire.write = write  # type: ignore[method-assign]
    return wire


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**64), st.booleans())
def test_every_viewer_gets_what_can_be_decoded_and_is_let_go_at_the_end(seed: int, tight: bool) -> None:
    rnd = random.Random(seed)
    bench = Bench(tracks=(), ring_s=1.0, ring_bytes=600 if tight else 10**6)
    bench.stream._broadcast = lambda: ShortWrites(rnd)
    publication = bench.publication
    dts = group = epoch = 0
    feed: Feed | None = None
    everyone: list[tuple[Viewer, Wire]] = []

    def track() -> Track:
        return VIDEO.with_(config=b"a%d" % epoch)

    publication.push([Tracks((track(),))], 0.0)
    for _ in range(rnd.randrange(20, 250)):
        action, now = rnd.random(), dts / 1000
        if action < 0.45:
            group = 0 if rnd.random() < 0.15 else group + 1
            publication.push([video(dts, key=group == 0, track=track())], now)
            dts += 100
        elif action < 0.50:
            epoch, group = epoch + 1, -1
            publication.push([Tracks((track(),))], now)
        elif action < 0.53:
            publication.push([Metadata(rnd.choice(["onMetaData", "cue"]), 1, now)], now)
        elif action < 0.55:
            publication.close(now)
            publication, group = bench.hub.publish("live/a", INFO, now=now), -1
            publication.push([Tracks((track(),))], now)
        elif action < 0.67:
            feed = bench.stream.feed("naming", NamingMuxer, now=now)
            policy = ViewerPolicy(
                start=rnd.choice(list(Start)), slow=rnd.choice(list(Slow)), max_lag_s=rnd.choice([0.3, 1.0, 3.0]),
                back_s=rnd.choice([0.0, 1.0]), stall_s=1e9,
            )  # fmt: skip
            wire = open_wire(rnd)
            everyone.append((feed.join(wire.write, wire.unsent, now=now, policy=policy, info=wire,
                                       socket=rnd.choice([-1, 5, 5])), wire))  # fmt: skip
        elif action < 0.70 and everyone:
            rnd.choice(everyone)[0].leave()
        elif action < 0.80 and everyone:
            wire = rnd.choice(everyone)[1]
            wire.stuck = 0 if wire.stuck else 10
        elif feed is not None:
            rnd.choice([feed.flush, feed.flush, feed.retry])(now)
    bench.hub.end("live/a", dts / 1000)
    for _ in range(200):
        for _, wire in everyone:
            wire.stuck = 0
        for feed in {viewer.feed for viewer, _ in everyone} - {None}:
            assert feed is not None
            feed.retry(dts / 1000)
    for viewer, wire in everyone:
        assert viewer.feed is None
        assert viewer.bytes == len(wire.text)
        if wire.text:
            check(wire.text)
