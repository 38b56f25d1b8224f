"""What the server is doing, as plain values: for `stats` events, for programs that embed it, for metrics to come."""

from typing import Any

from evotools.hub.feed import Feed
from evotools.hub.hub import Hub
from evotools.hub.stream import Stream
from evotools.transport.flush import Flusher

MAX_STREAMS = 200
"""Streams told one by one, those with most viewers first; the sums are of all."""


def snapshot(hub: Hub, flusher: Flusher) -> dict[str, Any]:
    """Sums, and the busiest streams. Times in seconds, sizes in bytes; counters only grow while a stream lives."""
    streams = sorted(hub, key=lambda stream: stream.viewers, reverse=True)
    return {
        "streams": len(streams),
        "viewers": sum(stream.viewers for stream in streams),
        "flush": {
            "interval_s": round(flusher.interval_s, 4),
            "flushes": flusher.flushes,
            "busy_s": round(flusher.busy_s, 3),
            "at_once": hub.broadcast is not None,
        },
        "by_stream": [_stream(stream, flusher) for stream in streams[:MAX_STREAMS]],
    }


def _stream(stream: Stream, flusher: Flusher) -> dict[str, Any]:
    totals = stream.totals
    feeds = list(stream.feeds.values())
    return {
        "name": stream.name,
        "state": stream.state.value,
        "session": stream.session,
        "epoch": stream.epoch,
        "publisher": stream.publisher.protocol if stream.publisher else None,
        "bytes_in": stream.bytes_in,
        "frames_in": stream.frames_in,
        "viewers": stream.viewers,
        "viewers_joined": totals.joined,
        "bytes_out": totals.bytes_sent + sum(viewer.bytes for feed in feeds for viewer in feed.viewers()),
        "dropped": totals.dropped,
        "skips": totals.skips,
        "let_go": {"slow": totals.slow, "stalled": totals.stalled, "failed": totals.failed},
        "feeds": [_feed(feed, flusher) for feed in feeds],
    }


def _feed(feed: Feed, flusher: Flusher) -> dict[str, Any]:
    key = feed.key if isinstance(feed.key, tuple) else (feed.key,)
    return {
        "format": " ".join(str(part) for part in key),
        "viewers": len(feed),
        "interval_s": round(flusher.pace(feed.flush_interval).interval_s, 4),
        "kept_bytes": feed.log.size,
        "joins": feed.joins,
    }
