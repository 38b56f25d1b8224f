"""A scripted peer: speaks chunks to a state machine and reads what it answers."""

from typing import Any

from evotools.protocols.rtmp import message as m
from evotools.protocols.rtmp.chunk import ChunkReader, ChunkWriter, Message
from evotools.protocols.rtmp.client import ClientConnection
from evotools.protocols.rtmp.handshake import SIZE
from evotools.protocols.rtmp.server import ServerConnection


def zeros(size: int) -> bytes:
    """Randomness for tests."""
    return bytes(size)


class Peer:
    """The other end of `connection`, past the handshake."""

    def __init__(self, connection: ServerConnection | ClientConnection, now: float = 0.0) -> None:
        self.connection = connection
        self.reader = ChunkReader()
        self.writer = ChunkWriter()
        if isinstance(connection, ServerConnection):
            connection.receive(b"\x03" + bytes(2 * SIZE), now)
            assert len(connection.data_to_send()) == 1 + 2 * SIZE
        else:
            assert len(connection.data_to_send()) == 1 + SIZE
            connection.receive(b"\x03" + bytes(2 * SIZE), now)
            (connect,) = self.reader.feed(connection.data_to_send()[SIZE:])
            self.connect = m.parse_command(connect)

    def say(self, *messages: Message, now: float = 0.0) -> list[Any]:
        """Send messages in one piece; the events they cause."""
        self.connection.receive(b"".join(map(self.writer.write, messages)), now)
        return self.events()

    def call(self, name: str, transaction: float, *values: Any, stream_id: int = 0, now: float = 0.0) -> list[Any]:
        """Send a command; the events it causes."""
        return self.say(m.build_command(name, transaction, *values, stream_id=stream_id), now=now)

    def events(self) -> list[Any]:
        """All events that wait."""
        found = []
        while (event := self.connection.next_event()) is not None:
            found.append(event)
        return found

    def heard(self) -> list[str]:
        """What the state machine has sent, a line for each message."""
        return [_line(message) for message in self.reader.feed(self.connection.data_to_send())]

    def heard_commands(self) -> list[m.Command]:
        """The commands it has sent."""
        messages = self.reader.feed(self.connection.data_to_send())
        return [m.parse_command(message) for message in messages if message.type == m.COMMAND]


def _line(message: Message) -> str:
    if message.type == m.COMMAND:
        command = m.parse_command(message)
        info = next((a for a in command.arguments if isinstance(a, dict)), {})
        return f"{command.name} {command.transaction:g} {info.get('code', '')}".strip()
    if message.type == m.USER_CONTROL:
        event, values = m.parse_user_control(message)
        return f"control {event} {' '.join(map(str, values))}"
    return f"type {message.type}"
