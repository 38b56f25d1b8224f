"""A listening port whose connections speak TLS: caps and a time-out count from the accept, not from the handshake.

The loop's own `create_server(ssl=…)` tells the owner of a connection after its handshake only: whoever opens sockets
and says nothing would be in nobody's count. Here the handshakes under way have caps of their own.
"""

import asyncio
import contextlib
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from evotools.log import get_logger
from evotools.transport.tcp import every_address
from evotools.transport.tls import HANDSHAKE_TIMEOUT_S

log = get_logger("tls")

MAX_HANDSHAKES = 1_000
"""Under way at once on one port: a second of what one core can do, and a few MiB."""
MAX_HANDSHAKES_PER_PEER = 100
"""Of one address, which may be an office behind one address of the outside."""
BACKLOG = 1024
RETRY_S = 1.0
"""Pause of accepting when the system has no more descriptors."""
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
    ) -> None:
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
        self._sockets: list[socket.socket] = []
        self._accepting: list[asyncio.Task[None]] = []
        self._handshakes: set[asyncio.Task[None]] = set()
        self._per_peer: Counter[str] = Counter()

    @property
    def handshakes(self) -> int:
        """Handshakes under way."""
        return len(self._handshakes)

    async def start(self, host: str, port: int) -> None:
        """Bind; an empty host is every address, port 0 a free one. Raises OSError."""
        loop = asyncio.get_running_loop()
        every = every_address(host)
        found = await loop.getaddrinfo(every, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        addresses = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
        for attempt in range(_BIND_ATTEMPTS):
            try:
                self._bind(addresses)
                break
            except OSError:
                self._unbind()
                # One free port for both families: what is free for the first may be taken for the second.
                if port or attempt == _BIND_ATTEMPTS - 1:
                    raise
        for sock in self._sockets:
            task = loop.create_task(self._accept(sock))
            # Not before the loop has let go of the descriptor, which another socket may get at once.
            task.add_done_callback(partial(_close, sock))
            self._accepting.append(task)

    def _bind(self, addresses: Sequence[tuple[socket.AddressFamily, Any]]) -> None:
        self.port = 0
        for family, address in addresses:
            sock = socket.socket(family, socket.SOCK_STREAM)
            self._sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((address[0], address[1] or self.port, *address[2:]))
            sock.listen(BACKLOG)
            sock.setblocking(False)
            self.port = sock.getsockname()[1]

    def _unbind(self) -> None:
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, address = await loop.sock_accept(listening)
            except ConnectionError:
                continue
            except OSError as error:
                # EMFILE and its like: those who have connections will leave.
                log.warning("a connection cannot be accepted: %s", error.strerror)
                await asyncio.sleep(RETRY_S)
                continue
            peer = str(address[0])
            if len(self._handshakes) >= self._max_handshakes or self._per_peer[peer] >= self._max_per_peer:
                self.refused += 1
                sock.close()
                continue
            self._per_peer[peer] += 1
            task = loop.create_task(self._shake_hands(sock, peer))
            self._handshakes.add(task)
            task.add_done_callback(self._handshakes.discard)

    async def _shake_hands(self, sock: socket.socket, peer: str) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(
                self._factory, sock, ssl=self._context, ssl_handshake_timeout=self._timeout_s
            )
        except (OSError, TimeoutError) as error:
            self.failed += 1
            log.debug("%s: the TLS handshake failed: %s", peer, error)
            # The loop has closed it, unless it failed before it got there.
            with contextlib.suppress(OSError):
                sock.close()
        finally:
            self._per_peer[peer] -= 1
            if not self._per_peer[peer]:
                del self._per_peer[peer]

    def close(self) -> None:
        """Stop listening and drop the handshakes under way; established connections stay. Safe to call twice."""
        for task in (*self._accepting, *self._handshakes):
            task.cancel()
        self._accepting.clear()
        self._sockets.clear()


def _close(sock: socket.socket, _: object) -> None:
    sock.close()
