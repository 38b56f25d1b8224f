"""Client and server joined in memory: publish and play, with the bytes whole, one by one, and split at random."""

import random
from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest

from evotools.protocols.rtmp.chunk import CHUNK_STREAMS, type0_chunks
from evotools.protocols.rtmp.client import ClientConnection, ClientOptions
from evotools.protocols.rtmp.events import (
    Closed,
    Connect,
    MediaMessage,
    PlayRequest,
    PublishRequest,
    Ready,
    Refused,
    StreamEnded,
    Unpublish,
)
from evotools.protocols.rtmp.server import ServerConnection

Split = Callable[[bytes], Iterator[bytes]]


def whole(data: bytes) -> Iterator[bytes]:
    yield data


def bytewise(data: bytes) -> Iterator[bytes]:
    for at in range(len(data)):
        yield data[at : at + 1]


def random_splits(seed: int) -> Split:
    rng = random.Random(seed)

    def split(data: bytes) -> Iterator[bytes]:
        at = 0
        while at < len(data):
            size = rng.choice((1, 2, 11, 12, 127, 1460, 5000))
            yield data[at : at + size]
            at += size

    return split


SPLITS = [whole, bytewise, *map(random_splits, range(5))]


class Pair:
    """Carries bytes both ways until both ends are quiet; the server accepts everything but `refused`."""

    def __init__(self, mode: Literal["publish", "play"], split: Split, stream: str = "cam?k=v", **options: Any) -> None:
        rng = random.Random(1)
        self.server = ServerConnection(0.0, rng.randbytes)
        self.client = ClientConnection(
            "rtmp://h/live", "live", stream, mode, 0.0, rng.randbytes, ClientOptions(**options)
        )
        self.split = split
        self.at_server: list[Any] = []
        self.at_client: list[Any] = []
        self.extra = b""

    def run(self) -> None:
        while True:
            to_server = self.client.data_to_send()
            to_client = self.server.data_to_send() + self.extra
            self.extra = b""
            if not to_server and not to_client:
                return
            for part in self.split(to_server):
                self.server.receive(part, 0.0)
                self._answer()
            for part in self.split(to_client):
                self.client.receive(part, 0.0)
                while event := self.client.next_event():
                    self.at_client.append(event)

    def _answer(self) -> None:
        while event := self.server.next_event():
            self.at_server.append(event)
            if isinstance(event, Connect):
                self.server.accept_connect()
            elif isinstance(event, PublishRequest | PlayRequest):
                if "refused" in event.name:
                    self.server.reject("NetStream.Publish.BadName", f"{event.name} is taken.")
                elif isinstance(event, PublishRequest):
                    self.server.accept_publish()
                else:
                    self.server.accept_play()


def bodies() -> list[tuple[int, int, bytes]]:
    rng = random.Random(2)
    rows = [(9, i * 40, rng.randbytes(rng.choice((0, 1, 900, 9000)))) for i in range(10)]
    rows += [(8, i * 23, rng.randbytes(300)) for i in range(10)]
    rows.append((9, 0xFFFFFF + 5, rng.randbytes(130_000)))
    return rows


def media(events: list[Any]) -> list[tuple[int, int, bytes]]:
    return [(e.type, e.timestamp_ms, e.payload) for e in events if isinstance(e, MediaMessage)]


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("digest", [True, False])
def test_publish(split: Split, digest: bool) -> None:
    pair = Pair("publish", split, digest=digest)
    pair.run()
    assert [type(e) for e in pair.at_client] == [Ready]
    assert pair.at_server[1] == PublishRequest("live", "cam", {"k": "v"}, "live", 1)
    for kind, time, body in bodies():
        pair.client.send_media(kind, time, (body[:5], body[5:]))
    pair.run()
    assert media(pair.at_server) == bodies()
    pair.client.close()
    pair.run()
    assert pair.at_server[-1] == Unpublish()
    pair.server.receive_eof(0.0)
    assert isinstance(pair.server.next_event(), Closed)


@pytest.mark.parametrize("split", SPLITS)
def test_play(split: Split) -> None:
    pair = Pair("play", split)
    pair.run()
    assert pair.at_server[1] == PlayRequest("live", "cam", {"k": "v"}, -2000.0, -1000.0, True, 1)
    # The shared bytes of a feed: made once, without any connection.
    pair.extra = b"".join(type0_chunks(kind, 1, CHUNK_STREAMS[kind], time, (body,), pair.server.chunk_size)
                          for kind, time, body in bodies())  # fmt: skip
    pair.run()
    assert media(pair.at_client) == bodies()
    pair.server.finish_play()
    pair.run()
    assert isinstance(pair.at_client[-1], StreamEnded)


@pytest.mark.parametrize("split", SPLITS)
def test_refused(split: Split) -> None:
    pair = Pair("publish", split, "refused")
    pair.run()
    assert pair.at_client == [Refused("NetStream.Publish.BadName", "**** is taken.")]
