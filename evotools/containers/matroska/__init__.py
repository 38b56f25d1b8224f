"""Matroska and WebM (RFC 9559 on RFC 8794 EBML): a live writer, a file writer, a reader."""

from evotools.containers.matroska.elements import element, number
from evotools.containers.matroska.file import MatroskaFile
from evotools.containers.matroska.mux import MatroskaMuxer, codec_delay_ns, header, private_data
from evotools.containers.matroska.names import CODEC_ID, PCM_BITS, WEBM_CODECS

__all__ = [
    "CODEC_ID", "PCM_BITS", "WEBM_CODECS", "MatroskaFile", "MatroskaMuxer", "codec_delay_ns", "element", "header",
    "number", "private_data",
]  # fmt: skip
