import pytest
from hypothesis import given
from hypothesis import strategies as st

from evotools.codecs import h264, h265, paramsets
from evotools.codecs.nal import join_annexb, join_lengths, split_annexb, split_lengths
from evotools.codecs.paramsets import AUD_H264, AUD_H265, AccessUnits, to_annexb
from evotools.errors import MediaError
from evotools.media.frame import Frame
from evotools.media.track import Kind, Track
from tests.unit.codecs.fuzzing import ROUNDS, fuzz
from tests.unit.codecs.syntax import (
    h264_pps,
    h264_slice,
    h264_sps,
    h265_pps,
    h265_slice,
    h265_sps,
    h265_vps,
    sei,
)

SPS, PPS = h264_sps(timing=(1, 50)), h264_pps()
IDR, P = h264_slice(5, 7), h264_slice(1, 5)
CAPTIONS = sei(4, b"\xb5\x00\x31GA94")
H265_SETS = [h265_vps(), h265_sps(), h265_pps()]
H265_IDR, H265_P = h265_slice(19), h265_slice(1)
HDR_SEI = sei(137, bytes(24), b"\x4e\x01")
SIGNATURE = sei(5, b"uuid-uuid-uuid-u encoder", b"\x4e\x01")


def frame(codec: str, config: bytes, nals: list[bytes], key: bool) -> Frame:
    return Frame(Track(1, Kind.VIDEO, codec, 90000, config), 0, 0, join_lengths(nals), key=key)


def test_an_access_unit_loses_delimiter_and_parameter_sets_only() -> None:
    unit = AccessUnits("h264").read(join_annexb([AUD_H264, SPS, PPS, CAPTIONS, IDR]))
    assert split_lengths(unit.payload) == [CAPTIONS, IDR]
    assert (unit.key, unit.idr, unit.config) == (True, True, h264.build_avcc([SPS], [PPS]))


def test_the_same_parameter_sets_again_are_no_change() -> None:
    units = AccessUnits("h264")
    stream = join_annexb([AUD_H264, SPS, PPS, IDR])
    assert units.read(stream).config is not None
    following = units.read(join_annexb([AUD_H264, P]))
    assert (following.key, following.config) == (False, None)
    assert units.read(stream).config is None
    assert units.config == h264.build_avcc([SPS], [PPS])


def test_parameter_sets_alone_give_a_configuration_and_an_empty_payload() -> None:
    units = AccessUnits("h264")
    assert units.read(join_annexb([SPS])) == paramsets.AccessUnit(b"", False, False, None)
    unit = units.read(join_annexb([PPS]))
    assert (unit.payload, unit.config) == (b"", h264.build_avcc([SPS], [PPS]))


def test_a_change_in_mid_gop_waits_for_the_key_frame() -> None:
    units = AccessUnits("h264")
    units.read(join_annexb([SPS, PPS, IDR]))
    other = h264_sps(mbs=(40, 30))
    assert units.read(join_annexb([other, P])).config is None
    assert units.read(join_annexb([P])).config is None
    assert units.read(join_annexb([IDR])).config == h264.build_avcc([other], [PPS])


def test_a_key_frame_that_names_another_set_puts_it_first() -> None:
    units = AccessUnits("h264")
    small, large = h264_sps(), h264_sps(sps_id=1, mbs=(40, 30))
    sets = [small, large, h264_pps(0, 0), h264_pps(1, 1)]
    first = units.read(join_annexb([*sets, h264_slice(5, 7, 0)])).config
    second = units.read(join_annexb([*sets, h264_slice(5, 7, 1)])).config
    assert first is not None
    assert second is not None
    assert h264.parse_avcc(first).sps == (small, large)
    assert h264.parse_avcc(second).sps == (large, small)
    assert units.read(join_annexb([*sets, h264_slice(5, 7, 1)])).config is None


def test_broken_parameter_sets_are_dropped_and_counted() -> None:
    units = AccessUnits("h264")
    huge = h264_sps()[:-1] + bytes(range(1, 256)) * 40
    units.read(join_annexb([SPS, PPS, SPS[:5], huge, b"\x68", IDR]))
    assert units.config == h264.build_avcc([SPS], [PPS])
    assert units.dropped == 3


def test_an_open_gop_key_frame_is_key_but_no_idr() -> None:
    unit = AccessUnits("h264").read(join_annexb([SPS, PPS, sei(6, b"\x84"), h264_slice(1, 7)]))
    assert (unit.key, unit.idr) == (True, False)


def test_h265() -> None:
    units = AccessUnits("h265")
    unit = units.read(join_annexb([AUD_H265, *H265_SETS, HDR_SEI, H265_IDR]))
    vps, sps, pps = H265_SETS
    assert (unit.key, unit.idr, unit.config) == (True, True, h265.build_hvcc([vps], [sps], [pps]))
    assert split_lengths(unit.payload) == [HDR_SEI, H265_IDR]
    unit = units.read(join_annexb([AUD_H265, H265_P]))
    assert (unit.key, unit.config, split_lengths(unit.payload)) == (False, None, [H265_P])
    cra = units.read(join_annexb([AUD_H265, *H265_SETS, h265_slice(21)]))
    assert (cra.key, cra.idr, cra.config) == (True, False, None)


def test_parameter_sets_of_enhancement_layers_are_left_out() -> None:
    units = AccessUnits("h265")
    layer = bytes((H265_SETS[1][0], 0x09)) + H265_SETS[1][2:]
    units.read(join_annexb([*H265_SETS, layer, H265_IDR]))
    assert h265.parse_hvcc(units.config).sps == (H265_SETS[1],)
    assert units.dropped == 0


def test_other_codecs_have_no_annexb_form() -> None:
    with pytest.raises(MediaError):
        AccessUnits("vp9")
    with pytest.raises(MediaError):
        to_annexb(frame("av1", b"", [IDR], True))


def test_to_annexb_puts_the_sets_before_key_frames_only() -> None:
    config = h264.build_avcc([SPS], [PPS])
    key = to_annexb(frame("h264", config, [IDR], True))
    assert key == join_annexb([AUD_H264, SPS, PPS, IDR])
    assert to_annexb(frame("h264", config, [CAPTIONS, IDR], True)) == join_annexb([AUD_H264, SPS, PPS, CAPTIONS, IDR])
    assert to_annexb(frame("h264", config, [P], False)) == join_annexb([AUD_H264, P])
    assert to_annexb(frame("h264", config, [CAPTIONS, P], False)) == join_annexb([AUD_H264, CAPTIONS, P])
    assert to_annexb(frame("h264", b"", [IDR], True)) == join_annexb([AUD_H264, IDR])


def test_to_annexb_does_not_repeat_what_the_payload_carries() -> None:
    other = h264_pps(1)
    config = h264.build_avcc([SPS], [PPS, other])
    newer = h264_pps(0, 0, tail=7)
    made = to_annexb(frame("h264", config, [AUD_H264, SPS, newer, IDR], True))
    assert split_annexb(made) == [AUD_H264, other, SPS, newer, IDR]


def test_to_annexb_of_h265_keeps_picture_metadata_and_drops_the_signature() -> None:
    vps, sps, pps = H265_SETS
    config = h265.build_hvcc([vps], [sps], [pps], [SIGNATURE, HDR_SEI])
    made = to_annexb(frame("h265", config, [H265_IDR], True))
    assert split_annexb(made) == [AUD_H265, vps, sps, pps, HDR_SEI, H265_IDR]
    made = to_annexb(frame("h265", config, [HDR_SEI, H265_IDR], True))
    assert split_annexb(made) == [AUD_H265, vps, sps, pps, HDR_SEI, H265_IDR]
    made = to_annexb(frame("h265", config, [vps, sps, pps, H265_IDR], True))
    assert split_annexb(made) == [AUD_H265, vps, sps, pps, HDR_SEI, H265_IDR]
    assert split_annexb(to_annexb(frame("h265", config, [H265_P], False))) == [AUD_H265, H265_P]


@given(st.lists(st.sampled_from([CAPTIONS, IDR, P, sei(6, b"\x84")]), min_size=1, max_size=5), st.booleans())
def test_annexb_and_back(nals: list[bytes], key: bool) -> None:
    config = h264.build_avcc([SPS], [PPS])
    unit = AccessUnits("h264").read(to_annexb(frame("h264", config, nals, key)))
    assert split_lengths(unit.payload) == nals
    assert unit.config == (config if key else None)


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_nonsense_never_raises_and_what_is_kept_is_bounded(codec: str, rounds: int) -> None:
    seeds = [
        join_annexb([AUD_H264, SPS, PPS, CAPTIONS, IDR]) if codec == "h264" else
        join_annexb([AUD_H265, *H265_SETS, HDR_SEI, H265_IDR]),
        join_annexb([P, IDR]) if codec == "h264" else join_annexb([H265_P, h265_slice(21, 3)]),
    ]  # fmt: skip
    units = AccessUnits(codec)

    def read(data: bytes) -> None:
        unit = units.read(data)
        split_lengths(unit.payload)
        if unit.config:
            paramsets.parameter_sets(codec, unit.config)

    fuzz(read, seeds, rounds)
    assert len(units.config) < 400 * paramsets.MAX_PARAMETER_SET


@pytest.mark.parametrize("rounds", ROUNDS)
def test_to_annexb_only_parse_errors(rounds: int) -> None:
    config = h264.build_avcc([SPS], [PPS])
    fuzz(lambda data: to_annexb(Frame(Track(1, Kind.VIDEO, "h264", 1, config), 0, 0, data, key=True)),
         [join_lengths([CAPTIONS, SPS, IDR])], rounds)  # fmt: skip
    fuzz(lambda data: to_annexb(frame("h264", data, [IDR], True)), [config], rounds)
