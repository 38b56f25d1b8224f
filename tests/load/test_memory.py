"""What a server keeps of streams and viewers that are gone: nothing."""

import json
import socket
import struct
import subprocess
import sys
import time

import pytest

from tests.commands.program import ENVIRONMENT
from tests.load.encoder import AUDIO_HEADER, VIDEO_HEADER, Encoder
from tests.load.serving import REPO, Serving

GROWN_KIB = 6 * 1024
"""What heaps grow by themselves between two equal amounts of work, with room; a leak of 4 kB per stream or viewer
shows."""

_PUBLISH = """
import json, os, socket, sys, time
from evotools.protocols.rtmp.client import ClientConnection
from evotools.protocols.rtmp.states import Client
port, first, count = map(int, sys.argv[1:4])
headers = [bytes.fromhex(text) for text in json.loads(sys.argv[4])]
for number in range(first, first + count):
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        client = ClientConnection(f"rtmp://127.0.0.1:{port}/many", "many", f"name{number}", "publish",
                                  time.monotonic(), os.urandom)
        while client.state is not Client.PUBLISHING:
            sock.sendall(client.data_to_send())
            client.receive(sock.recv(65536), time.monotonic())
            while client.next_event() is not None:
                pass
        client.send_media(9, 0, (headers[0],))
        client.send_media(8, 0, (headers[1],))
        for at in range(0, 200, 40):
            client.send_media(9, at, (bytes((0x17, 1, 0, 0, 0, 0, 0, 4, 0)), bytes((0x65,)) + os.urandom(2048)))
        sock.sendall(client.data_to_send())
"""
"""Publishes so many names one after the other, each with a few frames."""


def _publish_many(server: Serving, first: int, count: int) -> None:
    headers = json.dumps([VIDEO_HEADER.hex(), AUDIO_HEADER.hex()])
    subprocess.run([sys.executable, "-c", _PUBLISH, str(server.rtmp), str(first), str(count), headers],
                   env=ENVIRONMENT, cwd=REPO, check=True, timeout=300)  # fmt: skip


def _settle(server: Serving, streams: int) -> int:
    """Memory once only so many streams are left."""
    end = time.monotonic() + 30
    while True:
        figures = server.figures()
        if len(figures["streams"]) <= streams:
            return int(figures["rss_kib"])
        assert time.monotonic() < end, f"{len(figures['streams'])} streams stay"
        time.sleep(0.2)


def _visit(server: Serving, times: int, name: str) -> None:
    """Viewers that come, take a little and go, some politely and some with a reset."""
    hard = struct.pack("ii", 1, 0)
    for number in range(times):
        socks = []
        for suffix in ("flv", "ts"):
            sock = socket.create_connection(("127.0.0.1", server.http), 10)
            sock.sendall(f"GET /{name}.{suffix} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            socks.append(sock)
        for sock in socks:
            assert sock.recv(64).startswith(b"HTTP/1.1 200")
            if number % 3 == 0:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, hard)
            sock.close()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_streams_that_are_gone_leave_no_memory() -> None:
    with Serving("hub.grace=0.2s") as server:
        # The first rounds fill pools and caches.
        _publish_many(server, 0, 1500)
        before = _settle(server, 0)
        _publish_many(server, 1500, 3000)
        after = _settle(server, 0)
    assert after - before <= GROWN_KIB, (before, after)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_viewers_that_are_gone_leave_no_memory() -> None:
    with Serving() as server:
        encoder = Encoder(server.rtmp, "live/visited")
        try:
            time.sleep(1.5)
            _visit(server, 800, encoder.name)
            before = server.figures()
            _visit(server, 2000, encoder.name)
            after = server.figures()
        finally:
            encoder.leave()
    assert encoder.error is None
    assert after["rss_kib"] - before["rss_kib"] <= GROWN_KIB, (before, after)
    assert after["sockets"] <= before["sockets"] + 4, (before, after)
    assert after["streams"]["live/visited"]["viewers"] <= 4, after
