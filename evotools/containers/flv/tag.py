"""FLV tag bodies, shared by files, HTTP-FLV and RTMP: the reader, the writer and what passes between."""

from evotools.containers.flv.metadata import on_metadata
from evotools.containers.flv.names import AUDIO, SCRIPT, VIDEO, accepts
from evotools.containers.flv.reader import TagReader
from evotools.containers.flv.writer import TagBody, TagWriter

__all__ = ["AUDIO", "SCRIPT", "VIDEO", "TagBody", "TagReader", "TagWriter", "accepts", "on_metadata"]
