"""Messages on stderr, NDJSON events, and counters that speak at most once a second.

stdout is media or a report, so nothing here writes to it. Every line passes the redactor of `evotools.uri` and a
list of known secret values.
"""

import json
import logging
import os
import stat
import sys
import time
from typing import IO, Any

from evotools.errors import UsageError
from evotools.uri import MASK, redact

LAST_WAIT_MS = 1000
"""How long the exit event may wait for a reader."""
TRACE = 5
"""Protocol messages, shown by `-vv`."""
logging.addLevelName(TRACE, "TRACE")

MIN_SECRET = 6
"""Shorter values are not masked everywhere: `live` or `test` as a stream key would blank ordinary words. They are
still masked where a URI shows them."""

MAX_SECRETS = 4096
"""The newest are kept."""

_secrets: list[str] = []
_COLORS = {logging.WARNING: "33", logging.ERROR: "31", logging.CRITICAL: "31"}


def protect(values: list[str]) -> None:
    """Never show these values again, in any message or event of this process."""
    for value in values:
        # As it is, and as it stands in a JSON text.
        for form in {value, json.dumps(value, ensure_ascii=False)[1:-1]}:
            if len(form) >= MIN_SECRET and form not in _secrets:
                _secrets.append(form)
    # Names of wildcard streams end up in URIs too: nobody may make this list grow without end.
    del _secrets[:-MAX_SECRETS]


def scrub(text: str) -> str:
    """`text` without anything secret that this process knows of."""
    for secret in sorted((s for s in _secrets if s in text), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return redact(text)


def get_logger(name: str) -> logging.Logger:
    """The logger of one part, below `evotools`."""
    return logging.getLogger(name if name.startswith("evotools") else f"evotools.{name}")


class _Formatter(logging.Formatter):
    def __init__(self, *, as_json: bool, color: bool, label: str) -> None:
        super().__init__()
        self.as_json = as_json
        self.color = color
        self.label = label

    def format(self, record: logging.LogRecord) -> str:
        message = scrub(record.getMessage())
        if record.exc_info:
            message += "\n" + scrub(self.formatException(record.exc_info))
        if self.as_json:
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03}Z"
            line = {"time": stamp, "level": record.levelname.lower(), "part": record.name, "message": message}
            return json.dumps(line, ensure_ascii=False)
        level = record.levelname.lower()
        text = f"{self.label}: {message}" if record.levelno == logging.INFO else f"{self.label}: {level}: {message}"
        if self.color and record.levelno in _COLORS:
            return f"\x1b[{_COLORS[record.levelno]}m{text}\x1b[0m"
        return text


def setup(label: str, *, verbosity: int = 0, as_json: bool = False, color: bool = False) -> None:
    """Configure the process's logging. `verbosity`: -1 errors, 0 warnings, 1 connections and tracks, 2 protocol."""
    level = {-1: logging.ERROR, 0: logging.WARNING, 1: logging.INFO}.get(verbosity, TRACE)
    root = logging.getLogger("evotools")
    root.setLevel(level)
    root.propagate = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(as_json=as_json, color=color, label=label))
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)


class EventWriter:
    """Newline-delimited JSON events for other programs (`--events FILE|fd:N|stderr`)."""

    def __init__(self, target: str | None) -> None:
        self._file: IO[str] | None = None
        self._poll: Any = None
        self._piece_bytes = 0
        """What a pipe that is writable takes without blocking; a longer write waits for the reader."""
        self._lost = 0
        self._rest = b""
        """Of an event that the reader has taken a part of."""
        if not target:
            return
        try:
            if target == "stderr":
                self._file = sys.stderr
            elif target.startswith("fd:"):
                self._file = os.fdopen(int(target[3:]), "w", buffering=1)
            else:
                self._file = open(target, "a", buffering=1, encoding="utf-8")  # noqa: SIM115, PTH123
        except (OSError, ValueError) as error:
            raise UsageError(f"--events {target}: cannot be opened ({error})") from None
        try:
            import select

            if not stat.S_ISREG(os.fstat(self._file.fileno()).st_mode):
                poll = select.poll()
                poll.register(self._file.fileno(), select.POLLOUT)
                self._poll, self._piece_bytes = poll, select.PIPE_BUF
        except (ImportError, AttributeError, OSError, ValueError):
            pass

    @property
    def enabled(self) -> bool:
        """Whether anybody gets the events."""
        return self._file is not None

    def emit(self, event: str, **fields: Any) -> None:
        """Write one event. A reader that went away stops the events, one that does not read loses some; never the job.

        The next event after a loss tells how many were `lost`.
        """
        if self._file is None:
            return
        wait_ms = LAST_WAIT_MS if event == "exit" else 0
        try:
            if not self._send(wait_ms):
                self._lost += 1
                return
            if self._lost:
                fields["lost"], self._lost = self._lost, 0
            told = {"event": event, "time": round(time.time(), 3), **fields}
            line = scrub(json.dumps(told, ensure_ascii=False, default=str)) + "\n"
            if self._poll is None:
                self._file.write(line)
                self._file.flush()
            else:
                # A name that is no Unicode becomes an escape, as JSON has it.
                self._rest = line.encode("utf-8", "backslashreplace")
                self._send(wait_ms)
        except (OSError, ValueError):
            self._file = None

    def _send(self, wait_ms: int) -> bool:
        """Write what is left of the last event, as far as the reader makes room; whether that was all of it."""
        while self._rest and self._file is not None:
            if not self._poll.poll(wait_ms):
                return False
            self._rest = self._rest[os.write(self._file.fileno(), self._rest[: self._piece_bytes]) :]
        return True

    @property
    def active(self) -> bool:
        """Whether anyone listens."""
        return self._file is not None


class Throttle:
    """Counts a repeated condition and says so at most once per `every_s` seconds."""

    def __init__(self, logger: logging.Logger, template: str, every_s: float = 1.0) -> None:
        """`template` has one `{n}` for the number of times since the last line."""
        self._logger = logger
        self._template = template
        self._every_s = every_s
        self._count = 0
        self._next = 0.0

    def hit(self, count: int = 1) -> None:
        """It happened `count` more times."""
        self._count += count
        now = time.monotonic()
        if now >= self._next:
            self._logger.warning(self._template.format(n=self._count))
            self._count = 0
            self._next = now + self._every_s
