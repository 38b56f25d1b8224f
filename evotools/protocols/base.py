"""The contract of every protocol state machine: bytes and time in, events and bytes out.

After any call, drain `next_event()` until it returns None and send `data_to_send()` before the next call. Time
(`now`, seconds of a monotonic clock) and randomness are arguments; nothing in here touches a socket.
"""

from typing import Any, Protocol


class StreamProtocol(Protocol):
    """A protocol over a byte stream (TCP, TLS)."""

    def receive(self, data: bytes | bytearray | memoryview, now: float) -> None:
        """Bytes from the peer. Raises ProtocolError when the peer broke the rules; the connection must end."""
        ...

    def receive_eof(self, now: float) -> None:
        """The peer closed its side."""
        ...

    def next_event(self) -> Any | None:
        """The next event, or None when there is none."""
        ...

    def data_to_send(self) -> bytes:
        """Bytes for the peer, taken once; empty when there are none."""
        ...

    def deadline(self) -> float | None:
        """When `tick` wants to be called, or None."""
        ...

    def tick(self, now: float) -> None:
        """Time passed. Raises ProtocolError when the peer was too slow."""
        ...
