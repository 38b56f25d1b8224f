"""What is to be served: streams, their renditions and recordings, viewers, ways of delivery; and the texts for them."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from evotools.capacity.coefficients import PROTOCOLS
from evotools.errors import UsageError
from evotools.units import parse_count, parse_duration, parse_percent, parse_rate

MAX_RATE_BPS = 10**12
"""Of one stream. Uncompressed 8K is below 0.1 Tbit/s."""
MAX_VIEWERS = 10**10
"""More than there are people."""
MAX_PUBLISHERS = 10**8
MAX_DURATION_S = 100 * 366 * 86400
"""Of windows and recordings: a hundred years."""
MAX_STREAMS = 10_000
"""Kinds of stream in one question."""


@dataclass(frozen=True, slots=True)
class Rendition:
    """One quality of a stream."""

    bitrate_bps: int
    """Of the media alone, as probe tells it: no container, no packets."""
    share: Fraction
    """Of the stream's viewers; the shares of a stream add up to 1."""


@dataclass(frozen=True, slots=True)
class Stream:
    """`count` streams of one kind."""

    renditions: tuple[Rendition, ...]
    """None: nobody said, and nothing that depends on bit rates can be told."""
    count: int = 1
    viewers: int | None = None
    """Of all `count` together; None: a part of the demand's common viewers."""
    record_s: Fraction = Fraction(0)
    """How long each of them is recorded, all renditions."""
    origin: str = ""
    """Where the bit rates come from, for people: an option or a report."""

    @property
    def ingest_bps(self) -> int:
        """What one publisher sends: all renditions."""
        return sum(r.bitrate_bps for r in self.renditions)

    @property
    def view_bps(self) -> Fraction:
        """What its viewers get, on average."""
        return sum((r.share * r.bitrate_bps for r in self.renditions), Fraction(0))


@dataclass(frozen=True, slots=True)
class Demand:
    """All that one machine is asked to do."""

    streams: tuple[Stream, ...]
    viewers: int | None = None
    """Of the streams without viewers of their own, spread over them evenly; None: not said."""
    deliver: tuple[tuple[str, Fraction], ...] = (("any", Fraction(1)),)
    """Ways of delivery and their shares of the viewers."""
    packages: tuple[str, ...] = ()
    """Segment formats that are also written to disk."""
    dvr_s: Fraction = Fraction(0)

    @property
    def described(self) -> bool:
        """Whether the bit rates of all streams are known."""
        return bool(self.streams) and all(s.renditions for s in self.streams)

    @property
    def publishers(self) -> int:
        """Incoming streams."""
        return sum(s.count for s in self.streams)

    @property
    def ingest_bps(self) -> int:
        """Media of all publishers."""
        return sum(s.count * s.ingest_bps for s in self.streams)

    @property
    def total_viewers(self) -> int | None:
        """Everybody who watches; None when nobody said."""
        own = [s.viewers for s in self.streams if s.viewers is not None]
        return None if self.viewers is None and not own else (self.viewers or 0) + sum(own)

    @property
    def view_bps(self) -> Fraction:
        """Media of the average viewer, over streams and renditions; with no viewers, of a viewer of any stream."""
        if not self.streams:
            return Fraction(0)
        # With no publisher here (an edge) the streams still have viewers.
        counts = [Fraction(s.count) for s in self.streams]
        if not any(counts):
            counts = [Fraction(1) for _ in self.streams]
        common = sum(c for c, s in zip(counts, self.streams, strict=True) if s.viewers is None)
        weights = [
            (c * (self.viewers or 0) / common if common else Fraction(0)) if s.viewers is None else Fraction(s.viewers)
            for c, s in zip(counts, self.streams, strict=True)
        ]
        if not any(weights):
            weights = counts
        watched = sum((w * s.view_bps for w, s in zip(weights, self.streams, strict=True)), Fraction(0))
        return watched / sum(weights)

    def with_publishers(self, count: int) -> "Demand":
        """The same with so many streams; only where there is one kind."""
        return replace(self, streams=(replace(self.streams[0], count=count),))

    def with_bitrate(self, bitrate_bps: int) -> "Demand":
        """The same at another bit rate; only where there is one kind of one rendition."""
        rendition = replace(self.streams[0].renditions[0], bitrate_bps=bitrate_bps)
        return replace(self, streams=(replace(self.streams[0], renditions=(rendition,)),))


def check_rate(text: str, step: int = 1000) -> int:
    """The bit rate of a stream. Raises UsageError."""
    rate = parse_rate(text, step)
    if not 0 < rate <= MAX_RATE_BPS:
        raise UsageError(f"a stream of {text} bit/s cannot be", hint="use forms such as 800k, 3M, up to 1T")
    return rate


def check_viewers(text: str) -> int:
    """A number of viewers. Raises UsageError."""
    return _count(text, "viewers", MAX_VIEWERS)


def check_publishers(text: str) -> int:
    """A number of publishers. Raises UsageError."""
    return _count(text, "publishers", MAX_PUBLISHERS)


def _count(text: str, what: str, most: int) -> int:
    count = parse_count(text)
    if count > most:
        raise UsageError(f"{count:,} {what} are more than {most:,}")
    return count


def check_duration(text: str) -> Fraction:
    """Seconds. Raises UsageError."""
    seconds = Fraction(parse_duration(text)).limit_denominator(10**6)
    if seconds > MAX_DURATION_S:
        raise UsageError(f"{text} is longer than a hundred years")
    return seconds


def parse_ladder(text: str, step: int = 1000) -> tuple[Rendition, ...]:
    """Renditions of `3M,1.5M,800k` (viewers spread evenly) or `3M:50,1.5M:30,800k:20` (percent). Raises UsageError."""
    rates, parts = [], []
    for item in text.split(","):
        rate, colon, share = item.strip().partition(":")
        rates.append(check_rate(rate, step))
        parts.append(parse_percent(share) if colon else None)
    shares = [p for p in parts if p is not None]
    if shares and len(shares) != len(parts):
        raise UsageError("--ladder: some renditions have a share of the viewers and some not",
                         hint="give R:PCT for all or for none")  # fmt: skip
    if not shares:
        return tuple(Rendition(rate, Fraction(1, len(rates))) for rate in rates)
    _check_sum(shares, "--ladder")
    return tuple(Rendition(rate, share / 100) for rate, share in zip(rates, shares, strict=True))


_STREAM = re.compile(r"([^x×@]+)(?:[x×]([^x×@]+))?(?:@(.+))?")


def parse_stream(text: str, step: int = 1000) -> Stream:
    """One stream of `BITRATE[xVIEWERS][@RECORD]`: `5M`, `2Mx150`, `2Mx150@20m`. Raises UsageError."""
    match = _STREAM.fullmatch(text.strip())
    if not match:
        raise UsageError(f"--stream: '{text}' is not a stream", hint="use BITRATE[xVIEWERS][@RECORD], as 2Mx150@20m")
    return Stream(
        (Rendition(check_rate(match[1], step), Fraction(1)),),
        viewers=check_viewers(match[2]) if match[2] else None,
        record_s=check_duration(match[3]) if match[3] else Fraction(0),
        origin="--stream",
    )


def parse_deliver(text: str, known: Sequence[str]) -> tuple[tuple[str, Fraction], ...]:
    """Shares of the viewers by protocol of `hls=70,webrtc=30`; a single name takes all. Raises UsageError."""
    mix: dict[str, Fraction] = {}
    items = [item.strip() for item in text.split(",")]
    for item in items:
        name, equals, share = item.partition("=")
        name = name.strip().lower()
        if name not in known:
            raise UsageError(f"--deliver: '{name}' is no way of delivery here", hint=f"known: {', '.join(known)}")
        if name in mix:
            raise UsageError(f"--deliver names {name} twice")
        if not equals and len(items) > 1:
            raise UsageError(f"--deliver: {name} has no percentage", hint="use forms such as hls=70,webrtc=30")
        mix[name] = parse_percent(share) if equals else Fraction(100)
    _check_sum(mix.values(), "--deliver")
    return tuple((name, share / 100) for name, share in mix.items() if share)


def _check_sum(shares: Iterable[Fraction], option: str) -> None:
    total = sum(shares)
    if total != 100:
        raise UsageError(f"{option}: the percentages add up to {float(total):g}, not 100")


def parse_packages(text: str) -> tuple[str, ...]:
    """Segment formats of `hls,dash`. Raises UsageError."""
    known = [name for name, segments in PROTOCOLS.items() if segments]
    names = [name.strip().lower() for name in text.split(",")]
    for name in names:
        if name not in known:
            raise UsageError(f"--package: '{name}' is no segment format", hint=f"known: {', '.join(known)}")
    return tuple(dict.fromkeys(names))
