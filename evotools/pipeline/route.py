"""`Route`: source → filters → sinks, as data. Every command builds one; `serve` runs many."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from evotools.errors import UsageError
from evotools.uri import redact

FOREVER = -1


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """One destination: a URI as typed, and its container when the URI does not tell."""

    uri: str
    format: str = ""


@dataclass(frozen=True, slots=True)
class RouteSpec:
    """Everything that decides what a route does. Two equal specs do the same."""

    source: str
    """URI as typed; `-` is standard input."""
    outputs: tuple[OutputSpec, ...]
    source_format: str = ""
    keep: tuple[str, ...] = ()
    """Track selectors to keep; empty keeps all."""
    drop: tuple[str, ...] = ()
    duration_s: float | None = None
    """Stop after this much media."""
    timeout_s: float | None = None
    """Longest wait for the first media, and for a peer that stops sending; 0 waits forever. None is 10 s for peers
    that we connect to, and forever for pipes and listeners."""
    reconnect: int = 0
    """How often a lost source is opened again in a row; FOREVER has no end."""
    output_reconnect: int = FOREVER
    """The same for each network destination."""
    on_overflow: str = "drop"
    """What a live source does when a destination is slower: drop to the next key frame, wait, fail."""
    latency: Literal["normal", "low"] = "normal"
    pace: bool = True
    """Send stored media to live peers at the speed of its timestamps."""
    fail_fast: bool = False
    max_loss_pct: float | None = None
    force: bool = False
    """Overwrite existing files."""

    def describe(self) -> str:
        """One line per end, secrets masked."""
        return "\n".join([f"from {redact(self.source)}", *(f"  to {redact(o.uri)}" for o in self.outputs)])


def compose(stages: Sequence[RouteSpec]) -> RouteSpec:
    """Join the stages of a pipe into one route with no pipe between.

    Every stage but the last writes `-`, every stage but the first reads `-`; further destinations of a stage (as
    with tee) stay. Raises UsageError when the ends do not meet.
    """
    if not stages:
        raise UsageError("an empty route", hint='write run = "ingest SOURCE | relay DEST"')
    route = stages[0]
    for number, stage in enumerate(stages[1:], 2):
        if stage.source != "-":
            raise UsageError(f"stage {number} of the route does not read from the pipe", hint="leave its -i away")
        if not any(o.uri == "-" for o in route.outputs):
            raise UsageError(f"stage {number - 1} of the route does not write to the pipe", hint="leave its -o away")
        durations = [d for d in (route.duration_s, stage.duration_s) if d is not None]
        route = replace(
            stage,
            source=route.source,
            source_format=route.source_format,
            outputs=tuple(o for o in route.outputs if o.uri != "-") + stage.outputs,
            keep=route.keep + stage.keep if not (route.keep and stage.keep) else stage.keep,
            drop=route.drop + stage.drop,
            duration_s=min(durations) if durations else None,
            timeout_s=route.timeout_s,
            reconnect=route.reconnect,
        )
    if route.source == "-" or any(o.uri == "-" for o in route.outputs):
        raise UsageError("a route inside serve has no standard input or output", hint="end it with relay hub:NAME")
    return route
