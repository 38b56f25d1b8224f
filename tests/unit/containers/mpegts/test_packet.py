"""Finding packets in bytes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evotools.containers.mpegts.packet import (
    MAX_UNSYNCED_BYTES,
    PacketSync,
    Run,
    encode_pcr,
    strip_headers,
)
from evotools.errors import ParseError

STEPS = (188, 192, 204)


def packets(count: int, step: int = 188) -> bytes:
    """Packets whose payloads hold no sync byte; 192 has its arrival time in front, 204 its parity behind."""
    before, after = (b"\1\2\3\4", b"") if step == 192 else (b"", b"\5" * (step - 188))
    return b"".join(
        before + bytes((0x47, 1, n % 64, 0x10 | n % 16)) + bytes([n % 64]) * 184 + after for n in range(count)
    )


def found(data: bytes, chunk: int) -> tuple[list[bytes], list[int]]:
    sync = PacketSync()
    runs: list[Run] = []
    for at in range(0, len(data), chunk):
        runs += sync.feed(data[at : at + chunk])
    runs += sync.flush()
    cut = [r.data[r.start + k * r.step : r.start + k * r.step + 188] for r in runs for k in range(r.packets)]
    return cut, [run.lost for run in runs if run.lost]


def expected(data: bytes, step: int) -> list[bytes]:
    first = 4 if step == 192 else 0
    return [data[at + first : at + first + 188] for at in range(0, len(data) - 187, step)]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("chunk", [1, 100, 188, 1316, 10**6])
def test_any_packet_size_and_split(step: int, chunk: int) -> None:
    data = packets(20, step)
    assert found(data, chunk) == (expected(data, step), [])


@pytest.mark.parametrize("step", STEPS)
def test_starts_in_the_middle_of_a_packet(step: int) -> None:
    data = packets(20, step)
    cut, lost = found(data[100:], 500)
    assert cut == expected(data, step)[1:]
    assert lost == []


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("hole", [1, 57, 188, 400])
def test_finds_packets_again_after_lost_bytes(step: int, hole: int) -> None:
    data = packets(40, step)
    at = 10 * step + 50
    cut, lost = found(data[:at] + data[at + hole :], 700)
    whole = expected(data, step)
    assert cut[:10] == whole[:10]
    assert cut[-20:] == whole[-20:]
    assert len(lost) == (1 if hole % step else 0)


def test_foreign_bytes_between_packets_are_skipped() -> None:
    data = packets(10)
    cut, lost = found(data + b"\x47 not a packet \x47" * 20 + data, 333)
    assert cut[-10:] == expected(data, 188)
    assert len(cut) in (20, 21)
    assert len(lost) == 1


def test_one_broken_sync_byte_costs_one_packet() -> None:
    data = bytearray(packets(10))
    data[4 * 188] = 0
    cut, lost = found(bytes(data), 188)
    assert cut == [packet for n, packet in enumerate(expected(packets(10), 188)) if n != 4]
    assert lost == [188]


@pytest.mark.parametrize("count", [1, 2])
def test_a_very_short_stream_is_read_at_the_end(count: int) -> None:
    assert found(packets(count), 188)[0] == expected(packets(count), 188)


@pytest.mark.parametrize("byte", [b"\0", b"\x47\0"])
def test_what_is_no_transport_stream_is_refused(byte: bytes) -> None:
    noise = (byte + b"\1" * 130) * (MAX_UNSYNCED_BYTES // 130)
    with pytest.raises(ParseError, match="no MPEG-TS packets"):
        found(noise, 50_000)


def test_words_are_the_headers() -> None:
    for step in STEPS:
        sync = PacketSync()
        runs = [*sync.feed(packets(5, step)), *sync.flush()]
        words = [word for run in runs for word in run.words()]
        assert words == [0x47010000 | n << 8 | 0x10 | n for n in range(5)]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("count", [1, 2, 4, 30])
def test_strip_headers(step: int, count: int) -> None:
    data = packets(40, step)
    first = 4 if step == 192 else 0
    want = b"".join(packet[4:] for packet in expected(data, step)[3 : 3 + count])
    assert strip_headers(data, first + 3 * step, count, step) == want


@settings(max_examples=200)
@given(st.integers(-(2**34), 2**34))
def test_clock_references(ticks: int) -> None:
    # 2.4.3.4: 33 bits of the base, 6 reserved, 9 of the extension.
    bits = f"{int.from_bytes(encode_pcr(ticks), 'big'):048b}"
    assert (int(bits[:33], 2), bits[33:]) == (ticks % 2**33, "1" * 6 + "0" * 9)
