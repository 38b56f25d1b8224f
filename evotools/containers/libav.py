"""Containers that we have no code of our own for, through PyAV: one reader, one writer."""

from evotools.containers.libav_read import ByteReader, LibavReader
from evotools.containers.libav_tables import carries
from evotools.containers.libav_write import LibavWriter, MuxerWriter

__all__ = ["ByteReader", "LibavReader", "LibavWriter", "MuxerWriter", "carries"]
