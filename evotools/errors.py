"""The exception tree and the exit codes every command shares.

Library code raises; only `evotools.cli` prints and exits. An error names its subject, the cause and the next
step, so that one line is enough to act on.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """Process exit codes. Numbers are never reused; scripts treat an unknown non-zero code as failure."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    VERDICT = 3
    UNREACHABLE = 4
    REFUSED = 5
    UNSUITABLE = 6
    NO_MEDIA = 7
    BUG = 8
    SIGINT = 130
    SIGPIPE = 141
    SIGTERM = 143


class EvotoolsError(Exception):
    """Base of every error this project raises on purpose.

    `message` names subject and cause; `hint` the next step. Neither may contain a secret: callers pass URIs
    through `Uri.redacted` before they build a message.
    """

    code: ExitCode = ExitCode.FAILED
    retry_after_s: float | None = None
    """What the peer asked for before the next attempt."""
    early: bool = False
    """The connection stood, but the peer had not taken any media yet: it never took us."""

    def __init__(self, message: str, *, hint: str = "", code: ExitCode | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class UsageError(EvotoolsError):
    """The command line, a URI or the configuration cannot be used; nothing was opened."""

    code = ExitCode.USAGE


class UnreachableError(EvotoolsError):
    """A peer could not be reached or a port not bound: name, route, port, TLS, missing file."""

    code = ExitCode.UNREACHABLE


class RefusedError(EvotoolsError):
    """The peer answered and said no: credentials, stream key, name in use."""

    code = ExitCode.REFUSED


class MediaError(EvotoolsError):
    """Unknown container, unusable bitstream, or a codec that the sink cannot carry."""

    code = ExitCode.UNSUITABLE


class ParseError(MediaError, ValueError):
    """Bytes that break the syntax of a format.

    Every parser below `transport` raises this and nothing else for any input, hostile ones included.
    `offset` is the position in the parsed unit where that is known.
    """

    def __init__(self, message: str, *, offset: int | None = None, hint: str = "") -> None:
        super().__init__(message if offset is None else f"{message} at byte {offset}", hint=hint)
        self.offset = offset


class ProtocolError(EvotoolsError):
    """The peer broke the rules of a protocol; its connection ends, nothing else does."""

    code = ExitCode.FAILED


class NoMediaError(EvotoolsError):
    """No media arrived in the time allowed."""

    code = ExitCode.NO_MEDIA


class VerdictError(EvotoolsError):
    """The run finished, but a check failed or the result is partial."""

    code = ExitCode.VERDICT


class PeerGone(EvotoolsError):
    """The peer closed or the connection broke in mid-stream; reconnecting may help."""

    code = ExitCode.FAILED
