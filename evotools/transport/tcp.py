"""TCP connections for endpoints: connect with one clear error, accept one peer, bind a listener."""

import asyncio
import errno
import os
import socket

from evotools.errors import UnreachableError

LIMIT = 1 << 20
"""High-water mark of one connection's read buffer."""


def explain(where: str, error: OSError, verb: str = "connect") -> UnreachableError:
    """An UnreachableError for a failed connect or bind, in the words of the operating system."""
    if isinstance(error, socket.gaierror):
        return UnreachableError(f"{where}: the host name is not known", hint="check the spelling and the DNS")
    code = error.errno
    if code is None and isinstance(error, OSError) and "[Errno" in str(error):
        # asyncio joins the failures of several addresses into one text without an errno.
        code = int(str(error).split("[Errno ", 1)[1].split("]", 1)[0])
    reason = os.strerror(code) if code and code > 0 else str(error)
    hint = ""
    if code == errno.EADDRINUSE:
        hint = "another program listens there; choose another port"
    elif code == errno.EACCES and verb == "listen":
        hint = "ports below 1024 need privileges"
    elif code == errno.ECONNREFUSED:
        hint = "is the server running?"
    return UnreachableError(f"{where}: cannot {verb}: {reason}", hint=hint)


def every_address(host: str) -> str | None:
    """What to bind for `host`: None, both families, when it is empty or `*`.

    IPv4 alone where the system has no IPv6 addresses, as in many containers: Python 3.11 fails to bind there.
    """
    if host not in ("", "*"):
        return host
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::", 0))
    except OSError:
        return "0.0.0.0"
    return None


async def connect(
    host: str, port: int, where: str, timeout_s: float = 10.0
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connected stream without Nagle's delay. Raises UnreachableError naming `where` (already redacted)."""
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(host, port, limit=LIMIT)
    except TimeoutError:
        raise UnreachableError(f"{where}: no answer within {timeout_s:g} s") from None
    except OSError as error:
        raise explain(where, error) from None
    no_delay(writer.get_extra_info("socket"))
    return reader, writer


def no_delay(sock: socket.socket | None) -> None:
    """Switch Nagle's algorithm off: media is written in whole frames already."""
    if sock is not None:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            pass


async def accept_one(host: str, port: int, where: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Bind, wait for one peer, stop listening. Raises UnreachableError."""
    first: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = (
        asyncio.get_running_loop().create_future()
    )

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if first.done():
            writer.close()
        else:
            first.set_result((reader, writer))

    try:
        server = await asyncio.start_server(accepted, every_address(host), port, limit=LIMIT, reuse_address=True)
    except OSError as error:
        raise explain(where, error, "listen") from None
    try:
        reader, writer = await first
    except asyncio.CancelledError:
        if first.done() and not first.cancelled():
            first.result()[1].close()
        raise
    finally:
        server.close()
    no_delay(writer.get_extra_info("socket"))
    return reader, writer


def direct_socket(transport: asyncio.BaseTransport) -> int:
    """The descriptor of a connection whose bytes leave as they are; -1 for TLS and everything that is no socket."""
    sock = transport.get_extra_info("socket")
    if sock is None or transport.get_extra_info("sslcontext") is not None:
        return -1
    descriptor: int = sock.fileno()
    return descriptor
