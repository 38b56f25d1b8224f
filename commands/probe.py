"""`evotools probe SOURCE`: inspect, judge or watch a stream; the report on standard output."""

from typing import Annotated, Any

import typer

from evotools.commands import options
from evotools.commands.globals import exit_codes

SUMMARY = "inspect, judge or watch a stream"
CHECKS = "Checks"
REPORT = "Report"
EPILOG = """Examples:

  evotools probe film.mp4

  evotools probe rtmp://origin/live/show --duration 10s --min-fps 24 --max-gop 2s --json | jq .checks

  evotools probe --nagios rtsp://cam1/main --expect video=h264,1920x1080@25

  evotools videogen --duration 10s | evotools probe - --expect audio=aac"""
EXIT_CODES = exit_codes(
    1, 4, 5, 6, 7, _3="a check failed (with --nagios 0, 1, 2 and 3 are what monitoring takes them for)"
)


def command(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="URI to inspect; - is standard input.")] = "-",
    input_format: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            envvar="EVOTOOLS_INPUT_FORMAT",
            metavar="FMT",
            help="Container of the source; default: by content.",
            rich_help_panel=options.INPUT,
        ),
    ] = "",
    track: options.Keep = None,
    drop: options.Drop = None,
    duration: options.Duration = "",
    timeout: options.Timeout = "",
    expect: Annotated[
        list[str] | None,
        typer.Option(
            "--expect",
            metavar="TRACK=CODEC[,WxH@FPS]",
            help="A track that must be there, such as video=h264,1280x720@30; CODEC none: must not. Repeat.",
            rich_help_panel=CHECKS,
        ),
    ] = None,
    min_fps: Annotated[
        float | None,
        typer.Option("--min-fps", metavar="N", help="Lowest frame rate of each video track.", rich_help_panel=CHECKS),
    ] = None,
    min_bitrate: Annotated[
        str,
        typer.Option(
            "--min-bitrate", metavar="R", help="Lowest bit rate of all tracks together.", rich_help_panel=CHECKS
        ),
    ] = "",
    max_gop: Annotated[
        str, typer.Option("--max-gop", metavar="D", help="Longest time between key frames.", rich_help_panel=CHECKS)
    ] = "",
    max_gap: Annotated[
        str,
        typer.Option(
            "--max-gap",
            metavar="D",
            help="Longest step between two frames of a track; live also the longest silence.",
            rich_help_panel=CHECKS,
        ),
    ] = "",
    max_skew: Annotated[
        str,
        typer.Option(
            "--max-skew",
            metavar="D",
            help="Largest distance of audio and video, at the start and while running.",
            rich_help_panel=CHECKS,
        ),
    ] = "",
    watch: Annotated[
        str,
        typer.Option("--watch", metavar="D", help="Print a line of figures every D.", rich_help_panel=REPORT),
    ] = "",
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            envvar="EVOTOOLS_JSON",
            help="The report as JSON; with --watch, a line each.",
            rich_help_panel=REPORT,
        ),
    ] = False,
    nagios: Annotated[
        bool,
        typer.Option(
            "--nagios",
            help="One line and exit codes for monitoring: 0 ok, 1 warning, 2 critical, 3 unknown.",
            rich_help_panel=REPORT,
        ),
    ] = False,
) -> Any:
    """Inspect a stream or a file; judge it by thresholds; watch it.

    stdout: the report.
    """
    from evotools.errors import UsageError
    from evotools.pipeline.probe import ProbeJob
    from evotools.probe.checks import Limits, parse_expectation
    from evotools.units import parse_rate

    if as_json and nagios:
        raise UsageError("--json and --nagios are two forms of one report", hint="choose one")
    watch_s = options.seconds(watch)
    if watch_s is not None and watch_s <= 0:
        raise UsageError("--watch needs a duration above zero")
    if watch_s is not None and nagios:
        raise UsageError("--nagios prints one line", hint="leave --watch out")
    return ProbeJob(
        source=source,
        source_format=input_format,
        keep=tuple(track or ()),
        drop=tuple(drop or ()),
        duration_s=options.seconds(duration),
        timeout_s=options.seconds(timeout),
        limits=Limits(
            expect=tuple(parse_expectation(e) for e in expect or ()),
            min_fps=min_fps,
            min_bitrate_bps=parse_rate(min_bitrate) if min_bitrate else None,
            max_gop_s=options.seconds(max_gop),
            max_gap_s=options.seconds(max_gap),
            max_skew_s=options.seconds(max_skew),
        ),
        watch_s=watch_s,
        style="json" if as_json else "nagios" if nagios else "text",
    )
