"""What libav calls the things that we call otherwise: codecs, containers, and how each is written."""

from typing import Final

from evotools.containers.matroska import CODEC_ID, PCM_BITS, WEBM_CODECS

OUR_CODEC: Final = {
    "hevc": "h265", "pcm_alaw": "pcma", "pcm_mulaw": "pcmu", "libdav1d": "av1", "mp3float": "mp3",
}  # fmt: skip
"""libav codec name to ours where they differ."""

LIBAV_FORMAT: Final = {
    "ts": "mpegts", "annexb-h264": "h264", "annexb-h265": "hevc", "adts": "aac", "y4m": "yuv4mpegpipe",
}  # fmt: skip
"""Our container name to libav's demuxer where they differ."""

OUR_FORMAT: Final = {
    "mov,mp4,m4a,3gp,3g2,mj2": "mp4",
    "matroska,webm": "matroska",
    **{libav: ours for ours, libav in LIBAV_FORMAT.items()},
}
"""libav's demuxer name to ours where they differ."""

LIBAV_MUXER: Final = {**LIBAV_FORMAT, "adts": "adts", "mka": "matroska"}

_PCM = set(PCM_BITS)
_MOV = _PCM | {
    "h264", "h265", "vp9", "mpeg1video", "mpeg2video", "mpeg4", "mjpeg", "prores",
    "aac", "mp2", "mp3", "ac3", "eac3", "alac", "dts", "pcma", "pcmu",
}  # fmt: skip
CARRIES: Final[dict[str, set[str]]] = {
    "mov": _MOV,
    "matroska": set(CODEC_ID),
    "mka": set(CODEC_ID),
    "webm": set(WEBM_CODECS),
    "ogg": {"vorbis", "opus", "flac", "theora", "vp8"},
    "wav": _PCM - {"pcm_s16be", "pcm_s24be"} | {"pcma", "pcmu", "mp3", "mp2"},
    "avi": {"h264", "mpeg4", "mjpeg", "mp3", "mp2", "ac3", "pcm_s16le", "pcma", "pcmu"},
    "nut": set(CODEC_ID),
    "adts": {"aac"},
    "mp3": {"mp3"},
    "ac3": {"ac3"},
    "eac3": {"eac3"},
    "flac": {"flac"},
    "annexb-h264": {"h264"},
    "annexb-h265": {"h265"},
    "ivf": {"vp8", "vp9", "av1"},
}
"""Codecs that each container can hold when written through libav."""

UNOFFICIAL: Final = frozenset(("pcma", "pcmu"))
"""G.711 in Matroska (A_MS/ACM): libav calls the mapping unofficial, and PyAV refuses it. Our own writer takes it."""

SINGLE_TRACK: Final = {"adts", "mp3", "ac3", "eac3", "flac", "annexb-h264", "annexb-h265", "ivf", "wav"}


def carries(container: str, codec: str) -> bool:
    """Whether `container` (our name) can hold `codec` when libav writes it."""
    return codec in CARRIES.get(container, ())
