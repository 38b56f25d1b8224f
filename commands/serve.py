"""`evotools serve`: the media server."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evotools.commands.globals import exit_codes

if TYPE_CHECKING:
    from collections.abc import Callable

    from evotools.pipeline.job import Runtime
    from evotools.server.app import Server
    from evotools.server.config import ServerConfig

SUMMARY = "the media server"
EPILOG = """Examples:

  evotools serve

  evotools serve --stream cam=rtsp://camera/main --allow-publish 10.0.0.0/8

  evotools serve -c evotools.toml --set hub.flush_interval=40ms"""
EXIT_CODES = exit_codes(1, 4)


@dataclass(slots=True)
class ServeJob:
    """The server as a job: runs until a signal, then drains."""

    config: "ServerConfig"
    load: "Callable[[], ServerConfig] | None" = None
    """Reads the configuration again, for SIGHUP."""
    drains: bool = True
    """SIGTERM is the ordinary end: exit code 0."""

    async def run(self, runtime: "Runtime") -> int:
        """Serve until told to stop."""
        import gc
        import sys

        from evotools.commands.parser import parse_route
        from evotools.server.app import Server

        server = Server(self.config, parse_route=parse_route, events=runtime.events)
        await server.start()
        # What was imported lives as long as the process: no collection needs to walk it while media flows.
        gc.collect()
        gc.freeze()
        try:
            if not runtime.quiet:
                print(welcome(server), file=sys.stderr, flush=True)  # noqa: T201
            tls = server.tls is not None
            runtime.events.emit("ready", rtmp_port=server.rtmp_port if server.rtmp else None,
                                http_port=server.http_port if server.http else None,
                                rtmps_port=server.rtmp.tls_port if tls and server.rtmp else None,
                                https_port=server.http.tls_port if tls and server.http else None)  # fmt: skip
            self._reload_on_hangup(server)
            await runtime.stop.wait()
        finally:
            await server.stop()
        return 0

    def _reload_on_hangup(self, server: "Server") -> None:
        """SIGHUP reads the file again; a bad one leaves the old configuration running."""
        import asyncio
        import signal

        from evotools.commands.parser import parse_route
        from evotools.errors import EvotoolsError
        from evotools.log import get_logger

        log = get_logger("server")
        tasks: set[asyncio.Task[None]] = set()

        async def reload() -> None:
            try:
                assert self.load is not None
                fixed = await server.reload(self.load(), parse_route)
            except EvotoolsError as error:
                log.error("the configuration was not reloaded: %s", error)
                server.events.emit("reload", error=str(error))
                return
            for section in fixed:
                log.warning("[%s] changed; it takes effect at the next start", section)
            log.info("the configuration was reloaded")
            server.events.emit("reload", error=None, unchanged=fixed)

        def hang_up() -> None:
            task = asyncio.get_running_loop().create_task(reload())
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        if self.load is not None and hasattr(signal, "SIGHUP"):
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hang_up)

    def configuration(self) -> str:
        """The configuration in force."""
        from evotools.server.config import to_toml

        return to_toml(self.config)

    def plan(self) -> str:
        """What would be bound and started."""
        config = self.config
        lines = [f"rtmp on {config.rtmp.listen}" if config.rtmp.enabled else "rtmp off"]
        lines.append(f"http on {config.http.listen}" if config.http.enabled else "http off")
        if config.tls.cert:
            lines += [f"rtmps on {config.rtmp.listen_tls}"] if config.rtmp.enabled else []
            lines += [f"https on {config.http.listen_tls}"] if config.http.enabled else []
        from evotools.uri import redact

        lines += [f"stream {name} from {redact(s.source)}" for name, s in config.streams.items()]
        lines += [f"files /{name}/ from {f.folder}" for name, f in config.files.items()]
        lines += [f"route {redact(r.run)}" for r in config.routes]
        return "\n".join(lines)

    @staticmethod
    def loop_factory() -> Any:
        """uvloop where it is installed: TLS and UDP cost far less on it. `EVOTOOLS_LOOP=asyncio` does without."""
        import os

        if os.environ.get("EVOTOOLS_LOOP") == "asyncio":
            return None
        try:
            import uvloop

            return uvloop.new_event_loop
        except ImportError:
            return None


def welcome(server: "Server") -> str:
    """What to open and where to publish."""
    config = server.config
    lines = ["evotools serve is ready."]
    name = next(iter(config.streams), "live/livestream")
    if server.http is not None:
        base = f"http://localhost:{server.http_port}"
        lines.append(f"  watch    {base}/{name}/   (HLS {base}/{name}/index.m3u8, also .flv .ts .mp4 .mkv)")
    if server.rtmp is not None:
        port = "" if server.rtmp_port == 1935 else f":{server.rtmp_port}"
        lines.append(f"  publish  rtmp://localhost{port}/live/livestream")
        if server.http is not None:
            lines.append(f"           then watch http://localhost:{server.http_port}/live/livestream/")
    if server.tls is not None:
        # The certificate names a host; what that is nobody but the operator knows.
        ports = [f"rtmps://HOST:{server.rtmp.tls_port}/" if server.rtmp is not None else "",
                 f"https://HOST:{server.http.tls_port}/" if server.http is not None else ""]  # fmt: skip
        lines.append(f"  TLS      {'   '.join(filter(None, ports))}")
    if not config.access.allow_publish and not config.users:
        lines.append("  Publishing is open from this machine only; --allow-publish CIDR allows more.")
    return "\n".join(lines)


def command(
    config: Annotated[str, typer.Option("--config", "-c", metavar="FILE", help="Configuration file (TOML).")] = "",
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="SECTION.KEY=VALUE",
            help="Set one key of the configuration, such as hub.grace=30s; repeat.",
        ),
    ] = None,
    stream: Annotated[
        list[str] | None,
        typer.Option("--stream", metavar="NAME=URI", help="A stream with a source of its own, always on; repeat."),
    ] = None,
    allow_publish: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-publish",
            metavar="CIDR",
            help="Addresses that may publish besides this machine, such as 10.0.0.0/8; repeat.",
        ),
    ] = None,
    flush_interval: Annotated[
        str,
        typer.Option(
            "--flush-interval",
            metavar="auto|D",
            help="How long media may wait to be sent in one write; 0 sends every frame at once.",
        ),
    ] = "",
    check: Annotated[bool, typer.Option("--check", help="Check the configuration, bind nothing, and exit.")] = False,
) -> Any:
    """Run the media server until SIGTERM or Ctrl-C.

    With no configuration it takes RTMP on port 1935 and HTTP POST, PUT and RTMPT on port 8080 (publishing from this
    machine only), and serves RTMP, and on port 8080 FLV, TS, MP4, MKV, WebM, Ogg, AAC and MP3, WebSocket, HLS and a
    player page. TLS ports open when [tls] names a certificate. --events FILE gets who comes and goes, and every 10 s
    viewers, bytes, drops and the flush interval in force.

    stdout: nothing; with --check one line.
    """
    from evotools.commands.parser import parse_route
    from evotools.errors import UsageError
    from evotools.server.config import StreamConfig, load, parse_flush_interval

    def read() -> "ServerConfig":
        loaded = load(config, sets=sets or ())
        if flush_interval:
            loaded.hub.flush_interval = parse_flush_interval(flush_interval)
        for item in stream or ():
            name, equals, uri = item.partition("=")
            if not equals or not name or not uri:
                raise UsageError(f"--stream {name}: is not NAME=URI")
            loaded.streams[name] = StreamConfig(source=uri)
        loaded.access.allow_publish = [*loaded.access.allow_publish, *(allow_publish or ())]
        return loaded

    loaded = read()
    if check:
        from evotools.server.app import Server

        server = Server(loaded, parse_route=parse_route)
        print(f"{config or 'the configuration'} is good: {len(loaded.streams)} streams, "  # noqa: T201
              f"{len(loaded.files)} folders, {len(server.routes)} routes")  # fmt: skip
        return 0
    return ServeJob(loaded, read)
