"""What the video usability information of H.264 (E.1.1) and H.265 (E.2.1) has in common: its first fields."""

from fractions import Fraction

from evotools.codecs.bits import BitReader

MAX_FPS = 1000
"""A clock of 1000 or more pictures per second is a time base (variable rate), not a frame rate."""

_ASPECT_RATIOS = (
    (0, 1), (1, 1), (12, 11), (10, 11), (16, 11), (40, 33), (24, 11), (20, 11), (32, 11), (80, 33), (18, 11),
    (15, 11), (64, 33), (160, 99), (4, 3), (3, 2), (2, 1),
)  # fmt: skip
"""Tables E-1 of H.264 and E.1 of H.265."""


def read_picture_fields(bits: BitReader, found: dict[str, object]) -> None:
    """Everything up to the chroma sample location. Puts fields into `found` as it meets them. Raises ParseError."""
    if bits.flag():
        ratio = bits.u(8)
        pair = (bits.u(16), bits.u(16)) if ratio == 255 else None
        if pair is None and ratio < len(_ASPECT_RATIOS):
            pair = _ASPECT_RATIOS[ratio]
        if pair and pair[0] and pair[1]:
            found["sample_aspect_ratio"] = Fraction(*pair)
    if bits.flag():
        bits.skip(1)
    if bits.flag():
        bits.skip(3)
        found["full_range"] = bits.flag()
        if bits.flag():
            found["colour_primaries"] = bits.u(8)
            found["transfer_characteristics"] = bits.u(8)
            found["matrix_coefficients"] = bits.u(8)
    if bits.flag():
        bits.ue()
        bits.ue()
