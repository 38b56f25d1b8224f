"""`python -m bench [--quick] [PART…]`: every benchmark behind a figure that the documentation quotes.

Parts: startup, mux, mp4, files, latency, fanout; planner only when named. Ratios are what counts; absolute figures
belong to the machine they were taken on.
"""

import argparse
import signal
import sys

from bench.tools import conditions, raise_file_limit

PARTS = ("startup", "mux", "mp4", "files", "latency", "fanout")


def main() -> None:
    """Run the chosen parts."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", help="startup, mux, mp4, files, latency, fanout (default: these); planner")
    parser.add_argument("--quick", action="store_true", help="one size, two rounds, short windows: minutes, rough")
    parser.add_argument("--viewers", default="", help="comma-separated numbers (default 100,500,1000,2000)")
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--window", type=float, default=0.0, help="seconds measured per run")
    parser.add_argument("--only", default="", help="cases whose name contains one of these, comma-separated")
    parser.add_argument("--tick", default="", help="only these flush intervals: 0,40,100,350,auto,-")
    options = parser.parse_args()
    parts = options.parts or list(PARTS)
    unknown = set(parts) - {*PARTS, "planner"}
    if unknown:
        parser.error(f"unknown parts: {', '.join(sorted(unknown))}")
    # Ending by a signal unwinds too, so that no server or publisher is left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    raise_file_limit()
    print(conditions(), flush=True)
    if "startup" in parts:
        from bench import startup

        startup.run(3 if options.quick else 5)
    if "mux" in parts:
        from bench import muxing

        muxing.run(3 if options.quick else 5)
    if "mp4" in parts:
        from bench import mp4_memory

        mp4_memory.run(3 if options.quick else 5)
    if "files" in parts:
        from bench import files as file_work

        file_work.run(options.rounds or (3 if options.quick else 5), [n for n in options.only.split(",") if n])
    if "latency" in parts:
        from bench import latency

        latency.run(options.quick)
    if "planner" in parts:
        from bench import planner

        planner.run(options.quick)
    if "fanout" in parts:
        from bench import fanout, peers

        default = "1000" if options.quick else "100,500,1000,2000"
        viewers = [int(n) for n in (options.viewers or default).split(",")]
        names = [name for name in options.only.split(",") if name]
        ticks = [tick for tick in options.tick.split(",") if tick]
        cases = [
            case
            for case in peers.all_cases()
            if (not names or any(name in f"{case.program} {case.name}" for name in names))
            and (not ticks or case.tick in ticks)
            and (names or not case.optional)
        ]
        fanout.run(cases, viewers, options.rounds or (2 if options.quick else 5), 2,
                   options.window or (5 if options.quick else 6))  # fmt: skip


if __name__ == "__main__":
    main()
