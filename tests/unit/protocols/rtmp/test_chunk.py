"""Chunks: all header forms, any split, extended timestamps, caps, and the attacks on a chunk parser."""

import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evotools.errors import ProtocolError
from evotools.protocols.rtmp import chunk
from evotools.protocols.rtmp.chunk import ChunkReader, ChunkWriter, Message, type0_chunks

Row = tuple[int, int, int, bytes]


def rows(messages: list[Message]) -> list[Row]:
    return [(m.type, m.timestamp, m.stream_id, m.payload) for m in messages]


def header(fmt: int, csid: int, *, time: int = 0, length: int = 0, kind: int = 9, stream_id: int = 1) -> bytes:
    """A chunk header written field by field from 5.3.1; the extended timestamp is the caller's."""
    out = bytes((fmt << 6 | csid,))
    if fmt < 3:
        out += min(time, 0xFFFFFF).to_bytes(3, "big")
    if fmt < 2:
        out += length.to_bytes(3, "big") + bytes((kind,))
    if fmt < 1:
        out += struct.pack("<I", stream_id)
    return out


def set_size(size: int) -> bytes:
    return header(0, 2, length=4, kind=1, stream_id=0) + struct.pack(">I", size)


def read(data: bytes, step: int = 0) -> list[Row]:
    reader = ChunkReader()
    found: list[Message] = []
    for at in range(0, len(data), step or len(data)):
        found += reader.feed(data[at : at + (step or len(data))])
    return rows(found)


STEPS = [0, 1, 2, 3, 5, 100]


@pytest.mark.parametrize("step", STEPS)
def test_the_example_of_the_specification(step: int) -> None:
    """5.3.2.1: four audio messages, the later ones with ever shorter headers."""
    body = bytes(32)
    data = (
        header(0, 3, time=1000, length=32, kind=8, stream_id=12345) + body
        + header(2, 3, time=20) + body
        + header(3, 3) + body
        + header(3, 3) + body
    )  # fmt: skip
    assert len(data) == 44 + 36 + 33 + 33
    assert read(data, step) == [(8, t, 12345, body) for t in (1000, 1020, 1040, 1060)]


@pytest.mark.parametrize("step", STEPS)
def test_a_message_of_several_chunks(step: int) -> None:
    """5.3.2.2: 307 bytes in chunks of 128."""
    body = bytes(range(256)) + bytes(51)
    data = header(0, 4, time=1000, length=307, stream_id=12346) + body[:128] + header(3, 4) + body[128:256]
    data += header(3, 4) + body[256:]
    assert read(data, step) == [(9, 1000, 12346, body)]


@pytest.mark.parametrize("step", STEPS)
def test_interleaved_messages(step: int) -> None:
    video, audio = b"v" * 300, b"a" * 200
    data = (
        header(0, 6, time=40, length=300) + video[:128]
        + header(0, 4, time=41, length=200, kind=8) + audio[:128]
        + header(3, 6) + video[128:256] + header(3, 4) + audio[128:] + header(3, 6) + video[256:]
    )  # fmt: skip
    assert read(data, step) == [(8, 41, 1, audio), (9, 40, 1, video)]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("csid", [2, 63, 64, 319, 320, 65599])
def test_chunk_stream_ids_of_one_two_and_three_bytes(csid: int, step: int) -> None:
    if csid < 64:
        forms = [bytes((csid,))]
    else:
        forms = [b"\x01" + struct.pack("<H", csid - 64)] + ([bytes((0, csid - 64))] if csid < 320 else [])
    body = bytes(200)
    for form in forms:
        later = bytes((form[0] | 0xC0,)) + form[1:]
        data = form + header(0, 2, time=5, length=200)[1:] + body[:128] + later + body[128:]
        # The three-byte form of a small id names the same stream as the short one.
        data += bytes((forms[-1][0] | 0x80,)) + forms[-1][1:] + b"\x00\x00\x07" + body[:128] + later + body[128:]
        assert read(data, step) == [(9, 5, 1, body), (9, 12, 1, body)]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("repeated", [True, False])
def test_extended_timestamps_with_and_without_repetition(repeated: bool, step: int) -> None:
    stamp = struct.pack(">I", 0x01000000)
    again = stamp if repeated else b""
    body = bytes(i & 0x7F | 0x80 for i in range(300))
    data = header(0, 6, time=0x01000000, length=300) + stamp + body[:128]
    data += header(3, 6) + again + body[128:256] + header(3, 6) + again + body[256:]
    assert read(data, step) == [(9, 0x01000000, 1, body)]


@pytest.mark.parametrize("step", STEPS)
def test_extended_deltas_and_the_wrap_of_the_clock(step: int) -> None:
    stamp = struct.pack(">I", 0xFFFFFFF0)
    data = header(0, 6, time=0xFFFFFFF0, length=1) + stamp + b"a"
    data += header(1, 6, time=0x20, length=1) + b"b"
    data += header(1, 6, time=0xFFFFFF, length=1) + struct.pack(">I", 0x01000000) + b"c"
    data += header(3, 6) + struct.pack(">I", 0x01000000) + b"d"
    assert [(t, p) for _, t, _, p in read(data, step)] == [
        (0xFFFFFFF0, b"a"), (0x10, b"b"), (0x01000010, b"c"), (0x02000010, b"d"),
    ]  # fmt: skip


def test_a_type_3_message_behind_type_0_steps_by_its_time_or_stands_still() -> None:
    """ffmpeg writes the first; a step of an hour can only mean that the time is the same."""
    for start, following in ((23, 46), (0, 0), (3_600_000, 3_600_000)):
        data = header(0, 4, time=start, length=1, kind=8) + b"a" + header(3, 4) + b"b"
        assert [t for _, t, _, _ in read(data)] == [start, following]


def test_type_0_may_step_back() -> None:
    data = header(0, 4, time=500, length=1) + b"a" + header(0, 4, time=100, length=1) + b"b"
    assert [t for _, t, _, _ in read(data)] == [500, 100]


def test_messages_without_a_body() -> None:
    assert read(header(0, 4, length=0) + header(3, 4)) == [(9, 0, 1, b""), (9, 0, 1, b"")]


def test_librtmp_begins_with_type_1() -> None:
    assert read(header(1, 2, length=6, kind=4) + bytes(6)) == [(4, 0, 0, bytes(6))]


@pytest.mark.parametrize("fmt", [2, 3])
def test_a_stream_cannot_begin_with_a_header_that_leaves_everything_out(fmt: int) -> None:
    with pytest.raises(ProtocolError):
        read(header(fmt, 9) + bytes(10))


@pytest.mark.parametrize("step", STEPS)
def test_the_chunk_size_changes_in_mid_message(step: int) -> None:
    body = bytes(i & 0xFF for i in range(500))
    data = header(0, 6, length=500) + body[:128] + set_size(200) + header(3, 6) + body[128:328] + set_size(1000)
    data += header(3, 6) + body[328:]
    assert read(data, step) == [(9, 0, 1, body)]


@pytest.mark.parametrize("step", [0, 1, 3])
@pytest.mark.parametrize("size", [1, 2, 127, 4096, 0xFFFFFF, 0x7FFFFFFF])
def test_chunk_sizes_from_one_to_the_largest(size: int, step: int) -> None:
    body = random.Random(size).randbytes(5000)
    data = set_size(size) + type0_chunks(9, 1, 6, 7, (body,), min(size, 0xFFFFFF))
    assert read(data, step) == [(9, 7, 1, body)]


@pytest.mark.parametrize("size", [0, 0x80000000, 0xFFFFFFFF])
def test_impossible_chunk_sizes_are_refused(size: int) -> None:
    with pytest.raises(ProtocolError):
        read(set_size(size))


@pytest.mark.parametrize("kind", [1, 2])
def test_short_control_messages_are_refused(kind: int) -> None:
    with pytest.raises(ProtocolError):
        read(header(0, 2, length=2, kind=kind, stream_id=0) + bytes(2))


@pytest.mark.parametrize("step", STEPS)
def test_abort_gives_a_message_up(step: int) -> None:
    data = header(0, 6, time=1, length=300) + bytes(128)
    data += header(0, 2, length=4, kind=2, stream_id=0) + struct.pack(">I", 6)
    data += header(1, 6, time=1, length=3) + b"new"
    assert read(data, step) == [(9, 2, 1, b"new")]


def test_a_new_header_in_mid_message_gives_the_old_message_up() -> None:
    data = header(0, 6, length=300) + bytes(128) + header(0, 6, length=3) + b"new"
    assert read(data) == [(9, 0, 1, b"new")]


def test_sixty_four_streams_and_not_one_more() -> None:
    reader = ChunkReader()
    for number in range(chunk.MAX_CHUNK_STREAMS):
        reader.feed(b"\x00" + bytes((number,)) + header(0, 0, length=200)[1:] + bytes(128))
    with pytest.raises(ProtocolError, match="64 chunk streams"):
        reader.feed(header(0, 3, length=1) + b"x")


def test_messages_above_the_cap_are_refused_before_they_come() -> None:
    assert chunk.MAX_MESSAGE < 0xFFFFFF
    with pytest.raises(ProtocolError, match="allowed"):
        read(header(0, 6, length=chunk.MAX_MESSAGE + 1))
    reader = ChunkReader()
    reader.feed(set_size(chunk.MAX_CHUNK_SIZE) + header(0, 6, length=chunk.MAX_MESSAGE))
    body = bytes(1 << 16)
    found = [m for _ in range(chunk.MAX_MESSAGE >> 16) for m in reader.feed(body)]
    assert [len(m.payload) for m in found] == [chunk.MAX_MESSAGE]


def test_unfinished_messages_are_capped_together() -> None:
    reader = ChunkReader()
    size = chunk.MAX_MESSAGE - 1
    reader.feed(set_size(size))
    for csid in (3, 4):
        reader.feed(header(0, csid, length=chunk.MAX_MESSAGE) + bytes(size))
    with pytest.raises(ProtocolError, match="unfinished"):
        reader.feed(header(0, 5, length=chunk.MAX_MESSAGE) + bytes(size))


def test_tiny_chunks_do_not_multiply_memory() -> None:
    reader = ChunkReader()
    reader.feed(set_size(2) + header(0, 6, length=100_000) + b"ab")
    for _ in range(1000):
        reader.feed((b"\xc6ab") * 49)
    stream = reader._streams[6]
    assert stream.partial is not None
    assert len(stream.partial) == 98_002
    assert stream.partial.__sizeof__() < 200_000


@pytest.mark.parametrize("time", [0, 0xFFFFFE, 0xFFFFFF, 0x1000000, 0xFFFFFFFF, 0x1_0000_0005, -5])
@pytest.mark.parametrize("size", [0, 1, 127, 128, 129, 256, 257, 1000])
def test_type0_chunks_are_read_back(size: int, time: int) -> None:
    body = random.Random(size).randbytes(size)
    data = type0_chunks(8, 1, 4, time, (body[:3], memoryview(body)[3:]), 128)
    for step in (0, 1):
        assert read(data, step) == [(8, time & 0xFFFFFFFF, 1, body)]


def test_type0_chunks_to_the_byte() -> None:
    data = type0_chunks(9, 1, 6, 0x1000001, (b"x" * 130,), 128)
    stamp = bytes.fromhex("01000001")
    assert (
        data == bytes.fromhex("06ffffff00008209") + b"\x01\x00\x00\x00" + stamp + b"x" * 128 + b"\xc6" + stamp + b"xx"
    )


def test_writer_announces_its_chunk_size_in_the_old_one() -> None:
    writer = ChunkWriter()
    body = bytes(300)
    data = writer.write(Message(20, 0, 0, body)) + writer.set_chunk_size(4096) + writer.write(Message(20, 0, 0, body))
    assert read(data) == [(20, 0, 0, body)] * 2
    assert len(data) == 12 + 300 + 2 + 16 + 12 + 300
    for size in (0, 1 << 24):
        with pytest.raises(ValueError):
            writer.set_chunk_size(size)


_MESSAGES = st.lists(
    st.tuples(
        st.sampled_from([8, 9, 18, 20]),
        st.integers(0, 2**32 - 1),
        st.integers(0, 5),
        st.integers(0, 700),
        st.sampled_from([3, 4, 6, 63]),
    ),
    max_size=8,
)


@given(_MESSAGES, st.integers(1, 400), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_any_messages_in_any_split(sent: list[tuple[int, int, int, int, int]], size: int, rng: random.Random) -> None:
    data, expected = set_size(size), []
    for kind, time, stream_id, length, csid in sent:
        body = rng.randbytes(length)
        data += type0_chunks(kind, stream_id, csid, time, (body,), size)
        expected.append((kind, time, stream_id, body))
    assert read(data) == expected
    assert read(data, 1) == expected
    reader = ChunkReader()
    found: list[Message] = []
    at = 0
    while at < len(data):
        step = rng.randint(1, 300)
        found += reader.feed(memoryview(data)[at : at + step])
        at += step
    assert rows(found) == expected
