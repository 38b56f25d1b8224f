"""An FLV file or stream into events (Adobe video file format 10.1, E.2 and E.3)."""

import struct

from evotools.containers.flv.names import AUDIO, SCRIPT, SCRIPT_AMF3, VIDEO
from evotools.containers.flv.reader import TagReader
from evotools.errors import ParseError
from evotools.media.frame import Event

MAX_DATA_OFFSET = 1 << 16
"""Bytes of the file header. It is 9 in every version so far; more is skipped, within reason."""
MAX_TAG = 11 + 0xFFFFFF + 4
"""Bytes of one tag with its header and PreviousTagSize: DataSize is UI24, so no tag can ask for more memory."""

_HEADER = 9
_TAG_HEADER = 11
_PREVIOUS = 4
_KINDS = frozenset({VIDEO, AUDIO, SCRIPT, SCRIPT_AMF3})
_HEAD = struct.Struct(">II")
_unpack_head = _HEAD.unpack_from


class FlvDemuxer:
    """Feed the bytes of an FLV stream in any split; get `Tracks`, `Frame`, `Metadata` and `Discontinuity`.

    FLV has no sync marks, so what is no tag ends the stream with a ParseError. PreviousTagSize is not looked at:
    too many writers get it wrong. A second FLV header between tags (concatenated files) is a discontinuity.
    A tag that is cut off by the end of the input is dropped.
    """

    def __init__(self) -> None:
        self.tags = TagReader()
        self._held = bytearray()
        self._need = _HEADER
        self._skip = 0
        self._in_header = True
        self._headers = 0
        self._offset = 0
        self._error: ParseError | None = None

    def feed(self, data: bytes | bytearray | memoryview) -> list[Event]:
        """Events completed by `data`.

        Raises ParseError when the input is not FLV, or is encrypted. Events in front of the damage come out first:
        then the next call raises.
        """
        if self._error is not None:
            raise self._error
        held = self._held
        if held:
            held += data
            if len(held) < self._need:
                return []
            data = held
            self._held = bytearray()
        events: list[Event] = []
        with memoryview(data) as view:
            try:
                position = self._parse(view, events)
            except ParseError as error:
                self._error = error
                events += self.tags.flush()
                if not events:
                    raise
                return events
            self._offset += position
            if position < len(view):
                self._held += view[position:]
        return events

    def flush(self) -> list[Event]:
        """End of input: frames that still waited for another track. Raises the ParseError that `feed` put off."""
        if self._error is not None:
            raise self._error
        self._held = bytearray()
        return self.tags.flush()

    def _parse(self, view: memoryview, events: list[Event]) -> int:
        """Read tags into `events`; returns how many bytes are used up, and sets `_need` for the rest."""
        tags = self.tags
        end = len(view)
        position = self._pass_over(self._skip, 0, end)
        while position < end:
            if self._in_header:
                if end - position < _HEADER:
                    self._check_signature(view[position:])
                    self._need = _HEADER
                    return position
                header = view[position : position + _HEADER]
                # The header ends at DataOffset; PreviousTagSize0 follows.
                size = self._read_header(header, position, events)
                position = self._pass_over(size + _PREVIOUS, position, end)
                continue
            body = position + _TAG_HEADER
            if body > end:
                self._need = _TAG_HEADER
                return position
            head, time = _unpack_head(view, position)
            kind = head >> 24
            size = head & 0xFFFFFF
            if kind not in _KINDS:
                if bytes(view[position : position + 3]) == b"FLV":
                    self._in_header = True
                    continue
                self._refuse(kind, position)
            position = body + size
            if position > end:
                self._need = _TAG_HEADER + size
                return body - _TAG_HEADER
            # E.4.1: TimestampExtended holds the upper 8 bits and comes last.
            time = time >> 8 | (time & 0xFF) << 24
            if kind == VIDEO:
                events += tags.read_video(view[body:position], time)
            elif kind == AUDIO:
                events += tags.read_audio(view[body:position], time)
            else:
                # Enhanced RTMP v2: the format byte of AMF3, of which only 0 is defined, stands in front.
                if kind == SCRIPT_AMF3 and body < position and view[body] == 0:
                    body += 1
                events += tags.read_script(view[body:position], time)
            position += _PREVIOUS
            if position > end:
                self._skip = position - end
                return end
        return end

    def _pass_over(self, count: int, position: int, end: int) -> int:
        """The position `count` bytes on; what lies beyond `end` is remembered for the next call."""
        position += count
        self._skip = max(position - end, 0)
        return min(position, end)

    def _check_signature(self, start: memoryview) -> None:
        if bytes(start[:3]) != b"FLV"[: len(start)]:
            raise ParseError("this is not FLV: the signature is missing", offset=self._offset)

    def _read_header(self, header: memoryview, position: int, events: list[Event]) -> int:
        """Take note of a file header; returns its size."""
        self._check_signature(header)
        data_offset = int.from_bytes(header[5:9], "big")
        if not _HEADER <= data_offset <= MAX_DATA_OFFSET:
            raise ParseError(f"the FLV header gives its own size as {data_offset}", offset=self._offset + position)
        self._in_header = False
        if self._headers:
            events += self.tags.discontinuity("a new FLV header")
        self._headers += 1
        # E.2 TypeFlags: many servers set both flags always, some none; onMetaData overrides them.
        flags = header[4]
        self.tags.expect(video=bool(flags & 1), audio=bool(flags & 4))
        return data_offset

    def _refuse(self, kind: int, position: int) -> None:
        # E.4.1: bit 5 is Filter, for encrypted tags.
        if kind & 0x20 and kind & 0x1F in _KINDS:
            raise ParseError("the FLV tags are encrypted", offset=self._offset + position, hint="decrypt it first")
        raise ParseError(f"{kind} is no FLV tag type", offset=self._offset + position)
