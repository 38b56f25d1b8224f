"""Names and queries as peers write them."""

import pytest

from evotools.errors import ProtocolError
from evotools.protocols.rtmp import names
from evotools.protocols.rtmp.events import join_path


@pytest.mark.parametrize(
    ("text", "name", "query"),
    [
        ("cam", "cam", {}),
        ("cam?key=v&x=1", "cam", {"key": "v", "x": "1"}),
        ("/a/b/cam/", "a/b/cam", {}),
        ("mp4:film.mp4", "film.mp4", {}),
        ("MP4:film", "film", {}),
        ("flv:cam?k=a+b%2Fc", "cam", {"k": "a+b/c"}),
        ("", "", {}),
        ("?only=query", "", {"only": "query"}),
        ("cam?flag&=x&k=a=b", "cam", {"flag": "", "k": "a=b"}),
    ],
)
def test_stream_names(text: str, name: str, query: dict[str, str]) -> None:
    assert names.split_name(text) == (name, query)


@pytest.mark.parametrize(
    ("url", "path", "query"),
    [
        ("rtmp://host/live", "live", {}),
        ("rtmp://host:1935/live/inst/?vhost=x", "live/inst", {"vhost": "x"}),
        ("rtmp://host", "", {}),
        ("nonsense", "", {}),
    ],
)
def test_tc_urls(url: str, path: str, query: dict[str, str]) -> None:
    assert names.split_url(url) == (path, query)


def test_caps() -> None:
    assert len(names.parse_query("&".join(f"a{i}=1" for i in range(64)))) == 64
    for broken in ("x?" + "&".join(f"a{i}=1" for i in range(65)), "x" * 4097):
        with pytest.raises(ProtocolError):
            names.split_name(broken)
    with pytest.raises(ProtocolError):
        names.split_url("rtmp://" + "x" * 4096)


def test_paths() -> None:
    assert [join_path(a, b) for a, b in (("live", "cam"), ("live", ""), ("", "cam"))] == ["live/cam", "live", "cam"]
