"""A raw RTMP client, and a server for it to talk to."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from evotools.containers.flv.tag import AUDIO, VIDEO
from evotools.protocols.rtmp import message as m
from evotools.protocols.rtmp.chunk import ChunkReader, ChunkWriter, Message
from evotools.protocols.rtmp.handshake import SIZE
from evotools.server.app import Server
from evotools.server.config import parse


@asynccontextmanager
async def serving(table: dict[str, Any] | None = None) -> AsyncIterator[Server]:
    config = parse(table or {})
    config.rtmp.listen = "127.0.0.1:0"
    config.http.enabled = False
    server = Server(config)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def until(ready: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not ready():
            await asyncio.sleep(0.002)


class Client:
    """A raw RTMP client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.chunks = ChunkReader()
        self.out = ChunkWriter()
        self.heard: list[Message] = []
        self.codes: list[str] = []
        self.at_end = False

    @classmethod
    async def connect(cls, server: Server, app: str = "live") -> "Client":
        client = cls(*await asyncio.open_connection("127.0.0.1", server.rtmp_port))
        await client.begin(app)
        return client

    async def begin(self, app: str) -> None:
        """Handshake and connect."""
        self.writer.write(b"\x03" + bytes(SIZE))
        await self.reader.readexactly(1 + 2 * SIZE)
        self.writer.write(bytes(SIZE))
        self.call("connect", 1, {"app": app, "tcUrl": f"rtmp://h/{app}"})
        await self.code("NetConnection.Connect.Success")

    def send(self, *messages: Message) -> None:
        self.writer.write(b"".join(map(self.out.write, messages)))

    def call(self, name: str, transaction: float, *values: Any, stream_id: int = 0) -> None:
        self.send(m.build_command(name, transaction, *values, stream_id=stream_id))

    async def hear(self) -> bool:
        """The next messages; False at the end."""
        async with asyncio.timeout(10):
            data = await self.reader.read(65536)
        for message in self.chunks.feed(data):
            self.heard.append(message)
            if message.type == m.COMMAND:
                info = next((a for a in m.parse_command(message).arguments if isinstance(a, dict)), {})
                self.codes.append(str(info.get("code", "")))
        self.at_end = not data
        return bool(data)

    async def code(self, wanted: str) -> None:
        """Until the server said this; it is forgotten then."""
        while wanted not in self.codes:
            assert await self.hear(), f"{self.codes} and then the end, without {wanted}"
        del self.codes[: self.codes.index(wanted) + 1]

    async def media(self, count: int) -> list[Message]:
        """So many audio and video messages."""
        while len(found := [x for x in self.heard if x.type in (AUDIO, VIDEO)]) < count:
            assert await self.hear(), "the end"
        return found

    async def end(self) -> None:
        """Until the server closes the connection."""
        while not self.at_end:
            try:
                await self.hear()
            except ConnectionError:
                return

    def close(self) -> None:
        self.writer.close()


async def publish(client: Client, name: str, transaction: float = 5) -> None:
    client.call("createStream", transaction - 1, None)
    client.call("publish", transaction, None, name, "live", stream_id=1)
    await client.code("NetStream.Publish.Start")
