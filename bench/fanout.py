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

from bench.peers import Case, Served
from bench.tools import compiled, cpu_s, rss_kb, sample, spread

CONNECTS_PER_S = 250
GOOD_RATE = (0.8, 1.3)
"""A viewer's bytes in the window, relative to the sample's, for a run to count."""
SAMPLE_S = 20


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
    first_byte_s: float
    rss_kb_per_viewer: float

    @property
    def ok(self) -> bool:
        """Whether every viewer got the stream."""
        want = sample().stat().st_size / SAMPLE_S
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


def measure(served: Served, viewers: int, warmup_s: float, window_s: float) -> Result:
    """Load a running server and measure it. Raises RuntimeError when the generator fails."""
    time.sleep(2.5)  # the publisher's first group of pictures
    empty_kb = rss_kb(served.pid)
    command = [compiled("load"), served.kind, str(served.port), served.path, str(viewers), str(CONNECTS_PER_S)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    assert process.stdin is not None
    try:
        _answer(process, 90 + viewers / CONNECTS_PER_S)
        time.sleep(warmup_s)
        process.stdin.write(b"begin\n")
        before, begun = cpu_s(served.pid), time.monotonic()
        time.sleep(window_s)
        used, span = cpu_s(served.pid) - before, time.monotonic() - begun
        full_kb = rss_kb(served.pid)
        process.stdin.write(b"end\n")
        got = json.loads(_answer(process, 10))
    finally:
        process.kill()
        process.wait()
    live = max(got["live"], 1)
    return Result(
        used / span / live * 1e6, got["cpu_s"] / got["span_s"] / live * 1e6, got["live"], got["dead"],
        got["rate_min"], got["rate_median"], got["worst_gap_s"], got["first_byte_median_s"],
        (full_kb - empty_kb) / live,
    )  # fmt: skip


def run(cases: Sequence[Case], viewers: Sequence[int], rounds: int, warmup_s: float, window_s: float) -> None:
    """Run everything and print figures and ratios."""
    results: dict[tuple[str, str, int], list[Result]] = {}
    rate = sample().stat().st_size / SAMPLE_S / 125e3
    print(
        f"fan-out: {rounds} interleaved rounds, {window_s:g} s windows, one {rate:.2f} Mbit/s stream with 68 frames/s, "
        "loopback, TCP_NODELAY on floor and evotools",
        flush=True,
    )
    for round_ in range(rounds):
        for count in viewers:
            for case in cases:
                try:
                    with case.start() as served:
                        result = measure(served, count, warmup_s, window_s)
                except RuntimeError as error:
                    print(f"  {case.name} {case.tick} N={count}: {error}", flush=True)
                    continue
                results.setdefault((case.name, case.tick, count), []).append(result)
                print(f"  round {round_ + 1} {case.name:14} {case.tick:>4} N={count:<5} {result.server_us:6.1f} µs"
                      f"  client {result.client_us:6.1f} µs  gap {result.worst_gap_s:.2f} s"
                      f"  first byte {result.first_byte_s * 1000:.0f} ms  {result.rss_kb_per_viewer:.0f} kB/viewer"
                      + ("" if result.ok else f"  NOT VALID: {result}"), flush=True)  # fmt: skip
    report(results, viewers)


def report(results: dict[tuple[str, str, int], list[Result]], viewers: Sequence[int]) -> None:
    """Tables of medians, and the ratios that docs/architecture.md asks for."""
    middle: dict[tuple[str, str, int], float] = {}
    print("\nCPU per viewer-second, µs: median (range); viewers per core; client's own µs")
    for key, runs in results.items():
        good = [r.server_us for r in runs if r.ok]
        if not good:
            print(f"  {key[0]:14} {key[1]:>4} N={key[2]:<5} no valid run of {len(runs)}")
            continue
        middle[key] = median(good)
        client = median(r.client_us for r in runs if r.ok)
        print(f"  {key[0]:14} {key[1]:>4} N={key[2]:<5} {spread(good):>18}  {1e6 / middle[key]:7.0f}"
              f"  client {client:.0f}  ({len(good)} of {len(runs)} runs)")  # fmt: skip
    print("\nratios")
    for (name, tick, count), value in middle.items():
        if name in ("floor", "nginx-rtmp"):
            continue
        floor = middle.get(("floor", "0" if tick == "auto" else tick, count))
        nginx = middle.get(("nginx-rtmp", "-", count))
        parts = []
        if floor:
            verdict = "" if tick == "auto" or count < 500 else _verdict(value / floor, 1.2)
            parts.append(f"{value / floor:.2f} × floor{' at 0' if tick == 'auto' else ''}{verdict}")
        if nginx:
            limit = {"40": 0.85, "100": 0.5}.get(tick)
            verdict = _verdict(value / nginx, limit) if limit and count >= 500 else ""
            parts.append(f"{value / nginx:.2f} × nginx-rtmp{verdict}")
        print(f"  {name:14} {tick:>4} N={count:<5} " + ", ".join(parts))


def _verdict(ratio: float, limit: float) -> str:
    return f" (≤ {limit}: {'held' if ratio <= limit else 'MISSED'})"
