"""A listening port whose connections speak TLS: caps and a time-out count from the accept, not from the handshake.

The loop's own `create_server(ssl=…)` tells the owner of a connection after its handshake only: whoever opens sockets
and says nothing would be in nobody's count. Here the handshakes under way have caps of their own.
"""

import asyncio
import ssl
from collections import Counter
from collections.abc import Callable

from evotools.log import get_logger
from evotools.protocols.greeting import ForeignProtocol
from evotools.transport.ports import Ports
from evotools.transport.tcp import every_address
from evotools.transport.tls import HANDSHAKE_TIMEOUT_S
from evotools.transport.tls_stream import TlsStream

log = get_logger("tls")

MAX_HANDSHAKES = 1_000
"""Under way at once on one port: a second of what one core can do, and a few MiB."""
MAX_HANDSHAKES_PER_PEER = 100
"""Of one address, which may be an office behind one address of the outside."""
BACKLOG = 1024
_BIND_ATTEMPTS = 20


class TlsServer:
    """A bound port. Each connection that completed its handshake gets a protocol of `factory`."""

    def __init__(
        self,
        factory: Callable[[], asyncio.Protocol],
        context: ssl.SSLContext,
        *,
        max_handshakes: int = MAX_HANDSHAKES,
        max_per_peer: int = MAX_HANDSHAKES_PER_PEER,
        timeout_s: float = HANDSHAKE_TIMEOUT_S,
        ports: Ports | None = None,
    ) -> None:
        """`ports` tells clients without TLS, in the log, where they should have gone."""
        self.port = 0
        self.refused = 0
        """Connections closed at once because of a cap."""
        self.failed = 0
        """Handshakes that came to nothing."""
        self._factory = factory
        self._context = context
        self._max_handshakes = max_handshakes
        self._max_per_peer = max_per_peer
        self._timeout_s = timeout_s
        self._ports = ports or Ports()
        self._server: asyncio.Server | None = None
        self._handshakes: dict[TlsStream, str] = {}
        self._per_peer: Counter[str] = Counter()

    @property
    def handshakes(self) -> int:
        """Handshakes under way."""
        return len(self._handshakes)

    async def start(self, host: str, port: int) -> None:
        """Bind; an empty host is every address, port 0 a free one. Raises OSError."""
        loop = asyncio.get_running_loop()
        wanted = port
        for attempt in range(_BIND_ATTEMPTS):
            try:
                self._server = await loop.create_server(self._accept, every_address(host), wanted, backlog=BACKLOG)
            except OSError:
                if port or attempt == _BIND_ATTEMPTS - 1:
                    raise
                wanted = 0
                continue
            ports = {sock.getsockname()[1] for sock in self._server.sockets}
            self.port = wanted = min(ports)
            if len(ports) == 1:
                break
            # One free port for both families: what is free for the first may be taken for the second.
            self._server.close()

    def close(self) -> None:
        """Stop listening and drop the handshakes under way; established connections stay. Safe to call twice."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for stream in list(self._handshakes):
            stream.transport.abort()

    def _accept(self) -> asyncio.Protocol:
        return TlsStream(self._context, self._factory, self._admit, self._shaken, self._timeout_s)

    def _admit(self, stream: TlsStream) -> bool:
        address = stream.transport.get_extra_info("peername")
        peer = str(address[0]) if address else ""
        if len(self._handshakes) >= self._max_handshakes or self._per_peer[peer] >= self._max_per_peer:
            self.refused += 1
            return False
        self._handshakes[stream] = peer
        self._per_peer[peer] += 1
        return True

    def _shaken(self, stream: TlsStream, error: Exception | None) -> None:
        peer = self._handshakes.pop(stream)
        self._per_peer[peer] -= 1
        if not self._per_peer[peer]:
            del self._per_peer[peer]
        if error is not None:
            self.failed += 1
            if isinstance(error, ForeignProtocol):
                error.hint = self._ports.advice(error.spoken)
                log.warning("%s: port %d: %s", peer, self.port, error)
            else:
                log.debug("%s: the TLS handshake failed: %s", peer, error)
