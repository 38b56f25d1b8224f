"""Fills the describing fields of a `Track` from its codec configuration; durations of audio packets."""

from collections.abc import Callable

from evotools.codecs import aac, ac3, av1, flac, g711, h264, h265, mp3, opus, vp8, vp9
from evotools.codecs.nal import Bytes
from evotools.media.timeline import rescale
from evotools.media.track import Track


def _h264(track: Track) -> Track:
    config = h264.parse_avcc(track.config)
    string = h264.codec_string(track.config)
    if not config.sps:
        profile = h264.profile_name(config.profile_idc, config.constraint_flags)
        return track.with_(codec_string=string, profile=profile)
    sps = h264.parse_sps(config.sps[0])
    return track.with_(
        codec_string=string, width=sps.width, height=sps.height, fps=sps.fps or track.fps, profile=sps.profile
    )


def _h265(track: Track) -> Track:
    config = h265.parse_hvcc(track.config)
    string = h265.codec_string(track.config)
    if not config.sps:
        return track.with_(codec_string=string, profile=config.ptl.profile)
    sps = h265.parse_sps(config.sps[0])
    fps = sps.fps
    if fps is None and config.vps:
        fps = h265.parse_vps(config.vps[0]).fps
    return track.with_(
        codec_string=string, width=sps.width, height=sps.height, fps=fps or track.fps, profile=sps.profile
    )


def _av1(track: Track) -> Track:
    header = av1.sequence_header_of(track.config)
    described = track.with_(codec_string=av1.codec_string(track.config))
    if header is None:
        return described
    return described.with_(
        width=header.width, height=header.height, fps=header.fps or track.fps, profile=header.profile_name
    )


def _vp9(track: Track) -> Track:
    config = vp9.parse_vpcc(track.config)
    return track.with_(codec_string=vp9.codec_string(track.config), profile=f"Profile {config.profile}")


def _aac(track: Track) -> Track:
    config = aac.parse_asc(track.config)
    return track.with_(
        codec_string=aac.codec_string(track.config),
        sample_rate=config.output_sample_rate,
        channels=config.channels or track.channels,
        profile=config.profile,
    )


def _opus(track: Track) -> Track:
    head = opus.parse_head(track.config)
    return track.with_(codec_string=opus.codec_string(), sample_rate=opus.SAMPLE_RATE, channels=head.channels)


def _flac(track: Track) -> Track:
    info = flac.parse_streaminfo(track.config)
    return track.with_(codec_string=flac.codec_string(), sample_rate=info.sample_rate, channels=info.channels)


def _ac3(track: Track) -> Track:
    parse = ac3.parse_dec3 if track.codec == "eac3" else ac3.parse_dac3
    config = parse(track.config)
    return track.with_(
        codec_string=ac3.codec_string(track.codec),
        sample_rate=config.sample_rate or track.sample_rate,
        channels=config.channels,
        bitrate_bps=config.bitrate or track.bitrate_bps,
    )


_FROM_CONFIG: dict[str, Callable[[Track], Track]] = {
    "h264": _h264, "h265": _h265, "av1": _av1, "vp9": _vp9, "aac": _aac, "opus": _opus, "flac": _flac,
    "ac3": _ac3, "eac3": _ac3,
}  # fmt: skip


def _mp3_packet(track: Track, packet: Bytes) -> Track:
    header = mp3.parse_header(packet)
    return track.with_(
        codec_string=mp3.codec_string(header.layer), sample_rate=header.sample_rate, channels=header.channels
    )


def _ac3_packet(track: Track, packet: Bytes) -> Track:
    header = ac3.parse_header(packet)
    track = track.with_(
        codec_string=ac3.codec_string(header.codec), sample_rate=header.sample_rate, channels=ac3.channels(packet)
    )
    if track.config or header.codec != track.codec:
        return track
    return track.with_(config=ac3.build_dac3(packet) if header.codec == "ac3" else ac3.build_dec3(packet))


def _vp8_packet(track: Track, packet: Bytes) -> Track:
    header = vp8.parse_frame_header(packet)
    if not header.key:
        return track
    return track.with_(width=header.width, height=header.height, profile=f"Profile {header.version}")


def _vp9_packet(track: Track, packet: Bytes) -> Track:
    header = vp9.parse_frame_header(packet)
    if not header.key:
        return track
    changes = track.with_(width=header.width, height=header.height, profile=f"Profile {header.profile}")
    if track.config:
        return changes
    config = vp9.build_vpcc(header, track.fps)
    return changes.with_(config=config, codec_string=vp9.codec_string(config))


def _av1_packet(track: Track, packet: Bytes) -> Track:
    header = None if track.config else av1.find_sequence_header(packet)
    return track if header is None else _av1(track.with_(config=av1.build_av1c(header)))


def _flac_packet(track: Track, packet: Bytes) -> Track:
    header = flac.parse_frame_header(packet)
    return track.with_(sample_rate=header.sample_rate or track.sample_rate, channels=header.channels)


_FROM_PACKET: dict[str, Callable[[Track, Bytes], Track]] = {
    "mp3": _mp3_packet, "mp2": _mp3_packet, "ac3": _ac3_packet, "eac3": _ac3_packet, "vp8": _vp8_packet,
    "vp9": _vp9_packet, "av1": _av1_packet, "flac": _flac_packet,
}  # fmt: skip

_FIXED_STRINGS = {
    "opus": "opus", "mp3": "mp4a.40.34", "mp2": "mp4a.40.33", "ac3": "ac-3", "eac3": "ec-3", "flac": "fLaC",
    "vp8": "vp8", "vorbis": "vorbis", **g711.CODEC_STRINGS,
}  # fmt: skip
"""Of codecs whose string does not depend on the bitstream."""


def describe(track: Track, packet: Bytes = b"") -> Track:
    """The track with size, frame rate, profile, sample rate, channels and RFC 6381 string as far as they are told.

    They come from `track.config`, and from `packet` (a payload of the track, best a key frame) for codecs whose
    packets tell: mp3, mp2, ac3, eac3, vp8, vp9, av1, flac; vp9 and av1 then get their `config` too when it was
    empty. What nothing tells stays as it was. Raises ParseError for a broken configuration or packet.
    """
    codec = track.codec
    if not track.codec_string and codec in _FIXED_STRINGS:
        track = track.with_(codec_string=_FIXED_STRINGS[codec])
    if codec in g711.CODEC_STRINGS:
        return track.with_(sample_rate=track.sample_rate or g711.SAMPLE_RATE, channels=track.channels or 1)
    if track.config and codec in _FROM_CONFIG:
        track = _FROM_CONFIG[codec](track)
    if len(packet) and codec in _FROM_PACKET and not (codec == "flac" and track.config):
        track = _FROM_PACKET[codec](track, packet)
    return track


def packet_samples(track: Track, payload: Bytes) -> tuple[int, int]:
    """(samples per channel, their rate in Hz) of one audio packet; (0, 0) when it does not tell.

    Raises ParseError when the packet or the configuration is broken.
    """
    codec = track.codec
    if codec == "aac":
        return aac.samples_per_frame(track.config) if track.config else (0, 0)
    if codec == "opus":
        return opus.packet_duration(payload), opus.SAMPLE_RATE
    if codec in ("mp3", "mp2"):
        header = mp3.parse_header(payload)
        return header.samples, header.sample_rate
    if codec in ("ac3", "eac3"):
        return ac3.samples(payload)
    if codec == "flac":
        frame = flac.parse_frame_header(payload)
        rate = frame.sample_rate or track.sample_rate
        if not rate and track.config:
            rate = flac.parse_streaminfo(track.config).sample_rate
        return (frame.samples, rate) if rate else (0, 0)
    if codec in g711.CODEC_STRINGS:
        return g711.samples(len(payload), track.channels or 1), track.sample_rate or g711.SAMPLE_RATE
    return 0, 0


def frame_duration(track: Track, payload: Bytes) -> int:
    """Ticks of `track.timescale` that one audio packet lasts; 0 when it does not tell, and for video.

    Rounded to nearest: sum samples (`packet_samples`), not ticks, where that must not drift. Raises ParseError when
    the packet or the configuration is broken.
    """
    samples, rate = packet_samples(track, payload)
    return rescale(samples, rate, track.timescale) if rate else 0
