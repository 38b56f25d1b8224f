"""Running the program as a child, the way a shell does."""

import atexit
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

EVOTOOLS = [sys.executable, "-m", "evotools"]
ENVIRONMENT = {**os.environ, "XDG_CONFIG_HOME": "/nonexistent", "NO_COLOR": "1"}
for name in [n for n in ENVIRONMENT if n.startswith("EVOTOOLS_")]:
    del ENVIRONMENT[name]
if sys.dont_write_bytecode:
    # Where no bytecode may lie beside the sources, each of some thousand children would compile them anew.
    ENVIRONMENT.pop("PYTHONDONTWRITEBYTECODE", None)
    ENVIRONMENT["PYTHONPYCACHEPREFIX"] = tempfile.mkdtemp(prefix="evotools-bytecode-")
    atexit.register(shutil.rmtree, ENVIRONMENT["PYTHONPYCACHEPREFIX"], ignore_errors=True)


def run(
    *args: str, stdin: bytes | None = None, timeout: float = 60, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run to the end. Without `stdin` the child reads an empty one."""
    return subprocess.run(
        [*EVOTOOLS, *args], input=stdin or b"", capture_output=True, timeout=timeout, check=False,
        env={**ENVIRONMENT, **(env or {})},
    )  # fmt: skip


def run_each(*commands: Sequence[str], timeout: float = 60) -> list[subprocess.CompletedProcess[bytes]]:
    """Run commands that have nothing to do with one another side by side; their results in order."""
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda command: run(*command, timeout=timeout), commands))


def start(*args: str, **options: Any) -> subprocess.Popen[bytes]:
    """Start in the background."""
    return subprocess.Popen([*EVOTOOLS, *args], env=ENVIRONMENT, **options)


def shell(line: str, timeout: float = 60) -> tuple[list[int], bytes, bytes]:
    """Run a pipeline by bash; `evotools` is this one. Gives the status of each stage, stdout and stderr."""
    with tempfile.NamedTemporaryFile() as status:
        script = f'set +m; {line}; echo "${{PIPESTATUS[*]}}" >{status.name}'
        done = subprocess.run(
            ["bash", "-c", f'evotools() {{ exec {" ".join(EVOTOOLS)} "$@"; }}; {script}'], stdin=subprocess.DEVNULL,
            capture_output=True, timeout=timeout, check=False, env=ENVIRONMENT,
        )  # fmt: skip
        return [int(s) for s in Path(status.name).read_text().split()], done.stdout, done.stderr


def error_line(done: subprocess.CompletedProcess[bytes]) -> str:
    """The one line on stderr; fails when there are more."""
    lines = done.stderr.decode().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def stop(process: subprocess.Popen[bytes], number: int = signal.SIGTERM, timeout: float = 20) -> int:
    """Send a signal and wait."""
    process.send_signal(number)
    return process.wait(timeout)


def free_port() -> int:
    """A TCP port that was free a moment ago, below the ephemeral range so that no connection takes it meanwhile."""
    import random

    for _ in range(200):
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port")


class Serving:
    """`evotools serve` as a child on free ports; its `ready` event tells them."""

    def __init__(self, *args: str, config: Sequence[str] = ()) -> None:
        read, write = os.pipe()
        sets = [item for c in ("rtmp.listen=127.0.0.1:0", "http.listen=127.0.0.1:0", *config) for item in ("--set", c)]
        self.process = subprocess.Popen(
            [*EVOTOOLS, "--no-config", "--events", f"fd:{write}", "-v", "serve", *sets, *args], pass_fds=(write,),
            stderr=subprocess.PIPE, env=ENVIRONMENT,
        )  # fmt: skip
        os.close(write)
        self._events = os.fdopen(read)
        ready = self.wait_for("ready")
        self.rtmp_port: int = ready["rtmp_port"]
        self.http_port: int = ready["http_port"]
        self.https_port: int = ready["https_port"] or 0
        self.rtmp = f"rtmp://127.0.0.1:{self.rtmp_port}"
        self.http = f"http://127.0.0.1:{self.http_port}"

    def wait_for(self, kind: str) -> dict[str, Any]:
        """The next event of a kind."""
        for line in self._events:
            event: dict[str, Any] = json.loads(line)
            if event["event"] == kind:
                return event
        raise AssertionError(f"the server ended: {self.process.stderr.read().decode() if self.process.stderr else ''}")

    def __enter__(self) -> "Serving":
        return self

    def __exit__(self, *_: object) -> None:
        self.stderr = b""
        if self.process.poll() is None:
            self.process.terminate()
        _, self.stderr = self.process.communicate(timeout=20)
        self._events.close()
