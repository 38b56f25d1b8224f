"""`evotools videogen [OUTPUT]`: a test stream with clock, tone and machine-readable time."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer

from evotools.commands import options
from evotools.commands.globals import exit_codes
from evotools.commands.options import OUTPUT, TIMING

SUMMARY = "make a test stream with clock, tone and readable time"
EPILOG = """Examples:

  evotools videogen --duration 10s | evotools relay out.ts

  evotools videogen -f mpegts udp://239.1.1.1:5000

  evotools videogen -s 1920x1080 -g 50 -c:v hevc -c:a mp3 -ar 44100 out.ts

  evotools videogen --multi -f mpegts udp://127.0.0.1:5000

  evotools videogen --ladder 1920x1080@4M,1280x720@2M:hevc --duration 10s --seed 1 ladder.ts

ffmpeg's spellings of options work; a later option overrides an earlier one; any other -NAME VALUE goes to the
encoder (-crf 20, -x264-params keyint=50, -maxrate:v 2M)."""
EXIT_CODES = exit_codes(1, 4, 5, 6)

VIDEO = "Video"
AUDIO = "Audio"
PICTURE = "Picture"


def translate_argv(argv: Sequence[str]) -> list[str]:
    """ffmpeg's spellings into ours. Raises UsageError."""
    from evotools.videogen.ffmpeg import translate

    return translate(argv)


def _encoder_options(prefix: str, given: Iterable[str] | None, flag: str) -> list[tuple[str, str]]:
    from evotools.errors import UsageError

    pairs = []
    for item in given or ():
        name, equals, value = item.partition("=")
        if not name or not equals:
            raise UsageError(f"{flag} {item}: not of the form NAME=VALUE")
        pairs.append((prefix + name, value))
    return pairs


def _text(flag: str, metavar: str, help_: str, panel: str, *more: str, envvar: str | None = None) -> Any:
    return typer.Option(flag, *more, metavar=metavar, help=help_, rich_help_panel=panel, envvar=envvar)


def command(
    output: Annotated[str | None, typer.Argument(metavar="[OUTPUT]", help="URI or file. [default: -]")] = None,
    output_option: Annotated[
        str, _text("--output", "OUT", "The same as OUTPUT.", OUTPUT, "-o", envvar="EVOTOOLS_OUTPUT")
    ] = "-",
    format_: Annotated[
        str, _text("--format", "auto|ts|flv|mkv", "Container of the output.", OUTPUT, "-f", envvar="EVOTOOLS_FORMAT")
    ] = "auto",
    force: options.Force = False,
    duration: options.Duration = "",
    realtime: Annotated[
        bool,
        typer.Option(
            "--realtime/--no-realtime",
            help="Keep the pace of a camera, or go as fast as possible.",
            rich_help_panel=TIMING,
        ),
    ] = True,
    seed: Annotated[str, _text("--seed", "N", "The same seed gives the same bytes.", TIMING)] = "",
    start_time: Annotated[
        str,
        _text(
            "--start-time",
            "TIME",
            "What the clock shows first. [default: now; with --seed 2000-01-01T00:00:00Z]",
            TIMING,
        ),
    ] = "",
    size: Annotated[str, _text("--size", "WxH", "Picture size. [default: 800x600]", VIDEO, "-s")] = "",
    fps: Annotated[str, _text("--fps", "N", "Pictures per second. [default: 25]", VIDEO, "-r")] = "",
    gop: Annotated[
        str, _text("--gop", "N", "Pictures from key frame to key frame. [default: one second]", VIDEO, "-g")
    ] = "",
    codec: Annotated[
        str, _text("--codec", "h264|hevc|av1|vp9|vp8|none", "Codec of the video tracks. [default: h264]", VIDEO, "-c")
    ] = "",
    bitrate: Annotated[
        str, _text("--bitrate", "RATE", "Constant bit rate of each video track. [default: constant quality]", VIDEO)
    ] = "",
    profile: Annotated[
        str, _text("--profile", "NAME", "Profile of the video codec. [default: baseline for h264]", VIDEO)
    ] = "",
    level: Annotated[
        str, _text("--level", "N", "Level of the video codec. [default: 3.0 for h264 up to 800x600]", VIDEO)
    ] = "",
    preset: Annotated[str, _text("--preset", "NAME", "Preset of the video encoder.", VIDEO)] = "",
    tune: Annotated[str, _text("--tune", "NAME", "Tuning of the video encoder. [default: zerolatency]", VIDEO)] = "",
    pix_fmt: Annotated[str, _text("--pix-fmt", "NAME", "Pixel format. [default: yuv420p]", VIDEO)] = "",
    multi: Annotated[
        bool,
        typer.Option(
            "--multi/--single",
            rich_help_panel=VIDEO,
            help="One stream of 800x600 and 1920x1080 H.264, 1920x1080 HEVC, AAC and MP3.",
        ),
    ] = False,
    ladder: Annotated[
        str,
        _text(
            "--ladder", "WxH[@RATE][:CODEC],…", "Several video tracks, such as 1920x1080@4M,1280x720@2M:hevc.", VIDEO
        ),
    ] = "",
    video: Annotated[
        bool, typer.Option("--video/--no-video", help="With video, or sound alone.", rich_help_panel=VIDEO)
    ] = True,
    video_option: Annotated[
        list[str] | None, _text("--video-option", "NAME=VALUE", "Option of the video encoders; repeat.", VIDEO)
    ] = None,
    audio: Annotated[
        str,
        _text(
            "--audio",
            "CODEC[@RATE][:HZ[:CHANNELS]],…",
            "Audio tracks; codecs are aac, mp3, opus, ac3, eac3, flac, none. [default: aac]",
            AUDIO,
        ),
    ] = "",
    sound: Annotated[
        bool, typer.Option("--sound/--no-audio", help="With sound, or video alone.", rich_help_panel=AUDIO)
    ] = True,
    audio_bitrate: Annotated[str, _text("--audio-bitrate", "RATE", "Bit rate of each audio track.", AUDIO)] = "",
    audio_rate: Annotated[
        str, _text("--audio-rate", "HZ", "Sample rate of each audio track. [default: 48000]", AUDIO)
    ] = "",
    channels: Annotated[str, _text("--channels", "1|2", "Channels of each audio track. [default: 2]", AUDIO)] = "",
    tone: Annotated[str, _text("--tone", "HZ", "A steady tone instead of the melody.", AUDIO)] = "",
    language: Annotated[str, _text("--language", "CODE", "Language of the sound (ISO 639-2: eng).", AUDIO)] = "",
    audio_option: Annotated[
        list[str] | None, _text("--audio-option", "NAME=VALUE", "Option of the audio encoders; repeat.", AUDIO)
    ] = None,
    option: Annotated[
        list[str] | None, _text("--option", "NAME=VALUE", "Option of every encoder that knows it; repeat.", VIDEO)
    ] = None,
    pattern: Annotated[
        str,
        _text(
            "--pattern",
            "testsrc|testsrc2|smptebars|smptehdbars|rgbtestsrc|mandelbrot|color",
            "What the picture shows. [default: testsrc]",
            PICTURE,
        ),
    ] = "",
    clock: Annotated[
        bool, typer.Option("--clock/--no-clock", help="Draw wall clock and running time.", rich_help_panel=PICTURE)
    ] = True,
    blocks: Annotated[
        bool,
        typer.Option(
            "--blocks/--no-blocks", help="Draw the time in a form that programs read.", rich_help_panel=PICTURE
        ),
    ] = True,
) -> Any:
    """Make a test stream: pattern, running time and wall clock in the picture, a melodic tone, in real time.

    stdout: the media, MPEG-TS unless a track has no name in it (then Matroska).
    """
    from evotools.errors import UsageError
    from evotools.pipeline.job import RouteJob
    from evotools.pipeline.route import OutputSpec, RouteSpec
    from evotools.videogen.spec import ANY_OPTION, AUDIO_OPTION, VIDEO_OPTION, parse, to_uri

    if output is not None and output_option not in ("-", output):
        raise UsageError(f"two outputs: {output} and -o {output_option}", hint="relay sends to several")
    named = {
        "size": size, "fps": fps, "gop": gop, "codec": codec if video else "none", "bitrate": bitrate,
        "profile": profile, "level": level, "preset": preset, "tune": tune, "pix_fmt": pix_fmt, "ladder": ladder,
        "audio": audio if sound else "none", "audio_bitrate": audio_bitrate, "audio_rate": audio_rate,
        "channels": channels, "tone": tone, "language": language, "pattern": pattern, "duration": duration,
        "seed": seed, "start_time": start_time,
    }  # fmt: skip
    pairs = [(name, value) for name, value in named.items() if value]
    if multi:
        pairs.append(("multi", "1"))
    pairs += [(name, "0") for name, on in (("realtime", realtime), ("clock", clock), ("blocks", blocks)) if not on]
    pairs += _encoder_options(ANY_OPTION, option, "--option")
    pairs += _encoder_options(VIDEO_OPTION, video_option, "--video-option")
    pairs += _encoder_options(AUDIO_OPTION, audio_option, "--audio-option")
    uri = to_uri(parse(pairs))
    destination = output_option if output is None else output
    return RouteJob(
        RouteSpec(
            source=uri,
            outputs=(OutputSpec(destination, "" if format_ == "auto" else format_),),
            on_overflow="wait" if not realtime else "drop",
            pace=realtime,
            force=force,
        )
    )
