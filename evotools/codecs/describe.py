"""Fills the describing fields of a `Track` from its codec configuration; durations of audio packets."""

from collections.abc import Callable

from evotools.codecs import aac, h264, h265
from evotools.media.timeline import rescale
from evotools.media.track import Track


def _h264(track: Track) -> Track:
    config = h264.parse_avcc(track.config)
    string = h264.codec_string(track.config)
    if not config.sps:
        return track.with_(codec_string=string, profile=h264.profile_name(config.profile_idc, config.constraint_flags))
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


def _aac(track: Track) -> Track:
    config = aac.parse_asc(track.config)
    return track.with_(
        codec_string=aac.codec_string(track.config),
        sample_rate=config.output_sample_rate,
        channels=config.channels or track.channels,
        profile=config.profile,
    )


_CONFIGURED: dict[str, Callable[[Track], Track]] = {"h264": _h264, "h265": _h265, "aac": _aac}


def describe(track: Track) -> Track:
    """The track with size, frame rate, profile, sample rate, channels and RFC 6381 string from its configuration.

    What the configuration does not tell stays as it was. Raises ParseError for a broken configuration.
    """
    if track.config and track.codec in _CONFIGURED:
        return _CONFIGURED[track.codec](track)
    return track


def frame_duration(track: Track, payload: bytes) -> int:
    """Ticks of `track.timescale` that one packet lasts, for audio codecs that tell; 0 when unknown.

    Raises ParseError when the packet or the configuration is broken.
    """
    if track.codec == "aac" and track.config:
        samples, rate = aac.samples_per_frame(track.config)
        return rescale(samples, rate, track.timescale)
    return 0
