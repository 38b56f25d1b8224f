"""The server's end of TLS over a plain connection.

The event loops bring TLS of their own, with 256 KiB of receive buffer for every connection and plaintext that is
collected before it is encrypted. A viewer hardly sends anything: here a connection costs what OpenSSL needs, and what
is written is encrypted at once and handed to the plain connection in one piece.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, cast

from evotools.protocols.greeting import ForeignProtocol, greeting
from evotools.transport.tcp import no_delay

RECORD_BYTES = 16 * 1024
"""Plaintext of the longest record (RFC 8446 5.1)."""
READ_BYTES = 64 * 1024
"""Plaintext handed out in one piece: four records (RFC 8446 5.1)."""


class TlsTransport(asyncio.Transport):
    """What the owner of the connection writes to: plaintext in, ciphertext out."""

    def __init__(self, stream: "TlsStream", plain: asyncio.Transport) -> None:
        super().__init__()
        self._stream = stream
        self._plain = plain
        # Bound once: a viewer is asked before every write.
        self.get_write_buffer_size = plain.get_write_buffer_size  # type: ignore[method-assign]
        self.is_closing = plain.is_closing  # type: ignore[method-assign]

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """As asyncio's TLS transports, `ssl_object` and `sslcontext` among them."""
        if name == "ssl_object":
            return self._stream.tls
        if name == "sslcontext":
            return self._stream.tls.context
        return self._plain.get_extra_info(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt and hand on; never waits."""
        self._stream.write(data)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Of ciphertext."""
        self._plain.set_write_buffer_limits(high, low)

    def pause_reading(self) -> None:
        """Hand out nothing more, what is decrypted already included."""
        self._stream.pause(True)

    def resume_reading(self) -> None:
        """Undo `pause_reading`."""
        self._stream.pause(False)

    def is_reading(self) -> bool:
        """Whether what comes is handed out."""
        return not self._stream.paused and not self.is_closing()

    def can_write_eof(self) -> bool:
        """TLS ends both directions at once."""
        return False

    def close(self) -> None:
        """Say goodbye and close when everything is sent."""
        self._stream.close()

    def abort(self) -> None:
        """Close at once."""
        self._plain.abort()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Another owner."""
        self._stream.owner = cast(asyncio.Protocol, protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The owner."""
        assert self._stream.owner is not None
        return self._stream.owner


class TlsStream(asyncio.Protocol):
    """A plain connection that a client of ours greets with a TLS handshake.

    `admit` may turn it away at once; `factory` makes the owner after the handshake; `on_shaken` is told once, of those
    admitted, how that went: None, or why not.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        factory: Callable[[], asyncio.Protocol],
        admit: Callable[["TlsStream"], bool],
        on_shaken: Callable[["TlsStream", Exception | None], object],
        timeout_s: float,
    ) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.owner: asyncio.Protocol | None = None
        self.paused = False
        self.transport: asyncio.Transport
        self._factory = factory
        self._admit = admit
        self._on_shaken: Callable[[TlsStream, Exception | None], object] | None = on_shaken
        self._timeout_s = timeout_s
        self._timer: asyncio.TimerHandle | None = None
        self._heard = False
        self._ended = False

    # Called by the loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's.
        self.transport = cast(asyncio.Transport, transport)
        if not self._admit(self):
            self._on_shaken = None
            self.transport.abort()
            return
        no_delay(transport.get_extra_info("socket"))
        self._timer = asyncio.get_running_loop().call_later(self._timeout_s, self._late)

    def data_received(self, data: bytes) -> None:
        if not self._heard:
            self._heard = True
            # OpenSSL would say that the version is wrong, and wait for more of a short greeting.
            spoken = greeting(data)
            if spoken != "TLS":
                self._shaken(ForeignProtocol(spoken, "TLS"))
                self.transport.abort()
                return
        self._incoming.write(data)
        if self.owner is None:
            self._shake()
        if self.owner is not None:
            self._hand_out()

    def eof_received(self) -> bool:
        # RFC 8446 6.1: an end without close_notify is no end of the data, but there is nobody to tell.
        if self.owner is not None and not self._ended:
            self._ended = True
            self.owner.eof_received()
        return False

    def pause_writing(self) -> None:
        if self.owner is not None:
            self.owner.pause_writing()

    def resume_writing(self) -> None:
        if self.owner is not None:
            self.owner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._shaken(exc or ConnectionResetError("the client left during the handshake"))
        owner, self.owner = self.owner, None
        if owner is not None:
            owner.connection_lost(exc)

    # The handshake.

    def _shake(self) -> None:
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            self._send()
            return
        except ssl.SSLError as error:
            # What OpenSSL has to say goes out first: an alert that names the reason.
            self._send()
            self._shaken(error)
            self.transport.close()
            return
        self._send()
        self._shaken(None)
        owner = self.owner = self._factory()
        owner.connection_made(TlsTransport(self, self.transport))

    def _shaken(self, error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        told, self._on_shaken = self._on_shaken, None
        if told is not None:
            told(self, error)

    def _late(self) -> None:
        self._shaken(TimeoutError("the handshake took too long"))
        self.transport.abort()

    # Data.

    def _hand_out(self) -> None:
        read = self.tls.read
        while not self.paused and self.owner is not None and not self.transport.is_closing():
            try:
                data = read(READ_BYTES)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLError:
                self._send()
                self.transport.close()
                return
            if not data:
                # close_notify
                self.eof_received()
                self.close()
                return
            self.owner.data_received(data)
        if self._outgoing.pending:
            self._send()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """For the transport."""
        if not data or self.transport.is_closing():
            return
        encrypt, take = self.tls.write, self._outgoing.read
        try:
            if len(data) <= RECORD_BYTES:
                encrypt(data)
                self.transport.write(take())
                return
            # A MemoryBIO keeps the most memory it ever took, and a viewer begins with a whole group of pictures.
            records = []
            with memoryview(data) as view:
                for at in range(0, len(view), RECORD_BYTES):
                    encrypt(view[at : at + RECORD_BYTES])
                    records.append(take())
        except ssl.SSLError:
            # A renegotiation is under way, which no client that we serve asks for.
            self.transport.abort()
            return
        self.transport.write(b"".join(records))

    def pause(self, paused: bool) -> None:
        """For the transport."""
        if paused == self.paused or self.transport.is_closing():
            self.paused = paused
            return
        self.paused = paused
        if paused:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()
            # What was decrypted before must not wait for more to come.
            asyncio.get_running_loop().call_soon(self._hand_out)

    def close(self) -> None:
        """For the transport."""
        if self.transport.is_closing():
            return
        try:
            self.tls.unwrap()
        except ssl.SSLError:
            # The other side's goodbye is not waited for.
            pass
        self._send()
        self.transport.close()

    def _send(self) -> None:
        data = self._outgoing.read()
        if data and not self.transport.is_closing():
            self.transport.write(data)
