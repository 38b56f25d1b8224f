"""URIs: grammar, whose option is whose, and that no secret is ever shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evotools.errors import EvotoolsError, UsageError
from evotools.uri import MASK, Options, Uri, redact


@pytest.mark.parametrize(
    ("text", "scheme", "host", "port", "path", "listens"),
    [
        ("-", "-", "", None, "", True),
        ("out.ts", "file", "", None, "out.ts", True),
        ("/tmp/a?b=c.ts", "file", "", None, "/tmp/a?b=c.ts", True),
        ("file:a%20b.ts", "file", "", None, "a b.ts", True),
        ("fd:3", "fd", "", None, "3", True),
        ("null:", "null", "", None, "", True),
        ("hub:live/cam", "hub", "", None, "live/cam", True),
        ("exec:ffmpeg -i a?b -f flv -", "exec", "", None, "ffmpeg -i a?b -f flv -", True),
        ("rtmp://:1935/live/x", "rtmp", "", 1935, "/live/x", True),
        ("rtmp://0.0.0.0/live/x", "rtmp", "0.0.0.0", None, "/live/x", True),
        ("rtmp://host/live/x", "rtmp", "host", None, "/live/x", False),
        ("RTMP://Host:80/a/b", "rtmp", "Host", 80, "/a/b", False),
        ("tcp://[::1]:9000", "tcp", "::1", 9000, "", False),
        ("udp://[::]:9000", "udp", "::", 9000, "", True),
        ("udp://239.1.1.1:5000?iface=eth0", "udp", "239.1.1.1", 5000, "", False),
        ("C:\\video.ts", "file", "", None, "C:\\video.ts", True),
    ],
)
def test_parse(text: str, scheme: str, host: str, port: int | None, path: str, listens: bool) -> None:
    uri = Uri.parse(text)
    assert (uri.scheme, uri.host, uri.port, uri.path) == (scheme, host, port, path)
    if "://" in text:
        assert uri.listens is listens


@pytest.mark.parametrize(
    "text",
    ["", "foo:bar", "rtmp://h:port/x", "tcp://h:70000", "tcp://[::1:9000", "test://x", "rtmp://h/a\nb", "x" * 9000],
)
def test_parse_refuses(text: str) -> None:
    with pytest.raises(UsageError):
        Uri.parse(text)


def test_own_options_of_strict_schemes() -> None:
    uri = Uri.parse("udp://1.2.3.4:5?ttl=4&iface=lo")
    assert uri.options(("ttl", "iface")) == ({"ttl": "4", "iface": "lo"}, "")
    with pytest.raises(UsageError, match="unknown option 'iface'"):
        uri.options(("ttl",))


@pytest.mark.parametrize(
    ("query", "own", "theirs"),
    [
        ("", {}, ""),
        ("?a=1", {}, "a=1"),
        ("?timeout=3s&a=1&b=2", {"timeout": "3s"}, "a=1&b=2"),
        ("?a=1?timeout=3s", {"timeout": "3s"}, "a=1"),
        ("?timeout=peer?", {}, "timeout=peer"),
        ("?a=1&b=2?", {}, "a=1&b=2"),
    ],
)
def test_whose_query_in_foreign_schemes(query: str, own: dict[str, str], theirs: str) -> None:
    assert Uri.parse(f"rtmp://h/app/key{query}").options(("timeout",), foreign=True) == (own, theirs)


def test_a_second_question_mark_takes_only_declared_names() -> None:
    with pytest.raises(UsageError):
        Uri.parse("rtmp://h/app/key?a=1?b=2").options(("timeout",), foreign=True)


@pytest.mark.parametrize(
    ("text", "secrets"),
    [
        ("rtmp://live.example/app/sk-91823", ["sk-91823"]),
        ("rtmp://live.example/app/inst/sk-91823?a=hush99", ["sk-91823", "hush99"]),
        ("rtmps://a.example:443/live2/sk-91823", ["sk-91823"]),
        ("http://bob:pa55word@host/x.ts", ["pa55word"]),
        ("https://host/x.m3u8?token=tok12345&v=2", ["tok12345"]),
        ("srt://host:9000?passphrase=tellnobody", ["tellnobody"]),
        ("http://host/x?a=1&STREAMKEY=tok12345", ["tok12345"]),
    ],
)
def test_redaction(text: str, secrets: list[str]) -> None:
    uri = Uri.parse(text)
    for shown in (str(uri), repr(uri), uri.redacted, redact(f"cannot open '{text}': no")):
        for secret in secrets:
            assert secret not in shown
    assert MASK in uri.redacted
    assert uri.host in uri.redacted


def test_keys_behind_the_names_of_services_are_hidden() -> None:
    assert redact("to twitch:live_12_ab?bandwidthtest=true") == f"to twitch:{MASK}"
    assert redact("cannot open 'facebook:FB-1?a=Ab': no") == f"cannot open 'facebook:{MASK}': no"
    assert redact("youtube:x") == f"youtube:{MASK}"
    for text in ("twitch:", "youtube: there is no stream key", "facebook:{env:KEY}", "youtube:?timeout=3s"):
        assert redact(text) == text


def test_redaction_keeps_what_is_no_secret() -> None:
    for text in (
        "rtmp://:1935/live/show",
        "rtmp://host/app",
        "udp://239.1.1.1:5000?ttl=3",
        "/tmp/key.ts",
        "hub:live/x",
        "twitch:",
    ):
        assert Uri.parse(text).redacted == text


def test_placeholders_are_expanded_but_never_shown() -> None:
    uri = Uri.parse(
        "rtmp://h/app/{env:KEY}?x={file:/run/k}", env={"KEY": "verysecret"}.get, read_file=lambda p: f"of{p}\n"
    )
    assert uri.text == "rtmp://h/app/verysecret?x=of/run/k"
    assert "verysecret" not in str(uri)
    assert "verysecret" in uri.secrets()
    with pytest.raises(UsageError, match="NOPE is not set"):
        Uri.parse("rtmp://h/{env:NOPE}", env={}.get)


def test_typed_options() -> None:
    uri = Uri.parse("test:?n=5&d=2m&f=off&r=3M&s=1MiB&c=a&bad=x")
    options = Options(uri, uri.options(("n", "d", "f", "r", "s", "c", "bad"))[0])
    assert options.integer("n", 0) == 5
    assert options.seconds("d", 0) == 120
    assert options.flag("f", True) is False
    assert options.rate("r", 0) == 3_000_000
    assert options.size("s", 0) == 1 << 20
    assert options.choice("c", ("a", "b"), "b") == "a"
    assert options.integer("absent", 7) == 7
    for call in (lambda: options.integer("bad", 0), lambda: options.flag("bad", True),
                 lambda: options.seconds("bad", 0),
                 lambda: options.integer("n", 0, high=4), lambda: options.choice("c", ("x",), "x")):  # fmt: skip
        with pytest.raises(UsageError):
            call()


@given(st.text(max_size=200))
def test_any_text_parses_or_is_a_usage_error(text: str) -> None:
    try:
        uri = Uri.parse(text)
        uri.options(("a",), foreign=True)
        str(uri)
        uri.secrets()
    except EvotoolsError as error:
        assert error.code == 2


@given(
    st.sampled_from(["rtmp", "http", "https", "rtsp", "tcp", "udp"]),
    st.text(alphabet=st.characters(codec="ascii", categories=("L", "N")), min_size=3, max_size=20),
)
def test_a_password_never_survives_redaction(scheme: str, password: str) -> None:
    marked = f"Z{password}Z"
    assert marked not in Uri.parse(f"{scheme}://user:{marked}@host/path").redacted
