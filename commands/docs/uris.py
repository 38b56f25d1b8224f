"""URI schemes as documents, from the registry that opens them."""

from collections.abc import Iterable
from dataclasses import dataclass

from evotools.endpoints.registry import FOREIGN, OPTION_HELP, SCHEMES

KEEPS_QUERY = frozenset({"rtmp", "rtmps", "http", "https", *FOREIGN})
"""Schemes whose peers have queries of their own: names that are not ours reach the peer."""
GENERATOR = {"test": "videogen"}
"""Schemes whose options are those of a command with another name."""

LISTENING = (
    "An empty or wildcard host listens, any other connects: rtmp://:1935/live/show and tcp://0.0.0.0:9000 wait for a "
    "peer, rtmp://origin/live/show calls one."
)
QUERY = (
    "Options travel in the query, as in udp://:5000?buffer_size=16MiB. For rtmp, http(s) and the schemes that libav "
    "reads, names that are not in the list go to the peer; a second ? starts a part that is wholly ours, and a "
    "trailing bare ? gives the peer everything before it. For all others an unknown name is an error."
)
PLACEHOLDERS = (
    "{env:NAME} becomes the value of an environment variable, {file:PATH} the content of a file. evotools replaces "
    "them, not the shell, so that keys never stand in the list of processes. In an exec: URI they become arguments "
    "of the program, which other users can see."
)
SECRETS = (
    "Passwords, values of options named like a key or token, the last part of an RTMP address that we connect to, "
    "and whatever a placeholder brought in are shown as **** in messages, events and reports."
)
NAMED = 'A name of the [endpoints] table of the configuration is a URI too: twitch: for twitch = "rtmp://…".'


@dataclass(frozen=True, slots=True)
class SchemeDoc:
    """One scheme."""

    name: str
    summary: str
    reads: bool
    writes: bool
    listens: bool
    local: bool
    """From the command line and the configuration only."""
    example: str
    options: dict[str, str]
    """Name to meaning."""

    @property
    def form(self) -> str:
        """How URIs of the scheme begin: `rtmp://`, `hub:`, `-`, or PATH for files."""
        if self.name == "file":
            return "PATH, file:PATH"
        return "-" if self.name == "-" else f"{self.name}:{'//' if '://' in self.example else ''}"

    @property
    def directions(self) -> str:
        """`read, write`, `read` or `write`."""
        return ", ".join(word for word, can in (("read", self.reads), ("write", self.writes)) if can)


def scheme_doc(name: str) -> SchemeDoc | None:
    """One scheme by name, with or without its colon."""
    name = name.removesuffix("//").removesuffix(":").lower()
    if name in FOREIGN:
        example = f"{name}://host.example/path"
        options = {o: h for o, h in OPTION_HELP["foreign"].items() if _foreign_option(name, o)}
        return SchemeDoc(name, FOREIGN[name], True, False, False, False, example, options)
    scheme = SCHEMES.get(name)
    if scheme is None:
        return None
    return SchemeDoc(
        name=name, summary=scheme.summary, reads=bool(scheme.source), writes=bool(scheme.sink),
        listens=scheme.listens, local=scheme.local, example=scheme.example,
        options=_options(name, _names(name, scheme.options)),
    )  # fmt: skip


def scheme_docs() -> list[SchemeDoc]:
    """All schemes: ours in the order of the registry, then those that libav reads."""
    found = (scheme_doc(name) for name in (*SCHEMES, *FOREIGN))
    return [doc for doc in found if doc is not None]


def _foreign_option(scheme: str, option: str) -> bool:
    if option == "transport":
        return scheme in ("rtsp", "rtsps")
    return option != "tls_verify" or scheme == "rtsps"


def _names(scheme: str, declared: Iterable[str]) -> Iterable[str]:
    if scheme == "test":
        from evotools.videogen.spec import NAMES

        return sorted(NAMES)
    return declared


def _options(scheme: str, names: Iterable[str]) -> dict[str, str]:
    own = OPTION_HELP.get(scheme, {})
    options = {name: own.get(name, "") for name in names}
    if not all(options.values()):
        from evotools.commands.parser import COMMANDS

        command = GENERATOR.get(scheme, scheme)
        if command in COMMANDS:
            from evotools.commands.docs.model import document

            # Options that a command turns into such a URI mean in it what they mean on the command line.
            meant = {}
            for option in document(command).options:
                default = f" Default: {option.default}." if option.default and option.metavar else ""
                meant[option.long[2:].replace("-", "_")] = option.help + default
            options = {name: text or meant.get(name, "") for name, text in options.items()}
    return options
