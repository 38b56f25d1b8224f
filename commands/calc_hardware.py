"""`evotools calc-hardware`: what hardware a load needs, and what load hardware carries."""

from typing import Annotated, Any

import typer

from evotools.commands.globals import exit_codes

SUMMARY = "what hardware a load needs, and what load hardware carries"
EPILOG = """Examples:

  evotools calc-hardware --publishers 20 --viewers 5000 --bitrate 3M --deliver hls=70,flv=30

  evotools calc-hardware --cores 8 --ram 32GiB --link 10G --disk 4TB --publishers 20 --bitrate 3M

  evotools probe --json film.mp4 | evotools calc-hardware --from - --viewers 100..10000 --svg film.svg"""
EXIT_CODES = exit_codes(1, _3="the machine does not carry what is asked of it", _4="a file of --from cannot be read")

BARE_RECORD = "1h"
"""What `--record` without a time means."""


def translate_argv(argv: list[str]) -> list[str]:
    """`--record` may stand without a time."""
    out: list[str] = []
    for number, item in enumerate(argv):
        if item == "--":
            return out + argv[number:]
        bare = item == "--record" and (number + 1 == len(argv) or argv[number + 1].startswith("-"))
        out.append(f"--record={BARE_RECORD}" if bare else item)
    return out


def _demand(name: str, metavar: str, text: str) -> Any:
    return typer.Option(name, metavar=metavar, help=text, rich_help_panel="Demand")


def _machine(name: str, metavar: str, text: str) -> Any:
    return typer.Option(name, metavar=metavar, help=text, rich_help_panel="Machine")


def _constant(name: str, metavar: str, text: str) -> Any:
    return typer.Option(name, metavar=metavar, help=text, rich_help_panel="Constants")


def command(
    viewers: Annotated[str, _demand("--viewers", "N", "Viewers at the same time; a range sweeps.")] = "",
    publishers: Annotated[
        str, _demand("--publishers", "N", "Incoming streams of --bitrate, --ladder or --from; default: 1.")
    ] = "",
    bitrate: Annotated[
        str, _demand("--bitrate", "R", "Bit rate of each stream: 800k, 3M, picture and sound together.")
    ] = "",
    ladder: Annotated[
        str,
        _demand("--ladder", "R,R,…",
                "Renditions of each stream instead; viewers are spread evenly, or as R:PCT,R:PCT,… says."),
    ] = "",
    stream: Annotated[
        list[str] | None,
        _demand("--stream", "RATE[xVIEWERS][@RECORD]",
                "One stream with its own viewers and time of recording, such as 2Mx150@20m; repeat."),
    ] = None,
    from_: Annotated[
        list[str] | None,
        _demand("--from", "FILE|-", "Streams as probe --json reports them, one or many; repeat."),
    ] = None,
    deliver: Annotated[
        str,
        _demand("--deliver", "P=PCT,…",
                "How viewers get it: rtmp, flv, ts, ws, hls, hls-fmp4, ll-hls, dash, mss, hds, rtsp, srt, webrtc. "
                     "Default: the profile's."),
    ] = "",
    record: Annotated[
        str, _demand("--record", "D", f"Record every stream for this long; without a time {BARE_RECORD}.")
    ] = "",
    dvr: Annotated[
        str, _demand("--dvr", "D", "Window that viewers can go back in. Default: the profile's.")
    ] = "",
    package: Annotated[
        str, _demand("--package", "P,P,…", "Segments that are also written to disk: hls, dash, …")
    ] = "",
    cpu_mark: Annotated[str, _machine("--cpu-mark", "N", "CPU mark of the machine (cpubenchmark.net).")] = "",
    cores: Annotated[str, _machine("--cores", "N", "Cores, instead of a CPU mark.")] = "",
    ram: Annotated[str, _machine("--ram", "SIZE", "Memory: 32GiB, 64GB.")] = "",
    link: Annotated[str, _machine("--link", "RATE", "Network link: 1G, 10G.")] = "",
    disk: Annotated[str, _machine("--disk", "SIZE", "Disk for recordings: 4TB.")] = "",
    profile: Annotated[
        str,
        _constant("--profile", "FILE|evotools|mistserver-2018",
                  "Where the constants come from: a built-in set or a TOML file. Default: evotools."),
    ] = "",
    margin: Annotated[
        str, _constant("--margin", "PCT", "Margin on everything. Default: the profile's, by resource.")
    ] = "",
    cpu_per_connection: Annotated[
        str, _constant("--cpu-per-connection", "N", "CPU mark for each viewer and publisher.")
    ] = "",
    cpu_per_publisher: Annotated[
        str, _constant("--cpu-per-publisher", "N", "Microseconds of CPU for each publisher and second.")
    ] = "",
    cpu_mark_per_core: Annotated[
        str, _constant("--cpu-mark-per-core", "N", "CPU mark of one core.")
    ] = "",
    ram_per_connection: Annotated[
        str, _constant("--ram-per-connection", "SIZE", "Memory for each viewer and publisher.")
    ] = "",
    ram_windows: Annotated[
        str, _constant("--ram-windows", "N", "Copies of the DVR window of each stream in memory.")
    ] = "",
    full_duplex: Annotated[
        bool | None,
        typer.Option("--full-duplex/--half-duplex", rich_help_panel="Constants",
                     help="The link carries its rate in each direction, or both share it. Default: the profile's."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        _constant("--set", "NAME=VALUE", "Any constant, such as hls.cpu_us_per_viewer=40; repeat."),
    ] = None,
    binary: Annotated[
        bool,
        typer.Option("--binary", rich_help_panel="Constants",
                     help="k, M and G are steps of 1024 everywhere, as MistServer's calculators count."),
    ] = False,
    scale: Annotated[
        str,
        typer.Option("--scale", metavar="auto|linear|log", rich_help_panel="Report",
                     help="Spacing of a range: by factors where it spans more than 20."),
    ] = "auto",
    plot: Annotated[
        bool, typer.Option("--plot/--no-plot", rich_help_panel="Report", help="Draw a range below its table.")
    ] = True,
    svg: Annotated[
        str, typer.Option("--svg", metavar="FILE", rich_help_panel="Report", help="Write the picture of a range.")
    ] = "",
    as_json: Annotated[
        bool,
        typer.Option("--json", envvar="EVOTOOLS_JSON", rich_help_panel="Report", help="The report as JSON."),
    ] = False,
    print_profile: Annotated[
        bool,
        typer.Option("--print-profile", rich_help_panel="Report",
                     help="Print the constants as TOML, to change and give to --profile."),
    ] = False,
) -> Any:  # fmt: skip
    """What a load needs of CPU, memory, network and disk, or what load a machine carries and what runs out first.

    With --viewers (or viewers in --stream): requirements. With --cpu-mark, --cores, --ram, --link or --disk: capacity.
    With both: also whether it fits. One of these, --publishers or --bitrate may be a range – A..B, A..B:STEP or
    A..BxPOINTS – for a table and a picture. Every constant is named in the report with its origin; most are options,
    all are keys of a profile and of --set.

    stdout: the report.
    """
    from evotools.capacity.question import MARGIN, Question
    from evotools.errors import UsageError
    from evotools.pipeline.planning import PlanningJob

    constants = {
        "cpu_per_connection": cpu_per_connection, "cpu_us_per_publisher": cpu_per_publisher,
        "cpu_mark_per_core": cpu_mark_per_core, "ram_per_connection": ram_per_connection, "ram_windows": ram_windows,
        "full_duplex": "" if full_duplex is None else str(int(full_duplex)),
        MARGIN: margin,
    }  # fmt: skip
    for item in set_ or ():
        name, equals, value = item.partition("=")
        if not equals:
            raise UsageError(f"--set: '{item}' has no value", hint="use NAME=VALUE, such as ram_windows=1")
        constants[name] = value
    return PlanningJob(
        question=Question(
            publishers=publishers, viewers=viewers, bitrate=bitrate, ladder=ladder, streams=tuple(stream or ()),
            record=record, dvr=dvr, deliver=deliver, package=package, cpu_mark=cpu_mark, cores=cores, ram=ram,
            link=link, disk=disk, scale=scale, step=1024 if binary else 1000,
            constants={name: text for name, text in constants.items() if text},
        ),
        reports=tuple(from_ or ()),
        profile=profile,
        svg=svg,
        plot=plot,
        as_json=as_json,
        print_profile=print_profile,
    )  # fmt: skip
