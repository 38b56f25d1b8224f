"""Common encryption in MP4: the boxes that say how samples are protected (ISO/IEC 23001-7, ISO/IEC 14496-12 8.12).

Tables only; nothing here encrypts or decrypts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from evotools.containers.mp4.boxes import Box, box, child, children, full_box
from evotools.errors import MediaError, ParseError

MAX_KEY_IDS = 1024
"""Key ids in one pssh box; presentations have a handful."""


@dataclass(frozen=True, slots=True)
class Protection:
    """How the samples of a track are protected."""

    scheme: bytes
    """`cenc`, `cbcs`, `cens` or `cbc1` (23001-7 4.2)."""
    kid: bytes
    """default_KID, 16 bytes."""
    iv_size: int = 8
    """default_Per_Sample_IV_Size: 8 or 16; 0 with a constant one."""
    constant_iv: bytes = b""
    """default_constant_IV, 8 or 16 bytes; empty when each sample has its own."""
    crypt_blocks: int = 0
    """default_crypt_byte_block; 0 without a pattern."""
    skip_blocks: int = 0
    version: int = 0x00010000
    """scheme_version."""
    protected: bool = True
    """default_isProtected."""


def sinf(protection: Protection, original: bytes) -> bytes:
    """The protection scheme information of a sample entry that would be called `original`. Raises MediaError."""
    if len(protection.kid) != 16 or protection.iv_size not in (0, 8, 16):
        raise MediaError("a protected track needs a key id of 16 bytes and an IV of 8 or 16")
    if not protection.iv_size and len(protection.constant_iv) not in (8, 16):
        raise MediaError("a protected track without IVs of its samples needs a constant IV of 8 or 16 bytes")
    # 23001-7 8.2: version 1 has the pattern.
    pattern = protection.crypt_blocks << 4 | protection.skip_blocks
    constant = b""
    if protection.protected and not protection.iv_size:
        constant = bytes((len(protection.constant_iv),)) + protection.constant_iv
    tenc = full_box(
        b"tenc", 1 if pattern else 0, 0, bytes((0, pattern, protection.protected, protection.iv_size)),
        protection.kid, constant,
    )  # fmt: skip
    return box(
        b"sinf",
        box(b"frma", original),
        full_box(b"schm", 0, 0, protection.scheme, protection.version.to_bytes(4, "big")),
        box(b"schi", tenc),
    )


def parse_sinf(data: bytes, of: Box) -> tuple[bytes, Protection | None]:
    """(original format, protection) of a sinf box; None for a scheme without a tenc box. Raises ParseError."""
    found = {b.kind: b for b in children(data, of.start, of.end)}
    frma = found.get(b"frma")
    if frma is None or frma.end - frma.start < 4:
        raise ParseError("MP4: a protected sample entry does not tell its original format")
    original = data[frma.start : frma.start + 4]
    schm, schi = found.get(b"schm"), found.get(b"schi")
    tenc = child(data, schi, b"tenc") if schi is not None else None
    if schm is None or schm.end - schm.start < 12 or tenc is None:
        return original, None
    return original, _parse_tenc(
        data[tenc.start : tenc.end], data[schm.start + 4 : schm.start + 8],
        int.from_bytes(data[schm.start + 8 : schm.start + 12], "big"),
    )  # fmt: skip


def _parse_tenc(body: bytes, scheme: bytes, version: int) -> Protection:
    if len(body) < 24:
        raise ParseError(f"MP4: a tenc box of {len(body)} bytes is too short")
    pattern = body[5] if body[0] else 0
    protected, iv_size = bool(body[6]), body[7]
    constant = b""
    if protected and not iv_size:
        size = body[24] if len(body) > 24 else 0
        constant = body[25 : 25 + size]
        if size not in (8, 16) or len(constant) != size:
            raise ParseError("MP4: a tenc box has no usable constant IV")
    elif iv_size not in (0, 8, 16):
        raise ParseError(f"MP4: an IV of {iv_size} bytes is impossible")
    return Protection(scheme, body[8:24], iv_size, constant, pattern >> 4, pattern & 15, version, protected)


def pssh(system: bytes, data: bytes = b"", kids: Sequence[bytes] = ()) -> bytes:
    """A protection system specific header (23001-7 8.1). Raises MediaError for a system id that is not 16 bytes."""
    if len(system) != 16 or any(len(kid) != 16 for kid in kids):
        raise MediaError("system ids and key ids have 16 bytes")
    listed = len(kids).to_bytes(4, "big") + b"".join(kids) if kids else b""
    return full_box(b"pssh", 1 if kids else 0, 0, system, listed, len(data).to_bytes(4, "big"), data)


def parse_pssh(body: bytes) -> tuple[bytes, tuple[bytes, ...], bytes]:
    """(system id, key ids, data) of the body of a pssh box, version and flags first. Raises ParseError."""
    if len(body) < 24:
        raise ParseError(f"MP4: a pssh box of {len(body)} bytes is too short")
    position, kids = 20, []
    if body[0]:
        count = int.from_bytes(body[20:24], "big")
        if count > MAX_KEY_IDS or 24 + 16 * count > len(body):
            raise ParseError(f"MP4: a pssh box cannot hold {count} key ids")
        kids = [body[24 + 16 * i : 40 + 16 * i] for i in range(count)]
        position = 24 + 16 * count
    size = int.from_bytes(body[position : position + 4], "big")
    data = body[position + 4 : position + 4 + size]
    if len(data) != size:
        raise ParseError("MP4: a pssh box is cut")
    return body[4:20], tuple(kids), data
