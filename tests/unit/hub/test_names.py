import pytest
from hypothesis import given
from hypothesis import strategies as st

from evotools.errors import RefusedError
from evotools.hub.names import MAX_NAME, ReservedNames, base_name, check_name

RESERVED = ReservedNames(frozenset({"json"}), frozenset({"index.m3u8", "whip"}), (".flv", ".ts"))
SEGMENT = st.text("abcXYZ019_-.", min_size=1, max_size=20).filter(lambda s: s not in (".", ".."))


@pytest.mark.parametrize("name", ["live", "live/livestream", "a/b/c", "cam+alice", "A_b-c.d", "...", "a/.b", "+"])
def test_names_people_use(name: str) -> None:
    assert check_name(name) == name
    assert check_name(name, RESERVED) == name


@pytest.mark.parametrize(
    "name",
    ["", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a/.", "a b", "a\\b", "a\n", "a\x00", "ä", "a%2f", "a?b", "a:b",
     "~", "x" * (MAX_NAME + 1)],
)  # fmt: skip
def test_names_that_would_be_paths_urls_or_attacks(name: str) -> None:
    with pytest.raises(RefusedError):
        check_name(name)


@pytest.mark.parametrize("name", ["json/a", "JSON", "live/index.m3u8", "whip", "live/whip", "a.flv", "live/A.TS"])
def test_reserved_names(name: str) -> None:
    check_name(name)
    with pytest.raises(RefusedError, match="reserved"):
        check_name(name, RESERVED)


@given(st.lists(SEGMENT, min_size=1, max_size=8).map("/".join))
def test_every_joined_list_of_good_segments_is_a_name(name: str) -> None:
    assert check_name(name) == name


@given(st.text(max_size=300))
def test_any_text_is_accepted_as_it_is_or_refused(text: str) -> None:
    try:
        assert check_name(text, RESERVED) == text
    except RefusedError:
        return
    assert len(text) <= MAX_NAME
    assert text.isascii()
    assert not {"", ".", ".."} & set(text.split("/"))


def test_wildcard_streams_take_the_configuration_of_their_base() -> None:
    assert base_name("live/cam+alice+2") == "live/cam"
    assert base_name("live/cam") == "live/cam"


@pytest.mark.parametrize("name", ["cam+..", "cam+../x", "cam+a/..", "cam+.", "cam+a+..", "cam+-rf", "cam+../../etc"])
def test_what_follows_a_plus_can_neither_climb_nor_be_an_option(name: str) -> None:
    with pytest.raises(RefusedError):
        check_name(name)


@pytest.mark.parametrize("name", ["cam+a", "cam+a/b", "cam+a-b", "cam+..a", "cam+2.5", "a/cam+x"])
def test_ordinary_wildcard_names(name: str) -> None:
    assert check_name(name) == name
