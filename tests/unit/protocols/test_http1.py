"""HTTP/1.1 server side: what is understood, what is refused, and that splits never matter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evotools.errors import ParseError
from evotools.protocols import http1
from evotools.protocols.http1 import BadRequest, Body, Continue, HttpEvent, Request, ServerConnection

HOST = b"Host: x\r\n"


def events(data: bytes, step: int = 0) -> list[Request | BadRequest | Continue]:
    connection = ServerConnection(0.0)
    if step:
        for start in range(0, len(data), step):
            connection.receive(data[start : start + step], 0.0)
    else:
        connection.receive(data, 0.0)
    found = []
    while (event := connection.next_event()) is not None:
        found.append(event)
    return found


def only(data: bytes) -> Request:
    found = events(data)
    assert len(found) == 1, found
    assert isinstance(found[0], Request), found[0]
    return found[0]


def status(data: bytes) -> int:
    """The status that refuses `data`; the same whole and byte by byte."""
    whole, split = events(data), events(data, 1)
    assert isinstance(whole[-1], BadRequest), whole
    assert isinstance(split[-1], BadRequest), split
    assert whole[-1].status == split[-1].status
    return whole[-1].status


def summary(found: list[Request | BadRequest | Continue]) -> list[object]:
    return [
        (e.method, e.path, e.query, e.minor, e.headers, e.body, e.keep_alive, e.host)
        if isinstance(e, Request)
        else repr(e)
        for e in found
    ]


def test_request_is_read_with_lower_case_names_and_joined_repeats() -> None:
    request = only(b"GET /live/cam.flv?token=a%20b&x HTTP/1.1\r\nHost: h:8080\r\nX-A: 1\r\nx-a: 2\r\n\r\n")
    assert (request.method, request.path, request.query) == ("GET", "/live/cam.flv", "token=a%20b&x")
    assert request.headers == {"host": "h:8080", "x-a": "1, 2"}
    assert request.fields() == {"token": "a b", "x": ""}
    assert request.keep_alive


def test_pipelined_requests_come_in_order_whatever_the_split() -> None:
    data = (
        b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
        b"POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
        b"POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2;q=1\r\nde\r\n1\r\nf\r\n0\r\nHost: evil\r\n\r\n"
        b"HEAD /d HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    whole = events(data)
    assert [(e.method, e.path, e.body) for e in whole if isinstance(e, Request)] == [
        ("GET", "/a", b""), ("POST", "/b", b"abc"), ("POST", "/c", b"def"), ("HEAD", "/d", b""),
    ]  # fmt: skip
    assert not whole[-1].keep_alive  # type: ignore[union-attr]
    for step in (1, 2, 7, 64):
        assert summary(events(data, step)) == summary(whole)


@given(st.lists(st.integers(0, 200), max_size=12))
def test_random_splits_change_nothing(cuts: list[int]) -> None:
    data = (
        b"POST /b?x=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET http://o/p HTTP/1.1\r\nHost: x\r\n\r\n"
        b"GET /\\ HTTP/1.1\r\n\r\n"
    )
    connection, found = ServerConnection(0.0), []
    last = 0
    for cut in [*sorted(min(c, len(data)) for c in cuts), len(data)]:
        connection.receive(data[last:cut], 0.0)
        last = cut
    while (event := connection.next_event()) is not None:
        found.append(event)
    assert summary(found) == summary(events(data))


def test_a_broken_request_leaves_those_before_it_answered() -> None:
    found = events(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b\r\n\r\nGET /c HTTP/1.1\r\nHost: x\r\n\r\n")
    assert isinstance(found[0], Request)
    assert isinstance(found[1], BadRequest)
    assert len(found) == 2


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        b"Content-Length: 3\r\nContent-Length: 3\r\n",
        b"Content-Length: 3\r\nContent-Length: 4\r\n",
        b"Content-Length: 3, 3\r\n",
        b"Content-Length: +3\r\n",
        b"Content-Length: -3\r\n",
        b"Content-Length: 0x3\r\n",
        b"Content-Length:\r\n",
        b"Content-Length: 99999999999999999999999\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: identity\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: \x0bchunked\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"A: b\r\n c\r\n",
        b"A: b\n",
        b"A: b\x00c\r\n",
        b"A: b\rc\r\n",
        b"A\x00: b\r\n",
        b"A b: c\r\n",
        b": c\r\n",
        b" A: b\r\n",
        b"Host: y\r\n",
        b"Authorization: a\r\nAuthorization: b\r\n",
    ],
)
def test_ambiguous_framing_and_bad_fields_are_400(lines: bytes) -> None:
    assert status(b"POST / HTTP/1.1\r\nHost: x\r\n" + lines + b"\r\n0\r\n\r\n") == 400


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: u@h\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 505),
        (b"GET / HTTP/0.9\r\n\r\n", 505),
        (b"GET / HTTP/1.2\r\nHost: x\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"FOO / HTTP/1.1\r\nHost: x\r\n\r\n", 501),
        (b"get / HTTP/1.1\r\nHost: x\r\n\r\n", 501),
        (b"DESCRIBE / RTSP/1.0\r\nHost: x\r\n\r\n", 501),
        (b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n", 501),
        (b"GET * HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET http://u:p@x/ HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: x\n\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nExpect: magic\r\nContent-Length: 1\r\n\r\n", 417),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n10001\r\n" + b"x" * 65537, 413),
        (b"GET /" + b"a" * 8192 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 33000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: a\r\n" * 100 + b"\r\n", 431),
        (b"\r\n" * 17000, 431),
    ],
)
def test_what_cannot_be_served_has_its_status(data: bytes, code: int) -> None:
    assert status(data) == code


@pytest.mark.parametrize(
    "path", ["%2e%2e/etc", "a%2Fb", "a%5cb", "a\\b", "a%00", "a%0d%0aX: y", "%252e", "%zz", "%ff", "a%7f"]
)
def test_encoded_separators_dots_and_controls_are_400(path: str) -> None:
    assert status(f"GET /{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()) == 400


CHUNKED = b"PUT /a.ts HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
NEXT = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"


def streamed(data: bytes, step: int = 0) -> list[HttpEvent]:
    """The events when bodies are streamed; whole, and split into pieces of `step` bytes."""
    connection = ServerConnection(0.0, streams=lambda _: True)
    step = step or len(data)
    for start in range(0, len(data), step):
        connection.receive(data[start : start + step], 0.0)
    return list(connection.events)


@pytest.mark.parametrize(
    "body",
    [
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\rhello\r\n0\r\n\r\n",
        b"5\r\r\nhello\r\n0\r\n\r\n",
        b"5 \r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"5,\r\nhello\r\n0\r\n\r\n",
        b"\r\nhello\r\n0\r\n\r\n",
        b";a=b\r\nhello\r\n0\r\n\r\n",
        b"10000000000000005\r\nhello\r\n0\r\n\r\n",
        b"ffffffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        b"5;a\nb\r\nhello\r\n0\r\n\r\n",
        b"5;a\rb\r\nhello\r\n0\r\n\r\n",
        b"5;a\x00\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\r\n0\r\nX: y\n\r\n",
        b"5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n",
        b"5\r\nhello\r\n0\r\nX y\r\n\r\n",
        b"5\r\nhello\r\n0\n\n",
    ],
)
def test_broken_chunks_end_the_connection_with_nothing_behind_them(body: bytes) -> None:
    for step in (0, 1, 3):
        found = streamed(CHUNKED + body + NEXT, step)
        assert isinstance(found[-1], BadRequest), found
        assert found[-1].status == 400
        assert not any(isinstance(e, Body) and e.last for e in found)
        assert sum(isinstance(e, Request) for e in found) == 1
        assert b"hello".startswith(b"".join(e.data for e in found if isinstance(e, Body)))


def test_extensions_and_trailers_of_a_streamed_body_change_nothing() -> None:
    body = b'5;a=b;c="d e"\r\nhello\r\n00000;x\r\nRange: bytes=0-1\r\nHost: evil\r\n\r\n'
    for step in (0, 1, 5):
        found = streamed(CHUNKED + body + NEXT, step)
        first = found[0]
        assert isinstance(first, Request)
        assert first.host == "x"
        pieces = [e for e in found if isinstance(e, Body)]
        assert b"".join(e.data for e in pieces) == b"hello"
        assert [e.last for e in pieces] == [False] * (len(pieces) - 1) + [True]
        assert repr(found[-1]) == "Request(GET /smuggled)"


def test_padding_of_a_streamed_body_is_bounded() -> None:
    connection = ServerConnection(0.0, streams=lambda _: True)
    connection.receive(CHUNKED + b"1;", 0.0)
    for _ in range(100):
        connection.receive(b"a" * 10_000, 0.0)
    assert isinstance(connection.events[-1], BadRequest)
    # Chunks of one byte are wasteful, but honest.
    connection = ServerConnection(0.0, streams=lambda _: True)
    connection.receive(CHUNKED, 0.0)
    for _ in range(200):
        connection.receive(b"1\r\na\r\n" * 1000, 0.0)
    assert not any(isinstance(e, BadRequest) for e in connection.events)


def test_a_body_without_length_is_one_only_in_front_of_the_end() -> None:
    # Without "close" the next bytes are a request, as every proxy in front would read them.
    found = streamed(b"PUT /a.ts HTTP/1.1\r\nHost: x\r\n\r\n" + NEXT)
    assert [repr(e) for e in found] == ["Request(PUT /a.ts)", "Request(GET /smuggled)"]
    # With it nothing can follow, so what follows is the body, whatever it looks like.
    closing = b"PUT /a.ts HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    for step in (0, 1, 3):
        found = streamed(b"\r\n\r\n" + closing + NEXT, step)
        assert b"".join(e.data for e in found[1:] if isinstance(e, Body)) == NEXT
        assert sum(isinstance(e, Request) for e in found) == 1
    # Not behind another request of the same read, and not for methods that have no body.
    found = streamed(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n" + closing + NEXT)
    assert isinstance(found[-1], BadRequest)
    assert found[-1].status == 411
    assert [repr(e) for e in streamed(closing.replace(b"PUT", b"GET") + NEXT)] == ["Request(GET /a.ts)"]


def test_streamed_bodies_have_no_cap_and_their_own_time() -> None:
    connection = ServerConnection(0.0, streams=lambda request: request.method == "PUT")
    connection.receive(b"PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", 0.0)
    for second in range(1, 1000):
        connection.receive(b"x" * 1000, float(second))
        connection.events.clear()
        assert connection.deadline() == second + 30
    connection.paused = True
    assert connection.deadline() is None
    connection.resume(5000.0)
    connection.tick(5029.0)
    assert connection.streaming
    connection.tick(5030.0)
    assert isinstance(connection.events[-1], BadRequest)
    assert connection.events[-1].status == 408
    assert status(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n") == 413


def test_harmless_encodings_are_undone() -> None:
    assert only(b"GET /%6Cive/a%2Bb/%C3%A4 HTTP/1.1\r\nHost: x\r\n\r\n").path == "/live/a+b/ä"


def test_absolute_form_takes_the_place_of_the_host_field() -> None:
    request = only(b"GET http://other:8080/a?b HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (request.host, request.path, request.query) == ("other:8080", "/a", "b")
    assert only(b"GET http://other HTTP/1.1\r\nHost: x\r\n\r\n").path == "/"
    assert only(b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n").path == "*"


def test_http10_clients() -> None:
    assert not only(b"GET / HTTP/1.0\r\n\r\n").keep_alive
    assert only(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").keep_alive


def test_expect_is_answered_before_the_body_comes() -> None:
    connection = ServerConnection(0.0)
    connection.receive(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n", 0.0)
    assert isinstance(connection.next_event(), Continue)
    assert connection.next_event() is None
    connection.receive(b"hi", 0.0)
    request = connection.next_event()
    assert isinstance(request, Request)
    assert request.body == b"hi"


def test_offers_to_upgrade_are_passed_over() -> None:
    upgrade = b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    found = events(upgrade + upgrade + b"GET /b HTTP/1.1\r\nHost: x\r\n\r\n")
    assert [(e.path, e.upgrade) for e in found if isinstance(e, Request)] == [("/a", True), ("/a", True), ("/b", False)]


def test_a_flood_of_pipelined_requests_is_bounded() -> None:
    found = events(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 10_000)
    assert len(found) == http1.MAX_PIPELINED + 1
    assert isinstance(found[-1], BadRequest)
    assert found[-1].status == 429


def test_nothing_counts_after_a_request_that_closes() -> None:
    found = events(b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n")
    assert [repr(e) for e in found] == ["Request(GET /a)"]


def test_an_endless_chunk_extension_is_cut_off() -> None:
    connection = ServerConnection(0.0)
    connection.receive(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;", 0.0)
    for _ in range(100):
        connection.receive(b"a" * 10_000, 0.0)
    event = connection.next_event()
    assert isinstance(event, BadRequest)
    assert event.status == 413


def test_slow_heads_bodies_and_idle_connections_are_timed() -> None:
    connection = ServerConnection(100.0)
    assert connection.deadline() == 110.0
    for second in range(9):
        connection.receive(b"G" if second == 0 else b"", 100.0 + second)
    connection.tick(109.9)
    assert not connection.closed
    connection.tick(110.0)
    event = connection.next_event()
    assert isinstance(event, BadRequest)
    assert event.status == 408

    connection = ServerConnection(0.0)
    connection.receive(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na", 5.0)
    assert connection.deadline() == 35.0
    connection.receive(b"b", 6.0)
    connection.held = True
    assert connection.deadline() is None
    connection.next_event()
    connection.release(7.0)
    assert connection.deadline() == 67.0
    connection.tick(67.0)
    assert connection.closed
    assert connection.next_event() is None


def test_response_heads() -> None:
    fields = http1.header_block([("Content-Type", "text/plain"), ("X-Name", "v")])
    head = http1.response_head(200, fields, b"DATE", length=5, keep_alive=True)
    assert head == (
        b"HTTP/1.1 200 OK\r\nServer: evotools\r\nDate: DATE\r\nContent-Type: text/plain\r\nX-Name: v\r\n"
        b"Content-Length: 5\r\n\r\n"
    )
    assert b"Connection: close\r\n" in http1.response_head(404, b"", b"D", length=0, keep_alive=False)
    assert b"Connection: keep-alive\r\n" in http1.response_head(200, b"", b"D", length=0, keep_alive=True, minor=0)
    assert b"Content-Length" not in http1.response_head(204, b"", b"D", length=None, keep_alive=True)


@pytest.mark.parametrize(
    "field", [("A", "b\r\nC: d"), ("A", "b\n"), ("A\r\n", "b"), ("", "b"), ("A", "\x00"), ("A", "€")]
)
def test_a_field_that_would_split_the_response_is_refused(field: tuple[str, str]) -> None:
    with pytest.raises(ParseError):
        http1.header_block([field])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bytes=0-9", (0, 9)), ("bytes=90-", (90, 99)), ("bytes=90-200", (90, 99)), ("bytes=-10", (90, 99)),
        ("bytes=-1000", (0, 99)), ("bytes=5-4", None), ("bytes=0-1,4-5", None), ("lines=0-1", None), ("bytes=-", None),
        ("bytes=a-b", None), ("", None), ("bytes=0-" + "9" * 30, None),
    ],
)  # fmt: skip
def test_ranges(value: str, expected: tuple[int, int] | None) -> None:
    assert http1.parse_range(value, 100) == expected


@pytest.mark.parametrize(("value", "size"), [("bytes=100-", 100), ("bytes=-0", 100), ("bytes=0-0", 0), ("bytes=-5", 0)])
def test_ranges_outside(value: str, size: int) -> None:
    with pytest.raises(http1.UnsatisfiableRange):
        http1.parse_range(value, size)


def test_query_caps() -> None:
    assert http1.parse_query("a=1&a=2&b=%C3%A4&c") == {"a": "2", "b": "ä", "c": ""}
    for query in ("&".join(["a=1"] * 65), "a=%ff"):
        with pytest.raises(ParseError):
            http1.parse_query(query)


def test_equal_heads_are_read_once_but_never_taken_for_something_else() -> None:
    head = b"GET /known HTTP/1.1\r\nHost: x\r\n\r\n"
    first, again = only(head), only(head)
    assert again is first
    # The same bytes as a body, or in the middle of a head, are not a request.
    for opening in (
        b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(head),
        b"GET /b HTTP/1.1\r\nHost: x\r\nX: ",
    ):
        connection = ServerConnection(0.0)
        connection.receive(opening, 0.0)
        connection.receive(head, 0.0)
        found = []
        while (event := connection.next_event()) is not None:
            found.append(event)
        assert all(e is not first for e in found)
        if opening.startswith(b"POST"):
            assert [e.body for e in found if isinstance(e, Request)] == [head]
    connection = ServerConnection(0.0)
    connection.receive(head + b"GET /c HT", 0.0)
    connection.receive(head, 0.0)
    assert connection.next_event() is not None
    assert isinstance(connection.next_event(), BadRequest)


def test_remembered_heads_are_bounded() -> None:
    connection = ServerConnection(0.0)
    for i in range(2000):
        connection.receive(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % i, 0.0)
        assert connection.next_event() is not None
    assert len(http1.connection._memo) <= http1.MAX_MEMO
    connection.receive(b"GET /x HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 2000 + b"\r\n\r\n", 0.0)
    assert all(len(head) <= http1.MAX_MEMO_HEAD for head in http1.connection._memo)
