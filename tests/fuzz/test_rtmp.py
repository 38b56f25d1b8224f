"""Mutated and truncated RTMP and AMF0: only declared errors, bounded memory and time."""

import functools
import random

import pytest

from evotools.containers.flv import amf, amf0, amf3
from evotools.containers.flv.mux import FlvMuxer
from evotools.containers.flv.reader import TagReader
from evotools.errors import ParseError, ProtocolError
from evotools.media.frame import Frame, Metadata, Tracks
from evotools.protocols.rtmp import chunk
from evotools.protocols.rtmp import message as m
from evotools.protocols.rtmp.chunk import ChunkReader, ChunkWriter, Message, type0_chunks
from evotools.protocols.rtmp.client import ClientConnection
from evotools.protocols.rtmp.events import Connect, PlayRequest, PublishRequest
from evotools.protocols.rtmp.handshake import SIZE
from evotools.protocols.rtmp.server import ServerConnection
from tests.unit.containers.flv.make import AVCC, HEVC_IDR, HVCC, IDR

RUNS = [pytest.param(10_000, id="quick"), pytest.param(100_000, id="long", marks=pytest.mark.slow)]
NASTY = bytes((0, 1, 2, 3, 0x7F, 0x80, 0x81, 0xC0, 0xC3, 0xFE, 0xFF))


def mutate(rng: random.Random, data: bytes) -> bytes:
    """Some bytes changed, cut, doubled or removed."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        if not out:
            break
        at = rng.randrange(len(out))
        choice = rng.random()
        if choice < 0.4:
            out[at] = rng.choice(NASTY)
        elif choice < 0.6:
            out[at] ^= 1 << rng.randrange(8)
        elif choice < 0.7:
            del out[at:]
        elif choice < 0.8:
            del out[at : at + rng.randint(1, 8)]
        elif choice < 0.9:
            out[at:at] = out[at : at + rng.randint(1, 40)]
        else:
            out[at:at] = rng.randbytes(rng.randint(1, 8))
    return bytes(out)


def pieces(rng: random.Random, data: bytes) -> list[bytes]:
    """`data` in one to four parts."""
    cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randint(0, 3)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


@functools.cache
def dialogue(publish: bool) -> bytes:
    """What an honest client sends behind the handshake."""
    writer = ChunkWriter()
    out = writer.write(m.build_command("connect", 1, {"app": "live", "tcUrl": "rtmp://h/live", "fourCcList": ["hvc1"]}))
    out += writer.set_chunk_size(500)
    out += writer.write(m.build_command("releaseStream", 2, None, "cam"))
    out += writer.write(m.build_command("createStream", 3, None))
    if publish:
        out += writer.write(m.build_command("publish", 4, None, "cam?k=v", "live", stream_id=1))
        out += writer.write(m.build_data("@setDataFrame", "onMetaData", amf0.EcmaArray(width=1280), stream_id=1))
        out += type0_chunks(m.VIDEO, 1, 6, 0xFFFFFE, (bytes(1200),), 500) + type0_chunks(
            m.AUDIO, 1, 4, 20, (b"a",), 500
        )
        out += type0_chunks(m.VIDEO, 1, 6, 0x1000000, (bytes(700),), 500)
        part = bytes((8, 0, 0, 1)) + bytes(7) + b"a" + bytes((0, 0, 0, 12))
        out += writer.write(Message(m.AGGREGATE, 40, 1, part * 3))
        out += writer.write(m.build_command("FCUnpublish", 5, None, "cam"))
    else:
        out += writer.write(m.build_command("play", 4, None, "cam", -2000, -1, True, stream_id=1))
        out += writer.write(m.build_user_control(m.SET_BUFFER_LENGTH, 1, 3000))
        out += writer.write(m.build_command("pause", 0, None, True, 5, stream_id=1))
        out += writer.write(m.build_window_ack_size(100)) + writer.write(m.build_set_peer_bandwidth(9))
        out += writer.write(m.build_command("deleteStream", 0, None, 1))
    return out


@functools.cache
def answers() -> bytes:
    """What an honest server sends behind the handshake to a player."""
    writer = ChunkWriter()
    info = {"level": "status", "code": "NetConnection.Connect.Success"}
    out = writer.write(m.build_window_ack_size(2500000)) + writer.write(m.build_set_peer_bandwidth(2500000))
    out += writer.set_chunk_size(4096) + writer.write(m.build_command("_result", 1, {"fmsVer": "FMS/3"}, info))
    out += writer.write(m.build_command("_result", 4, None, 1))
    out += writer.write(m.build_status("NetStream.Play.Start", "ok", stream_id=1))
    out += writer.write(m.build_data("onMetaData", amf0.EcmaArray(width=1280), stream_id=1))
    out += writer.write(Message(m.VIDEO, 0, 1, bytes(5000))) + writer.write(Message(m.AUDIO, 5, 1, b"a"))
    return out + writer.write(m.build_user_control(m.STREAM_EOF, 1))


def held(reader: ChunkReader) -> int:
    return sum(len(s.partial) for s in reader._streams.values() if s.partial is not None)


@pytest.mark.parametrize("runs", RUNS)
def test_server(runs: int) -> None:
    rng = random.Random(1)
    reached = 0
    for number in range(runs // 2):
        server = ServerConnection(0.0, rng.randbytes)
        server.receive(b"\x03" + bytes(2 * SIZE), 0.0)
        try:
            for part in pieces(rng, mutate(rng, dialogue(number % 2 == 0))):
                server.receive(part, 0.0)
                while (event := server.next_event()) is not None:
                    if isinstance(event, Connect):
                        server.accept_connect()
                    elif isinstance(event, PublishRequest):
                        reached += 1
                        server.accept_publish()
                    elif isinstance(event, PlayRequest):
                        reached += 1
                        server.accept_play()
        except ProtocolError:
            assert server.closed
        assert held(server._reader) == server._reader._buffered
        assert len(server.data_to_send()) < 20_000
    assert reached > runs // 10, "mutations too rough to reach the interesting states"


@pytest.mark.parametrize("runs", RUNS)
def test_client(runs: int) -> None:
    rng = random.Random(2)
    for _ in range(runs // 2):
        client = ClientConnection("rtmp://h/live", "live", "cam", "play", 0.0, rng.randbytes)
        client.receive(b"\x03" + bytes(2 * SIZE), 0.0)
        try:
            for part in pieces(rng, mutate(rng, answers())):
                client.receive(part, 0.0)
                while client.next_event() is not None:
                    pass
        except ProtocolError as error:
            assert client.closed
            assert "cam" not in str(error)
        client.close()


@pytest.mark.parametrize("runs", RUNS)
def test_chunks(runs: int) -> None:
    rng = random.Random(3)
    for number in range(runs // 2):
        reader = ChunkReader()
        data = mutate(rng, dialogue(True)) if number % 2 else rng.randbytes(rng.randint(1, 300))
        try:
            for part in pieces(rng, data):
                reader.feed(part)
        except ProtocolError:
            pass
        assert held(reader) <= len(data)
        assert len(reader._streams) <= chunk.MAX_CHUNK_STREAMS


@pytest.mark.parametrize("runs", RUNS)
def test_handshake(runs: int) -> None:
    rng = random.Random(4)
    for _ in range(runs // 50):
        server = ServerConnection(0.0, rng.randbytes)
        try:
            for part in pieces(
                rng, bytes((rng.choice((3, 3, 3, rng.randrange(256))),)) + rng.randbytes(2 * SIZE + 100)
            ):
                server.receive(part, 0.0)
        except ProtocolError:
            assert server.closed


@pytest.mark.parametrize("runs", RUNS)
def test_amf0(runs: int) -> None:
    rng = random.Random(5)
    seed = amf0.encode(
        "onMetaData", 1, None, amf0.EcmaArray(width=1280, list=[1, "x", {"deep": [True, amf0.UNDEFINED]}]),
        {"date": amf0.Date(5.0), "text": "x" * 70_000},
    )  # fmt: skip
    small = amf0.encode("connect", 1, {"app": "live", "n": {"m": [1, 2]}}) + b"\x07\x00\x00\x10\x00\x01C\x00\x00\x09"
    for number in range(runs):
        data = mutate(rng, seed[:200] if number % 2 else small)
        try:
            amf0.decode_all(data)
        except ParseError:
            pass


@pytest.mark.parametrize("runs", RUNS)
def test_amf3(runs: int) -> None:
    rng = random.Random(7)
    seeds = [
        amf3.encode({"text": "x" * 70, "list": [1, "x", {"deep": [True, amf.UNDEFINED]}], "data": b"abc"}),
        amf3.encode([amf.Vector("int", [1, 2]), amf.Vector("C", [amf.TypedObject("C", [("x", 1.5)])] * 2)]),
        amf3.encode(amf.Dictionary([("k", amf.Date(5.0)), ({}, amf.Xml("<a/>"))])),
        bytes.fromhex("0907010a0b0103610401010a020a02"),
    ]
    read = 0
    for number in range(runs):
        try:
            value = amf3.decode(mutate(rng, seeds[number % len(seeds)]))
        except ParseError:
            continue
        read += 1
        # What was read can be written, and is the same when it is read again.
        again = amf3.encode(value)
        assert repr(amf3.decode(again)) == repr(amf3.decode(amf3.encode(amf3.decode(again))))
        assert repr(amf0.decode_all(amf0.encode("name", value))) is not None
    assert read > runs // 50


@pytest.mark.parametrize("runs", RUNS)
def test_tag_bodies(runs: int) -> None:
    """Enhanced bodies, metadata and what muxers make of them."""
    rng = random.Random(8)
    color = amf0.encode("colorInfo", {"colorConfig": {"bitDepth": 10.0}})
    info = amf0.encode("onMetaData", amf.EcmaArray(width=1280.0, videoTrackIdInfoMap={"1": {"width": 5.0}}))
    bodies = [
        (9, b"\x17\x00\x00\x00\x00" + AVCC), (9, b"\x17\x01\x00\x00\x00" + IDR), (9, b"\x94avc1" + color),
        (9, b"\x96\x00hvc1\x01" + HVCC), (9, b"\x96\x03hvc1\x01" + HEVC_IDR), (9, b"\x96\x04hvc1\x01" + color),
        (9, b"\x97\x02\x00\x00\x05\x03avc1" + IDR), (8, b"\xaf\x00\x11\x90"), (8, b"\xaf\x01abc"),
        (8, b"\x95\x21Opus\x01\x00\x00\x01a"), (18, info), (18, amf0.encode("@setDataFrame") + info),
        (18, amf0.encode("onTextData") + b"\x11" + amf3.encode({"a": b"b"})),
    ]  # fmt: skip
    frames = 0
    for _ in range(runs // 50):
        reader, muxer = TagReader(), FlvMuxer()
        for _ in range(25):
            kind, body = rng.choice(bodies)
            if rng.random() < 0.4:
                body = mutate(rng, body)
            read = {8: reader.read_audio, 9: reader.read_video, 18: reader.read_script}[kind]
            try:
                events = read(body, rng.choice((0, 40, 80, 2**31, 2**32 - 1)))
            except ParseError:
                break
            for event in events:
                if isinstance(event, Tracks):
                    muxer.start([t for t in event.tracks if muxer.accepts(t)])
                elif isinstance(event, Frame):
                    frames += 1
                    muxer.write(event)
                elif isinstance(event, Metadata):
                    muxer.write_metadata(event)
    assert frames > runs // 50


@pytest.mark.parametrize("runs", RUNS)
def test_messages(runs: int) -> None:
    rng = random.Random(6)
    kinds = (m.AGGREGATE, m.COMMAND, m.COMMAND_AMF3, m.DATA, m.DATA_AMF3, m.USER_CONTROL, m.ACKNOWLEDGEMENT)
    part = bytes((8, 0, 0, 1)) + bytes(7) + b"a" + bytes((0, 0, 0, 12))
    for _ in range(runs // 2):
        message = Message(rng.choice(kinds), 0, 0, mutate(rng, part * 3))
        for parse in (m.parse_command, m.parse_user_control, m.parse_u32, m.script_body):
            try:
                parse(message)
            except ParseError:
                pass
        try:
            list(m.unpack_aggregate(message))
        except ParseError:
            pass
