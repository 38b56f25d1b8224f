"""The states of both ends of an RTMP connection, and every transition that is allowed."""

from enum import Enum
from typing import TypeVar

from evotools.errors import ProtocolError


class Server(Enum):
    """A connection as the server sees it."""

    HANDSHAKE = "handshake"
    CONNECTING = "connecting"
    """Waits for the connect command."""
    CONNECT_ASKED = "connect asked"
    """Waits for the application's answer, as the other ASKED states do."""
    READY = "ready"
    CLOSED = "closed"


class Stream(Enum):
    """One NetStream of a connection as the server sees it."""

    IDLE = "idle"
    PUBLISH_ASKED = "publish asked"
    PUBLISHING = "publishing"
    PLAY_ASKED = "play asked"
    PLAYING = "playing"


class Client(Enum):
    """A connection as the client sees it."""

    HANDSHAKE = "handshake"
    CONNECTING = "connecting"
    """Waits for the result of connect."""
    CREATING = "creating"
    """Waits for the result of createStream."""
    ASKING = "asking"
    """Waits for the onStatus that answers publish or play."""
    PUBLISHING = "publishing"
    PLAYING = "playing"
    CLOSED = "closed"


SERVER: dict[tuple[Server, str], Server] = {
    (Server.HANDSHAKE, "greeted"): Server.CONNECTING,
    (Server.CONNECTING, "connect"): Server.CONNECT_ASKED,
    (Server.CONNECT_ASKED, "accept connect"): Server.READY,
}

STREAM: dict[tuple[Stream, str], Stream] = {
    (Stream.IDLE, "publish"): Stream.PUBLISH_ASKED,
    (Stream.IDLE, "play"): Stream.PLAY_ASKED,
    (Stream.PUBLISH_ASKED, "accept publish"): Stream.PUBLISHING,
    (Stream.PLAY_ASKED, "accept play"): Stream.PLAYING,
    (Stream.PUBLISH_ASKED, "end"): Stream.IDLE,
    (Stream.PLAY_ASKED, "end"): Stream.IDLE,
    (Stream.PUBLISHING, "end"): Stream.IDLE,
    (Stream.PLAYING, "end"): Stream.IDLE,
}

CLIENT: dict[tuple[Client, str], Client] = {
    (Client.HANDSHAKE, "greeted"): Client.CONNECTING,
    (Client.CONNECTING, "connected"): Client.CREATING,
    (Client.CREATING, "created"): Client.ASKING,
    (Client.ASKING, "publish started"): Client.PUBLISHING,
    (Client.ASKING, "play started"): Client.PLAYING,
}

# A connection may end in any state, once or more often.
SERVER |= {(state, "close"): Server.CLOSED for state in Server}
CLIENT |= {(state, "close"): Client.CLOSED for state in Client}

_S = TypeVar("_S", bound=Enum)


def after(table: dict[tuple[_S, str], _S], state: _S, signal: str) -> _S:
    """The state that follows. Raises ProtocolError when `signal` cannot happen in `state`."""
    following = table.get((state, signal))
    if following is None:
        raise ProtocolError(f"RTMP: '{signal}' is not possible in state '{state.value}'")
    return following
