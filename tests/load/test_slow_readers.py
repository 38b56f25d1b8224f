"""A server of which a quarter of the viewers never reads (row 18 of the attack list)."""

import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tests.conftest import REPO, need
from tests.load.encoder import Encoder
from tests.load.serving import Serving
from tests.load.watching import Watchers

NAME = "live/crowd"
STALL_S = 2
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


@contextmanager
def _load(generator: str, server: Serving, kind: str, viewers: int, lazy: float) -> Iterator["subprocess.Popen[bytes]"]:
    """The load generator with viewers of one kind."""
    port, path = (server.rtmp, NAME) if kind == "rtmp" else (server.http, f"/{NAME}.flv")
    load = subprocess.Popen(
        [generator, kind, str(port), path, str(viewers), "400", f"lazy={lazy}", "stall=1.5"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
    )  # fmt: skip
    try:
        yield load
    finally:
        load.kill()
        load.communicate()


def _tell(loads: Sequence["subprocess.Popen[bytes]"], line: bytes) -> None:
    for load in loads:
        assert load.stdin is not None
        load.stdin.write(line)


def _crowd(generator: str, viewers: int, lazy: int, rate_bps: int, kinds: Sequence[str], seconds: float) -> None:
    """So many viewers of all kinds together, who watch at the same time."""
    settings = (f"hub.stall={STALL_S}s", "hub.max_lag=1s", "hub.flush_interval=40ms")
    share = viewers // len(kinds)
    with Serving(*settings) as server, ExitStack() as loads:
        encoder = Encoder(server.rtmp, NAME, rate_bps=rate_bps)
        try:
            watched = [(kind if kind == "rtmp" else "flv", NAME) for kind in kinds] * (6 // len(kinds))
            with Watchers(server, watched) as watchers:
                empty_kib = server.figures()["rss_kib"]
                running = [loads.enter_context(_load(generator, server, kind, share, lazy / viewers)) for kind in kinds]
                for load in running:
                    assert load.stdout is not None and load.stdout.readline() == b"ramped %d\n" % share
                before, begun = encoder.sent_bytes, time.monotonic()
                _tell(running, b"begin\n")
                figures, most_kib = _until(server, lazy, 60)
                time.sleep(max(0.0, begun + seconds - time.monotonic()))
                _tell(running, b"end\n")
                all_got = [json.loads(load.stdout.readline()) for load in running if load.stdout is not None]
                sent, span = encoder.sent_bytes - before, time.monotonic() - begun
                reports = watchers.end()
        finally:
            encoder.leave()
    stream = figures["streams"][NAME]
    # Every viewer that never read was let go by the policy and nobody else; what they missed is counted.
    assert stream["left"] == {"stalled": lazy}
    assert stream["stalled"] == lazy and not stream["failed"]
    assert stream["dropped"] >= lazy and stream["skips"] >= lazy
    # All others had every byte, in time: the rate of the publisher (FLV and RTMP add their headers), and no gap.
    assert sum(got["live"] for got in all_got) == viewers - lazy
    for got in all_got:
        assert got["stalls"] == 0 and got["worst_gap_s"] < 1.5, got
        assert got["rate_min"] >= 0.95 * sent / span and got["rate_max"] <= 1.2 * sent / span, (got, sent / span)
    for report in reports:
        assert not report["closed"] and not report["back"] and report["ahead_s"] < 0.1, report
    # The publisher noticed nothing.
    assert encoder.error is None and encoder.worst_send_s < 1.0, encoder.worst_send_s
    # Memory is what the policies allow.
    assert most_kib - empty_kib <= viewers * IDLE_KIB + lazy * PIECE_KIB, (empty_kib, most_kib)


def test_viewers_that_never_read_are_let_go_and_cost_nobody_anything(generator: str) -> None:
    _crowd(generator, 200, 50, 8_000_000, ("http", "rtmp"), 4)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["http", "rtmp"])
def test_2000_viewers_of_which_500_never_read(generator: str, kind: str) -> None:
    _crowd(generator, 2000, 500, 1_000_000, (kind,), 40)
