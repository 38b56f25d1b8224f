"""`evotools relay DEST…`: send one stream to one or many destinations."""

from typing import Annotated, Any

import typer

from evotools.commands import options
from evotools.commands.globals import exit_codes
from evotools.commands.options import INPUT, OUTPUT, RELIABILITY, TIMING

SUMMARY = "send a stream to one or many destinations, each with its own reconnect"
EPILOG = """Examples:

  evotools relay -i film.mp4 rtmp://localhost/live/film

  evotools videogen --duration 10s | evotools relay out.ts udp://127.0.0.1:5000

  evotools relay -i rtmp://:1935/live/show 'rtmp://live.example/app/{env:KEY}' show.flv"""
EXIT_CODES = exit_codes(
    1, 4, 5, 6, 7, _3="a destination was given up while others went on, or lost more than --max-loss"
)


def command(
    destinations: Annotated[list[str], typer.Argument(metavar="DEST…", help="URIs or files to send to.")],
    input_: Annotated[
        str,
        typer.Option(
            "--input", "-i", envvar="EVOTOOLS_INPUT", metavar="IN", help="URI or file to send.", rich_help_panel=INPUT
        ),
    ] = "-",
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            envvar="EVOTOOLS_FORMAT",
            metavar="FMT",
            help="Container of destinations whose name does not tell it.",
            rich_help_panel=OUTPUT,
        ),
    ] = "auto",
    input_format: options.InputFormat = "",
    track: options.Keep = None,
    drop: options.Drop = None,
    duration: options.Duration = "",
    timeout: options.Timeout = "",
    reconnect: Annotated[
        str,
        typer.Option(
            "--reconnect",
            metavar="N|forever",
            help="Open a lost destination again, this often in a row.",
            rich_help_panel=RELIABILITY,
        ),
    ] = "forever",
    reconnect_input: Annotated[
        str,
        typer.Option(
            "--reconnect-input",
            metavar="N|forever",
            help="Open a lost input again, this often in a row.",
            rich_help_panel=RELIABILITY,
        ),
    ] = "0",
    pace: Annotated[
        bool,
        typer.Option(
            "--pace/--no-pace", help="Send stored media to live peers at its own speed.", rich_help_panel=TIMING
        ),
    ] = True,
    on_overflow: options.Overflow = "drop",
    latency: options.Latency = "normal",
    fail_fast: Annotated[
        bool,
        typer.Option("--fail-fast", help="Stop when the first destination is given up.", rich_help_panel=RELIABILITY),
    ] = False,
    max_loss: Annotated[
        float | None,
        typer.Option(
            "--max-loss",
            metavar="PCT",
            min=0,
            max=100,
            rich_help_panel=RELIABILITY,
            help="Exit 3 when a destination lost more of its frames than this.",
        ),
    ] = None,
    force: options.Force = False,
) -> Any:
    """Send one stream to one or many destinations; one that fails never stops another.

    stdout: nothing, unless - is a destination.
    """
    from evotools.pipeline.job import RouteJob
    from evotools.pipeline.route import OutputSpec, RouteSpec

    named = "" if format_ == "auto" else format_
    return RouteJob(
        RouteSpec(
            source=input_,
            source_format=input_format,
            outputs=tuple(OutputSpec(d, named) for d in destinations),
            keep=tuple(track or ()),
            drop=tuple(drop or ()),
            duration_s=options.seconds(duration),
            timeout_s=options.seconds(timeout),
            reconnect=options.parse_reconnect(reconnect_input),
            output_reconnect=options.parse_reconnect(reconnect),
            on_overflow=options.choice(on_overflow, ("drop", "wait", "fail"), "--on-overflow"),
            latency=options.parse_latency(latency),
            pace=pace,
            fail_fast=fail_fast,
            max_loss_pct=max_loss,
            force=force,
        )
    )
