"""The HTTP/1.1 client's parser: framing, caps, what old servers send; addresses, redirects and fields."""

import pytest

from evotools.errors import ParseError, PeerGone, ProtocolError
from evotools.protocols import http1_client
from evotools.protocols.http1 import Continue
from evotools.protocols.http1_client import (
    Address,
    ClientConnection,
    End,
    Head,
    basic_credentials,
    challenges,
    content_range,
    make_address,
    redirected,
    request_head,
    retry_after,
)


def feed(data: bytes, size: int, *, eof: bool) -> tuple[Head | None, bytes, bool]:
    """Head, body and whether the answer is whole, fed `size` bytes at a time."""
    connection = ClientConnection()
    for at in range(0, len(data), size):
        connection.receive(data[at : at + size])
    if eof:
        connection.receive_eof()
    return taken(connection)


def taken(connection: ClientConnection) -> tuple[Head | None, bytes, bool]:
    events = list(connection.events)
    heads = [e for e in events if isinstance(e, Head)]
    assert len(heads) <= 1
    ends = [e for e in events if isinstance(e, End)]
    assert len(ends) <= 1
    assert not ends or events[-1] is ends[0]
    return heads[0] if heads else None, b"".join(e for e in events if isinstance(e, bytes)), bool(ends)


ANSWERS = {
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 5, False),
    "length, more behind": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 500 no\r\n\r\n", 5, False),
    "close, more behind": (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello123", 5, False),
    "chunked": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3;a=b\r\nhel\r\n2\r\nlo\r\n0\r\nX: 9\r\n\r\n",
        None,
        False,
    ),
    "blanks behind the size": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5   \r\nhello\r\n0\r\n\r\n", None, False,
    ),
    "until the end": (b"HTTP/1.1 200 OK\r\n\r\nhello", None, True),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\n\r\nhello", None, True),
    "Shoutcast": (b"ICY 200 OK\r\nicy-name: x\r\nicy-br:128\r\n\r\nhello", None, True),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello", 5, False),
    "bare LF": (b"HTTP/1.0 200 OK\nServer: camera\n\nhello", None, True),
    "interim": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        5,
        False,
    ),
    "identity": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Encoding: identity\r\n\r\nhello", None, True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_answers_however_they_are_cut(name: str, size: int) -> None:
    data, length, eof = ANSWERS[name]
    head, body, whole = feed(data, size, eof=eof)
    assert head is not None
    assert (head.status, head.length, body, whole) == (200, length, b"hello", True)
    assert head.ends_with_connection is eof


@pytest.mark.parametrize("name", [n for n in ANSWERS if "more" not in n])
def test_what_is_cut_off_is_no_end(name: str) -> None:
    data, _, until_the_end = ANSWERS[name]
    for size in range(len(data)):
        connection = ClientConnection()
        connection.receive(data[:size])
        if connection.head is not None and until_the_end:
            connection.receive_eof()
        else:
            with pytest.raises(PeerGone, match="without an answer" if connection.head is None else "in the middle"):
                connection.receive_eof()
        head, body, whole = taken(connection)
        assert whole is (head is not None and until_the_end)
        assert b"hello".startswith(body)


def test_a_chunked_body_ends_with_its_last_chunk_only() -> None:
    data = ANSWERS["chunked"][0]
    for end in range(data.index(b"lo") + 2, len(data)):
        connection = ClientConnection()
        connection.receive(data[:end])
        with pytest.raises(PeerGone, match="after 5 bytes"):
            connection.receive_eof()
        assert taken(connection)[1] == b"hello"


def test_continue_is_told() -> None:
    connection = ClientConnection()
    connection.receive(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert [type(e) for e in connection.events] == [Continue]


def test_fields_are_joined_and_named_in_lower_case() -> None:
    head, _, _ = feed(b"HTTP/1.1 401 No\r\nWWW-Authenticate: A\r\nwww-authenticate:B \r\n\r\n", 1000, eof=True)
    assert head is not None
    assert head.fields == {"www-authenticate": "A, B"}
    assert head.reason == "No"


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no answer of HTTP"),
        (b"\x16\x03\x01\x02\x00", "no answer of HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "malformed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", "malformed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "malformed"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "transfer coding"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: br\r\n\r\n", "transfer coding"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", "compressed the media"),
        (b"HTTP/1.1 101 Switch\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", "switches protocols"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "malformed"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * (http1_client.MAX_INTERIM + 1), "nothing but interim"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * (http1_client.MAX_FIELDS + 2), "too many fields"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"b" * (http1_client.MAX_HEAD_BYTES + 1), "too large"),
        (b"HTTP/1.1 200 " + b"b" * (http1_client.MAX_HEAD_BYTES + 1), "too large"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;" + b"x" * (2 * http1_client.MAX_OVERHEAD),
            "next to nothing",
        ),
    ],
)
@pytest.mark.parametrize("size", [500, 1_000_000])
def test_what_is_wrong_is_one_error(data: bytes, what: str, size: int) -> None:
    with pytest.raises(ProtocolError, match=what):
        feed(data, size, eof=False)


def test_the_body_in_front_of_an_error_is_kept() -> None:
    connection = ClientConnection()
    with pytest.raises(ProtocolError):
        connection.receive(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nnonsense")
    assert taken(connection) == (connection.head, b"abc", False)


def test_a_large_body_is_cheap_and_has_no_cap() -> None:
    connection = ClientConnection()
    connection.receive(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(5_000_000))
    assert connection.got == 5_000_000
    # One part for the slice with the head, one for all the rest.
    assert len(connection.events) <= 3


def test_addresses() -> None:
    address = make_address(secure=False, host="Host.Example", port=8080, path="/a b/ü%2f#x", query="q=1 2")
    assert address == Address(False, "host.example", 8080, "/a%20b/%C3%BC%2f")
    address = make_address(secure=True, host="::1", port=None, path="", query="a={b}#f")
    assert (address.host_field, address.port, address.target) == ("[::1]", 443, "/?a=%7Bb%7D")
    assert make_address(secure=False, host="fe80::1%eth0", port=81, path="", query="").host_field == "[fe80::1]:81"
    assert make_address(secure=False, host="müller.example", port=80, path="", query="").host == "xn--mller-kva.example"
    assert "secret" not in repr(make_address(secure=False, host="h", port=None, path="/", query="token=secret"))
    for host in ("", "a b", "a/b", "a\r\nb", "ü" * 200, "a@b"):
        with pytest.raises(ParseError):
            make_address(secure=False, host=host, port=None, path="/", query="")


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/c?d", Address(True, "h", 8443, "/c?d")),
        ("c", Address(True, "h", 8443, "/a/c")),
        ("../c", Address(True, "h", 8443, "/c")),
        ("?x=1", Address(True, "h", 8443, "/a/b?x=1")),
        ("//other/c", Address(True, "other", 443, "/c")),
        ("http://other:81/c#f", Address(False, "other", 81, "/c")),
        ("HTTPS://u:p@Other/c", Address(True, "other", 443, "/c")),
        ("https://[::1]:9/", Address(True, "::1", 9, "/")),
        ("/\xc3\xbc", Address(True, "h", 8443, "/%C3%BC")),
    ],
)
def test_redirects(location: str, expected: Address) -> None:
    assert redirected(Address(True, "h", 8443, "/a/b?q"), location) == expected


@pytest.mark.parametrize(
    "location",
    ["file:///etc/passwd", "ftp://h/", "http://", "http://[", "http://h:99999/", "http://h:0/", "http://a b/",
     "rtmp://h/a/b", "/" + "a" * 9000, "javascript:alert(1)"],
)  # fmt: skip
def test_redirects_to_nowhere(location: str) -> None:
    with pytest.raises(ParseError):
        redirected(Address(True, "h", 8443, "/"), location)


def test_request_heads() -> None:
    address = Address(False, "h", 80, "/a?b")
    assert request_head("GET", address, [("A", "b")]) == (
        b"GET /a?b HTTP/1.1\r\nHost: h\r\nA: b\r\nConnection: close\r\n\r\n"
    )
    with pytest.raises(ParseError):
        request_head("GET", address, [("A", "b\r\nC: d")])
    assert basic_credentials("Aladdin", "open sesame") == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    with pytest.raises(ParseError):
        basic_credentials("a:b", "c")


def test_fields_of_answers() -> None:
    assert challenges('Digest realm="a b", qop="auth", nonce=x, Basic realm="c"') == {"digest", "basic"}
    assert challenges("Negotiate, Basic") == {"negotiate", "basic"}
    assert challenges("") == set()
    assert retry_after(" 7 ", 0.0) == 7
    assert retry_after("99999999999999999999", 0.0) == http1_client.MAX_RETRY_S
    assert retry_after("Thu, 01 Jan 1970 00:02:00 GMT", 100.0) == 20
    assert retry_after("Thu, 01 Jan 1970 00:02:00 GMT", 200.0) == 0
    assert retry_after("soon", 0.0) is None
    assert content_range("bytes 0-9/10") == (0, 9, 10)
    assert content_range("BYTES 5-9/*") == (5, 9, None)
    for wrong in ("bytes */10", "bytes 9-5/10", "bytes 0-10/10", "lines 0-1/2", "", "bytes 0-9/10x"):
        assert content_range(wrong) is None
