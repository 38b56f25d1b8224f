"""Publishing by HTTP POST or PUT: the body is the stream, for as long as it goes on.

The bytes say what they are; the suffix of the path only says the stream's name. Nothing of a body is read before the
path, the name and `access` have been asked, so a refusal costs no bandwidth and a client with `Expect` sends nothing.
"""

import asyncio
import logging
import re

from evotools.containers import sniff
from evotools.containers.base import Demuxer, Foreign, NeedsSeeking
from evotools.errors import MediaError, RefusedError
from evotools.hub.hub import Hub, Publication
from evotools.hub.stream import PublisherInfo, State
from evotools.log import get_logger
from evotools.media.frame import Event, Frame
from evotools.protocols import http1
from evotools.protocols.http1 import Request
from evotools.server.access import credential_of
from evotools.server.listeners.base import Access
from evotools.server.listeners.http_access import CORS, ERROR, RETRY, Refused, check_access
from evotools.transport.http import HttpConnection

SUFFIXES = frozenset({"ts", "flv", "mkv", "webm", "mp4", "aac"})
"""Names under which a stream may be published; what the bytes are is asked of them."""
METHODS = frozenset({"POST", "PUT"})
FIRST_MEDIA_S = 20.0
"""A publisher that has sent no track so long is let go: it holds a name that another may need. Encoders that start
send within a second or two; MP4 fragments come as late as a group of pictures is long."""
MEDIA_IDLE_S = 30.0
"""The same between two frames: a trickle of bytes that never becomes media is no publisher."""
PART_S = 5.0
"""How long a publisher that sends a stream in parts may be silent between two of them."""
PIECE = 64 * 1024
"""Bytes demuxed at once. With MAX_EVENTS it bounds what a read may grow to."""
MAX_EVENTS = 20_000
"""Events out of one piece. Real media has frames of 100 bytes and more; formats with one byte per frame exist only to
make a server busy."""

# GStreamer's souphttpclientsink sends a live stream as a series of PUT requests, the later ones with Content-Range.
_SENDS_PARTS = "souphttpclientsink"
_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/\*")
_ALLOW = ERROR + http1.header_block([("Allow", "GET, HEAD, OPTIONS")])
_DONE = http1.header_block(CORS)
_NAMES = {"ts": "MPEG-TS", "flv": "FLV", "matroska": "Matroska or WebM", "mp4": "fragmented MP4", "adts": "ADTS",
          "mp3": "MP3", "annexb-h264": "H.264 byte streams", "annexb-h265": "H.265 byte streams"}  # fmt: skip

log = get_logger("http")


def takes_body(request: Request) -> bool:
    """Whether the front end leaves the body of this request to `Uploads`, however long it is."""
    return request.method in METHODS


def target(path: str) -> tuple[str, str]:
    """The stream's name and the suffix of a path to publish to. Raises Refused."""
    name, _, suffix = path[1:].rpartition(".")
    if suffix.lower() not in SUFFIXES or not name:
        raise Refused(405, "streams are published to names that end in ." + " .".join(sorted(SUFFIXES)), _ALLOW)
    return name, suffix.lower()


class Uploads:
    """The publishers of one HTTP media port."""

    def __init__(self, hub: Hub, access: Access) -> None:
        self._hub = hub
        self._access = access
        self.active: set[Upload] = set()
        """Publishers whose body has not ended."""
        self.waiting: dict[str, Upload] = {}
        """By name of the stream: publishers in parts, between two of them."""

    def handle(self, connection: HttpConnection, request: Request, name: str, suffix: str) -> None:
        """Publish the body of this request as the stream `name`. Raises Refused, ParseError for a bad query."""
        hub = self._hub
        try:
            hub.check_name(name)
        except RefusedError as error:
            raise Refused(400, error.message) from None
        protocol = f"http-{suffix}"
        question = check_access(self._access, connection, request, "publish", name, protocol)
        headers = request.headers
        if not request.streamed:
            # RFC 9112 6.3: no length and no chunks are an empty body.
            raise Refused(411, "there is no body: send it chunked, with its length, or with 'Connection: close'")
        if headers.get("content-type", "").lower().startswith("multipart/"):
            raise Refused(415, "a form is not taken; send the stream itself as the body")
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise Refused(415, "a compressed body is not taken")
        info = PublisherInfo(protocol, connection.peer_ip, credential_of(question))
        if "content-range" in headers:
            upload = self._next_part(name, headers["content-range"], info)
            upload.go_on(connection)
            connection.receive_body(upload.receive, upload.end)
            return
        in_parts = "content-length" in headers and _SENDS_PARTS in headers.get("user-agent", "")
        upload = Upload(self, hub, connection, name, suffix, info, in_parts=in_parts)
        try:
            upload.publication = hub.publish(name, info, on_closed=upload.revoked)
        except RefusedError as error:
            log.warning("http: %s: publishing refused: %s", connection.peer_ip, error)
            stream = hub.find(name)
            if stream is not None and stream.state is State.LIVE:
                raise Refused(409, error.message) from None
            raise Refused(503, error.message, RETRY) from None
        log.info("http: %s publishes '%s'", connection.peer_ip, name)
        self.active.add(upload)
        upload.begin()
        connection.receive_body(upload.receive, upload.end)

    def _next_part(self, name: str, content_range: str, info: PublisherInfo) -> "Upload":
        """The publisher that this part continues. Raises Refused: RFC 9110 14.5, a part is not taken for the whole."""
        upload = self.waiting.get(name)
        found = _RANGE.fullmatch(content_range)
        if upload is None or found is None or upload.info != info:
            raise Refused(400, "parts of a stream are not taken")
        if int(found[1]) != upload.taken:
            raise Refused(400, f"a part begins at byte {found[1]}, after {upload.taken}")
        return upload


class Upload:
    """One body on its way into the hub."""

    def __init__(
        self, owner: Uploads, hub: Hub, connection: HttpConnection, name: str, suffix: str, info: PublisherInfo, *,
        in_parts: bool,
    ) -> None:  # fmt: skip
        self.publication: Publication | None = None
        self.info = info
        self.taken = 0
        """Bytes of the body."""
        self._in_parts = in_parts
        self._asked = True
        self._owner = owner
        self._hub = hub
        self._connection = connection
        self._name = name
        self._suffix = suffix
        self._head = b""
        self._demuxer: Demuxer | None = None
        self._frames = 0
        self._media_at = hub.clock()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """The time for the first frame runs from here."""
        self._timer = asyncio.get_running_loop().call_later(FIRST_MEDIA_S, self._check)

    def go_on(self, connection: HttpConnection) -> None:
        """The next part comes."""
        self._owner.waiting.pop(self._name, None)
        self._connection = connection
        self._asked = True
        if self._timer is not None:
            self._timer.cancel()
        self._check()

    def receive(self, data: bytes) -> None:
        """More of the body."""
        self.taken += len(data)
        try:
            demuxer = self._demuxer
            if demuxer is None:
                self._head += data
                demuxer = self._open(ended=False)
                if demuxer is None:
                    return
                data, self._head = self._head, b""
            self._push(_demux(demuxer, data))
        except MediaError as error:
            self._refuse(error)

    def end(self, whole: bool) -> None:
        """The body is over, or the peer left in the middle of it."""
        if whole and self._in_parts:
            self._owner.waiting[self._name] = self
            if self._timer is not None:
                self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_later(PART_S, self._no_more)
            self._asked = False
            self._connection.respond(200, _DONE)
            return
        self._end(whole)

    def _no_more(self) -> None:
        """The part before was the last one; its request was answered."""
        self._in_parts = False
        self._end(True)

    def _end(self, whole: bool) -> None:
        try:
            demuxer = self._demuxer
            events: list[Event] = []
            if demuxer is None and self._head and (demuxer := self._open(ended=True)) is not None:
                events = _demux(demuxer, self._head)
            if demuxer is not None:
                events += demuxer.flush()
            self._push(events)
        except MediaError as error:
            self._refuse(error)
            return
        if not whole:
            self._finish("the connection was closed")
        elif not self._frames:
            self._finish("the body had no media")
            self._answer(422, "there is no media in the body", ERROR)
        else:
            self._finish("the publisher ended its stream")
            self._answer(200, f"'{self._name}' was published: {self._frames} frames", _DONE)

    def revoked(self, reason: str) -> None:
        """The hub gave the name to another, or ended the stream."""
        self._finish(reason)
        self._answer(409, reason, ERROR)

    def _open(self, *, ended: bool) -> Demuxer | None:
        """The reader for what the body begins with; None when more of it must be seen."""
        head = self._head
        found = sniff.sniff(head, ended=ended)
        if found is None and len(head) < sniff.SNIFF_BYTES and not ended:
            return None
        if found is None or found not in sniff.OURS:
            taken = ", ".join(_NAMES.get(name, name) for name in sniff.OURS)
            what = f"a body that is {_NAMES.get(found, found)}" if found else "the body"
            raise Foreign(f"{what} cannot be read; taken are: {taken}")
        self._demuxer = demuxer = sniff.make_demuxer(found)
        log.debug("http: '%s.%s' is %s", self._name, self._suffix, found)
        return demuxer

    def _push(self, events: list[Event]) -> None:
        publication = self.publication
        if not events or publication is None:
            return
        now = self._hub.clock()
        frames = sum(isinstance(event, Frame) for event in events)
        if frames:
            self._frames += frames
            self._media_at = now
        publication.push(events, now)

    def _refuse(self, error: MediaError) -> None:
        status = 415 if isinstance(error, Foreign | NeedsSeeking) else 400
        self._finish(error.message, logging.WARNING)
        self._answer(status, str(error), ERROR)

    def _check(self) -> None:
        """Has media come in time? Asked again when the next time is up, not with every frame."""
        allowed = MEDIA_IDLE_S if self._frames else FIRST_MEDIA_S
        left = self._media_at + allowed - self._hub.clock()
        if left > 0:
            self._timer = asyncio.get_running_loop().call_later(left, self._check)
            return
        reason = f"no media came for {allowed:g} seconds"
        self._finish(reason, logging.WARNING)
        self._answer(408, reason, ERROR, close=True)

    def _answer(self, status: int, text: str, fields: bytes, *, close: bool = False) -> None:
        """Between two parts there is no request that could be answered."""
        if self._asked:
            self._connection.respond_text(status, text, fields, close=close)

    def _finish(self, reason: str, level: int = logging.INFO) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        owner = self._owner
        owner.active.discard(self)
        if owner.waiting.get(self._name) is self:
            del owner.waiting[self._name]
        publication, self.publication = self.publication, None
        if publication is not None and not publication.closed:
            log.log(level, "http: %s: '%s' ends: %s", self._connection.peer_ip, self._name, reason)
            publication.close(self._hub.clock(), reason)


def _demux(demuxer: Demuxer, data: bytes) -> list[Event]:
    """The events of all of `data`. Raises ParseError, MediaError when there are unreasonably many."""
    events: list[Event] = []
    for start in range(0, len(data), PIECE):
        found = demuxer.feed(data if len(data) <= PIECE else data[start : start + PIECE])
        if len(found) > MAX_EVENTS:
            raise MediaError(f"{len(found)} frames in {PIECE >> 10} KiB are too many")
        events += found
    return events
