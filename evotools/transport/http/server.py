"""The listening sockets of the front end: who is let in, and the clock of all connections."""

import asyncio
import ssl as ssl_module
from collections import Counter
from collections.abc import Callable
from email.utils import formatdate
from time import monotonic
from typing import Any

from evotools.errors import UnreachableError
from evotools.protocols import http1
from evotools.protocols.http1 import Request
from evotools.transport.http.connection import Handler, HttpConnection
from evotools.transport.ports import Ports
from evotools.transport.tcp import every_address, explain
from evotools.transport.tls_listen import TlsServer

MAX_CONNECTIONS = 10_000
"""Default for one front end. A connection at rest costs about 8 KiB; raise it together with the file limit."""
MAX_CONNECTIONS_PER_PEER = 1_000
"""Default for one address: households and offices behind one NAT stay far below, a flood from one host does not."""
SWEEP_S = 1.0


class HttpServer:
    """A listening socket and its connections."""

    def __init__(
        self,
        handler: Handler,
        *,
        max_connections: int = MAX_CONNECTIONS,
        max_per_peer: int = MAX_CONNECTIONS_PER_PEER,
        max_body: int = http1.MAX_BODY_BYTES,
        streams: Callable[[Request], bool] | None = None,
    ) -> None:
        """`streams` is asked, when the head of a request with a body is complete, whether the handler takes the body
        itself (`HttpConnection.receive_body`): it is called at once then, and the whole has no cap. All other bodies
        are collected up to `max_body` bytes, and the handler finds them in `Request.body`.
        """
        self.handler = handler
        self.max_body = max_body
        self.streams = streams
        self.draining = False
        self.date = b""
        self.loop: asyncio.AbstractEventLoop
        self.refused = 0
        """Connections turned away by a cap."""
        self.ports = Ports()
        """Told, in the log, to those who come to the port of TLS without it."""
        self._max_connections = max_connections
        self._max_per_peer = max_per_peer
        self._connections: set[HttpConnection] = set()
        self._per_peer: Counter[str] = Counter()
        self._server: asyncio.Server | None = None
        self._tls: TlsServer | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def start(self, host: str | None, port: int, ssl: ssl_module.SSLContext | None = None) -> None:
        """Bind and serve. Port 0 takes a free one. Raises UnreachableError."""
        self.loop = asyncio.get_running_loop()
        self._sweep()
        options: dict[str, Any] = {"ssl_handshake_timeout": http1.HEAD_TIMEOUT_S} if ssl is not None else {}
        try:
            self._server = await self.loop.create_server(
                lambda: HttpConnection(self), every_address(host or ""), port, ssl=ssl, backlog=1024, **options
            )
        except OSError as error:
            if self._timer is not None:
                self._timer.cancel()
            where = f"{host or '*'}:{port}"
            raise UnreachableError(
                f"cannot listen for HTTP on {where}: {error.strerror or error}",
                hint="choose another port or stop the program that holds it",
            ) from None

    async def start_tls(self, host: str | None, port: int, context: ssl_module.SSLContext) -> None:
        """Bind a second port that speaks TLS and shares handler, connections and caps. Raises UnreachableError."""
        self._tls = TlsServer(lambda: HttpConnection(self), context, timeout_s=http1.HEAD_TIMEOUT_S, ports=self.ports)
        try:
            await self._tls.start(host or "", port)
        except OSError as error:
            raise explain(f"https {host or '*'}:{port}", error, "listen") from None

    @property
    def tls_port(self) -> int:
        """The port of `start_tls`."""
        assert self._tls is not None, "not started"
        return self._tls.port

    @property
    def port(self) -> int:
        """The port bound."""
        assert self._server is not None, "not started"
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def __len__(self) -> int:
        return len(self._connections)

    async def close(self) -> None:
        """Stop listening and end every connection; answers under way get a moment to leave."""
        self.draining = True
        if self._server is not None:
            self._server.close()
        if self._tls is not None:
            self._tls.close()
        for connection in list(self._connections):
            connection._close()
        for _ in range(20):
            if not self._connections:
                break
            await asyncio.sleep(0.05)
        for connection in list(self._connections):
            connection._transport.abort()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await asyncio.sleep(0)

    def _admit(self, connection: HttpConnection) -> bool:
        self._connections.add(connection)
        self._per_peer[connection.peer_ip] += 1
        if (
            len(self._connections) <= self._max_connections
            and self._per_peer[connection.peer_ip] <= self._max_per_peer
            and not self.draining
        ):
            return True
        self.refused += 1
        return False

    def _forget(self, connection: HttpConnection) -> None:
        if connection in self._connections:
            self._connections.discard(connection)
            left = self._per_peer[connection.peer_ip] - 1
            if left > 0:
                self._per_peer[connection.peer_ip] = left
            else:
                del self._per_peer[connection.peer_ip]

    def _sweep(self) -> None:
        now = monotonic()
        self.date = formatdate(usegmt=True).encode("ascii")
        for connection in [c for c in self._connections if c.expires <= now]:
            connection._check(now)
        self._timer = self.loop.call_later(SWEEP_S, self._sweep)
