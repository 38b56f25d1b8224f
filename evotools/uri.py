"""URIs as the command line and the configuration spell them (RFC 3986), and the one redactor.

A path without a scheme is a file, `-` a pipe, `fd:N` an open descriptor. Options travel in the query. For schemes
whose peers have queries of their own (rtmp, http, …) only declared names are ours, a second `?` starts a part that
is wholly ours, and a trailing bare `?` gives the peer everything before it. `{env:NAME}` and `{file:PATH}` are
expanded here, not by the shell, so keys never reach the process list.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from urllib.parse import unquote, unquote_plus, urlsplit

from evotools.errors import UsageError
from evotools.units import parse_duration, parse_rate, parse_size

MASK = "****"
MAX_URI = 8192
"""Longer text is a mistake or an attack; every real URI is below this (browsers stop near 2 kB)."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
_PLACEHOLDER = re.compile(r"\{(env|file):([^{}]+)\}")
_OPAQUE = {"fd", "null", "exec", "ts-exec", "test", "hub", "file", "segment", "package"}
_HAS_OPTIONS = {"null", "test", "hub", "file", "fd", "segment", "package"}
_LISTEN_HOSTS = {"", "0.0.0.0", "::", "*"}
SECRET_NAMES = frozenset({
    "key", "streamkey", "stream_key", "token", "access_token", "pass", "passwd", "password", "passphrase", "pwd",
    "secret", "auth", "authmod", "sig", "signature", "hmac", "jwt", "apikey", "api_key", "policy", "session",
})  # fmt: skip
"""Query names whose values are never shown."""
SERVICES = ("twitch", "youtube", "facebook")
"""`twitch:KEY`: names of services, with a stream key behind the colon or none."""
_KEY_IN_PATH = {"rtmp", "rtmps", "rtmpt", "rtmpe"}
"""Schemes whose last path segment is a stream key when we connect."""


def expand(text: str, env: Callable[[str], str | None], read_file: Callable[[str], str]) -> str:
    """`text` with `{env:NAME}` and `{file:PATH}` replaced. Raises UsageError for an unset name."""

    def replace(match: re.Match[str]) -> str:
        kind, name = match[1], match[2]
        if kind == "file":
            return read_file(name).strip()
        value = env(name)
        if value is None:
            raise UsageError(f"{{env:{name}}}: the environment variable {name} is not set", hint=f"export {name}=…")
        return value

    return _PLACEHOLDER.sub(replace, text)


@dataclass(frozen=True, slots=True)
class Uri:
    """One parsed URI. `str()` and `repr()` are safe to print; `text` holds the secrets."""

    text: str = field(repr=False)
    """Expanded text, secrets included. Never logged."""
    given: str = field(repr=False)
    """As typed, placeholders unexpanded."""
    scheme: str
    host: str = ""
    port: int | None = None
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    path: str = field(default="", repr=False)
    """Percent-encoded path with its slash, or the opaque part of `exec: test: hub: fd:` and files."""
    query: str = field(default="", repr=False)
    """Raw query without its `?`; may itself contain `?`."""

    @classmethod
    def parse(
        cls,
        given: str,
        *,
        env: Callable[[str], str | None] = lambda _: None,
        read_file: Callable[[str], str] | None = None,
    ) -> "Uri":
        """Parse `given`. Raises UsageError with a redacted message."""
        if len(given) > MAX_URI:
            raise UsageError(f"a URI of {len(given)} characters is too long", hint=f"at most {MAX_URI}")
        text = given
        if "{env:" in given or "{file:" in given:
            text = expand(given, env, read_file or _no_files)
        if not text:
            raise UsageError("an empty URI", hint="use - for standard input or output")
        if text == "-":
            return cls(text, given, "-")
        if "\0" in text or "\n" in text or "\r" in text:
            raise UsageError("a URI contains a control character")
        found = _SCHEME.match(text)
        if not found:
            return cls(text, given, "file", path=text)
        scheme = found[1].lower()
        rest = text[found.end() :]
        if not rest.startswith("//"):
            if scheme in _OPAQUE:
                path, _, query = rest.partition("?") if scheme in _HAS_OPTIONS else (rest, "", "")
                if scheme == "file":
                    path = unquote(path)
                return cls(text, given, scheme, path=path, query=query)
            if rest == "" or scheme in SERVICES:
                return cls(text, given, scheme, path=rest)
            raise UsageError(
                f"'{scheme}:…' is not a URI that evotools knows",
                hint=f"write ./{scheme}:… for a file of that name",
            )
        if scheme == "file":
            parts = urlsplit(text)
            return cls(text, given, "file", path=unquote(parts.path), query=parts.query)
        if scheme in _OPAQUE - {"file"}:
            raise UsageError(f"{scheme}: takes no //", hint=f"write {scheme}:NAME")
        return cls._authority(text, given, scheme, rest[2:])

    @classmethod
    def _authority(cls, text: str, given: str, scheme: str, rest: str) -> "Uri":
        end = min((i for i in (rest.find("/"), rest.find("?"), rest.find("#")) if i >= 0), default=len(rest))
        authority, tail = rest[:end], rest[end:]
        userinfo, at, hostport = authority.rpartition("@")
        user = password = None
        if at:
            name, colon, word = userinfo.partition(":")
            user, password = unquote(name), unquote(word) if colon else None
        if hostport.startswith("["):
            close = hostport.find("]")
            if close < 0:
                raise UsageError(f"{scheme}://…: an IPv6 address lacks its closing bracket")
            host, port_text = hostport[1:close], hostport[close + 1 :].removeprefix(":")
        else:
            host, _, port_text = hostport.partition(":")
        port = None
        if port_text:
            if not port_text.isascii() or not port_text.isdigit() or not 0 <= int(port_text) <= 65535:
                raise UsageError(f"{scheme}://{host}: the port is not a number from 0 to 65535")
            port = int(port_text)
        path, _, query = tail.partition("?")
        return cls(text, given, scheme, unquote(host), port, user, password, path, query)

    @property
    def listens(self) -> bool:
        """An empty or wildcard host means: wait for a peer. Any other host means: connect."""
        return self.host in _LISTEN_HOSTS

    @property
    def segments(self) -> list[str]:
        """Decoded path segments, empty ones left out."""
        return [unquote(s) for s in self.path.split("/") if s]

    def options(self, declared: Collection[str], *, foreign: bool = False) -> tuple[dict[str, str], str]:
        """Split the query into our options and what the peer gets.

        `foreign=False`: every name must be declared (srt, udp, rtp, tcp, test): UsageError otherwise.
        `foreign=True`: undeclared names stay with the peer; a second `?` starts a part that is wholly ours.
        Returns the options, values decoded, and the peer's raw query.
        """
        theirs, separator, ours = self.query.rpartition("?")
        if foreign and not separator:
            kept: list[str] = []
            own: list[str] = []
            for item in self.query.split("&") if self.query else []:
                (own if item.partition("=")[0] in declared else kept).append(item)
            theirs, items = "&".join(kept), own
        elif foreign:
            items = ours.split("&") if ours else []
        else:
            theirs, items = "", self.query.split("&") if self.query else []
        result: dict[str, str] = {}
        for item in items:
            name, _, value = item.partition("=")
            name = unquote_plus(name)
            if name not in declared:
                known = ", ".join(sorted(declared)) or "none"
                raise UsageError(f"{self.redacted}: unknown option '{name}'", hint=f"options of {self.scheme}: {known}")
            result[name] = unquote_plus(value)
        return result, theirs

    @property
    def redacted(self) -> str:
        """The URI as typed with every secret part masked."""
        return redact(self.given)

    def secrets(self) -> list[str]:
        """Values that must not appear in any output, longest first."""
        found = set()
        if self.password:
            found.add(self.password)
        for item in re.split(r"[?&]", self.query):
            name, _, value = item.partition("=")
            if name.lower() in SECRET_NAMES and value:
                found.update((value, unquote_plus(value)))
        if self.scheme in _KEY_IN_PATH and not self.listens:
            segments = [s for s in self.path.split("/") if s]
            if len(segments) >= 2:
                found.update((segments[-1], unquote(segments[-1])))
                if self.query:
                    found.add(f"{segments[-1]}?{self.query}")
        if self.text != self.given:
            fixed = [p for p in _PLACEHOLDER.split(self.given)[::3] if p]
            rest = self.text
            for part in fixed:
                before, found_part, rest = rest.partition(part)
                if found_part and before:
                    found.add(before)
            if rest:
                found.add(rest)
        return sorted((s for s in found if len(s) >= 3), key=len, reverse=True)

    def __str__(self) -> str:
        return self.redacted


def _no_files(name: str) -> str:
    raise UsageError(f"{{file:{name}}} is not allowed here")


_USERINFO = re.compile(r"(//[^/@:\s]*):[^/\s\"']*@")
"""Up to the last `@`: people type passwords with an `@` in them."""
_AUTH_HEADER = re.compile(
    r"(authorization['\"]?\s*[:=]\s*['\"]?(?:(?:basic|bearer|digest)\s+)?)[^\s'\"]+", re.IGNORECASE
)
_QUERY_SECRET = re.compile(r"([?&;,](?:" + "|".join(sorted(SECRET_NAMES)) + r")=)[^&\s;,?'\"]*", re.IGNORECASE)
_RTMP_KEY = re.compile(
    r"\b(rtmp[tse]*://(?!:|0\.0\.0\.0|\[::\]|\*)[^/\s]+/(?:[^\s?'\"]*/)?)"
    r"[^/\s?'\"]*[^/\s?'\":;,.)\]](\?[^\s'\"]*[^\s'\":;,.)\]])?"
)
"""The last path segment with its query; punctuation behind it belongs to the sentence around the URI."""
_SERVICE_KEY = re.compile(rf"\b({'|'.join(SERVICES)}):(?![/{{?])[^\s'\":;,.)\]][^\s'\"]*")
"""`{env:NAME}` is no secret yet."""


def redact(text: str) -> str:
    """Mask passwords, secret query values and RTMP stream keys in any text, URIs inside messages included."""
    text = _USERINFO.sub(rf"\1:{MASK}@", text)
    text = _AUTH_HEADER.sub(rf"\1{MASK}", text)
    text = _RTMP_KEY.sub(_mask_key, text)
    text = _SERVICE_KEY.sub(rf"\1:{MASK}", text)
    return _QUERY_SECRET.sub(rf"\1{MASK}", text)


def _mask_key(match: re.Match[str]) -> str:
    base = match[1]
    # Only `rtmp://host/app` was given: the application name is no key.
    if base.count("/") <= 3:
        return match[0]
    return base + MASK


class Options:
    """Typed access to the options of one URI, with command-line values as fallback (query beats flag)."""

    def __init__(self, uri: Uri, values: dict[str, str]) -> None:
        self._uri = uri
        self._values = values

    def _convert(self, name: str, convert: Callable[[str], object]) -> object:
        try:
            return convert(self._values[name])
        except UsageError as error:
            raise UsageError(f"{self._uri.redacted}: option {name}: {error.message}", hint=error.hint) from None
        except ValueError:
            raise UsageError(f"{self._uri.redacted}: option {name} has an unusable value") from None

    def text(self, name: str, default: str = "") -> str:
        """The value as text."""
        return self._values.get(name, default)

    def choice(self, name: str, allowed: Collection[str], default: str) -> str:
        """One of `allowed`. Raises UsageError."""
        value = self._values.get(name, default)
        if value not in allowed:
            raise UsageError(
                f"{self._uri.redacted}: option {name} cannot be '{value}'",
                hint=f"use {' or '.join(sorted(allowed))}",
            )
        return value

    def integer(self, name: str, default: int, low: int = 0, high: int = 2**31 - 1) -> int:
        """A whole number within bounds. Raises UsageError."""
        if name not in self._values:
            return default
        value = int(str(self._convert(name, int)))
        if not low <= value <= high:
            raise UsageError(f"{self._uri.redacted}: option {name} is outside {low}..{high}")
        return value

    def seconds(self, name: str, default: float) -> float:
        """A duration in seconds. Raises UsageError."""
        return float(str(self._convert(name, parse_duration))) if name in self._values else default

    def rate(self, name: str, default: int) -> int:
        """Bits per second. Raises UsageError."""
        return int(str(self._convert(name, parse_rate))) if name in self._values else default

    def size(self, name: str, default: int) -> int:
        """Bytes. Raises UsageError."""
        return int(str(self._convert(name, parse_size))) if name in self._values else default

    def flag(self, name: str, default: bool) -> bool:
        """`1 true yes on` or `0 false no off`; a bare name is true. Raises UsageError."""
        if name not in self._values:
            return default
        value = self._values[name].lower()
        if value in ("", "1", "true", "yes", "on"):
            return True
        if value in ("0", "false", "no", "off"):
            return False
        raise UsageError(f"{self._uri.redacted}: option {name} is neither on nor off")
