"""Attacks on the chunk parser through a whole connection, one test for each: refused or harmless, bounded, in time."""

import struct

import pytest

from evotools.errors import ProtocolError
from evotools.protocols.rtmp import chunk
from evotools.protocols.rtmp import message as m
from evotools.protocols.rtmp.chunk import ChunkReader, Message, type0_chunks
from evotools.protocols.rtmp.events import Closed, MediaMessage
from evotools.protocols.rtmp.handshake import SIZE
from evotools.protocols.rtmp.server import ServerConnection, ServerOptions
from tests.unit.protocols.rtmp.peer import Peer, zeros
from tests.unit.protocols.rtmp.test_server import publishing


def chunk_size(size: int) -> bytes:
    return type0_chunks(m.SET_CHUNK_SIZE, 0, 2, 0, (struct.pack(">I", size),), 128)


def header(fmt: int, csid: int, time: int = 0, length: int = 0, kind: int = 9, stream: int = 1) -> bytes:
    """A basic header in its shortest form, and the message header of `fmt`."""
    if csid < 64:
        basic = bytes((fmt << 6 | csid,))
    elif csid < 320:
        basic = bytes((fmt << 6, csid - 64))
    else:
        basic = bytes((fmt << 6 | 1, (csid - 64) & 0xFF, (csid - 64) >> 8))
    fields = time.to_bytes(3, "big") + length.to_bytes(3, "big") + bytes((kind,)) + struct.pack("<I", stream)
    return basic + fields[: (11, 7, 3, 0)[fmt]]


def refused(server: ServerConnection, peer: Peer, data: bytes) -> None:
    """`data` ends the connection, in order."""
    with pytest.raises(ProtocolError):
        server.receive(data, 0.0)
    assert isinstance(peer.events()[-1], Closed)
    server.receive(data, 0.0)
    assert server.next_event() is None


def media(peer: Peer) -> list[bytes]:
    return [e.payload for e in peer.events() if isinstance(e, MediaMessage)]


@pytest.mark.parametrize("size", [0, 0x80000000, 0xFFFFFFFF])
def test_a_chunk_size_of_zero_or_with_the_first_bit_is_refused(size: int) -> None:
    refused(*publishing(), chunk_size(size))


def test_a_chunk_size_of_one_works_and_costs_its_bytes_alone() -> None:
    server, peer = publishing()
    body = bytes(range(200)) * 5
    server.receive(chunk_size(1) + type0_chunks(9, 1, 6, 0, (body,), 1), 0.0)
    assert media(peer) == [body]
    assert server._reader._buffered == 0


def test_the_largest_chunk_size_is_that_of_the_largest_message() -> None:
    server, peer = publishing()
    server.receive(chunk_size(2**31 - 1), 0.0)
    assert server._reader.chunk_size == chunk.MAX_CHUNK_SIZE
    server.receive(type0_chunks(9, 1, 6, 0, (bytes(100_000),), chunk.MAX_CHUNK_SIZE), 0.0)
    assert media(peer) == [bytes(100_000)]


def test_the_chunk_size_may_change_in_mid_message() -> None:
    server, peer = publishing()
    body = bytes(range(250)) * 4
    data = header(0, 6, 0, len(body)) + body[:128] + chunk_size(500) + b"\xc6" + body[128:628]
    server.receive(data + chunk_size_in(500, 200) + b"\xc6" + body[628:828] + b"\xc6" + body[828:], 0.0)
    assert media(peer) == [body]


def chunk_size_in(present: int, size: int) -> bytes:
    return type0_chunks(m.SET_CHUNK_SIZE, 0, 2, 0, (struct.pack(">I", size),), present)


@pytest.mark.parametrize("csid", [3, 63, 64, 319, 320, 65599])
def test_chunk_stream_ids_of_all_forms(csid: int) -> None:
    server, peer = publishing()
    body = bytes(150)
    server.receive(header(0, csid, 0, 150) + body[:128] + header(3, csid) + body[128:], 0.0)
    assert media(peer) == [body]


@pytest.mark.parametrize("csid", [64, 70, 319])
def test_the_same_chunk_stream_in_its_two_and_its_three_byte_form(csid: int) -> None:
    server, peer = publishing()
    long_form = b"\xc1" + bytes(((csid - 64) & 0xFF, (csid - 64) >> 8))
    server.receive(header(0, csid, 0, 150) + bytes(128) + long_form + bytes(22), 0.0)
    assert media(peer) == [bytes(150)]


def test_a_message_longer_than_its_data_waits_and_is_given_up_for_the_next() -> None:
    server, peer = publishing()
    server.receive(header(0, 6, 0, 1000) + bytes(128) + header(0, 6, 0, 3) + b"abc", 0.0)
    assert media(peer) == [b"abc"]
    assert server._reader._buffered == 0


def test_a_message_longer_than_the_cap_is_refused_before_it_comes() -> None:
    refused(*publishing(), header(0, 6, 0, chunk.MAX_MESSAGE + 1))


def test_unfinished_messages_are_bounded_together() -> None:
    server, peer = publishing()
    server.receive(chunk_size(1 << 20), 0.0)
    part = bytes(1 << 20)
    turns = [header(0 if turn == 0 else 3, csid, 0, chunk.MAX_MESSAGE) for turn in range(8) for csid in range(6, 12)]
    with pytest.raises(ProtocolError, match="unfinished"):
        server.receive(b"".join(head + part for head in turns), 0.0)
    assert isinstance(peer.events()[-1], Closed)


def test_an_aborted_message_is_gone_and_its_memory_too() -> None:
    server, peer = publishing()
    abort = type0_chunks(m.ABORT, 0, 2, 0, (struct.pack(">I", 6),), 128)
    server.receive(header(0, 6, 0, 1000) + bytes(128) + abort, 0.0)
    assert server._reader._buffered == 0
    server.receive(header(0, 6, 0, 3) + b"abc" + abort * 3, 0.0)
    assert media(peer) == [b"abc"]


def test_aborting_a_chunk_stream_that_was_never_used_does_nothing() -> None:
    server, peer = publishing()
    server.receive(type0_chunks(m.ABORT, 0, 2, 0, (struct.pack(">I", 0xFFFFFFFF),), 128), 0.0)
    assert peer.events() == []
    assert not server.closed


def test_the_clock_may_wrap() -> None:
    server, peer = publishing()
    times = [2**32 - 80, 2**32 - 40, 0, 40]
    for time in times:
        server.receive(type0_chunks(9, 1, 6, time % 2**32, (b"x",), 128), 0.0)
    found = [e.timestamp_ms for e in peer.events() if isinstance(e, MediaMessage)]
    assert found == [2**32 - 80, 2**32 - 40, 2**32, 2**32 + 40]


@pytest.mark.parametrize("repeats", [True, False])
def test_the_extended_timestamp_on_type_3_may_be_repeated_or_not(repeats: bool) -> None:
    server, peer = publishing()
    time = struct.pack(">I", 0x01234567)
    data = header(0, 6, 0xFFFFFF, 300) + time + b"\x01" * 128
    for size in (128, 44):
        data += b"\xc6" + (time if repeats else b"") + b"\x01" * size
    server.receive(data, 0.0)
    (event,) = peer.events()
    assert (event.timestamp_ms, event.payload) == (0x01234567, b"\x01" * 300)


def test_sixty_four_streams_may_interleave_and_no_more() -> None:
    server, peer = publishing()
    # 3 is in use: the commands came on it.
    ids = range(10, 10 + 63)
    bodies = {csid: bytes((csid,)) * 300 for csid in ids}
    data = b"".join(header(0, csid, 0, 300) + bodies[csid][:128] for csid in ids)
    for start in (128, 256):
        data += b"".join(header(3, csid) + bodies[csid][start : start + 128] for csid in ids)
    server.receive(data, 0.0)
    assert media(peer) == list(bodies.values())
    refused(server, peer, header(0, 200, 0, 300))


def test_a_flood_of_windows_costs_one_acknowledgement_a_read() -> None:
    _, peer = publishing()
    flood = [m.build_window_ack_size(1)] * 1000 + [m.build_acknowledgement(5)] * 1000
    assert peer.say(*flood) == []
    assert peer.heard() == ["type 3"]


def test_a_flood_of_bandwidths_is_answered_once_for_each_change() -> None:
    _, peer = publishing()
    assert peer.say(*[m.build_set_peer_bandwidth(7, limit % 3) for limit in range(1000)]) == []
    assert peer.heard() == ["type 5"]


def test_half_a_handshake_held_open_runs_into_its_deadline() -> None:
    server = ServerConnection(100.0, zeros, ServerOptions(handshake_timeout_s=10))
    server.receive(b"\x03" + bytes(SIZE), 100.0)
    assert len(server.data_to_send()) == 1 + 2 * SIZE
    for second in range(101, 110):
        server.receive(b"\0", float(second))
        server.tick(float(second))
    assert server.deadline() == 110.0
    with pytest.raises(ProtocolError, match="handshake within 10 s"):
        server.tick(110.0)
    assert server.closed


def test_encrypted_rtmp_is_refused_at_its_first_byte() -> None:
    for version in (6, 8, 9):
        with pytest.raises(ProtocolError, match="RTMPE"):
            ServerConnection(0.0, zeros).receive(bytes((version,)), 0.0)


def test_what_a_client_says_in_c2_is_not_believed_and_does_not_matter() -> None:
    server = ServerConnection(0.0, zeros)
    server.receive(b"\x03" + bytes(SIZE) + b"\xff" * SIZE, 0.0)
    assert server.data_to_send()
    assert not server.closed


def test_shared_objects_and_unknown_messages_are_passed_over() -> None:
    server, peer = publishing()
    odd = [Message(kind, 0, 1, b"\xff" * 40) for kind in (m.SHARED_OBJECT, m.SHARED_OBJECT_AMF3, 7, 10, 11, 99, 255)]
    assert peer.say(*odd, Message(9, 0, 1, b"x"))[0].payload == b"x"
    assert not server.closed


def test_a_command_of_endless_references_ends_the_connection() -> None:
    server, peer = publishing()
    bomb = b"\x02\x00\x01x\x00" + bytes(8) + b"\x0a\x00\x00\x00\x0a" + b"\x05" * 10
    for level in range(12):
        bomb += b"\x0a\x00\x00\x00\x0a" + (b"\x07" + struct.pack(">H", level)) * 10
    refused(server, peer, type0_chunks(m.COMMAND, 0, 3, 0, (bomb,), 128))


def test_one_byte_at_a_time_is_as_good_as_one_piece() -> None:
    data = chunk_size(7) + type0_chunks(9, 1, 6, 0x1000000, (bytes(range(100)),), 7)
    reader = ChunkReader()
    found = [message for number in range(len(data)) for message in reader.feed(data[number : number + 1])]
    (whole,) = ChunkReader().feed(data)
    assert [(f.type, f.timestamp, f.payload) for f in found] == [(whole.type, whole.timestamp, whole.payload)]
