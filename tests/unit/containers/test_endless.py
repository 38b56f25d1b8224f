"""Raw streams without an end that ask their reader to remember more and more."""

import pytest

from evotools.codecs.aac import build_adts_header
from evotools.containers import annexb
from evotools.containers.adts import AdtsDemuxer
from evotools.containers.annexb import AnnexBDemuxer
from evotools.containers.sniff import SNIFF_BYTES, sniff
from evotools.errors import ParseError
from tests.unit.containers.feeding import MIB, peak

ASC = bytes.fromhex("1190")


def test_adts_frames_that_nothing_confirms() -> None:
    demuxer = AdtsDemuxer()
    # Headers of the longest frame, each inside the last one.
    piece = build_adts_header(ASC, 8184) + bytes(100)
    with pytest.raises(ParseError, match="no ADTS"):
        peak(demuxer.feed, [piece] * 1000)
    assert len(demuxer._held) < 10_000


def test_an_id3_tag_is_passed_over_without_being_kept() -> None:
    demuxer = AdtsDemuxer()
    demuxer.feed(b"ID3\x04\x00\x00\x07\x7f\x7f\x7f")
    assert peak(demuxer.feed, [bytes(64 * 1024)] * 250) < MIB


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_annexb_without_start_codes(codec: str) -> None:
    demuxer = AnnexBDemuxer(codec)
    with pytest.raises(ParseError, match="no start code"):
        peak(demuxer.feed, [b"\x01" * 65_536] * 32)


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_annexb_unit_without_an_end(codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(annexb, "MAX_NAL", 4 * MIB)
    demuxer = AnnexBDemuxer(codec)
    fed = 0

    def feed(data: bytes) -> None:
        nonlocal fed
        fed += len(data)
        demuxer.feed(data)

    with pytest.raises(ParseError, match="longer than"):
        peak(feed, [b"\0\0\1\x26\x01", *[b"\x80" * 65_536] * 200])
    assert fed < 5 * MIB


@pytest.mark.parametrize(
    ("codec", "nal"), [("h264", b"\x06\x80"), ("h265", b"\x4e\x01\x80"), ("h264", b"\x41\x00\x80")]
)
def test_annexb_access_unit_without_an_end(codec: str, nal: bytes) -> None:
    demuxer = AnnexBDemuxer(codec)
    held = []

    def feed(data: bytes) -> None:
        demuxer.feed(data)
        held.append(len(demuxer._nals) + len(demuxer._lead))

    with pytest.raises(ParseError, match="no end"):
        peak(feed, [(b"\0\0\1" + nal) * 100] * 200)
    assert max(held) <= annexb.MAX_NALS


def test_annexb_access_unit_of_too_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(annexb, "MAX_UNIT", MIB)
    demuxer = AnnexBDemuxer("h264")
    with pytest.raises(ParseError, match="no end"):
        peak(demuxer.feed, [b"\0\0\1\x06" + b"\x80" * 65_536] * 40)
    assert sum(map(len, demuxer._nals)) <= MIB


def test_sniffing_looks_at_no_more_than_it_promises() -> None:
    assert sniff(b"<?xml " + b" " * 100 + b"<MPD") == "dash"
    assert sniff(b"<?xml " + b" " * SNIFF_BYTES + b"<MPD") is None
    assert peak(sniff, [b"\x01" * (16 * MIB)]) < MIB
