"""Option declarations that several commands share, so that a flag means the same everywhere."""

from typing import Annotated, Literal

import typer

INPUT = "Input"
OUTPUT = "Output"
TIMING = "Timing"
RELIABILITY = "Reliability"


def parse_reconnect(text: str) -> int:
    """`forever` or a number of attempts. Raises typer.BadParameter."""
    from evotools.pipeline.route import FOREVER

    if text == "forever":
        return FOREVER
    if text.isascii() and text.isdigit() and len(text) < 10:
        return int(text)
    raise typer.BadParameter(f"'{text}' is neither a number nor 'forever'")


InputFormat = Annotated[
    str,
    typer.Option("--input-format", metavar="FMT", help="Container of the source; default: by content.",
                 rich_help_panel=INPUT),
]  # fmt: skip
Keep = Annotated[
    list[str] | None,
    typer.Option("--track", metavar="SEL", help="Keep only these tracks (video, audio:1, audio:lang=de, #3); repeat.",
                 rich_help_panel=INPUT),
]  # fmt: skip
Drop = Annotated[
    list[str] | None,
    typer.Option(
        "--drop", metavar="SEL", help="Leave these tracks out (as --track names them); repeat.", rich_help_panel=INPUT
    ),
]
Duration = Annotated[
    str, typer.Option("--duration", "-t", metavar="D", help="Stop after this much media.", rich_help_panel=TIMING)
]
Timeout = Annotated[
    str,
    typer.Option("--timeout", metavar="D",
                 help="Longest wait for media; 0 waits forever. Default: 10 s for peers that we connect to.",
                 rich_help_panel=TIMING),
]  # fmt: skip
Overflow = Annotated[
    str,
    typer.Option("--on-overflow", metavar="drop|wait|fail",
                 help="When a destination is slower than a live source: drop to the next key frame, wait, or fail.",
                 rich_help_panel=RELIABILITY),
]  # fmt: skip
Latency = Annotated[
    str,
    typer.Option(
        "--latency",
        metavar="normal|low",
        help="low sends every audio frame at once; normal groups some in MPEG-TS.",
        rich_help_panel=TIMING,
    ),
]
Force = Annotated[
    bool, typer.Option("--force", "-y", help="Overwrite files that exist.", rich_help_panel=OUTPUT)
]  # fmt: skip


def choice(value: str, allowed: tuple[str, ...], name: str) -> str:
    """`value` when it is allowed. Raises typer.BadParameter."""
    if value not in allowed:
        raise typer.BadParameter(f"'{value}' is not one of {', '.join(allowed)}", param_hint=f"'{name}'")
    return value


def parse_latency(value: str) -> Literal["normal", "low"]:
    """Raises typer.BadParameter."""
    return "low" if choice(value, ("normal", "low"), "--latency") == "low" else "normal"


def seconds(text: str) -> float | None:
    """A duration, or None for an empty text. Raises UsageError."""
    from evotools.units import parse_duration

    return parse_duration(text) if text else None
