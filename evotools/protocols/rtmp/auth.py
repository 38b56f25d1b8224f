"""Passwords in connect: what Adobe's access manager (`authmod=adobe`) and Limelight (`authmod=llnw`) ask encoders for.

No specification was published; FMLE, librtmp and ffmpeg agree on what follows. A server refuses connect with a
description that begins with `[ AccessManager.Reject ]`, and the client asks again on a new connection, with
arguments behind the app and the tcUrl:

1. nothing → `[ code=403 need auth; authmod=adobe ]`
2. `?authmod=adobe&user=U` → `?reason=needauth&user=U&salt=S&challenge=C&opaque=O`
3. `?authmod=adobe&user=U&challenge=D&response=R&opaque=O`, R = b64(md5(b64(md5(U S password)) O D))

Limelight asks for a nonce in place of the salt, and its response is that of HTTP Digest (RFC 2617 3.2.2) with the
realm "live", the method "publish" and the app as the URI.
"""

import base64
import hashlib
import hmac
import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

VALID_S = 60.0
"""How long a challenge can be answered. The client reconnects at once; a person has typed the password before."""
MAX_USED = 10_000
"""Answered challenges that are remembered, each for VALID_S, so that none is taken twice."""
MAX_FIELD = 512
"""Characters of one field of a challenge or of an answer; those of real servers have about thirty."""

REJECT = "[ AccessManager.Reject ]"
_MODES = ("adobe", "llnw")
_MODE = re.compile(r"authmod=([a-z]+)")


def _md5(*parts: str) -> bytes:
    return hashlib.md5("".join(parts).encode(), usedforsecurity=False).digest()


def _hex(*parts: str) -> str:
    return _md5(*parts).hex()


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def adobe_response(user: str, password: str, salt: str, challenge: str, client_challenge: str) -> str:
    """The response of round 3; `challenge` is the opaque field of the server, or its challenge where it has none."""
    return _b64(_md5(_b64(_md5(user, salt, password)), challenge, client_challenge))


def llnw_response(user: str, password: str, app: str, nonce: str, client_nonce: str, count: str) -> str:
    """Limelight's response. An app without an instance means its default instance."""
    uri = f"/{app}" if "/" in app else f"/{app}/_definst_"
    return _hex(_hex(user, ":live:", password), f":{nonce}:{count}:{client_nonce}:auth:", _hex("publish:", uri))


@dataclass(frozen=True, slots=True)
class Rejection:
    """What a server's description says about credentials."""

    mode: str
    """`adobe` or `llnw`; empty for a scheme that is not known."""
    reason: str
    """`start`: name the user; `needauth`: answer the challenge; else what is wrong (`authfailed`, `nosuchuser` …)."""
    fields: dict[str, str]


def parse_rejection(description: str) -> Rejection | None:
    """The access manager's words in the description of a refused connect, or None when it has not spoken."""
    if REJECT not in description:
        return None
    found = _MODE.search(description)
    mode = found.group(1) if found and found.group(1) in _MODES else ""
    _, _, query = description.partition("?reason=")
    if not query:
        return Rejection(mode, "start" if "code=403 need auth" in description else "", {})
    reason, _, rest = query.strip().partition("&")
    fields = dict(item.partition("=")[::2] for item in rest.split("&")[:16])
    return Rejection(mode, reason, {name: value[:MAX_FIELD] for name, value in fields.items()})


def answer(rejection: Rejection, user: str, password: str, app: str, random: bytes) -> str:
    """The arguments (`?authmod=…`) of the next connection; empty when there is nothing to answer.

    `app` is without query; `random` is eight bytes.
    """
    mode, fields = rejection.mode, rejection.fields
    if rejection.reason == "start":
        return f"?authmod={mode}&user={user}"
    if rejection.reason != "needauth":
        return ""
    mine = random.hex()
    # The server may know the user by another name than the one that was given.
    user = fields.get("user") or user
    if mode == "llnw":
        nonce, count = fields.get("nonce", ""), "00000001"
        response = llnw_response(user, password, app, nonce, mine, count)
        return f"?authmod=llnw&user={user}&nonce={nonce}&cnonce={mine}&nc={count}&response={response}"
    opaque, challenge = fields.get("opaque", ""), fields.get("challenge", "")
    response = adobe_response(user, password, fields.get("salt", ""), opaque or challenge, mine)
    told = f"&opaque={opaque}" if opaque else ""
    return f"?authmod=adobe&user={user}&challenge={mine}&response={response}{told}"


def _shown(user: str) -> str:
    """A user's name for a description. Clients repeat it as it stands: it must not become another field."""
    return user if re.fullmatch(r"[^&=?\s\x00-\x1f]{1,64}", user) else ""


class AdobeServer:
    """The server's side of `authmod=adobe`, for all connections of a listener.

    A challenge holds its own time, signed, so that clients who ask and go leave nothing behind. Queries are those of
    `Connect.query`; the descriptions are for `ServerConnection.challenge`.
    """

    def __init__(self, secret: bytes) -> None:
        """`secret`: 32 random bytes."""
        self._secret = secret
        self._used: dict[str, float] = {}
        self._order: deque[str] = deque()

    def challenge(self, query: Mapping[str, str], now: float, random_bytes: Callable[[int], bytes]) -> str:
        """What to refuse a client with that names no user yet, or names one without an answer."""
        user = query.get("user", "")
        if query.get("authmod") != "adobe" or not user or len(user) > MAX_FIELD:
            return f"{REJECT} : [ code=403 need auth; authmod=adobe ] : "
        nonce = f"{int(now * 1000):x}.{random_bytes(9).hex()}"
        opaque = f"{nonce}.{self._sign('opaque', nonce, user)}"
        fields = f"&salt={self._salt(user)}&challenge={opaque}&opaque={opaque}"
        return f"{REJECT} : [ authmod=adobe ] : ?reason=needauth&user={_shown(user)}{fields}"

    def user(self, query: Mapping[str, str]) -> str:
        """Whose password `verify` needs; empty when `query` answers no challenge."""
        answers = query.get("authmod") == "adobe" and query.get("response") and query.get("opaque")
        return query.get("user", "") if answers else ""

    def verify(self, query: Mapping[str, str], password: str, now: float) -> bool:
        """Whether the answer in `query` was made with `password`, of a challenge that is ours, new and not used up."""
        user, opaque = query.get("user", ""), query.get("opaque", "")
        mine, given = query.get("challenge", ""), query.get("response", "")
        nonce, _, signature = opaque.rpartition(".")
        ours = hmac.compare_digest(signature.encode(), self._sign("opaque", nonce, user).encode())
        wanted = adobe_response(user, password, self._salt(user), opaque, mine)
        same = hmac.compare_digest(given.encode(), wanted.encode())
        if not (ours and same):
            return False
        made = int(nonce.partition(".")[0], 16) / 1000
        self._forget(now)
        if not -1.0 <= now - made <= VALID_S or opaque in self._used or len(self._used) >= MAX_USED:
            return False
        self._used[opaque] = now
        self._order.append(opaque)
        return True

    def failed(self, user: str) -> str:
        """What to refuse a wrong password with; the same for users that do not exist."""
        return f"{REJECT} : [ authmod=adobe ] : ?reason=authfailed&user={_shown(user)}"

    def _forget(self, now: float) -> None:
        order, used = self._order, self._used
        while order and now - used[order[0]] > VALID_S:
            del used[order.popleft()]

    def _sign(self, purpose: str, *parts: str) -> str:
        text = "\0".join((purpose, *parts)).encode()
        return hmac.new(self._secret, text, hashlib.sha256).hexdigest()[:32]

    def _salt(self, user: str) -> str:
        return self._sign("salt", user)[:12]
