"""Live fan-out: CPU per viewer and second of a 2.15 Mbit/s stream, beside a C floor and nginx-rtmp.

Every case runs once per round, so that whatever the machine does meanwhile meets all of them; figures are medians
over the rounds, and verdicts are ratios of medians.
"""

import json
import select
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench.peers import CONNECTS_PER_S, Case, Served, commands
from bench.startup import INGEST_CORE, ingest
from bench.tools import compiled, cpu_s, rss_kb, sample, spread, writes

GOOD_RATE = (0.8, 1.3)
"""A viewer's bytes in the window, relative to the sample's, for a run to count."""
SAMPLE_S = 20
ONE_COUNT = 1000
"""Viewers of the cases that run at one number only."""
FLOOR_LIMIT = 1.2
NGINX_LIMITS = {"40": 0.85, "100": 0.5}
RSS_LIMIT_KIB = 64
VERDICTS_FROM = 500
"""Below it the fixed cost of reading the publisher shows, which the floor does not have."""

Key = tuple[str, str, int, int]
"""Name of the case, flush interval, viewers, kbit/s of the picture."""


@dataclass(frozen=True, slots=True)
class Result:
    """One run."""

    server_us: float
    """Server CPU per viewer and second."""
    client_us: float
    live: int
    dead: int
    rate_min: float
    rate_median: float
    worst_gap_s: float
    stalls: int
    first_byte_s: float
    rss_kib_per_viewer: float
    writes: float
    """Calls of write per viewer and second; 0 when the server uses others, which the kernel does not count."""
    kbps: int

    @property
    def ok(self) -> bool:
        """Whether every viewer got the stream."""
        want = stream_bps(self.kbps) / 8
        return not self.dead and self.rate_min >= GOOD_RATE[0] * want and self.rate_median <= GOOD_RATE[1] * want


def _answer(process: "subprocess.Popen[bytes]", timeout_s: float) -> str:
    """The next line of the load generator. Raises RuntimeError when there is none in time."""
    assert process.stdout is not None
    if not select.select([process.stdout], [], [], timeout_s)[0]:
        raise RuntimeError("the load generator gave no answer in time")
    line = process.stdout.readline().decode()
    if not line:
        raise RuntimeError(f"the load generator ended with {process.wait()}")
    return line


def load_command(served: Served, viewers: int, *more: str) -> list[str]:
    """The load generator on a running server."""
    words = [compiled("load"), served.kind, str(served.port), served.path, str(viewers), str(CONNECTS_PER_S), *more]
    return [*words, "tls"] if served.secure else words


def stream_bps(kbps: int) -> float:
    """Of the whole sample whose picture has so many kbit/s."""
    return sample(kbps).stat().st_size * 8 / SAMPLE_S


def measure(
    served: Served, viewers: int, warmup_s: float, window_s: float, empty_kb: int = 0, kbps: int = 2000
) -> Result:
    """Load a running server and measure it. Raises RuntimeError when the generator fails.

    `empty_kb` is the server's memory before its first viewer, when it is not now.
    """
    empty_kb = empty_kb or rss_kb(served.pid)
    process = subprocess.Popen(load_command(served, viewers), stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    assert process.stdin is not None
    try:
        _answer(process, 90 + viewers / CONNECTS_PER_S)
        time.sleep(warmup_s)
        process.stdin.write(b"begin\n")
        before, written, begun = cpu_s(served.pid), writes(served.pid), time.monotonic()
        time.sleep(window_s)
        used, span = cpu_s(served.pid) - before, time.monotonic() - begun
        written = writes(served.pid) - written
        full_kb = rss_kb(served.pid)
        process.stdin.write(b"end\n")
        got = json.loads(_answer(process, 10))
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
    live = max(got["live"], 1)
    return Result(
        used / span / live * 1e6, got["cpu_s"] / got["span_s"] / live * 1e6, got["live"], got["dead"],
        got["rate_min"], got["rate_median"], got["worst_gap_s"], got["stalls"], got["first_byte_median_s"],
        (full_kb - empty_kb) / live, written / span / live, kbps,
    )  # fmt: skip


def run(cases: Sequence[Case], viewers: Sequence[int], rounds: int, warmup_s: float, window_s: float) -> None:
    """Run everything and print figures and ratios."""
    results: dict[Key, list[Result]] = {}
    rate = stream_bps(2000) / 1e6
    print(
        f"\nfan-out: {rounds} interleaved rounds, {window_s:g} s windows; one {rate:.2f} Mbit/s stream (where no other "
        "rate is named), H.264 720p25 and AAC, 68 frames/s;\n  one server process, one load generator, not pinned; "
        "TCP_NODELAY on floor and evotools; a gap over 1 s is a stall",
        *commands(), sep="\n  ", flush=True,
    )  # fmt: skip
    shares = []
    for round_ in range(rounds):
        if any(case.program for case in cases):
            idle, busy = ingest(5)
            shares.append(busy - idle)
        for case in cases:
            counts = viewers if case.everywhere or len(viewers) == 1 else [n for n in viewers if n == ONE_COUNT]
            try:
                with case.start() as served:
                    time.sleep(2.5)  # the publisher's first group of pictures
                    empty_kb = rss_kb(served.pid)
                    for count in counts:
                        result = measure(served, count, warmup_s, window_s, empty_kb, case.kbps)
                        results.setdefault((case.name, case.tick, count, case.kbps), []).append(result)
                        print(_line(round_, case, count, result), flush=True)
            except RuntimeError as error:
                print(f"  {case.name} {case.tick}: {error}", flush=True)
    report(results, rounds)
    if shares:
        share = median(shares)
        print(f"one RTMP publisher without viewers: {share:.2%} of a core (≤ {INGEST_CORE:.0%}: "
              f"{'held' if share <= INGEST_CORE else 'MISSED'})", flush=True)  # fmt: skip


def _line(round_: int, case: Case, count: int, result: Result) -> str:
    return (
        f"  round {round_ + 1} {case.name:11} {case.tick:>4} {case.kbps} kbit/s N={count:<5} {result.server_us:6.1f} µs"
        f"  client {result.client_us:6.1f} µs  gap {result.worst_gap_s:.2f} s  {result.stalls} stalls"
        f"  first byte {result.first_byte_s * 1000:.0f} ms  {result.rss_kib_per_viewer:.0f} KiB/viewer"
        f"  {result.writes:.1f} writes" + ("" if result.ok else f"  NOT VALID: {result}")
    )


def report(results: dict[Key, list[Result]], rounds: int) -> None:
    """A table of medians with ratios and verdicts against what docs/architecture.md section 8 asks."""
    good = {key: [r for r in runs if r.ok] for key, runs in results.items()}
    middle = {key: median(r.server_us for r in runs) for key, runs in good.items() if runs}
    print("\nµs of CPU per viewer-second: median (range); × floor and × nginx-rtmp are ratios of medians\n"
          f"{'':11} {'tick':>4} {'Mbit/s':>6} {'viewers':>7}  {'µs':^15} {'per core':>8} {'Gbit/s':>6} "
          f"{'of a core':>9} {'client':>6} "
          f"{'KiB':>4} {'stalls':>6}  {'× floor':<16} {'× nginx-rtmp'}")  # fmt: skip
    missed = []
    names = [*dict.fromkeys(key[0] for key in results)]
    for key in sorted(good, key=lambda k: (k[3] != 2000, k[3], k[2], names.index(k[0]), k[1].zfill(4))):
        name, tick, count, kbps = key
        mbps = stream_bps(kbps) / 1e6
        runs = good[key]
        if not runs:
            print(f"{name:11} {tick:>4} {mbps:6.2f} {count:7}  no valid run of {len(results[key])}")
            missed.append(f"{name} {tick} N={count}: no valid run")
            continue
        value = middle[key]
        judged = name not in ("floor", "nginx-rtmp", "hub alone") and count >= VERDICTS_FROM and kbps == 2000
        plain = judged and not name.startswith(("HTTPS", "RTMPS", "WSS"))
        floor = middle.get(("floor", "0" if tick == "auto" else tick, count, kbps))
        nginx = middle.get(("nginx-rtmp", "-", count, kbps))
        cells = ["", ""]
        if floor and name != "floor":
            bar = FLOOR_LIMIT if plain and tick != "auto" else None
            cells[0] = _ratio(value / floor, bar) + (" of 0" if tick == "auto" else "")
        if nginx and name not in ("nginx-rtmp", "floor"):
            cells[1] = _ratio(value / nginx, NGINX_LIMITS.get(tick) if plain else None)
        rss = median(r.rss_kib_per_viewer for r in runs)
        heavy = judged and rss > RSS_LIMIT_KIB
        missed += [f"{name} {tick} N={count}: {cell}" for cell in cells if "MISSED" in cell]
        missed += [f"{name} {tick} N={count}: {rss:.0f} KiB a viewer > {RSS_LIMIT_KIB}"] if heavy else []
        print(f"{name:11} {tick:>4} {mbps:6.2f} {count:7}  {spread([r.server_us for r in runs]):^15} "
              f"{1e6 / value:8.0f} {1e3 / value * mbps:6.1f} {value * count / 1e6:9.1%} "
              f"{median(r.client_us for r in runs):6.0f} {rss:4.0f} "
              f"{sum(r.stalls for r in runs):6}  {cells[0]:<16} {cells[1]}"
              + (f"  ({len(runs)} of {rounds} runs)" if len(runs) < rounds else ""))  # fmt: skip
    print("goals missed:" if missed else "every goal held", *missed, sep="\n  ")


def _ratio(value: float, limit: float | None) -> str:
    return f"{value:.2f}" + ("" if limit is None else f" ≤ {limit}" if value <= limit else f" MISSED {limit}")
