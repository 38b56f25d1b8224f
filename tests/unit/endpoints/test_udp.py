"""`udp://`: MPEG-TS in datagrams."""

import asyncio
import socket

import pytest

from evotools.endpoints.udp import UdpSource
from evotools.errors import UnreachableError, UsageError
from evotools.media.frame import Event
from evotools.transport.udp import UdpReceiver, is_multicast
from tests.commands.program import free_port
from tests.unit.endpoints.media import Clip, payloads, sink, source, write_all


async def exchange(clip: Clip, receive: str, send: str) -> list[Event]:
    """What a receiver gets until it has the clip."""
    opened = source(receive)
    await opened.open()
    events: list[Event] = []
    try:
        await write_all(sink(send), clip, parts=20)
        async with asyncio.timeout(10):
            # The last picture ends with the next one: it is still under way.
            while sum(map(len, payloads(events).values())) < len(clip.frames) - 2:
                events += await opened.read()
    finally:
        await opened.close()
    return events


@pytest.mark.parametrize(
    ("receive", "send"),
    [
        ("udp://127.0.0.1:{}", "udp://127.0.0.1:{}"),
        ("udp://:{}", "udp://127.0.0.1:{}"),
        ("udp://*:{}", "udp://localhost:{}?packet_size=188"),
        ("udp://:{}", "udp://[::1]:{}"),
        ("udp://[::]:{}", "udp://[::1]:{}?packet_size=8000"),
        ("udp://0.0.0.0:{}", "udp://127.0.0.1:{}?packet_size=65507&ttl=3"),
        ("udp://239.20.30.40:{}?iface=127.0.0.1", "udp://239.20.30.40:{}?iface=127.0.0.1"),
        ("udp://239.20.30.41:{}?iface=lo", "udp://239.20.30.41:{}?iface=lo&ttl=1"),
    ],
)
async def test_what_is_sent_arrives(clip: Clip, receive: str, send: str) -> None:
    port = free_port()
    got = payloads(await exchange(clip, receive.format(port), send.format(port)))
    for codec, sent in clip.payloads.items():
        assert got[codec] == sent[: len(got[codec])]


@pytest.mark.parametrize("group", ["ff01::4242", "ff02::4242", "ff05::4242"])
async def test_ipv6_groups_of_every_scope_can_be_joined(group: str) -> None:
    """The narrow ones need their interface in the address. (Loopback interfaces route no IPv6 multicast.)"""
    receiver = UdpReceiver()
    await receiver.open(group, 0, "udp", iface="lo")
    assert receiver.port
    receiver.close()


async def test_datagrams_are_whole_packets_of_the_asked_size(clip: Clip) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(5)
        await write_all(sink(f"udp://127.0.0.1:{sock.getsockname()[1]}?packet_size=1000"), clip)
        sock.setblocking(False)
        sizes = set()
        try:
            while True:
                sizes.add(len(sock.recv(65536)))
        except BlockingIOError:
            pass
    assert max(sizes) == 940
    assert all(size % 188 == 0 for size in sizes)


async def test_nobody_listening_is_no_error(clip: Clip) -> None:
    port = free_port()
    await write_all(sink(f"udp://127.0.0.1:{port}"), clip)


async def test_a_flood_that_nobody_reads_is_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evotools.transport.udp.MAX_QUEUED", 100_000)
    receiver = UdpReceiver()
    await receiver.open("127.0.0.1", 0, "udp")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _ in range(200):
            sock.sendto(bytes(1316), ("127.0.0.1", receiver.port))
            await asyncio.sleep(0)
        while receiver.dropped + len(receiver._queue) < 200:
            await asyncio.sleep(0.001)
    assert receiver.dropped > 100
    assert sum(map(len, await receiver.read())) <= 100_000 + 1316
    receiver.close()


async def test_errors_are_clear() -> None:
    with pytest.raises(UsageError, match="needs a port"):
        source("udp://127.0.0.1")
    with pytest.raises(UsageError, match="needs a host"):
        sink("udp://:5000")
    with pytest.raises(UsageError, match="packet_size is outside"):
        sink("udp://127.0.0.1:5000?packet_size=100")
    with pytest.raises(UnreachableError, match="cannot listen"):
        await source("udp://198.51.100.7:5000").open()
    with pytest.raises(UnreachableError, match="no interface"):
        await source("udp://239.1.1.1:5000?iface=nope0").open()
    flv = sink("udp://127.0.0.1:5000")
    flv.format = "flv"
    with pytest.raises(UsageError, match="MPEG-TS only"):
        await flv.open()
    assert isinstance(source("udp://:5000"), UdpSource)
    assert is_multicast("239.1.1.1")
    assert is_multicast("ff02::1")
    assert not is_multicast("localhost")
