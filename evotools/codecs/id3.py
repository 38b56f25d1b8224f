"""ID3 tags, as far as timed metadata needs them. ID3v2.4.0 structure and frames; version 2.3 is read too."""

from evotools.errors import ParseError

HEADER_BYTES = 10
MAX_FRAMES = 256
"""Frames of one tag that are read: timed metadata has a handful."""

_ENCODINGS = ("latin-1", "utf-16", "utf-16-be", "utf-8")
_UNSYNC, _EXTENDED, _FOOTER = 0x80, 0x40, 0x10
# Structure 4.1.2, the second flag byte of a frame: grouping identity, compression, encryption, unsynchronisation, data
# length indicator.
_GROUPED, _PACKED, _FRAME_UNSYNC, _LENGTH = 0x40, 0x0C, 0x02, 0x01


def _syncsafe(number: int) -> bytes:
    """28 bits, seven in each byte (structure 6.2)."""
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def _number(data: bytes) -> int:
    value = 0
    for byte in data:
        value = value << 7 | byte & 0x7F
    return value


def frame(name: str, body: bytes) -> bytes:
    """A frame of version 2.4 without flags (structure 4)."""
    return name.encode("ascii") + _syncsafe(len(body)) + b"\0\0" + body


def text(name: str, value: str) -> bytes:
    """A text frame in UTF-8 (frames 4.2)."""
    return frame(name, b"\x03" + value.encode(errors="replace"))


def user_text(description: str, value: str) -> bytes:
    """TXXX (frames 4.2.6)."""
    return text("TXXX", description.replace("\0", " ") + "\0" + value)


def private(owner: str, data: bytes) -> bytes:
    """PRIV (frames 4.27)."""
    return frame("PRIV", owner.replace("\0", " ").encode("latin-1", "replace") + b"\0" + data)


def tag(*frames: bytes) -> bytes:
    """A tag of version 2.4 without flags (structure 3.1)."""
    body = b"".join(frames)
    return b"ID3\x04\0\0" + _syncsafe(len(body)) + body


def split(data: bytes) -> list[bytes]:
    """The tags that stand one behind the other in `data`; what is none, and all behind it, is left out."""
    found: list[bytes] = []
    at = 0
    while data[at : at + 3] == b"ID3" and len(data) >= at + HEADER_BYTES:
        size = HEADER_BYTES + _number(data[at + 6 : at + HEADER_BYTES])
        if data[at + 5] & _FOOTER:
            size += HEADER_BYTES
        if at + size > len(data):
            break
        found.append(data[at : at + size])
        at += size
    return found


def frames(data: bytes) -> list[tuple[str, bytes]]:
    """Names and bodies of the frames of one tag; compressed and encrypted ones are left out. Raises ParseError."""
    if len(data) < HEADER_BYTES or data[:3] != b"ID3":
        raise ParseError("not an ID3 tag")
    version, flags = data[3], data[5]
    if version not in (3, 4):
        raise ParseError(f"an ID3 tag of version 2.{version}")
    body = data[HEADER_BYTES : HEADER_BYTES + _number(data[6:HEADER_BYTES])]
    newer = version == 4
    if flags & _UNSYNC and not newer:
        body = body.replace(b"\xff\0", b"\xff")
    at = 0
    if flags & _EXTENDED:
        at = _number(body[:4]) if newer else 4 + int.from_bytes(body[:4], "big")
    found: list[tuple[str, bytes]] = []
    while at + 10 <= len(body) and body[at] and len(found) < MAX_FRAMES:
        name, kind = body[at : at + 4], body[at + 9]
        size = _number(body[at + 4 : at + 8]) if newer else int.from_bytes(body[at + 4 : at + 8], "big")
        at += 10 + size
        if at > len(body):
            raise ParseError("a frame runs past the end of its ID3 tag")
        content = body[at - size : at]
        if newer:
            if kind & _PACKED:
                continue
            content = content[bool(kind & _GROUPED) + 4 * bool(kind & _LENGTH) :]
            if kind & _FRAME_UNSYNC:
                content = content.replace(b"\xff\0", b"\xff")
        elif kind:
            continue
        found.append((name.decode("latin-1"), content))
    return found


def texts(body: bytes) -> list[str]:
    """The strings of a text frame, without empty ones at the end; of TXXX the description comes first."""
    encoding = _ENCODINGS[body[0]] if body and body[0] < len(_ENCODINGS) else "latin-1"
    values = [value.removeprefix("\ufeff") for value in body[1:].decode(encoding, "replace").split("\0")]
    while len(values) > 1 and not values[-1]:
        values.pop()
    return values
