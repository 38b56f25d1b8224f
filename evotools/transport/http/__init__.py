"""The HTTP front end: sockets for `protocols/http1`. One asyncio protocol per connection, no task, no timer of its own.

Responses are whole bytes, written once where they are small enough; large bodies go in slices as the peer reads.
A live viewer takes the connection over (`HttpConnection.start_stream`), after which nothing here touches its bytes.
A publisher's body goes to whoever takes it (`HttpConnection.receive_body`), once per read of the socket.
"""

from evotools.transport.http.connection import Handler, HttpConnection
from evotools.transport.http.server import HttpServer
from evotools.transport.http.stream import ChunkedStream, HttpStream, SizedStream

__all__ = ["ChunkedStream", "Handler", "HttpConnection", "HttpServer", "HttpStream", "SizedStream"]
