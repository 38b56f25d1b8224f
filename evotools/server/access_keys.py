"""Users with passwords, and keys of streams: who may do what by what they know instead of where they are."""

import hashlib
import hmac
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from evotools.errors import UsageError
from evotools.hub.names import base_name
from evotools.log import protect
from evotools.pipeline.resolve import expand_secret
from evotools.server.config import StreamConfig, UserConfig

Action = Literal["publish", "read"]

MAX_CREDENTIAL = 4096
"""Characters of a password, key or user name that are looked at; signed tokens reach about 2000."""
_SALT = os.urandom(32)
"""Secrets are kept and compared as digests of this process: of one length, and of no use elsewhere."""


def digest(text: str) -> bytes:
    """What a secret is compared by."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=_SALT, digest_size=32).digest()


def same(given: str, kept: bytes) -> bool:
    """Whether `given` is the secret behind a digest; takes as long whether it is or not."""
    return len(given) <= MAX_CREDENTIAL and hmac.compare_digest(digest(given[:MAX_CREDENTIAL]), kept)


@dataclass(frozen=True, slots=True)
class User:
    """What is kept of [users.NAME]."""

    password: bytes
    """Its digest."""
    plain: str
    """The password itself: Adobe's authentication cannot be checked by a digest of ours."""
    publish: "re.Pattern[str] | None"
    read: "re.Pattern[str] | None"

    def __repr__(self) -> str:
        return "User()"


_NOBODY = User(os.urandom(32), "", None, None)
"""Compared with when there is no such user, so that this takes as long as a wrong password."""


class Credentials:
    """The users and keys of one configuration."""

    def __init__(self, users: Mapping[str, UserConfig], streams: Mapping[str, StreamConfig]) -> None:
        """Raises UsageError for secrets that cannot be read or are empty."""
        self.users = {name: _user(name, user) for name, user in users.items()}
        self.keys: dict[Action, dict[str, bytes]] = {"publish": {}, "read": {}}
        for name, stream in streams.items():
            where = f"streams.{name}"
            if stream.publish_key:
                self.keys["publish"][name] = digest(_secret(stream.publish_key, f"{where}.publish_key"))
            if stream.read_key:
                self.keys["read"][name] = digest(_secret(stream.read_key, f"{where}.read_key"))

    def key(self, action: Action, name: str) -> bytes | None:
        """The digest of the key that this stream needs; `base+anything` needs that of `base`."""
        keys = self.keys[action]
        if not keys:
            return None
        found = keys.get(name)
        return keys.get(base_name(name)) if found is None else found

    def knows(self, user: str, password: str, action: Action, name: str) -> bool:
        """Whether this is the user's password and the user may do that."""
        found = self.users.get(user, _NOBODY)
        right = same(password, found.password)
        pattern = found.publish if action == "publish" else found.read
        return right and pattern is not None and pattern.fullmatch(name) is not None

    def password_of(self, user: str) -> str:
        """For Adobe's authentication: the password, or one that nobody knows."""
        found = self.users.get(user)
        return os.urandom(16).hex() if found is None else found.plain


def _user(name: str, config: UserConfig) -> User:
    password = _secret(config.password, f"users.{name}.password")
    return User(digest(password), password, _pattern(config.publish), _pattern(config.read))


def _secret(text: str, where: str) -> str:
    try:
        value = expand_secret(text)
    except UsageError as error:
        raise UsageError(f"{where}: {error.message}", hint=error.hint) from None
    if not value or len(value) > MAX_CREDENTIAL:
        raise UsageError(f"{where}: is {'too long' if value else 'empty'}")
    protect([value])
    return value


def _pattern(names: Sequence[str]) -> "re.Pattern[str] | None":
    """One expression for all patterns; `*` is anything, everything else is itself, in this case."""
    if not names:
        return None
    return re.compile("|".join(".*".join(re.escape(part) for part in name.split("*")) for name in names), re.DOTALL)
