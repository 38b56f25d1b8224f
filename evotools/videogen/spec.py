"""What a test stream is made of: the options of `videogen` and of `test:` URIs, parsed, and back to a URI."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from urllib.parse import quote

from evotools.errors import UsageError
from evotools.units import parse_duration, parse_fps, parse_frame_size, parse_rate

PATTERNS = ("testsrc", "testsrc2", "smptebars", "smptehdbars", "rgbtestsrc", "mandelbrot", "color")
VIDEO_CODECS = {
    "h264": "h264", "avc": "h264", "x264": "h264", "libx264": "h264",
    "hevc": "h265", "h265": "h265", "x265": "h265", "libx265": "h265",
    "av1": "av1", "libsvtav1": "av1",
    "vp9": "vp9", "libvpx-vp9": "vp9", "vp8": "vp8", "libvpx": "vp8",
}  # fmt: skip
"""Every accepted spelling and the codec's name in tracks."""
AUDIO_CODECS = {
    "aac": "aac", "mp3": "mp3", "libmp3lame": "mp3", "opus": "opus", "libopus": "opus", "ac3": "ac3", "eac3": "eac3",
    "flac": "flac",
}  # fmt: skip
NONE = ("none",)

MAX_SIZE = 8192
"""Pixels a side; the largest picture of the levels that exist (H.264 6.2, HEVC 6.2)."""
MIN_SIZE = 32
MAX_TRACKS = 32
"""Renditions and sound tracks together; far above any ladder in use."""
MAX_SAMPLE_RATE = 192_000
MAX_RATE = 10_000_000_000
DEFAULT_SEED_START = datetime(2000, 1, 1, tzinfo=UTC)
"""Where the clock of a seeded stream begins."""

DEFAULT_SIZE = (800, 600)
_DEFAULT_AUDIO_RATE = 48_000
_AUDIO_BITRATE = {"aac": 64_000, "mp3": 64_000, "opus": 48_000, "ac3": 96_000, "eac3": 64_000, "flac": 0}
"""Default bits per second of each channel."""
_MULTI = "800x600:h264,1920x1080:h264,1920x1080:hevc"
_MULTI_AUDIO = "aac,mp3:44100:1"
_AUDIO_RATES = {
    "mp3": (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
    "opus": (48000,),
    "ac3": (32000, 44100, 48000),
    "eac3": (32000, 44100, 48000),
    "aac": (7350, 8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000),
}
_LEVEL_30 = (800 * 600, 30)
"""Up to this size and rate H.264 is labelled level 3.0, as the classic videogen script does."""

VIDEO_OPTION, AUDIO_OPTION, ANY_OPTION = "v.", "a.", "opt."
"""Prefixes of encoder options in `test:` URIs: for video encoders, for audio encoders, for those that know it."""

NAMES = frozenset({
    "size", "fps", "gop", "codec", "profile", "level", "preset", "tune", "pix_fmt", "bitrate", "audio",
    "audio_bitrate", "audio_rate", "channels", "duration", "pattern", "seed", "start_time", "realtime", "multi",
    "ladder", "clock", "blocks", "tone", "language",
})  # fmt: skip


class QueryNames(frozenset[str]):
    """The names a `test:` query may hold: the fixed ones and prefixed encoder options."""

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or (
            isinstance(name, str) and name.startswith((VIDEO_OPTION, AUDIO_OPTION, ANY_OPTION))
        )


QUERY_NAMES = QueryNames(NAMES)


@dataclass(frozen=True, slots=True)
class VideoSpec:
    """One rendition."""

    codec: str
    width: int
    height: int
    bitrate_bps: int = 0
    """0: constant quality."""
    profile: str = ""
    level: str = ""


@dataclass(frozen=True, slots=True)
class AudioSpec:
    """One sound track."""

    codec: str
    sample_rate: int = _DEFAULT_AUDIO_RATE
    channels: int = 2
    bitrate_bps: int = 0


@dataclass(frozen=True, slots=True)
class Spec:
    """A whole test stream."""

    video: tuple[VideoSpec, ...]
    audio: tuple[AudioSpec, ...]
    fps: Fraction = Fraction(25)
    gop: int = 25
    """Frames from key frame to key frame."""
    pattern: str = "testsrc"
    preset: str = ""
    tune: str = ""
    pix_fmt: str = "yuv420p"
    duration_s: float | None = None
    seed: int | None = None
    """With a seed the same options give the same bytes."""
    start_s: float | None = None
    """Unix time that the clock shows in the first picture; None is now."""
    realtime: bool = True
    clock: bool = True
    """Draw the time."""
    blocks: bool = True
    """Draw the machine-readable time."""
    tone_hz: float | None = None
    """A steady tone; None plays the melody."""
    language: str = ""
    video_options: tuple[tuple[str, str], ...] = ()
    audio_options: tuple[tuple[str, str], ...] = ()
    any_options: tuple[tuple[str, str], ...] = ()
    """Encoder options by kind, as given."""
    pairs: tuple[tuple[str, str], ...] = field(default=(), compare=False)
    """The options this was parsed from, for `to_uri`."""

    @property
    def frame_count(self) -> int | None:
        """Pictures in the whole stream, or None when it has no end."""
        return None if self.duration_s is None else round(self.duration_s * self.fps)


def _flag(name: str, text: str) -> bool:
    value = text.lower()
    if value in ("", "1", "true", "yes", "on"):
        return True
    if value in ("0", "false", "no", "off"):
        return False
    raise UsageError(f"{name}: '{text}' is neither on nor off")


def _integer(name: str, text: str, low: int, high: int) -> int:
    try:
        value = int(text)
    except ValueError:
        raise UsageError(f"{name}: '{text}' is not a whole number") from None
    if not low <= value <= high:
        raise UsageError(f"{name}: {value} is outside {low}..{high}")
    return value


def _rate(name: str, text: str) -> int:
    value = parse_rate(text)
    if value > MAX_RATE:
        raise UsageError(f"{name}: {text} is more than any encoder makes")
    return value


def _size(text: str) -> tuple[int, int]:
    width, height = parse_frame_size(text)
    if not (MIN_SIZE <= width <= MAX_SIZE and MIN_SIZE <= height <= MAX_SIZE) or width % 2 or height % 2:
        raise UsageError(
            f"'{text}' is not a picture size that can be made",
            hint=f"both sides even and from {MIN_SIZE} to {MAX_SIZE}",
        )
    return width, height


def parse_start_time(text: str) -> float:
    """Unix seconds of an ISO 8601 time (UTC unless it has an offset) or of a plain number. Raises UsageError."""
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise UsageError(f"'{text}' is not a time", hint="use a form such as 2000-01-01T00:00:00Z") from None
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    # 48 bits of milliseconds go into the picture, and years have four digits.
    if not 0 <= seconds < 253_402_300_799:
        raise UsageError(f"'{text}' is outside the years 1970 to 9999")
    return seconds


def _codec(text: str, known: dict[str, str], kind: str) -> str:
    name = known.get(text.lower())
    if name is None:
        choices = " ".join(sorted(set(known.values()) | {"none"}))
        raise UsageError(f"'{text}' is not a {kind} codec that videogen makes", hint=f"use {choices}")
    return name


def _rung(text: str, codec: str, bitrate: int) -> tuple[str, tuple[int, int], int]:
    """`1920x1080@4M:hevc` with the defaults for what is left away."""
    body, _, named = text.partition(":")
    size, _, rate = body.partition("@")
    return (
        _codec(named, VIDEO_CODECS, "video") if named else codec,
        _size(size),
        _rate("ladder", rate) if rate else bitrate,
    )


def _video(values: dict[str, str], fps: Fraction) -> tuple[VideoSpec, ...]:
    codec_text = values.get("codec", "h264")
    if codec_text.lower() in NONE:
        return ()
    codec = _codec(codec_text, VIDEO_CODECS, "video")
    bitrate = _rate("bitrate", values["bitrate"]) if values.get("bitrate") else 0
    ladder = values.get("ladder", "")
    if _flag("multi", values.get("multi", "0")):
        if ladder:
            raise UsageError("multi and ladder exclude each other")
        ladder = _MULTI
    if ladder:
        if "size" in values:
            raise UsageError("size has no meaning beside multi or ladder", hint="write the sizes into the ladder")
        rungs = [_rung(part, codec, bitrate) for part in ladder.split(",")]
    else:
        rungs = [(codec, _size(values["size"]) if "size" in values else DEFAULT_SIZE, bitrate)]
    made = []
    for name, (width, height), rate in rungs:
        profile, level = values.get("profile", ""), values.get("level", "")
        if name == "h264" and not profile:
            profile = "baseline"
        if name == "h264" and not level and width * height <= _LEVEL_30[0] and fps <= _LEVEL_30[1]:
            level = "3.0"
        made.append(VideoSpec(name, width, height, rate, profile, level))
    return tuple(made)


def _audio(values: dict[str, str]) -> tuple[AudioSpec, ...]:
    """`aac,mp3@96k:44100:1`: codec, bit rate, sample rate, channels."""
    multi = _flag("multi", values.get("multi", "0"))
    text = values.get("audio") or (_MULTI_AUDIO if multi else "aac")
    if text.lower() in NONE:
        return ()
    made = []
    for part in text.split(","):
        named, *rest = part.split(":")
        name, _, rate_text = named.partition("@")
        codec = _codec(name, AUDIO_CODECS, "audio")
        if len(rest) > 2:
            raise UsageError(f"audio: '{part}' has too many parts", hint="use CODEC@BITRATE:SAMPLERATE:CHANNELS")
        rate = (rest[0] if rest else "") or values.get("audio_rate", str(_DEFAULT_AUDIO_RATE))
        channel_text = rest[1] if len(rest) > 1 else values.get("channels", "2")
        sample_rate = _integer("audio_rate", rate, 1, MAX_SAMPLE_RATE)
        allowed = _AUDIO_RATES.get(codec)
        if allowed and sample_rate not in allowed:
            raise UsageError(f"{codec} has no sample rate {sample_rate}", hint=f"use {' '.join(map(str, allowed))}")
        channels = _integer("channels", channel_text, 1, 2)
        wanted = rate_text or values.get("audio_bitrate", "")
        bitrate = _rate("audio_bitrate", wanted) if wanted else _AUDIO_BITRATE[codec] * channels
        if codec == "mp3" and sample_rate < 32000 and not wanted:
            bitrate = min(bitrate, 64_000)
        made.append(AudioSpec(codec, sample_rate, channels, bitrate))
    return tuple(made)


def parse(pairs: Iterable[tuple[str, str]]) -> Spec:
    """The stream that these options describe; a later option overrides an earlier one of its name.

    Names are those of `NAMES`, and encoder options behind `v.`, `a.` or `opt.`. Raises UsageError.
    """
    given: dict[str, str] = {}
    for name, value in pairs:
        if name not in QUERY_NAMES:
            raise UsageError(f"unknown option '{name}' of test:", hint=f"known: {', '.join(sorted(NAMES))}")
        given[name] = value
    values = {n: v for n, v in given.items() if n in NAMES}
    fps = parse_fps(values["fps"]) if "fps" in values else Fraction(25)
    if not 1 <= fps <= 240:
        raise UsageError(f"fps: {values['fps']} is outside 1..240")
    video, audio = _video(values, fps), _audio(values)
    if not video and not audio:
        raise UsageError("a test stream without video and audio", hint="leave one of them in")
    if len(video) + len(audio) > MAX_TRACKS:
        raise UsageError(f"{len(video) + len(audio)} tracks are more than {MAX_TRACKS}")
    pattern = values.get("pattern", "testsrc")
    if pattern not in PATTERNS:
        raise UsageError(f"'{pattern}' is not a pattern", hint=f"use {' '.join(PATTERNS)}")
    seed = _integer("seed", values["seed"], 0, 2**63 - 1) if values.get("seed") else None
    start: float | None = None
    if values.get("start_time"):
        start = parse_start_time(values["start_time"])
    elif seed is not None:
        start = DEFAULT_SEED_START.timestamp()
    language = values.get("language", "").lower()
    if language and not (len(language) == 3 and language.isascii() and language.isalpha()):
        raise UsageError(f"language: '{language}' is not an ISO 639-2 code", hint="use three letters, such as eng")
    tone = None
    if values.get("tone"):
        try:
            tone = float(values["tone"])
        except ValueError:
            tone = -1.0
        if not 0 < tone < 20_000:
            raise UsageError(f"tone: '{values['tone']}' is not a pitch", hint="use hertz from 1 to 20000")
    return Spec(
        video=video,
        audio=audio,
        fps=fps,
        # One key frame a second, as the classic script is used: players join fast and segments cut evenly.
        gop=_integer("gop", values["gop"], 1, 100_000) if values.get("gop") else max(1, round(fps)),
        pattern=pattern,
        preset=values.get("preset", ""),
        tune=values.get("tune", ""),
        pix_fmt=values.get("pix_fmt", "yuv420p"),
        duration_s=parse_duration(values["duration"]) if values.get("duration") else None,
        seed=seed,
        start_s=start,
        realtime=_flag("realtime", values.get("realtime", "1")),
        clock=_flag("clock", values.get("clock", "1")),
        blocks=_flag("blocks", values.get("blocks", "1")),
        tone_hz=tone,
        language=language,
        video_options=_prefixed(given, VIDEO_OPTION),
        audio_options=_prefixed(given, AUDIO_OPTION),
        any_options=_prefixed(given, ANY_OPTION),
        pairs=tuple(given.items()),
    )


def _prefixed(given: dict[str, str], prefix: str) -> tuple[tuple[str, str], ...]:
    return tuple((n[len(prefix) :], v) for n, v in given.items() if n.startswith(prefix))


def to_uri(spec: Spec) -> str:
    """The `test:` URI that parses to an equal spec."""
    query = "&".join(f"{quote(n, safe=':.')}={quote(v, safe=',:/@.')}" for n, v in spec.pairs)
    return f"test:?{query}" if query else "test:"
