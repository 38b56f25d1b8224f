"""The driver with a protocol made for the test, on real sockets."""

import asyncio
from collections import deque
from typing import Any

import pytest

from evotools.errors import ProtocolError
from evotools.transport import driver as module
from evotools.transport.driver import Driver, bound_port, listen


class Lines:
    """Lines are events; `echo X` is answered; `bad` breaks the rules; silence for `limit_s` too."""

    def __init__(self, now: float, limit_s: float | None = None) -> None:
        self.now = now
        self.limit_s = limit_s
        self.heard = now
        self.eof = False
        self._rest = b""
        self._events: deque[str] = deque()
        self._out = b""

    def receive(self, data: bytes | bytearray | memoryview, now: float) -> None:
        self.heard = now
        *lines, self._rest = (self._rest + bytes(data)).split(b"\n")
        for line in lines:
            text = line.decode()
            if text == "bad":
                self._out += b"go away\n"
                raise ProtocolError("bad line")
            if text.startswith("echo "):
                self._out += line[5:] + b"\n"
            self._events.append(text)

    def receive_eof(self, now: float) -> None:
        self.eof = True
        self._events.append("eof")

    def next_event(self) -> Any | None:
        return self._events.popleft() if self._events else None

    def data_to_send(self) -> bytes:
        out, self._out = self._out, b""
        return out

    def deadline(self) -> float | None:
        return None if self.limit_s is None else self.heard + self.limit_s

    def tick(self, now: float) -> None:
        raise ProtocolError("silent")


class Peer:
    """One accepted connection and what its owner saw."""

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.events: list[str] = []
        self.batches = 0
        self.lost: list[Exception | None] = []
        self.gone = asyncio.Event()
        self.driver: Driver

    def make(self) -> Driver:
        self.machine = Lines(asyncio.get_running_loop().time(), **self.options)
        self.driver = Driver(self.machine, self.on_event, self.on_lost, self.on_batch)
        return self.driver

    def on_event(self, event: str) -> None:
        self.events.append(event)
        if event == "raise":
            raise ValueError("a bug of the owner")
        if event == "close":
            self.driver.closing = True

    def on_batch(self) -> None:
        self.batches += 1

    def on_lost(self, error: Exception | None) -> None:
        self.lost.append(error)
        self.gone.set()


async def connect(peer: Peer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    server = await listen(peer.make, "127.0.0.1", 0)
    streams = await asyncio.open_connection("127.0.0.1", bound_port(server))
    server.close()
    return streams


async def test_events_in_order_answers_at_once_and_one_end() -> None:
    peer = Peer()
    reader, writer = await connect(peer)
    writer.write(b"one\necho two\nthr")
    assert await reader.readline() == b"two\n"
    writer.write(b"ee\n")
    writer.write_eof()
    assert await reader.read() == b""
    await peer.gone.wait()
    assert peer.events == ["one", "echo two", "three", "eof"]
    assert peer.machine.eof
    assert peer.lost == [None]
    assert peer.batches >= 2
    writer.close()


async def test_a_broken_rule_ends_the_connection_after_what_came_before_was_handled() -> None:
    peer = Peer()
    reader, writer = await connect(peer)
    writer.write(b"good\necho x\nbad\nnever\n")
    assert await reader.read() == b"x\ngo away\n"
    await peer.gone.wait()
    assert peer.events[:2] == ["good", "echo x"]
    assert [str(e) for e in peer.lost] == ["bad line"]
    writer.close()


async def test_a_bug_of_the_owner_ends_that_connection_only(caplog: pytest.LogCaptureFixture) -> None:
    peer = Peer()
    reader, writer = await connect(peer)
    writer.write(b"raise\n")
    assert await reader.read() == b""
    await peer.gone.wait()
    assert isinstance(peer.lost[0], ValueError)
    writer.close()


async def test_closing_from_inside_an_event_sends_what_is_queued() -> None:
    peer = Peer()
    reader, writer = await connect(peer)
    writer.write(b"echo last\nclose\n")
    assert await reader.read() == b"last\n"
    await peer.gone.wait()
    assert peer.lost == [None]
    writer.close()


async def test_the_deadline_moves_with_every_byte_and_ends_the_silent() -> None:
    peer = Peer(limit_s=0.15)
    reader, writer = await connect(peer)
    for _ in range(6):
        await asyncio.sleep(0.05)
        writer.write(b"alive\n")
    assert not peer.lost
    assert await reader.read() == b""
    assert [str(e) for e in peer.lost] == ["silent"]
    writer.close()


async def test_a_peer_that_does_not_read_cannot_keep_a_closed_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINGER_S", 0.05)
    peer = Peer()
    _, writer = await connect(peer)
    writer.write(b"x\n")
    while not peer.events:
        await asyncio.sleep(0.001)
    peer.driver.transport.write(bytes(50_000_000))
    peer.driver.close()
    async with asyncio.timeout(5):
        await peer.gone.wait()
    writer.close()


async def test_writable_follows_the_peer() -> None:
    peer = Peer()
    reader, writer = await connect(peer)
    writer.write(b"x\n")
    while not peer.events:
        await asyncio.sleep(0.001)
    assert peer.driver.writable.is_set()
    peer.driver.transport.write(bytes(20_000_000))
    assert not peer.driver.writable.is_set()
    await reader.readexactly(20_000_000)
    async with asyncio.timeout(5):
        await peer.driver.writable.wait()
    peer.driver.abort()
    await peer.gone.wait()
    assert peer.driver.writable.is_set(), "nobody waits for a connection that is gone"
    writer.close()


async def test_addresses_and_a_port_in_use() -> None:
    peer = Peer()
    _, writer = await connect(peer)
    writer.write(b"x\n")
    while not peer.events:
        await asyncio.sleep(0.001)
    assert peer.driver.addresses == ("127.0.0.1", "127.0.0.1")
    assert module._ip(("::ffff:10.1.2.3", 1, 0, 0)) == "10.1.2.3"
    assert module._ip(("fe80::1%eth0", 1, 0, 2)) == "fe80::1"
    assert module._ip("/run/socket") == ""
    server = await listen(peer.make, "127.0.0.1", 0)
    with pytest.raises(OSError):
        await listen(peer.make, "127.0.0.1", bound_port(server))
    server.close()
    writer.close()


async def test_every_address_where_the_system_has_no_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    from evotools.transport import tcp

    class NoIpv6:
        def __init__(self, *_: object) -> None:
            raise OSError(97, "Address family not supported by protocol")

    assert tcp.every_address("127.0.0.1") == "127.0.0.1"
    assert tcp.every_address("*") == tcp.every_address("")
    monkeypatch.setattr(tcp.socket, "socket", NoIpv6)
    assert tcp.every_address("") == "0.0.0.0"
