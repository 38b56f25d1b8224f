"""Live streams as one endless answer: `/PATH.flv`, `/PATH.ts` and the like, from the newest key frame on."""

from collections.abc import Hashable, Mapping, Sequence

from evotools.errors import ParseError, RefusedError, UsageError
from evotools.hub.feed import Feed
from evotools.hub.hub import Hub
from evotools.hub.limits import FlushInterval
from evotools.hub.stream import Stream
from evotools.hub.viewer import Closed, ViewerPolicy
from evotools.media.track import Track
from evotools.protocols import http1
from evotools.protocols.http1 import Request
from evotools.server.listeners.base import Access
from evotools.server.listeners.formats import Format, Selection, parse_selection
from evotools.server.listeners.http_access import CORS, Refused, check_access
from evotools.server.listeners.start import starting
from evotools.transport.http import HttpConnection

_LIVE = [("Cache-Control", "no-store"), ("X-Accel-Buffering", "no"), *CORS]
_NO_QUERY: Mapping[str, str] = {}


class Progressive:
    """Answers requests for live media."""

    def __init__(
        self, hub: Hub, access: Access, policy: ViewerPolicy, flush_interval: FlushInterval | None = None
    ) -> None:
        self._hub = hub
        self._access = access
        self._policy = policy
        self._flush_interval = flush_interval

    def handle(self, connection: HttpConnection, request: Request, name: str, form: Format) -> None:
        """Join a feed of the stream, or say why not. Raises Refused, EvotoolsError."""
        hub = self._hub
        try:
            hub.check_name(name)
        except RefusedError:
            raise Refused(404, "there is no such stream") from None
        check_access(self._access, connection, request, "read", name, form.protocol)
        query = request.fields() if request.query else _NO_QUERY
        selection = parse_selection(query, form)
        start = query.get("start", "")
        now = hub.clock()
        # Whoever asks for the fields alone does not make a source on demand start.
        head = request.method == "HEAD"
        stream = hub.find(name) if head else hub.acquire(name)
        if stream is None:
            if head and hub.has(name):
                connection.respond(200, _fields(form, ()), sized=False)
                return
            raise Refused(404, f"nobody publishes '{name}'")
        policy = _policy(stream.policy(self._policy), start)
        if stream.tracks and not selection.choose(stream.tracks):
            raise Refused(406, _nothing_left(stream, form, selection))
        if head:
            connection.respond(200, _fields(form, selection.choose(stream.tracks)), sized=False)
            return
        feed = self._feed(stream, form, selection, now)
        # The media that follows is told by its own header; a range of it has no meaning (RFC 9110 14.2 lets a server
        # ignore the field: Safari and Chromium ask for `bytes=0-`).
        out = connection.start_stream(_fields(form, feed.tracks))

        def let_go(why: Closed) -> None:
            if why is Closed.ENDED:
                out.close()
            else:
                out.abort()

        try:
            viewer = feed.join(out.write, out.unsent, now=now, policy=policy, on_close=let_go, info=connection,
                               socket=out.socket)  # fmt: skip
        except RefusedError:
            out.close()
            return
        out.on_close = viewer.leave

    def _feed(self, stream: Stream, form: Format, selection: Selection, now: float) -> Feed:
        """The feed with the tracks wanted: shared by all whose wishes come to the same tracks now."""
        key: Hashable = form.key
        wanted: frozenset[int] = frozenset()
        if selection.key:
            key = (form.key, *selection.key)
            if stream.tracks:
                wanted = frozenset(track.id for track in selection.choose(stream.tracks))
                plain = frozenset(track.id for track in parse_selection(_NO_QUERY, form).choose(stream.tracks))
                key = form.key if wanted == plain else (form.key, wanted)
        feed = stream.feed(key, form.make, selection.choose, now=now, flush_interval=self._flush_interval)
        if wanted and frozenset(track.id for track in feed.tracks) != wanted:
            # A feed follows its first viewer's wish, which has come to other tracks since.
            feed = stream.feed((form.key, wanted, stream.epoch), form.make, selection.choose, now=now,
                               flush_interval=self._flush_interval)  # fmt: skip
        return feed


def _policy(policy: ViewerPolicy, start: str) -> ViewerPolicy:
    """`policy` with the start that a request asks for. Raises ParseError."""
    # `start=0` and the like are for files; a live stream begins where it is.
    if not start or start[0].isdigit():
        return policy
    try:
        return starting(policy, start)
    except UsageError as error:
        raise ParseError(error.message, hint=error.hint) from None


def _fields(form: Format, tracks: Sequence[Track]) -> bytes:
    return http1.header_block([("Content-Type", form.content_type(tracks)), *_LIVE])


def _nothing_left(stream: Stream, form: Format, selection: Selection) -> str:
    there = ", ".join(f"#{track.id} {track.describe()}" for track in stream.tracks)
    if selection.key and form.carried(stream.tracks):
        return f"nothing is left of the tracks there are: {there}"
    return f"the stream has no track that {form.key} can carry: {there}"
