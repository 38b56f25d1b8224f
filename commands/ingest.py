"""`evotools ingest SOURCE`: listen for or pull one live stream, media on standard output."""

from typing import Annotated, Any

import typer

from evotools.commands import options
from evotools.commands.globals import exit_codes
from evotools.commands.options import OUTPUT, RELIABILITY

SUMMARY = "listen for or pull one live stream; media on stdout"
EPILOG = """Examples:

  evotools ingest rtmp://:1935/live/show | tee show.ts | evotools relay twitch:

  evotools ingest srt://:9000 -o show.ts

  evotools ingest udp://239.1.1.1:5000 | ffplay -"""
EXIT_CODES = exit_codes(1, 4, 5, 6, 7)


def command(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="URI to read; an empty host waits for a publisher.")],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="OUT", help="Where the media goes.", rich_help_panel=OUTPUT)
    ] = "-",
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            envvar="EVOTOOLS_FORMAT",
            metavar="auto|ts|flv|mkv",
            help="Container of the output; auto: by the name of OUT, else MPEG-TS or Matroska.",
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
            help="Open a lost source again, this often in a row.",
            rich_help_panel=RELIABILITY,
        ),
    ] = "0",
    on_overflow: options.Overflow = "drop",
    latency: options.Latency = "normal",
    force: options.Force = False,
) -> Any:
    """Listen for or pull one live stream and write it to standard output.

    stdout: the media, MPEG-TS unless a track has no name in it (then Matroska).
    """
    from evotools.pipeline.job import RouteJob
    from evotools.pipeline.route import OutputSpec, RouteSpec

    return RouteJob(
        RouteSpec(
            source=source,
            source_format=input_format,
            outputs=(OutputSpec(output, "" if format_ == "auto" else format_),),
            keep=tuple(track or ()),
            drop=tuple(drop or ()),
            duration_s=options.seconds(duration),
            timeout_s=options.seconds(timeout),
            reconnect=options.parse_reconnect(reconnect),
            on_overflow=options.choice(on_overflow, ("drop", "wait", "fail"), "--on-overflow"),
            latency=options.parse_latency(latency),
            force=force,
        )
    )
