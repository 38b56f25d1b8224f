"""The server's configuration: TOML, environment and `--set`, checked with the file, line and key in the error.

Order of strength: `--set` > `EVOTOOLS_SECTION__KEY` > the file > the defaults here. The defaults serve every
protocol with no file at all.
"""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

from evotools.errors import EvotoolsError, UsageError
from evotools.hub.viewer import Slow, Start, ViewerPolicy
from evotools.units import parse_duration, parse_size

ENV_PREFIX = "EVOTOOLS_"


SLOW = ("skip", "wait", "disconnect")
CONFLICT = ("reject", "takeover")
MAX_FLUSH_S = 5.0
"""Longest flush interval: `hub.keep` holds four seconds by default, and who writes 40 means milliseconds."""


def parse_own_flush_interval(value: str) -> float | str:
    """`auto`, seconds, or empty for what is said elsewhere. Raises UsageError."""
    return value and parse_flush_interval(value)


def parse_own_start(value: str) -> float | str:
    """As `parse_start`, or empty for what is said elsewhere. Raises UsageError."""
    return value and parse_start(value)


def parse_flush_interval(value: str) -> float | str:
    """`auto` or seconds. Raises UsageError."""
    if value == "auto":
        return value
    interval_s = _duration_or(value, "auto, 0 or a duration such as 40ms")
    if interval_s > MAX_FLUSH_S:
        raise UsageError(
            f"'{value}' is {interval_s:g} s, and {MAX_FLUSH_S:g} s is the longest",
            hint="a number alone is seconds; write 40ms",
        )
    return interval_s


def parse_start(value: str) -> str | float:
    """`keyframe`, `live`, or seconds before the newest key frame. Raises UsageError."""
    return value if value in ("keyframe", "live") else _duration_or(value, "keyframe, live or a duration such as 10s")


def _duration_or(value: str, forms: str) -> float:
    """Seconds of a value that may also be a word. Raises UsageError that names the words."""
    try:
        return parse_duration(value)
    except UsageError:
        raise UsageError(f"cannot be '{value}'", hint=f"use {forms}") from None


def viewer_policy(start: str | float, slow: str, hub: "HubConfig") -> ViewerPolicy:
    """How viewers are treated that start so and are judged so; the limits are the hub's."""
    back_s = start if isinstance(start, float) else 0.0
    return ViewerPolicy(
        start=Start.LIVE if start == "live" else Start.KEYFRAME, back_s=back_s, slow=Slow(slow),
        max_lag_s=hub.max_lag, max_lag_bytes=hub.max_lag_bytes, stall_s=hub.stall,
    )  # fmt: skip


def parse_listen(value: str) -> tuple[str, int]:
    """Host and port of `:1935`, `127.0.0.1:1935`, `[::1]:1935` or a bare port. Raises UsageError."""
    host, colon, port = value.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not port.isascii() or not port.isdigit() or int(port) > 65535 or (colon and ":" in host and "[" not in value):
        raise UsageError(f"'{value}' is not an address to listen on", hint="use :1935, 127.0.0.1:1935 or [::1]:1935")
    return ("" if host in ("", "*", "0.0.0.0") else host), int(port)


def _key(default: Any, convert: Callable[[str], Any] | None = None, **more: Any) -> Any:
    """A scalar key; `convert` turns its text form into the value (numbers are taken as text too)."""
    return field(default=default, metadata={"convert": convert, **more})


@dataclass(slots=True)
class HubConfig:
    """[hub] – what live streams may use."""

    flush_interval: float | str = _key("auto", parse_flush_interval)
    """How long media may wait to be sent in one write: `0` sends every frame at once, a duration merges writes, `auto`
    sends at once while there is room and waits up to `flush_ceiling` under load."""
    flush_ceiling: float = _key(0.1, parse_duration)
    """The longest interval that `auto` takes."""
    stats: float = _key(10.0, parse_duration)
    """How often `--events` gets a `stats` event; 0: never."""
    io_uring: bool = _key(True)
    """Write to many viewers with one system call where Linux offers it."""
    grace: float = _key(10.0, parse_duration)
    """How long a stream outlives its publisher; one that comes back continues its viewers."""
    max_streams: int = _key(10_000)
    """Cap on streams."""
    keep: float = _key(4.0, parse_duration)
    """Media kept beyond the newest group of pictures: what a slow viewer may lag."""
    keep_bytes: int = _key(32 * 2**20, parse_size)
    """The same in bytes."""
    slow: str = _key("skip", choices=SLOW)
    """What becomes of a viewer that lags too far: it skips to the newest key frame, waits, or is disconnected."""
    max_lag: float = _key(4.0, parse_duration)
    """What is too far, in time."""
    max_lag_bytes: int = _key(8 * 2**20, parse_size)
    """What is too far, in bytes."""
    stall: float = _key(30.0, parse_duration)
    """A viewer that takes nothing at all for so long is disconnected, whatever `slow` says."""
    start: str | float = _key("keyframe", parse_start)
    """A new viewer starts at the newest key frame, at the next one (`live`), or so long before the newest (`10s`)."""
    conflict: str = _key("reject", choices=CONFLICT)
    """A second publisher of a name is refused, or replaces the first."""
    replace_silent: float = _key(5.0, parse_duration)
    """A publisher that has sent nothing for so long is replaced in any case; 0: never."""


@dataclass(slots=True)
class RtmpConfig:
    """[rtmp] – publish and play."""

    enabled: bool = _key(True)
    """Take and serve RTMP."""
    listen: str = _key(":1935", check=parse_listen)
    """Address and port."""
    listen_tls: str = _key(":1936", check=parse_listen)
    """Address and port of RTMPS, which needs [tls]."""
    max_connections: int = _key(20_000)
    """Cap on connections."""
    max_per_peer: int = _key(1_000)
    """Cap on connections from one address, this machine's excepted; 0: none."""
    idle: float = _key(60.0, parse_duration)
    """A publisher that sends no media for so long is let go; 0: never."""
    challenge: bool = _key(False)
    """Ask encoders that may not publish otherwise for user and password at connect, as Adobe's servers do."""
    flush_interval: float | str = _key("", parse_own_flush_interval)
    """As in [hub], for RTMP players; empty: as in [hub]."""


@dataclass(slots=True)
class HttpConfig:
    """[http] – media over HTTP."""

    enabled: bool = _key(True)
    """Serve HTTP-FLV, HTTP-TS, HLS and the player page."""
    listen: str = _key(":8080", check=parse_listen)
    """Address and port."""
    listen_tls: str = _key(":8443", check=parse_listen)
    """Address and port of HTTPS and WSS, which need [tls]."""
    max_connections: int = _key(20_000)
    """Cap on connections."""
    flush_interval: float | str = _key("", parse_own_flush_interval)
    """As in [hub], for progressive HTTP and WebSocket; empty: as in [hub]."""


@dataclass(slots=True)
class TlsConfig:
    """[tls] – the certificate of RTMPS, HTTPS and WSS; without one their ports stay closed."""

    cert: str = _key("")
    """PEM file: the server's certificate, then those of the authorities between."""
    key: str = _key("")
    """PEM file of the private key, without a password; empty: it is in the file of the certificate."""


@dataclass(slots=True)
class HlsConfig:
    """[hls] – segments and playlists."""

    enabled: bool = _key(True)
    """Serve HLS."""
    segment: float = _key(2.0, parse_duration)
    """Target length of a segment; they are cut at key frames."""
    segments: int = _key(6)
    """Segments listed in the live playlist."""
    always: bool = _key(False)
    """Segment every stream at once instead of at the first request."""
    idle: float = _key(60.0, parse_duration)
    """Stop segmenting a stream after this long without a request."""


@dataclass(slots=True)
class AccessConfig:
    """[access] – who may publish and read; this machine may publish unless `trust_loopback = false`."""

    trust_loopback: bool = _key(True)
    """Programs on this machine may publish: with a loopback peer and address, a local Host and no forwarding header."""
    allow_publish: list[str] = field(default_factory=list)
    """CIDR ranges that may publish, such as 10.0.0.0/8 or 0.0.0.0/0."""
    allow_read: list[str] = field(default_factory=lambda: ["0.0.0.0/0", "::/0"])
    """CIDR ranges that may read."""
    trusted_proxies: list[str] = field(default_factory=list)
    """Proxies in front of HTTP, whose X-Forwarded-For is believed; configuring any ends trust in loopback."""


@dataclass(slots=True)
class StreamConfig:
    """[streams.NAME] – a stream with a source or with settings of its own."""

    source: str = _key("")
    """URI to read; `$name` and `$wildcard` are replaced. Empty: others publish it."""
    on_demand: bool = _key(False)
    """Open the source only while somebody reads the stream."""
    close_after: float = _key(10.0, parse_duration)
    """An on-demand source stops after this long without a reader."""
    flush_interval: float | str = _key("", parse_own_flush_interval)
    """As in [hub], for this stream; empty: as for its listener."""
    start: str | float = _key("", parse_own_start)
    """As in [hub], for this stream."""
    slow: str = _key("", choices=("", *SLOW))
    """As in [hub], for this stream."""
    conflict: str = _key("", choices=("", *CONFLICT))
    """As in [hub], for this stream."""
    publish_key: str = _key("")
    """Publishers need it, as `?key=` or `?token=`; `{env:NAME}` and `{file:PATH}` are expanded."""
    read_key: str = _key("")
    """Readers need it."""


@dataclass(slots=True)
class FilesConfig:
    """[files.NAME] – a folder of media under /NAME/, to be read."""

    folder: str = _key("")
    """The folder; what lies in folders below it is served too, links out of it and hidden files are not."""
    list: bool = _key(False)
    """Show what is in it on the index page."""


@dataclass(slots=True)
class UserConfig:
    """[users.NAME] – who may publish and read besides the address ranges of [access]."""

    password: str = _key("")
    """`{env:NAME}` and `{file:PATH}` are expanded."""
    publish: list[str] = field(default_factory=list)
    """Names of streams; `*` stands for anything, slashes included."""
    read: list[str] = field(default_factory=list)
    """Names of streams; `*` stands for anything, slashes included."""


@dataclass(slots=True)
class RouteConfig:
    """[[routes]] – a route written as the pipe one would type."""

    run: str = _key("")
    """The pipe, such as `ingest udp://:5000 | relay hub:live/feed archive.ts`."""


@dataclass(slots=True)
class ServerConfig:
    """The whole file."""

    hub: HubConfig = field(default_factory=HubConfig)
    rtmp: RtmpConfig = field(default_factory=RtmpConfig)
    http: HttpConfig = field(default_factory=HttpConfig)
    hls: HlsConfig = field(default_factory=HlsConfig)
    tls: TlsConfig = field(default_factory=TlsConfig)
    access: AccessConfig = field(default_factory=AccessConfig)
    users: dict[str, UserConfig] = field(default_factory=dict)
    streams: dict[str, StreamConfig] = field(default_factory=dict)
    files: dict[str, FilesConfig] = field(default_factory=dict)
    routes: list[RouteConfig] = field(default_factory=list)
    endpoints: dict[str, str] = field(default_factory=dict)


SECTIONS: dict[str, type] = {
    "hub": HubConfig, "rtmp": RtmpConfig, "http": HttpConfig, "hls": HlsConfig, "tls": TlsConfig,
    "access": AccessConfig,
}  # fmt: skip
COMMANDS = ("ingest", "relay", "segment", "package", "probe", "videogen", "calc-hardware", "serve")
"""Tables with option defaults of commands; they may share the file."""


class _Document:
    """One file with its text, to find the line of a key."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.lines = text.splitlines()

    def where(self, section: str, key: str = "", index: int = 0) -> str:
        """`file.toml:12` for a key of a table (the `index`-th of an array of tables), as far as it can be found."""
        current, seen = "", -1
        header = re.compile(r"\s*\[+\s*([^\]]+?)\s*\]+")
        wanted = re.compile(rf"""\s*["']?{re.escape(key)}["']?\s*=""") if key else None
        dotted = re.compile(rf"\s*{re.escape(section)}\s*\.\s*{re.escape(key)}\s*=") if key else None
        for number, line in enumerate(self.lines, 1):
            found = header.match(line)
            if found:
                current = found[1].replace('"', "").replace("'", "")
                seen += current == section
                if current == section and wanted is None and seen >= index:
                    return f"{self.path}:{number}"
            elif (
                (wanted is not None and current == section and seen >= index and wanted.match(line))
                or (dotted is not None and current == "" and dotted.match(line))
                or (not section and wanted is not None and current == "" and wanted.match(line))
            ):
                return f"{self.path}:{number}"
        return self.path


def load(path: str = "", *, env: Mapping[str, str] | None = None, sets: Sequence[str] = ()) -> ServerConfig:
    """Read the file at `path` (none when empty), the environment and `--set` values. Raises UsageError."""
    table: dict[str, Any] = {}
    document = _Document("", "")
    if path:
        from evotools.pipeline.settings import read_toml

        table = read_toml(Path(path))
        document = _Document(path, Path(path).read_text(encoding="utf-8"))
    config = parse(table, document)
    for name, value in (os.environ if env is None else env).items():
        if name.startswith(ENV_PREFIX) and "__" in name:
            section, _, key = name.removeprefix(ENV_PREFIX).lower().partition("__")
            if section in SECTIONS:
                _set(config, section, key, value, name)
    for item in sets:
        name, equals, value = item.partition("=")
        section, dot, key = name.strip().rpartition(".")
        if not equals or not dot or section not in SECTIONS:
            raise UsageError(f"--set {name}: is not SECTION.KEY=VALUE", hint=f"sections: {', '.join(SECTIONS)}")
        _set(config, section, key.replace("-", "_"), value.strip(), f"--set {name}")
    return config


def parse(table: dict[str, Any], document: _Document | None = None) -> ServerConfig:
    """Check a parsed TOML document. Raises UsageError."""
    document = document or _Document("configuration", "")
    config = ServerConfig()
    for name, value in table.items():
        if name in SECTIONS:
            _expect(value, dict, document.where("", name), f"[{name}]", "a table")
            setattr(config, name, _table(SECTIONS[name], value, document, name))
        elif name == "streams":
            _expect(value, dict, document.where("", name), "[streams]", "tables named after streams")
            for stream, entry in value.items():
                where = document.where(f"streams.{stream}")
                _expect(entry, dict, where, f"[streams.{stream}]", "a table")
                parsed = _table(StreamConfig, entry, document, f"streams.{stream}")
                if parsed.on_demand and not parsed.source:
                    raise UsageError(f"{where}: [streams.{stream}] lacks a source", hint='source = "test:"')
                config.streams[stream] = parsed
        elif name == "files":
            _expect(value, dict, document.where("", name), "[files]", "tables named after folders")
            for folder, entry in value.items():
                where = document.where(f"files.{folder}")
                _expect(entry, dict, where, f"[files.{folder}]", "a table")
                config.files[folder] = _table(FilesConfig, entry, document, f"files.{folder}")
                if not config.files[folder].folder:
                    raise UsageError(f"{where}: [files.{folder}] lacks a folder", hint='folder = "/srv/films"')
        elif name == "users":
            _expect(value, dict, document.where("", name), "[users]", "tables named after users")
            for user, entry in value.items():
                where = document.where(f"users.{user}")
                _expect(entry, dict, where, f"[users.{user}]", "a table")
                parsed = _table(UserConfig, entry, document, f"users.{user}")
                if not user:
                    raise UsageError(f"{where}: a user without a name", hint="[users.NAME]")
                if not parsed.password:
                    raise UsageError(f"{where}: [users.{user}] lacks a password", hint='password = "{env:NAME}"')
                config.users[user] = parsed
        elif name == "routes":
            _expect(value, list, document.where("", name), "[[routes]]", "an array of tables")
            for index, entry in enumerate(value):
                where = document.where("routes", "", index)
                _expect(entry, dict, where, "[[routes]]", "a table")
                parsed = _table(RouteConfig, entry, document, "routes", index)
                if not parsed.run:
                    raise UsageError(f"{where}: a route lacks run", hint='run = "ingest … | relay hub:NAME"')
                config.routes.append(parsed)
        elif name == "endpoints":
            _expect(value, dict, document.where("", name), "[endpoints]", "a table of names and URIs")
            for key, uri in value.items():
                _expect(uri, str, document.where("endpoints", key), f"endpoints.{key}", "a URI in quotes")
            config.endpoints = dict(value)
        elif name not in COMMANDS:
            known = ", ".join([*SECTIONS, "users", "streams", "routes", "endpoints"])
            where = document.where(name) if isinstance(value, dict) else document.where("", name)
            raise UsageError(f"{where}: unknown section '{name}'", hint=f"sections: {known}")
    return config


def _expect(value: Any, kind: type, where: str, name: str, wanted: str) -> None:
    if not isinstance(value, kind):
        raise UsageError(f"{where}: {name} must be {wanted}")


def _table(kind: type, table: dict[str, Any], document: _Document, section: str, index: int = 0) -> Any:
    known = {f.name for f in fields(kind)}
    result = kind()
    for key, value in table.items():
        name = key.replace("-", "_")
        where = document.where(section, key, index)
        if name not in known:
            raise UsageError(f"{where}: unknown key '{key}' in [{section}]", hint=f"keys: {', '.join(sorted(known))}")
        try:
            setattr(result, name, _value(kind, name, value))
        except EvotoolsError as error:
            raise UsageError(f"{where}: {section}.{key}: {error.message}", hint=error.hint) from None
    return result


def _set(config: ServerConfig, section: str, key: str, text: str, where: str) -> None:
    target = getattr(config, section)
    hints = {f.name: f for f in fields(target)}
    if key not in hints:
        raise UsageError(f"{where}: unknown key '{key}' in [{section}]", hint=f"keys: {', '.join(sorted(hints))}")
    kind = get_type_hints(type(target))[key]
    try:
        value: Any = text
        if kind is bool:
            if text.lower() not in ("1", "true", "yes", "on", "0", "false", "no", "off"):
                raise UsageError(f"'{text}' is neither true nor false")
            value = text.lower() in ("1", "true", "yes", "on")
        elif kind is int and not hints[key].metadata.get("convert"):
            value = int(text)
        elif kind == list[str]:
            value = [item.strip() for item in text.split(",") if item.strip()]
        setattr(target, key, _value(type(target), key, value))
    except (UsageError, ValueError) as error:
        message = error.message if isinstance(error, EvotoolsError) else f"'{text}' is not a whole number"
        raise UsageError(f"{where}: {message}") from None


def _value(kind: type, name: str, value: Any) -> Any:
    """`value` as the field of that name wants it. Raises UsageError."""
    spec = next(f for f in fields(kind) if f.name == name)
    wanted = get_type_hints(kind)[name]
    convert, choices, check = (spec.metadata.get(k) for k in ("convert", "choices", "check"))
    if convert is not None and isinstance(value, str | int | float) and not isinstance(value, bool):
        return convert(str(value))
    if wanted == list[str]:
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise UsageError("must be a list of texts")
    elif type(value) is not wanted:
        names = {bool: "true or false", int: "a whole number", str: "a text in quotes"}
        raise UsageError(f"must be {names.get(wanted, 'of another type')}")
    if choices is not None and value not in choices:
        raise UsageError(f"cannot be '{value}'", hint=f"use {' or '.join(filter(None, choices))}")
    if isinstance(value, int) and not isinstance(value, bool) and value < 0:
        raise UsageError("must not be negative")
    if check is not None:
        check(value)
    return value


def to_toml(config: ServerConfig) -> str:
    """The configuration as a TOML file that gives the same one. Sources keep their placeholders."""
    from json import dumps

    def scalar(value: Any) -> str:
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, list):
            return "[" + ", ".join(dumps(v) for v in value) + "]"
        return dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)

    def key(name: str) -> str:
        return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else dumps(name)

    lines: list[str] = []
    for section in SECTIONS:
        table = getattr(config, section)
        lines.append(f"[{section}]")
        lines += [f"{f.name} = {scalar(getattr(table, f.name))}" for f in fields(table)]
        lines.append("")
    for name, user in config.users.items():
        lines.append(f"[users.{key(name)}]")
        lines += [f"{f.name} = {scalar(getattr(user, f.name))}" for f in fields(user)]
        lines.append("")
    for name, stream in config.streams.items():
        lines.append(f"[streams.{key(name)}]")
        lines += [f"{f.name} = {scalar(getattr(stream, f.name))}" for f in fields(stream)]
        lines.append("")
    for route in config.routes:
        lines += ["[[routes]]", f"run = {scalar(route.run)}", ""]
    if config.endpoints:
        lines += ["[endpoints]", *(f"{key(k)} = {scalar(v)}" for k, v in config.endpoints.items())]
    return "\n".join(lines).rstrip() + "\n"
