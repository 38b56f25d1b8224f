"""Bitstream syntax of the codecs, as pure functions: bytes in, values out.

Names of codecs as `Track.codec` has them: h264 h265 av1 vp9 vp8 aac opus mp3 mp2 ac3 eac3 flac pcma pcmu.
Every parser raises `evotools.errors.ParseError` and nothing else.
"""
