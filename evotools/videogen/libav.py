"""PyAV for the test stream: patterns from libav's filters, encoders, canonical frames. Blocking; runs in a thread.

Nothing here knows the time. `av` is imported when the first object is made, never at import.
"""

from array import array
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

from evotools.codecs import av1, vp9
from evotools.codecs.describe import describe
from evotools.codecs.paramsets import AccessUnits
from evotools.errors import UsageError
from evotools.media.frame import Frame
from evotools.media.track import Kind, Track
from evotools.videogen.picture import Band, Overlay, Planes
from evotools.videogen.spec import AudioSpec, Spec, VideoSpec
from evotools.videogen.tone import Tone

if TYPE_CHECKING:
    from av.audio.codeccontext import AudioCodecContext
    from av.codec.context import CodecContext
    from av.filter import Graph
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame

_VIDEO_ENCODERS = {"h264": "libx264", "h265": "libx265", "av1": "libsvtav1", "vp9": "libvpx-vp9", "vp8": "libvpx"}
_AUDIO_ENCODERS = {
    "aac": "aac", "mp3": "libmp3lame", "opus": "libopus", "ac3": "ac3", "eac3": "eac3", "flac": "flac",
}  # fmt: skip
_SAMPLE_FORMATS = {"aac": "fltp", "mp3": "fltp", "opus": "flt", "ac3": "fltp", "eac3": "fltp", "flac": "s16"}

_X26X_PRESETS = (
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo",
)  # fmt: skip
_CHOICES: dict[tuple[str, str], tuple[str, ...]] = {
    ("libx264", "preset"): _X26X_PRESETS,
    ("libx265", "preset"): _X26X_PRESETS,
    ("libx264", "profile"): ("baseline", "main", "high", "high10", "high422", "high444"),
}
"""Values that the encoders refuse with a line of their own on stderr, so they are checked before."""

_SD_MATRIX, _HD_MATRIX = 6, 1
"""SMPTE 170M and BT.709 in the numbers of ITU-T H.273, for primaries, transfer and matrix alike."""
_LIMITED_RANGE = 1
_ONE_THREAD_PIXELS = 1920 * 1088 * 30
"""Pixels per second that one x264 thread encodes in real time; more threads cut each picture into slices."""
_MANDELBROT_PIXELS = 130_000
"""The fractal costs 36 ns a pixel: computed this large and scaled up it stays real time at any size."""
_VBV_SECONDS = 0.5
"""Buffer of constant bit rates: short, so that a few seconds already keep the rate."""
_MAX_PRIMING = 64
"""Audio frames fed while waiting for the first packet; no encoder here holds back more than a few."""


def encoder_options(spec: Spec) -> tuple[dict[str, str], dict[str, str]]:
    """Encoder options for video and for audio; those given for neither go where an encoder knows the name.

    Raises UsageError for an option that no encoder of the stream knows.
    """
    video, audio = dict(spec.video_options), dict(spec.audio_options)
    if not spec.any_options:
        return video, audio
    import av

    def known(names: Iterable[str], kind: str) -> set[str]:
        found: set[str] = set()
        for name in names:
            options = av.CodecContext.create(name, "w").supported_options
            flag = (
                av.codec.context.OptionFlags.VIDEO_PARAM
                if kind == "video"
                else (av.codec.context.OptionFlags.AUDIO_PARAM)
            )
            needed = flag | av.codec.context.OptionFlags.ENCODING_PARAM
            found |= {o.name for o in options.private}
            found |= {o.name for o in options.generic if o.flags & needed == needed}
        return found

    encoders = [_VIDEO_ENCODERS[v.codec] for v in spec.video], [_AUDIO_ENCODERS[a.codec] for a in spec.audio]
    for_video, for_audio = known(encoders[0], "video"), known(encoders[1], "audio")
    for name, value in spec.any_options:
        if name not in for_video and name not in for_audio:
            used = " and ".join(dict.fromkeys([*encoders[0], *encoders[1]]))
            raise UsageError(f"option '{name}' is unknown to {used}", hint="see the encoder's documentation")
        if name in for_video:
            video[name] = value
        if name in for_audio:
            audio[name] = value
    return video, audio


def _open(context: "CodecContext", encoder: str, options: Mapping[str, str], given: Mapping[str, str]) -> None:
    """Open with `options`; what the encoder does not take is a UsageError that names it.

    `given` are the options that the user wrote, for messages.
    """
    import av
    import av.logging

    for (name, option), allowed in _CHOICES.items():
        value = options.get(option)
        if name == encoder and value and value not in allowed:
            raise UsageError(f"{encoder} has no {option} '{value}'", hint=f"use {' '.join(allowed)}")
    context.options = dict(options)
    level = av.logging.get_level()
    av.logging.set_level(av.logging.WARNING)
    try:
        with av.logging.Capture() as logs:
            context.open()
    except (av.error.FFmpegError, ValueError) as error:
        reason = "; ".join(dict.fromkeys(text.strip() for grade, _, text in logs if grade <= av.logging.ERROR))
        used = ", ".join(f"{n}={v}" for n, v in given.items())
        raise UsageError(
            f"{encoder} refuses its options{f' ({used})' if used else ''}: {reason or error}",
            hint="see the encoder's documentation",
        ) from None
    finally:
        av.logging.set_level(level)
    if context.options:
        names = ", ".join(f"'{n}'" for n in context.options)
        raise UsageError(f"{encoder} has no option {names}", hint="see the encoder's documentation")
    for _, _, text in logs:
        # The parameter strings of x264, x265 and SVT-AV1: libavcodec only warns about what they do not know.
        if text.startswith(("Error parsing option", "Unknown option", "Invalid value for")):
            raise UsageError(f"{encoder}: {text.strip().rstrip('.')}", hint="see the encoder's documentation")


def _planes(frame: "VideoFrame") -> Planes:
    y, u, v = frame.planes
    return Planes(memoryview(y), memoryview(u), memoryview(v), y.line_size, u.line_size)


class Pattern:
    """The background of one size: a still picture, one per second, or one per frame."""

    def __init__(self, name: str, width: int, height: int, fps: Fraction) -> None:
        self.name = name
        self.moving = name in ("testsrc2", "mandelbrot")
        self.period_s = 1 if name == "testsrc" else None
        """Seconds after which a still picture changes."""
        from_rgb = name in ("testsrc", "rgbtestsrc", "mandelbrot")
        self.matrix = _HD_MATRIX if name == "smptehdbars" or (from_rgb and height >= 720) else _SD_MATRIX
        import av
        import av.filter

        rate = "1" if name == "testsrc" else f"{fps.numerator}/{fps.denominator}"
        made = width, height
        if name == "mandelbrot":
            shrink = max(1.0, (width * height / _MANDELBROT_PIXELS) ** 0.5)
            made = round(width / shrink / 2) * 2, round(height / shrink / 2) * 2
        arguments = f"s={made[0]}x{made[1]}:r={rate}"
        if name == "color":
            arguments += ":c=0x1c4a6e"
        self._graph: Graph = av.filter.Graph()
        self._graph.threads = 1
        nodes = [self._graph.add(name, arguments)]
        if from_rgb:
            matrix = "bt709" if self.matrix == _HD_MATRIX else "smpte170m"
            flags = "fast_bilinear" if name == "mandelbrot" else "bicubic+accurate_rnd+bitexact"
            scale = f"w={width}:h={height}:out_color_matrix={matrix}:out_range=tv:flags={flags}"
            nodes.append(self._graph.add("scale", scale))
        nodes.append(self._graph.add("format", "pix_fmts=yuv420p"))
        nodes.append(self._graph.add("buffersink"))
        self._graph.link_nodes(*nodes).configure()

    def next(self) -> "VideoFrame":
        """The next picture, ours to write into."""
        frame = self._graph.vpull()
        frame.make_writable()
        # The sources mark each of their pictures as intra; encoders would obey.
        frame.pict_type = 0
        return frame


class Picture:
    """Finished pictures of one size."""

    def __init__(self, spec: Spec, width: int, height: int) -> None:
        self._pattern = Pattern(spec.pattern, width, height, spec.fps)
        self.matrix = self._pattern.matrix
        label = f"{width}x{height} {float(spec.fps):.5g} FPS"
        self._overlay = Overlay(width, height, label, clock=spec.clock, readable=spec.blocks)
        self._size = width, height
        self._frame: VideoFrame | None = None
        self._base: Planes | None = None
        self._band: Band | None = None
        self._second = 0

    def draw(self, number: int, elapsed_ms: int, unix_ms: int, offset_s: int) -> "VideoFrame":
        """Picture `number`. It is reused: encode it before the next call."""
        pattern = self._pattern
        frame = self._frame
        fresh = frame is None or pattern.moving
        if pattern.period_s and elapsed_ms // (1000 * pattern.period_s) != self._second:
            self._second = elapsed_ms // (1000 * pattern.period_s)
            fresh = True
        if fresh:
            frame = self._frame = pattern.next()
        else:
            assert frame is not None
            # Copies only if an encoder still reads the last picture.
            frame.make_writable()
        planes = _planes(frame)
        if fresh and not pattern.moving:
            self._base = planes._replace(y=bytes(planes.y), u=bytes(planes.u), v=bytes(planes.v))  # type: ignore[arg-type]
            if self._band is None and pattern.name == "testsrc":
                self._band = Band(self._base, *self._size)
        if self._band is not None:
            self._band.draw(planes, elapsed_ms)
        self._overlay.draw(planes, None if fresh else self._base, number, elapsed_ms, unix_ms, offset_s)
        return frame


def _default_tune(spec: Spec) -> str:
    """`zerolatency` takes the look-ahead away that B-frames need, so who asks for them gets no tuning."""
    wanted = dict(spec.any_options + spec.video_options).get("bf", "0")
    return "zerolatency" if wanted == "0" else ""


def _x264(spec: Spec, video: VideoSpec, rate: int) -> dict[str, str]:
    large = video.width * video.height > 1280 * 720
    one = spec.seed is not None or video.width * video.height * spec.fps <= _ONE_THREAD_PIXELS
    options = {
        "preset": spec.preset or ("superfast" if large else "veryfast"),
        "sc_threshold": "0",
        "forced-idr": "1",
        "threads": "1" if one else "auto",
    }
    if tune := spec.tune or _default_tune(spec):
        options["tune"] = tune
    if video.profile:
        options["profile"] = video.profile
    if video.level:
        options["level"] = video.level
    if rate:
        # Filler up to the full rate: the bit rate is what was asked for, whatever the picture shows.
        options |= {"b": str(rate), "maxrate": str(rate), "bufsize": str(int(rate * _VBV_SECONDS)), "nal-hrd": "cbr"}
    return options


def _x265(spec: Spec, video: VideoSpec, rate: int) -> dict[str, str]:
    params = f"log-level=none:info=0:scenecut=0:open-gop=0:min-keyint={spec.gop}:frame-threads=1"
    if not spec.preset and video.width * video.height > 1280 * 720:
        # A quarter less work than ultrafast; real time at 1080p still takes more than one core.
        params += ":rd=1:max-merge=1:b-intra=0:no-deblock=1"
    if spec.seed is not None:
        params += ":pools=none:wpp=0:const-vbv=1"
    if video.level:
        params += f":level-idc={video.level}"
    options = {
        "preset": spec.preset or "ultrafast",
        "forced-idr": "1",
    }
    if tune := spec.tune or _default_tune(spec):
        options["tune"] = tune
    if video.profile:
        options["profile"] = video.profile
    if rate:
        params += ":strict-cbr=1:hrd=1"
        options |= {"b": str(rate), "maxrate": str(rate), "bufsize": str(int(rate * _VBV_SECONDS))}
    options["x265-params"] = params
    return options


def _asked(spec: Spec, video: VideoSpec) -> dict[str, str]:
    """Profile, level and tuning where only the encoder knows what it takes."""
    return {n: v for n, v in (("profile", video.profile), ("level", video.level), ("tune", spec.tune)) if v}


def _svtav1(spec: Spec, video: VideoSpec, rate: int) -> dict[str, str]:
    params = "pred-struct=1:rtc=1:lookahead=0"
    if spec.seed is not None:
        params += ":lp=1"
    options = {"preset": spec.preset or "11", **_asked(spec, video)}
    if rate:
        params += ":rc=2"
        options["b"] = str(rate)
    options["svtav1-params"] = params
    return options


def _libvpx(spec: Spec, video: VideoSpec, rate: int) -> dict[str, str]:
    options = {
        "deadline": "realtime", "cpu-used": spec.preset or "8", "lag-in-frames": "0", "auto-alt-ref": "0",
        "keyint_min": str(spec.gop), **_asked(spec, video),
    }  # fmt: skip
    if spec.seed is not None:
        options["threads"] = "1"
    if not rate and video.codec == "vp8":
        # VP8 has no constant quality mode; a tenth of a bit per pixel is plenty for these patterns.
        rate = int(video.width * video.height * spec.fps / 10)
    if rate:
        text = str(rate)
        options |= {"b": text, "minrate": text, "maxrate": text, "bufsize": str(int(rate * _VBV_SECONDS))}
    else:
        options |= {"crf": "36", "b": "0"}
    return options


_VIDEO_OPTIONS: dict[str, Callable[[Spec, VideoSpec, int], dict[str, str]]] = {
    "h264": _x264, "h265": _x265, "av1": _svtav1, "vp9": _libvpx, "vp8": _libvpx,
}  # fmt: skip


class VideoEncoder:
    """One rendition: pictures in, canonical frames out."""

    def __init__(self, spec: Spec, video: VideoSpec, track_id: int, matrix: int, given: Mapping[str, str]) -> None:
        """`given` are the user's encoder options. Raises UsageError for what the encoder does not take."""
        import av
        from av.codec.context import Flags

        encoder = _VIDEO_ENCODERS[video.codec]
        context = cast("VideoCodecContext", av.CodecContext.create(encoder, "w"))
        formats = [f.name for f in context.codec.video_formats or ()]
        if spec.pix_fmt not in formats:
            raise UsageError(f"{encoder} has no pixel format '{spec.pix_fmt}'", hint=f"use {' '.join(formats)}")
        context.width, context.height, context.pix_fmt = video.width, video.height, spec.pix_fmt
        context.framerate = spec.fps
        context.time_base = 1 / spec.fps
        context.gop_size = spec.gop
        context.flags |= int(Flags.bitexact) | int(Flags.closed_gop)
        context.color_primaries = context.color_trc = context.colorspace = matrix
        context.color_range = _LIMITED_RANGE
        options = _VIDEO_OPTIONS[video.codec](spec, video, video.bitrate_bps)
        for name, value in given.items():
            if name in ("x265-params", "svtav1-params") and name in options:
                # Ours first: the encoder takes the last of equal names.
                value = f"{options[name]}:{value}"
            options[name] = value
        shown = {n: v for n, v in spec.pairs if n in ("preset", "tune", "profile", "level", "bitrate")}
        _open(context, encoder, options, {**shown, **given})
        self._context = context
        # 90 kHz where a picture lasts a whole number of ticks, else a scale in which it does.
        exact = 90_000 * spec.fps.denominator % spec.fps.numerator == 0
        timescale = 90_000 if exact else spec.fps.numerator
        self.ticks = timescale * spec.fps.denominator // spec.fps.numerator
        self.delay_frames = context.reorder_depth
        """Pictures that may overtake: decode times begin this many pictures before presentation times."""
        self._units = AccessUnits(video.codec) if video.codec in ("h264", "h265") else None
        self.track = Track(
            id=track_id, kind=Kind.VIDEO, codec=video.codec, timescale=timescale, width=video.width,
            height=video.height, fps=spec.fps, bitrate_bps=video.bitrate_bps,
        )  # fmt: skip
        self.ready = False
        """Whether `track` is complete; true from the first frame on."""

    def encode(self, picture: "VideoFrame | None", number: int, offset: int) -> list[Frame]:
        """Frames that picture `number` completes; None flushes. `offset` ticks are added to all times."""
        if picture is not None:
            picture.pts = number
            picture.time_base = self._context.time_base
        ticks = self.ticks
        frames = []
        for packet in self._context.encode(picture):
            data = bytes(packet)
            if not data or packet.pts is None:
                continue
            key = packet.is_keyframe
            payload = self._canonical(data, key)
            dts = packet.pts if packet.dts is None else packet.dts
            frames.append(
                Frame(self.track, dts * ticks + offset, packet.pts * ticks + offset, payload, duration=ticks, key=key)
            )
        return frames

    def _canonical(self, data: bytes, key: bool) -> bytes:
        if self._units is not None:
            unit = self._units.read(data)
            if unit.config is not None:
                self._complete(unit.config)
            return unit.payload
        codec = self.track.codec
        if codec == "av1":
            if not self.ready and (header := av1.find_sequence_header(data)) is not None:
                self._complete(av1.build_av1c(header))
            return av1.canonical(data)
        if not self.ready:
            self._complete(vp9.build_vpcc(vp9.parse_frame_header(data), self.track.fps) if codec == "vp9" else b"")
        return data

    def _complete(self, config: bytes) -> None:
        self.track = describe(self.track.with_(config=config))
        self.ready = True


class AudioEncoder:
    """One sound track: the tone, encoded on demand."""

    def __init__(self, spec: Spec, audio: AudioSpec, track_id: int, tone: Tone, given: Mapping[str, str]) -> None:
        """`given` are the user's encoder options. Raises UsageError for what the encoder does not take."""
        self._audio = audio
        self._given = given
        self._tone = tone
        self._format = _SAMPLE_FORMATS[audio.codec]
        self._layout = "mono" if audio.channels == 1 else "stereo"
        self._context = self._make()
        self._size = self._context.frame_size
        # The first samples that come out are the encoder's own delay. Starting early by a whole number of frames
        # puts a packet exactly at time 0; the ones before it are left out.
        delay = self._measure_delay()
        self._next = (delay % self._size or self._size) - self._size
        self.end = 0
        """Sample number after the last packet."""
        config = bytes(self._context.extradata or b"") if audio.codec in ("aac", "opus", "flac") else b""
        self.track = describe(
            Track(
                id=track_id, kind=Kind.AUDIO, codec=audio.codec, timescale=audio.sample_rate, config=config,
                sample_rate=audio.sample_rate, channels=audio.channels, language=spec.language,
                bitrate_bps=audio.bitrate_bps,
            )
        )  # fmt: skip

    def _make(self) -> "AudioCodecContext":
        import av
        from av.codec.context import Flags

        audio = self._audio
        encoder = _AUDIO_ENCODERS[audio.codec]
        context = cast("AudioCodecContext", av.CodecContext.create(encoder, "w"))
        context.format = self._format
        context.layout = self._layout
        context.sample_rate = audio.sample_rate
        context.time_base = Fraction(1, audio.sample_rate)
        context.flags |= int(Flags.bitexact) | int(Flags.global_header)
        options = {"b": str(audio.bitrate_bps)} if audio.bitrate_bps else {}
        if audio.codec == "mp3":
            # No bit reservoir: every frame can be decoded by whoever joins there.
            options["reservoir"] = "0"
        elif audio.codec == "aac":
            # The default search costs as much as the whole picture; a tone sounds the same without it.
            options["aac_coder"] = "fast"
        _open(context, encoder, {**options, **self._given}, self._given)
        return context

    def _measure_delay(self) -> int:
        """Samples by which the encoder's first packet lies before its first input."""
        probe = self._make()
        silence = array("f", bytes(4 * self._size))
        for number in range(_MAX_PRIMING):
            for packet in probe.encode(self._frame(silence, number * self._size)):
                return max(0, -(packet.pts or 0))
        return 0

    def _frame(self, samples: "array[float]", pts: int) -> Any:
        from av.audio.frame import AudioFrame

        count = len(samples)
        frame = AudioFrame(self._format, self._layout, count)
        frame.sample_rate = self._audio.sample_rate
        frame.time_base = Fraction(1, self._audio.sample_rate)
        frame.pts = pts
        values: array[Any] = samples
        if self._format == "s16":
            values = array("h", [int(32767.0 * s) for s in samples])
        if self._audio.channels == 2 and not self._format.endswith("p"):
            both: array[Any] = array(values.typecode, bytes(2 * count * values.itemsize))
            both[0::2] = values
            both[1::2] = values
            values = both
        for plane in frame.planes:
            plane.update(values)  # type: ignore[arg-type]
        return frame

    def encode_until(self, sample: int, offset: int) -> list[Frame]:
        """The packets before and around `sample` that were not given yet; the last one ends after it."""
        frames: list[Frame] = []
        while self.end <= sample:
            block = self._frame(self._tone.samples(self._next, self._size), self._next)
            self._next += self._size
            frames += self._take(self._context.encode(block), offset)
        return frames

    def _take(self, packets: Iterable[Any], offset: int) -> list[Frame]:
        frames = []
        for packet in packets:
            if packet.pts is None or packet.pts < 0 or not packet.size:
                continue
            self.end = packet.pts + self._size
            frames.append(
                Frame(
                    self.track, packet.pts + offset, packet.pts + offset, bytes(packet), duration=self._size, key=True
                )
            )
        return frames
