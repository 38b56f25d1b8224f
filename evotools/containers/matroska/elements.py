"""EBML elements as bytes (RFC 8794)."""


def element(ident: int, body: bytes) -> bytes:
    """An EBML element with an 8-octet size (RFC 8794 4.4)."""
    return ident.to_bytes((ident.bit_length() + 7) // 8, "big") + ((1 << 56) | len(body)).to_bytes(8, "big") + body


def number(ident: int, value: int) -> bytes:
    """An unsigned integer element."""
    return element(ident, value.to_bytes((value.bit_length() + 7) // 8 or 1, "big"))


def void(size: int) -> bytes:
    """An element without meaning that takes `size` bytes in all: the place of another one."""
    return element(0xEC, bytes(size - 9))


def text(ident: int, value: str) -> bytes:
    return element(ident, value.encode())


def size_of(value: int) -> bytes:
    """An element's size in 8 octets (RFC 8794 6.1)."""
    return ((1 << 56) | value).to_bytes(8, "big")


def small(ident: int, body: bytes) -> bytes:
    """An element of a one-octet identifier and a one-octet size."""
    return bytes((ident, 0x80 | len(body))) + body


def small_number(ident: int, value: int) -> bytes:
    return small(ident, value.to_bytes((value.bit_length() + 7) // 8 or 1, "big"))
