"""What every listener on HTTP answers to those it turns away, and the question it asks before."""

import base64
import binascii
from typing import Literal

from evotools.protocols import http1
from evotools.protocols.http1 import Request
from evotools.server.access_types import AccessRequest
from evotools.server.listeners.base import Access
from evotools.transport.http import HttpConnection

CORS = [("Access-Control-Allow-Origin", "*"), ("X-Content-Type-Options", "nosniff")]
"""In every answer with media or playlists: any page may play."""
ERROR = http1.header_block(CORS[:1])
"""Fields of a plain refusal."""
UNAUTHORIZED = ERROR + http1.header_block([("WWW-Authenticate", 'Basic realm="evotools", charset="UTF-8"')])
RETRY = ERROR + http1.header_block([("Retry-After", "2")])


class Refused(Exception):
    """A request that gets this status, text and these fields (of `http1.header_block`) as its answer."""

    def __init__(self, status: int, text: str, fields: bytes = ERROR) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.fields = fields


def check_access(
    access: Access,
    connection: HttpConnection,
    request: Request,
    action: Literal["read", "publish"],
    name: str,
    protocol: str,
) -> AccessRequest:
    """Ask `access` with the credentials of the request: query `user`, `pass`, `token`, or Authorization.

    Returns the question. Raises Refused (401, 403, 400), ParseError for a query that cannot be read.
    """
    query = request.fields()
    headers = request.headers
    user = password = token = ""
    if query:
        user, password, token = query.get("user", ""), query.get("pass", ""), query.get("token", "")
    authorization = headers.get("authorization")
    if authorization is not None:
        scheme, _, value = authorization.partition(" ")
        if scheme.lower() == "basic":
            user, password = _basic(value)
        elif scheme.lower() == "bearer":
            token = value.strip()
    question = AccessRequest(
        action, name, protocol, connection.peer_ip, connection.local_ip, user, password, token, query, headers
    )
    decision = access.check(question)
    if not decision.allowed:
        if decision.challenge:
            raise Refused(401, decision.reason or "credentials are needed", UNAUTHORIZED)
        verb = "reading" if action == "read" else "publishing"
        raise Refused(403, decision.reason or f"{verb} this stream is not allowed")
    return question


def _basic(value: str) -> tuple[str, str]:
    try:
        user, _, password = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise Refused(400, "the Authorization field cannot be read") from None
    return user, password
