"""A server of which a quarter of the viewers never reads (row 18 of the attack list)."""

import json
import subprocess
import time
from typing import Any

import pytest

from tests.conftest import REPO, need
from tests.load.encoder import Encoder
from tests.load.serving import Serving
from tests.load.watching import Watchers

NAME = "live/crowd"
STALL_S = 3
PIECE_KIB = 256
"""What one write may hand to a viewer that lags (hub.chunks.PIECE_BYTES): all that a dead peer can hold."""
IDLE_KIB = 64
"""docs/architecture.md section 8: memory per viewer."""


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The load generator of the benchmarks."""
    target = tmp_path_factory.mktemp("load") / "load"
    source = REPO / "bench" / "load.c"
    subprocess.run([need("cc"), "-O2", "-o", str(target), str(source)], check=True, timeout=60)
    return str(target)


def _until(server: Serving, wanted: int, timeout_s: float) -> tuple[dict[str, Any], int]:
    """Figures once so many viewers were let go, and the most memory seen meanwhile."""
    end, most = time.monotonic() + timeout_s, 0
    while True:
        figures = server.figures()
        most = max(most, figures["rss_kib"])
        stream = figures["streams"][NAME]
        if stream["stalled"] >= wanted:
            return figures, most
        assert time.monotonic() < end, f"{wanted} viewers never read, after {timeout_s} s: {figures}"
        time.sleep(0.2)


def _crowd(generator: str, viewers: int, lazy: int, rate_bps: int, kind: str, seconds: float) -> None:
    settings = (f"hub.stall={STALL_S}s", "hub.max_lag=1s", "hub.flush_interval=40ms")
    with Serving(*settings) as server:
        encoder = Encoder(server.rtmp, NAME, rate_bps=rate_bps)
        try:
            port, path = (server.rtmp, NAME) if kind == "rtmp" else (server.http, f"/{NAME}.flv")
            with Watchers(server, [(kind if kind == "rtmp" else "flv", NAME)] * 5) as watchers:
                empty_kib = server.figures()["rss_kib"]
                load = subprocess.Popen(
                    [generator, kind, str(port), path, str(viewers), "400", f"lazy={lazy / viewers}", "stall=1.5"],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
                )  # fmt: skip
                assert load.stdin is not None and load.stdout is not None
                try:
                    assert load.stdout.readline() == b"ramped %d\n" % viewers
                    before, begun = encoder.sent_bytes, time.monotonic()
                    load.stdin.write(b"begin\n")
                    figures, most_kib = _until(server, lazy, 60)
                    time.sleep(max(0.0, begun + seconds - time.monotonic()))
                    load.stdin.write(b"end\n")
                    got = json.loads(load.stdout.readline())
                    sent, span = encoder.sent_bytes - before, time.monotonic() - begun
                finally:
                    load.kill()
                    load.communicate()
                reports = watchers.end()
        finally:
            encoder.leave()
    stream = figures["streams"][NAME]
    # Every viewer that never read was let go by the policy and nobody else; what they missed is counted.
    assert stream["left"] == {"stalled": lazy}
    assert stream["stalled"] == lazy and not stream["failed"]
    assert stream["dropped"] >= lazy and stream["skips"] >= lazy
    # All others had every byte, in time: the rate of the publisher (FLV and RTMP add their headers), and no gap.
    assert got["live"] == viewers - lazy
    assert got["stalls"] == 0 and got["worst_gap_s"] < 1.5, got
    assert got["rate_min"] >= 0.95 * sent / span and got["rate_max"] <= 1.2 * sent / span, (got, sent / span)
    for report in reports:
        assert not report["closed"] and not report["back"] and report["ahead_s"] < 0.1, report
    # The publisher noticed nothing.
    assert encoder.error is None and encoder.worst_send_s < 1.0, encoder.worst_send_s
    # Memory is what the policies allow.
    assert most_kib - empty_kib <= viewers * IDLE_KIB + lazy * PIECE_KIB, (empty_kib, most_kib)


@pytest.mark.parametrize("kind", ["http", "rtmp"])
def test_viewers_that_never_read_are_let_go_and_cost_nobody_anything(generator: str, kind: str) -> None:
    _crowd(generator, 200, 50, 8_000_000, kind, 5)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["http", "rtmp"])
def test_2000_viewers_of_which_500_never_read(generator: str, kind: str) -> None:
    _crowd(generator, 2000, 500, 1_000_000, kind, 40)
