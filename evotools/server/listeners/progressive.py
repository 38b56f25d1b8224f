"""Live streams as one endless answer: `/PATH.flv`, `/PATH.ts` and the like, from the newest key frame on."""

from evotools.errors import RefusedError
from evotools.hub.hub import Hub
from evotools.hub.limits import FlushInterval
from evotools.hub.viewer import Closed, ViewerPolicy
from evotools.protocols import http1
from evotools.protocols.http1 import Request
from evotools.server.listeners.base import Access
from evotools.server.listeners.formats import Format
from evotools.server.listeners.http_access import CORS, Refused, check_access
from evotools.transport.http import HttpConnection

_LIVE = [("Cache-Control", "no-store"), ("X-Accel-Buffering", "no"), *CORS]


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
        fields = http1.header_block([("Content-Type", form.mime), *_LIVE])
        if request.method == "HEAD":
            if hub.find(name) is None:
                raise Refused(404, f"nobody publishes '{name}'")
            connection.respond(200, fields, sized=False)
            return
        now = hub.clock()
        stream = hub.acquire(name)
        if stream is None:
            raise Refused(404, f"nobody publishes '{name}'")
        feed = stream.feed(form.key, form.make, form.choose, now=now, flush_interval=self._flush_interval)
        if stream.tracks and not feed.tracks:
            raise Refused(406, "the stream has no track that this format can carry")
        out = connection.start_stream(fields)

        def let_go(why: Closed) -> None:
            if why is Closed.ENDED:
                out.close()
            else:
                out.abort()

        try:
            viewer = feed.join(
                out.write, out.unsent, now=now, policy=stream.policy(self._policy), on_close=let_go, info=connection
            )
        except RefusedError:
            out.close()
            return
        out.on_close = viewer.leave
