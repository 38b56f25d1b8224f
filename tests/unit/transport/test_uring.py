"""Writing to many sockets at once: real sockets, and feeds on top of real connections."""

import asyncio
import ctypes
import errno
import socket
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
import uvloop

from evotools.hub.hub import Hub
from evotools.hub.viewer import Slow, Viewer, ViewerPolicy
from evotools.media.frame import Frame, Tracks
from evotools.transport import uring
from evotools.transport.tcp import direct_socket
from evotools.transport.uring import Group, Ring
from tests.unit.hub.make import INFO, VIDEO, TextMuxer, video


@pytest.fixture
def ring() -> Iterator[Ring]:
    try:
        found = Ring(4)
    except OSError as error:
        pytest.skip(f"this kernel gives no io_uring: {error}")
    yield found
    found.close()


def viewer(sock: socket.socket) -> Viewer:
    sock.setblocking(False)
    made = Viewer(cast(Any, None), sock.send, lambda: 0, ViewerPolicy(), None, None, 0.0, sock.fileno())
    return made


@pytest.fixture
def pairs() -> Iterator[Callable[[int], list[tuple[socket.socket, socket.socket]]]]:
    made: list[socket.socket] = []

    def make(count: int) -> list[tuple[socket.socket, socket.socket]]:
        found = [socket.socketpair() for _ in range(count)]
        made.extend(end for pair in found for end in pair)
        return found

    yield make
    for end in made:
        end.close()


@pytest.mark.parametrize("count", [1, 3, 4, 5, 11])
def test_everybody_gets_the_same_bytes_again_and_again(ring: Ring, pairs: Any, count: int) -> None:
    ends = pairs(count)
    group = Group(ring)
    for ours, _ in ends:
        group.add(viewer(ours))
    # More rounds than slots, so that the queues wrap.
    for number in range(9):
        data = b"%d:" % number + b"x" * number * 100
        assert group.write(data) == []
        assert [theirs.recv(65536) for _, theirs in ends] == [data] * count


def test_a_full_socket_and_a_closed_one_are_told_apart_from_the_rest(ring: Ring, pairs: Any) -> None:
    ends = pairs(3)
    viewers = [viewer(ours) for ours, _ in ends]
    group = Group(ring)
    for one in viewers:
        group.add(one)
    ends[0][0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    ends[1][1].close()
    data = b"y" * 200_000
    short = dict(group.write(data))
    assert short.pop(viewers[1]) == 0
    sent = short.pop(viewers[0])
    assert 0 < sent < len(data)
    took = len(data) - 0 if not short else short.pop(viewers[2])
    assert ends[0][1].recv(1 << 20, socket.MSG_DONTWAIT) == data[:sent]
    assert ends[2][1].recv(took, socket.MSG_WAITALL) == data[:took]
    # Nothing fits any more: nothing is taken, and nobody waits.
    while dict(group.write(data)).get(viewers[2]) != 0:
        pass


def test_those_who_leave_get_nothing(ring: Ring, pairs: Any) -> None:
    ends = pairs(4)
    viewers = [viewer(ours) for ours, _ in ends]
    group = Group(ring)
    for one in viewers:
        group.add(one)
    group.discard(viewers[0])
    group.discard(viewers[3])
    group.discard(viewers[3])
    assert len(group) == 2
    assert group.write(b"abc") == []
    assert [theirs.recv(9) for _, theirs in ends[1:3]] == [b"abc", b"abc"]
    for _, theirs in (ends[0], ends[3]):
        with pytest.raises(BlockingIOError):
            theirs.recv(9, socket.MSG_DONTWAIT)


def test_a_kernel_that_reports_failures_first_is_understood(ring: Ring, pairs: Any) -> None:
    # Linux 6.1 posts failed requests at once and the others when all are submitted.
    ends = pairs(4)
    viewers = [viewer(ours) for ours, _ in ends]
    group = Group(ring)
    for one in viewers:
        group.add(one)
    group.discard(viewers[1])
    ends[3][1].close()
    real = ring._syscall

    def enter(number: int, *arguments: Any) -> int:
        done: int = real(number, *arguments)
        at, words = ring._completions_at, ring._words
        slots = [(words[ring._head_at] + n) % ring._completions for n in range(3)]
        cells = sorted((words[at + 4 * s : at + 4 * s + 4].tolist() for s in slots), key=lambda c: c[2] < 1 << 31)
        for slot, cell in zip(slots, cells, strict=True):
            for n, word in enumerate(cell):
                words[at + 4 * slot + n] = word
        return done

    ring._syscall = enter
    for _ in range(3):
        assert group.write(b"abc") == [(viewers[3], 0)]
    assert [ends[place][1].recv(9) for place in (0, 2)] == [b"abcabcabc"] * 2


@pytest.mark.parametrize("taken", [0, 2])
def test_what_the_kernel_did_not_take_is_neither_lost_nor_sent_later(ring: Ring, pairs: Any, taken: int) -> None:
    ends = pairs(4)
    viewers = [viewer(ours) for ours, _ in ends]
    group, other = Group(ring), Group(ring)
    for one in viewers[:3]:
        group.add(one)
    other.add(viewers[3])
    real = ring._syscall

    def enter(number: int, fd: int, submitted: int, *rest: Any) -> int:
        # Too little memory for more requests.
        if not taken:
            ctypes.set_errno(errno.EAGAIN)
            return -1
        done: int = real(number, fd, taken, taken, *rest[1:])
        return done

    ring._syscall = enter
    if taken:
        assert dict(group.write(b"abc")) == {viewers[2]: 0}
    else:
        with pytest.raises(OSError):
            group.write(b"abc")
    ring._syscall = real
    assert other.write(b"later") == []
    assert [theirs.recv(99) for _, theirs in ends[:taken]] == [b"abc"] * taken
    assert ends[3][1].recv(99) == b"later"
    with pytest.raises(BlockingIOError):
        ends[2][1].recv(9, socket.MSG_DONTWAIT)


def test_a_kernel_without_it_gives_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(entries: int = 0) -> Ring:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(uring, "Ring", refuse)
    assert uring.open_ring() is None


class RawMuxer(TextMuxer):
    """Payloads as they are."""

    def write(self, frame: Frame) -> bytes:
        return frame.payload


class Connection(asyncio.Protocol):
    """A viewer of a feed on a real connection."""

    def __init__(self, hub: Hub, policy: ViewerPolicy) -> None:
        self.hub = hub
        self.policy = policy
        self.viewer: Viewer | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        out = cast(asyncio.Transport, transport)
        stream = self.hub.find("a")
        assert stream is not None
        feed = stream.feed("text", RawMuxer, now=self.hub.clock())
        self.viewer = feed.join(
            out.write, out.get_write_buffer_size, now=self.hub.clock(), policy=self.policy, socket=direct_socket(out)
        )

    def connection_lost(self, exc: Exception | None) -> None:
        if self.viewer is not None:
            self.viewer.leave()


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_slow_and_quick_connections_all_get_every_byte_in_order(ring: Ring, new_loop: Any) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        hub = Hub(loop.time)
        groups: list[Group] = []

        def make() -> Group:
            groups.append(Group(ring))
            return groups[-1]

        hub.broadcast = make
        publication = hub.publish("a", INFO)
        publication.push([Tracks((VIDEO,)), video(0, key=True)])
        policy = ViewerPolicy(slow=Slow.WAIT, max_lag_s=1e9, max_lag_bytes=1 << 40)
        server = await loop.create_server(lambda: Connection(hub, policy), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        clients = [await asyncio.open_connection("127.0.0.1", port, limit=1 << 26) for _ in range(9)]
        gone = clients.pop()[1]
        stream = publication.stream
        while stream.viewers < 9:
            await asyncio.sleep(0)
        feed = stream.feeds["text"]
        feed.flush(loop.time())
        # Three do not read for a while.
        for reader, _ in clients[:3]:
            reader._transport.pause_reading()  # type: ignore[attr-defined]
        log = feed.log
        for number in range(1, 60):
            publication.push([Frame(VIDEO, number * 40, number * 40, bytes([number]) * 50_000, duration=40)])
            feed.flush(loop.time())
            await asyncio.sleep(0)
            if number == 20:
                gone.transport.abort()
            if number == 40:
                for reader, _ in clients[:3]:
                    reader._transport.resume_reading()  # type: ignore[attr-defined]
        assert groups and len(groups[0]) >= 5
        total = log.bytes + len(log.epochs[0].join)
        want = await clients[-1][0].readexactly(total)
        deadline = loop.time() + 20
        for reader, _ in clients[:-1]:
            async with asyncio.timeout_at(deadline):
                got = asyncio.create_task(reader.readexactly(total))
                while not got.done():
                    feed.flush(loop.time())
                    await asyncio.sleep(0.001)
                assert got.result() == want
        assert stream.viewers == 8
        for _, writer in clients:
            writer.close()
        server.close()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
