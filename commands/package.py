"""`evotools package DIR`: HLS and DASH from one or several inputs."""

from typing import Annotated, Any

import typer

from evotools.commands import options
from evotools.commands.globals import exit_codes
from evotools.commands.options import INPUT, OUTPUT, RELIABILITY, TIMING

SUMMARY = "make HLS and DASH from files or live streams"
EPILOG = """Examples:

  evotools package -i film.mp4 www/film

  evotools package -i 1080.mp4 -i 720.mp4 -i 480.mp4 www/film

  evotools package -i rtmp://:1935/live/show --window 2m www/show

  ffmpeg -i film.mkv -c copy -f mpegts - | evotools package --format ts www/film"""
EXIT_CODES = exit_codes(
    1, 4, 5, 6, 7, _3="an input was given up while others went on, or --require-aligned found cuts that differ",
    _5="refused: another process is packaging into the folder",
)  # fmt: skip


def command(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="Folder to write: index.m3u8, manifest.mpd, segments.")],
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            "-i",
            envvar="EVOTOOLS_INPUT",
            metavar="IN",
            rich_help_panel=INPUT,
            help="URI or file to package; repeat for renditions of the same film. Default: -.",
        ),
    ] = None,
    input_format: options.InputFormat = "",
    track: options.Keep = None,
    drop: options.Drop = None,
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            envvar="EVOTOOLS_FORMAT",
            metavar="fmp4|ts",
            rich_help_panel=OUTPUT,
            help="Container of the segments; ts is for HLS alone.",
        ),
    ] = "fmp4",
    hls: Annotated[bool, typer.Option("--hls/--no-hls", help="Write HLS playlists.", rich_help_panel=OUTPUT)] = True,
    dash: Annotated[
        bool | None,
        typer.Option("--dash/--no-dash", help="Write a DASH manifest. Default: with fmp4.", rich_help_panel=OUTPUT),
    ] = None,
    type_: Annotated[
        str,
        typer.Option(
            "--type",
            metavar="vod|event|live",
            rich_help_panel=OUTPUT,
            help="vod: manifests at the end; event: they grow; live: they show a window. Default: live for live "
            "sources, event for pipes, vod for files.",
        ),
    ] = "",
    segment: Annotated[
        str, typer.Option("--segment", metavar="D", help="Target duration of a segment.", rich_help_panel=OUTPUT)
    ] = "6s",
    window: Annotated[
        str,
        typer.Option("--window", metavar="D|all", help="What a live presentation shows.", rich_help_panel=OUTPUT),
    ] = "60s",
    endlist: Annotated[
        bool,
        typer.Option(
            "--endlist/--no-endlist",
            rich_help_panel=OUTPUT,
            help="Say at the end of a live or event presentation that nothing follows; without it players go on "
            "waiting for the next run.",
        ),
    ] = True,
    require_aligned: Annotated[
        bool,
        typer.Option(
            "--require-aligned",
            rich_help_panel=RELIABILITY,
            help="Exit 3 when the inputs' segments do not begin at the same instants.",
        ),
    ] = False,
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
    pace: Annotated[
        bool,
        typer.Option(
            "--pace/--no-pace", help="Package a file as --type live at its own speed.", rich_help_panel=TIMING
        ),
    ] = True,
    on_overflow: options.Overflow = "drop",
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            "-y",
            rich_help_panel=OUTPUT,
            help="Replace what evotools package wrote into the folder; other files stay.",
        ),
    ] = False,
) -> Any:
    """Make HLS and DASH in a folder, over one set of segments. No manifest ever names a file that is not complete.

    An interrupted live or event folder is gone on with. stdout: each manifest's path, once it can be played.
    """
    from evotools.pipeline.job import RouteJob
    from evotools.pipeline.package import PackageJob, package_uri
    from evotools.pipeline.route import OutputSpec, RouteSpec

    sources = inputs or ["-"]
    values = {
        "format": options.choice(format_, ("fmp4", "ts"), "--format"),
        "type": options.choice(type_, ("", "vod", "event", "live"), "--type"),
        "segment": segment,
        "window": window,
        "hls": "" if hls else "0",
        "dash": "" if dash is None else str(int(dash)),
        "endlist": "" if endlist else "0",
    }
    uri = package_uri(folder, values, sources)
    specs = tuple(
        RouteSpec(
            source=source,
            source_format=input_format,
            outputs=(OutputSpec(uri),),
            keep=tuple(track or ()),
            drop=tuple(drop or ()),
            duration_s=options.seconds(duration),
            timeout_s=options.seconds(timeout),
            reconnect=options.parse_reconnect(reconnect),
            on_overflow=options.choice(on_overflow, ("drop", "wait", "fail"), "--on-overflow"),
            pace=pace,
            force=force,
        )
        for source in sources
    )
    if len(specs) == 1 and not require_aligned:
        return RouteJob(specs[0], names_files=True)
    return PackageJob(specs, require_aligned=require_aligned)
