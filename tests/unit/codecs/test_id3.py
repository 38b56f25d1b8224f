"""ID3 tags: what is written, what others write, and what is broken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evotools.codecs import id3
from evotools.errors import ParseError


def test_what_is_written_by_the_letter() -> None:
    tag = id3.tag(id3.user_text("a", "ö"))
    assert tag == b"ID3\4\0\0\0\0\0\x0fTXXX\0\0\0\5\0\0\3a\0\xc3\xb6"
    assert id3.split(tag + tag + b"rest") == [tag, tag]
    assert id3.frames(tag) == [("TXXX", b"\3a\0\xc3\xb6")]
    long = id3.tag(id3.text("TIT2", "x" * 300))
    assert long[6:10] == b"\0\0\2\x37"
    assert id3.frames(long) == [("TIT2", b"\3" + b"x" * 300)]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"\0caf\xe9\0", ["café"]),
        (b"\1\xff\xfea\0\0\0b\0", ["a", "b"]),
        (b"\1\xfe\xff\0a\0\0\xfe\xff\0b", ["a", "b"]),
        (b"\2\0a\0\0", ["a"]),
        (b"\3a\0b\0", ["a", "b"]),
        (b"\3", [""]),
        (b"", [""]),
        (b"\x09x", ["x"]),
    ],
)
def test_texts_in_every_encoding(body: bytes, expected: list[str]) -> None:
    assert id3.texts(body) == expected


@pytest.mark.parametrize(
    "tag",
    [
        # Version 2.3: sizes with eight bits a byte, unsynchronised as a whole, behind an extended header.
        b"ID3\3\0\xc0\0\0\2\x19" + b"\0\0\0\6\0\0\0\0\0\0" + b"TIT2\0\0\1\4\0\0\0\xff\0\xe0" + b"x" * 257,
        # Version 2.4: a frame unsynchronised by itself, with a group and a data length, behind an extended header.
        b"ID3\4\0\x40\0\0\2\x1a" + b"\0\0\0\6\1\0" + b"TIT2\0\0\2\x0a\0\x43\7\0\0\2\4\0\xff\0\xe0" + b"x" * 257,
        # Padding.
        b"ID3\4\0\0\0\0\2\x18" + b"TIT2\0\0\2\4\0\0\0\xff\xe0" + b"x" * 257 + b"\0" * 10,
    ],
)
def test_the_forms_of_others(tag: bytes) -> None:
    (whole,) = id3.split(tag + b"\0")
    assert id3.texts(id3.frames(whole)[0][1]) == ["\xff\xe0" + "x" * 257]


def test_compressed_and_encrypted_frames_are_left_out() -> None:
    body = b"TIT2\0\0\0\2\0\x08zz" + b"TIT3\0\0\0\2\0\x04zz" + id3.text("TPE1", "a")
    assert [name for name, _ in id3.frames(id3.tag(body))] == ["TPE1"]


def test_a_footer_belongs_to_its_tag() -> None:
    tag = b"ID3\4\0\x10\0\0\0\0" + b"3DI\4\0\x10\0\0\0\0"
    assert id3.split(tag + id3.tag()) == [tag, id3.tag()]


@pytest.mark.parametrize(
    "data", [b"", b"ID3", b"XYZ\4\0\0\0\0\0\0", b"ID3\2\0\0\0\0\0\0", id3.tag(b"TIT2\0\0\0\x7f\0\0ab")]
)
def test_broken_tags(data: bytes) -> None:
    with pytest.raises(ParseError):
        id3.frames(data)


@given(st.binary(max_size=200), st.sampled_from([3, 4]), st.integers(0, 255))
def test_whatever_comes_is_read_or_refused(body: bytes, version: int, flags: int) -> None:
    data = bytes((0x49, 0x44, 0x33, version, 0, flags)) + id3.tag(body)[6:]
    for tag in id3.split(data):
        try:
            for _, content in id3.frames(tag):
                id3.texts(content)
        except ParseError:
            pass
