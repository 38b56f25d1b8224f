"""What Matroska calls things: codecs and elements (RFC 9559 5, draft-ietf-cellar-codec)."""

from typing import Final

CODEC_ID: Final = {
    "h264": "V_MPEG4/ISO/AVC", "h265": "V_MPEGH/ISO/HEVC", "av1": "V_AV1", "vp8": "V_VP8", "vp9": "V_VP9",
    "mpeg1video": "V_MPEG1", "mpeg2video": "V_MPEG2", "mpeg4": "V_MPEG4/ISO/ASP", "mjpeg": "V_MJPEG",
    "theora": "V_THEORA", "prores": "V_PRORES", "ffv1": "V_FFV1",
    "aac": "A_AAC", "mp2": "A_MPEG/L2", "mp3": "A_MPEG/L3", "opus": "A_OPUS", "ac3": "A_AC3", "eac3": "A_EAC3",
    "flac": "A_FLAC", "vorbis": "A_VORBIS", "dts": "A_DTS", "truehd": "A_TRUEHD", "alac": "A_ALAC",
    "pcm_s16le": "A_PCM/INT/LIT", "pcm_s24le": "A_PCM/INT/LIT", "pcm_s32le": "A_PCM/INT/LIT",
    "pcm_s16be": "A_PCM/INT/BIG", "pcm_s24be": "A_PCM/INT/BIG", "pcm_f32le": "A_PCM/FLOAT/IEEE",
    "pcma": "A_MS/ACM", "pcmu": "A_MS/ACM",
}  # fmt: skip
"""Codec identifiers of draft-ietf-cellar-codec."""
WEBM_CODECS: Final = frozenset(("vp8", "vp9", "av1", "opus", "vorbis"))
PCM_BITS: Final = {"pcm_s16le": 16, "pcm_s16be": 16, "pcm_s24le": 24, "pcm_s24be": 24, "pcm_s32le": 32, "pcm_f32le": 32}
