"""`evotools segment PATTERN`: record a stream in files, cut at key frames."""

from typing import Annotated, Any

import typer

from evotools.commands import options
from evotools.commands.globals import exit_codes
from evotools.commands.options import INPUT, OUTPUT, RELIABILITY, TIMING

SUMMARY = "record a stream in files, cut by time, clock, size or key frame"
EPILOG = """Examples:

  evotools segment -i rtsp://cam/main --every 5m 'cam-%Y%m%d-%H%M%S.mp4' | while read -r f; do upload "$f"; done

  evotools segment -i film.mp4 --time 10m part-%03d.mp4

  evotools ingest rtmp://:1935/live/show | evotools segment --every 1h --keep 7d --keep 500GB 'rec/%Y-%m-%d/%H%M.ts'

  evotools segment -i film.ts --size 100MB --list parts.ffconcat part-%03d.ts"""
EXIT_CODES = exit_codes(
    4, 5, 6, 7, _1="failed at run time: a full disk, a lost input; finished files stay, the last one is playable",
    _4="could not reach the input, or not create files in the folder",
)  # fmt: skip


def command(
    pattern: Annotated[
        str,
        typer.Argument(
            metavar="PATTERN",
            help="Names of the files: %03d is a counter, %Y %m %d %H %M %S and others of strftime are the local time "
            "at which a file begins, %s Unix time, %% a percent sign; %d alone counts, too. The suffix tells the "
            "format; folders are created.",
        ),
    ],
    input_: Annotated[
        str,
        typer.Option(
            "--input", "-i", envvar="EVOTOOLS_INPUT", metavar="IN", help="What to record.", rich_help_panel=INPUT
        ),
    ] = "-",
    every: Annotated[
        str,
        typer.Option(
            "--every",
            metavar="D",
            rich_help_panel=TIMING,
            help="Begin a file at every multiple of D on the clock: 5m is :00 :05 :10, 1d is midnight. What is read "
            "faster than it plays, such as a file, is cut like with --time.",
        ),
    ] = "",
    time_: Annotated[
        str,
        typer.Option(
            "--time",
            metavar="D",
            rich_help_panel=TIMING,
            help="Begin a file after each D of media, counted from the first file.",
        ),
    ] = "",
    size: Annotated[
        str,
        typer.Option(
            "--size",
            envvar="EVOTOOLS_SEGMENT_SIZE",
            metavar="SIZE",
            rich_help_panel=TIMING,
            help="Begin a file before the current one grows beyond SIZE (100MB, 4GiB).",
        ),
    ] = "",
    key: Annotated[
        bool, typer.Option("--key", help="Begin a file at every key frame.", rich_help_panel=TIMING)
    ] = False,
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            envvar="EVOTOOLS_FORMAT",
            metavar="ts|fmp4|mp4|mkv|webm|flv",
            rich_help_panel=OUTPUT,
            help="Format of the files. Default: by the suffix; .mp4 is an ordinary MP4 file once it is finished, "
            "fmp4 stays fragmented.",
        ),
    ] = "",
    keep: Annotated[
        list[str] | None,
        typer.Option(
            "--keep",
            metavar="N|D|SIZE",
            rich_help_panel=OUTPUT,
            help="Delete the oldest finished files beyond a number (10), an age (7d) or a size (10GB), those of "
            "earlier runs of PATTERN too; repeat for several limits.",
        ),
    ] = None,
    list_: Annotated[
        str,
        typer.Option(
            "--list",
            metavar="FILE",
            rich_help_panel=OUTPUT,
            help="Name the finished files in FILE: .m3u8 for players (HLS of ts and fmp4), .csv with begin and end, "
            ".ffconcat for ffmpeg.",
        ),
    ] = "",
    list_format: Annotated[
        str,
        typer.Option(
            "--list-format",
            metavar="m3u8|csv|ffconcat",
            rich_help_panel=OUTPUT,
            help="Format of the list. Default: by its suffix.",
        ),
    ] = "",
    start_number: Annotated[
        str,
        typer.Option(
            "--start-number",
            metavar="N|next",
            rich_help_panel=OUTPUT,
            help="First number of the counter; next goes on after the files, and the list, of an earlier run, as a "
            "route of serve always does.",
        ),
    ] = "0",
    timestamps: Annotated[
        str,
        typer.Option(
            "--timestamps",
            metavar="keep|reset",
            rich_help_panel=OUTPUT,
            help="Times in the files go on as in the source, or begin at zero in each. Default: keep for ts, reset for "
            "the others; MP4 always begins at zero.",
        ),
    ] = "",
    utc: Annotated[
        bool, typer.Option("--utc", help="Names and clock in UTC instead of local time.", rich_help_panel=OUTPUT)
    ] = False,
    sync: Annotated[
        bool,
        typer.Option(
            "--sync",
            rich_help_panel=RELIABILITY,
            help="Wait until the disk has a finished file before its name is printed: for power cuts. A killed program "
            "loses nothing that was written in any case.",
        ),
    ] = False,
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
            help="Open a lost input again, this often in a row.",
            rich_help_panel=RELIABILITY,
        ),
    ] = "0",
    on_overflow: options.Overflow = "drop",
    force: options.Force = False,
) -> Any:
    """Record a stream in files that each begin with a key frame; together they hold every frame once.

    Of several among --every, --time, --size and --key the first one due counts. What was written survives a kill. A
    file that exists is overwritten with --force only: where the name has a time in it, the new file gets -1 behind its
    name; where it has a counter, nothing is recorded. stdout: the path of each file, once it is complete.
    """
    from evotools.endpoints.segments import read_plan, segment_uri
    from evotools.pipeline.job import RouteJob
    from evotools.pipeline.resolve import parse_uri
    from evotools.pipeline.route import OutputSpec, RouteSpec

    uri = segment_uri(
        pattern,
        {
            "every": every,
            "time": time_,
            "size": size,
            "key": "1" if key else "",
            "format": format_,
            "keep": ",".join(keep or ()),
            "list": list_,
            "list_format": list_format,
            "start_number": "" if start_number == "0" else start_number,
            "timestamps": timestamps,
            "utc": "1" if utc else "",
            "sync": "1" if sync else "",
        },
    )
    _keep_apart(input_, read_plan(parse_uri(uri)).pattern)
    return RouteJob(
        RouteSpec(
            source=input_,
            source_format=input_format,
            outputs=(OutputSpec(uri),),
            keep=tuple(track or ()),
            drop=tuple(drop or ()),
            duration_s=options.seconds(duration),
            timeout_s=options.seconds(timeout),
            reconnect=options.parse_reconnect(reconnect),
            on_overflow=options.choice(on_overflow, ("drop", "wait", "fail"), "--on-overflow"),
            force=force,
        ),
        names_files=True,
    )


def _keep_apart(source: str, pattern: Any) -> None:
    """The input is none of the files that are written, or deleted by --keep. Raises UsageError."""
    from pathlib import Path

    from evotools.errors import UsageError
    from evotools.pipeline.resolve import parse_uri

    uri = parse_uri(source)
    if uri.scheme != "file":
        return
    path, root = Path(uri.path).resolve(), Path(pattern.root or ".").resolve()
    if path.is_relative_to(root) and pattern.number_of(path.relative_to(root).as_posix()) is not None:
        raise UsageError(f"{uri.redacted}: the pattern '{pattern.text}' names its own input", hint="use another name")
