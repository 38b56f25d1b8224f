"""One wire format of one stream, muxed once and shared by all its viewers.

Viewers that have everything move together with the head: a flush joins what is pending once and gives every one of
them the same bytes object. Only viewers with unsent bytes have cursors of their own, and equal cursors share joins.
So nothing happens per viewer and frame except that one write.
"""

import logging
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from typing import Any

from evotools.containers.base import Muxer
from evotools.errors import EvotoolsError, RefusedError
from evotools.hub.chunks import ChunkLog
from evotools.hub.limits import FlushInterval, Limits
from evotools.hub.points import EntryPoints
from evotools.hub.viewer import DEFAULT_POLICY, Broadcast, Closed, Slow, Start, Totals, Viewer, ViewerPolicy
from evotools.media.frame import ON_METADATA, Event, Frame, Metadata, Tracks
from evotools.media.track import Track

BROADCAST_FROM = 4
"""Viewers from which on one call for all is cheaper than one for each."""
UNUSED_S = 5.0
"""A feed that nobody joined for so long is given up."""

_Rider = tuple[Callable[[], int], Callable[[bytes], object], Viewer]
Choose = Callable[[Sequence[Track]], Sequence[Track]]

_log = logging.getLogger(__name__)


class Feed:
    """One muxer over one stream. Made by `Stream.feed`; goes after its last viewer."""

    def __init__(
        self,
        key: Hashable,
        make_muxer: Callable[[], Muxer],
        choose: Choose | None,
        limits: Limits,
        *,
        notify: "Callable[[Feed], object]",
        on_empty: "Callable[[Feed], object]",
        on_viewer: Callable[[str, Viewer, str], object],
        now: float,
        totals: Totals | None = None,
        flush_interval: FlushInterval | None = None,
        broadcast: Callable[[], Broadcast] | None = None,
    ) -> None:
        self.key = key
        self.flush_interval = flush_interval
        """Wanted between flushes; None is the flusher's own."""
        self.totals = totals or Totals()
        self.mime = ""
        """Of the muxer, once there are tracks."""
        self.tracks: tuple[Track, ...] = ()
        """The tracks muxed."""
        self.log = ChunkLog(limits.ring_s, limits.ring_bytes, limits.ring_items)
        self.head = 0
        """Index of the next chunk to flush."""
        self.head_byte = 0
        """Bytes of all chunks before the head."""
        self._make_muxer = make_muxer
        self._choose = choose
        self._notify = notify
        self._on_empty = on_empty
        self._on_viewer = on_viewer
        self._created_at = now
        self._muxer: Muxer | None = None
        self.metadata: Metadata | None = None
        """The publisher's `onMetaData`, for the headers of viewers to come."""
        self._timed: Metadata | None = None
        """The first timed data: headers to come may have to announce a place for such."""
        self._outdated = False
        """From the next entry point on the header is another, which says so."""
        self._ids: frozenset[int] = frozenset()
        self._points = EntryPoints(())
        self._begun = False
        self._ended = False
        self._riders: dict[Viewer, None] = {}
        self._broadcast = None if broadcast is None else broadcast()
        # What a flush needs of each rider, ready to loop over: those written to one by one, and those written to at
        # once. None when the riders changed.
        self._pairs: tuple[list[_Rider], list[tuple[Callable[[], int], Viewer]]] | None = None
        self._behind: dict[Viewer, None] = {}
        self._waiting: dict[Viewer, None] = {}

    def __len__(self) -> int:
        return len(self._riders) + len(self._behind) + len(self._waiting)

    def __bool__(self) -> bool:
        return True

    @property
    def joins(self) -> int:
        """How often pending chunks were joined: once per distinct cursor and flush."""
        return self.log.joins

    def viewers(self) -> list[Viewer]:
        """All viewers."""
        return [*self._riders, *self._behind, *self._waiting]

    # What the stream calls.

    def load(self, events: Iterable[Event], metadata: Metadata | None = None) -> None:
        """Take over what the stream kept, so that the first viewer starts at once; `metadata` is the stream's own."""
        self.metadata = metadata
        for event in events:
            if isinstance(event, Frame):
                self._mux((event,))
            elif isinstance(event, Tracks):
                self.set_tracks(event.tracks)
            elif isinstance(event, Metadata):
                self._write_metadata(event)
        self.head = self.log.end
        self.head_byte = self.log.bytes

    def set_tracks(self, tracks: Sequence[Track]) -> None:
        """A new epoch of the stream; nothing happens when the feed's own tracks stay as they are."""
        chosen = tracks if self._choose is None else self._choose(tracks)
        muxer = self._muxer or self._make_muxer()
        mine = tuple(track for track in chosen if muxer.accepts(track))
        if mine == self.tracks:
            return
        self.tracks = mine
        self._ids = frozenset(track.id for track in mine)
        self._points = EntryPoints(mine)
        if not mine:
            return
        if self._begun:
            change = muxer.start(mine)
            self.log.begin_epoch(self._new_muxer().start(mine), change)
            return
        self._muxer = None
        self._begin()

    def _begin(self) -> None:
        """Nothing was muxed yet: begin as if the earlier track lists had never been."""
        muxer = self._muxer = self._new_muxer()
        self.mime = muxer.mime
        self.log.restart()
        self.log.begin_epoch(muxer.start(self.tracks), b"")

    def _new_muxer(self) -> Muxer:
        """A muxer whose header says what the publisher says of the stream, and that there is timed data."""
        muxer = self._make_muxer()
        write = getattr(muxer, "write_metadata", None)
        if write is not None:
            for told in (self.metadata, self._timed):
                if told is not None:
                    write(told)
        return muxer

    def _renew_header(self) -> None:
        """Viewers to come get a header that says more than the last one."""
        if self.tracks:
            self.log.epochs[-1].join = self._new_muxer().start(self.tracks)

    def push_metadata(self, metadata: Metadata) -> None:
        """Timed data at this place of the stream; `onMetaData` also goes into the header of viewers to come."""
        before = self.log.bytes
        if metadata.name == ON_METADATA:
            self.metadata = metadata
            if not self._begun:
                if self.tracks:
                    self._begin()
                return
            self._renew_header()
        self._write_metadata(metadata)
        if self.log.bytes != before:
            self._notify(self)

    def _write_metadata(self, metadata: Metadata) -> None:
        if not self._begun:
            return
        write = getattr(self._muxer, "write_metadata", None)
        data = b"" if write is None else write(metadata)
        if data:
            self.log.append(data, self.log.end_s)
        if self._timed is None and metadata.name != ON_METADATA:
            self._timed = metadata
            self._outdated = True

    def push(self, frames: Sequence[Frame]) -> None:
        """Mux a batch and ask for a flush."""
        before = self.log.bytes
        self._mux(frames)
        if self.log.bytes != before:
            self._notify(self)

    def _mux(self, frames: Sequence[Frame]) -> None:
        muxer = self._muxer
        if muxer is None:
            return
        ids, points, write, log = self._ids, self._points, muxer.write, self.log
        enter = getattr(muxer, "enter", None)
        for frame in frames:
            track = frame.track
            if track.id not in ids:
                continue
            time_s = frame.dts / track.timescale
            if points(frame):
                log.mark(time_s)
                self._begun = True
                if self._outdated:
                    self._outdated = False
                    self._renew_header()
                if enter is not None:
                    enter()
            elif not self._begun:
                continue
            data = write(frame)
            if data:
                log.append(data, time_s)

    def end(self, now: float) -> None:
        """The stream ended: viewers get what is left and are let go."""
        if self._ended:
            return
        self._ended = True
        if self._muxer is not None and self._begun:
            tail = self._muxer.finish()
            if tail:
                self.log.append(tail, self.log.end_s)
        if self.flush(now):
            self._notify(self)

    def fail(self, reason: str) -> None:
        """Let all viewers go: the muxer cannot go on."""
        for viewer in self.viewers():
            self._let_go(viewer, Closed.FAILED, reason)
        self._retire()

    # What viewers' owners call.

    def join(
        self,
        write: Callable[[bytes], object],
        unsent: Callable[[], int],
        *,
        now: float,
        policy: ViewerPolicy = DEFAULT_POLICY,
        on_close: Callable[[Closed], object] | None = None,
        info: Any = None,
        socket: int = -1,
    ) -> Viewer:
        """Add a viewer and give it its start at once, as far as the stream has one.

        `write` must not block and keeps what the peer does not take yet; `unsent` says how many bytes that is.
        `on_close` is called when the feed lets the viewer go. Raises RefusedError when the stream has ended.
        """
        if self._ended:
            raise RefusedError("the stream has ended, or this feed of it", hint="ask for the stream again")
        viewer = Viewer(self, write, unsent, policy, on_close, info, now, socket)
        self.totals.joined += 1
        mark = self._entry(policy)
        if mark is None:
            viewer.cursor = self.log.end
            self._waiting[viewer] = None
        else:
            self._enter(viewer, mark)
            if mark[0] <= self.head:
                if mark[0] < self.head:
                    # A late start is no lag.
                    viewer.head_start = self._lag(mark[0])
                try:
                    self._catch_up(viewer, self.head, now, eager=True)
                except Exception as error:
                    self._detach(viewer)
                    raise RefusedError(f"the viewer cannot be written to: {failure(error)}") from error
            if viewer in self._behind:
                self._notify(self)
        self._on_viewer("read", viewer, "")
        return viewer

    def remove(self, viewer: Viewer) -> None:
        """A viewer leaves by itself."""
        if self._detach(viewer):
            self._on_viewer("left", viewer, "")
            if not len(self):
                self._retire()

    # The flush.

    @property
    def lagging(self) -> bool:
        """Whether some viewer has not got everything that was flushed, and so needs `retry`."""
        return bool(self._behind)

    def retry(self, now: float) -> bool:
        """Write to viewers that are behind, up to what all others have. Gives `lagging`."""
        self._serve_behind(self.head, now)
        self.log.forget()
        return self._settle(now)

    def flush(self, now: float) -> bool:
        """Write what is pending. Gives `lagging`: viewers need `retry` even if nothing new arrives."""
        log = self.log
        end = log.end
        if self._riders:
            self._flush_riders(end, now)
        self.head = end
        self.head_byte = log.bytes
        if self._waiting and log.marks:
            newest = log.marks[-1]
            for viewer in [v for v in self._waiting if v.cursor <= newest[0]]:
                del self._waiting[viewer]
                self._enter(viewer, newest)
        self._serve_behind(end, now)
        log.forget()
        log.trim(end)
        return self._settle(now)

    def _serve_behind(self, end: int, now: float) -> None:
        for viewer in list(self._behind):
            if viewer in self._behind:
                self._serve(viewer, end, now)

    def _settle(self, now: float) -> bool:
        """Let go of those who have all of a stream that ended, and of the feed when nobody is left."""
        if self._ended:
            for viewer in [*self._riders, *self._waiting]:
                self._let_go(viewer, Closed.ENDED)
        if not len(self) and (self._ended or now - self._created_at > UNUSED_S):
            self._retire()
        return bool(self._behind)

    def _flush_riders(self, end: int, now: float) -> None:
        log = self.log
        if self.head < log.base:
            # The caps took what the head had not flushed yet; each viewer goes on by its own policy.
            self._unseat(list(self._riders), now)
            return
        while self.head < end and self._riders:
            stop = log.stop(self.head, end)
            data = log.piece(self.head, stop)
            singles, crowd = self._pairs or self._pair()
            # A viewer whose owner has something else to send gets it first.
            slow = [viewer for unsent, viewer in crowd if unsent()]
            failed: list[Viewer] = []
            for unsent, write, viewer in singles:
                try:
                    if unsent():
                        slow.append(viewer)
                    else:
                        write(data)
                except Exception:
                    failed.append(viewer)
            if slow:
                self._unseat(slow, now)
            if crowd and self._broadcast is not None:
                failed += self._write_all(self._broadcast, data)
            for viewer in failed:
                self._let_go(viewer, Closed.FAILED)
            self.head = stop
            self.head_byte = log.before(stop)

    def _pair(self) -> "tuple[list[_Rider], list[tuple[Callable[[], int], Viewer]]]":
        riders: Iterable[Viewer] = self._riders
        crowd = [(v.unsent, v) for v in riders if v.socket >= 0] if self._broadcast is not None else []
        if len(crowd) < BROADCAST_FROM:
            crowd = []
        else:
            riders = [v for v in riders if v.socket < 0]
        self._pairs = [(v.unsent, v.write, v) for v in riders], crowd
        return self._pairs

    def _write_all(self, broadcast: Broadcast, data: bytes) -> list[Viewer]:
        """Write `data` to every rider with a socket of its own; those for which that failed."""
        failed: list[Viewer] = []
        try:
            short = broadcast.write(data)
        except OSError:
            _log.exception(
                "feed %r: writing to many viewers at once failed; from now on it is done one by one", self.key
            )
            self._broadcast = self._pairs = None
            short = [(viewer, 0) for viewer in self._riders if viewer.socket >= 0]
        for viewer, sent in short:
            try:
                # Its owner keeps the rest, and finds out what is wrong with a connection that takes nothing.
                viewer.write(data[sent:])
            except Exception:
                failed.append(viewer)
        return failed

    def _seat(self, viewer: Viewer) -> None:
        """A viewer has everything and moves with the head."""
        self._riders[viewer] = None
        self._pairs = None
        if self._broadcast is not None and viewer.socket >= 0:
            self._broadcast.add(viewer)

    def _unmount(self, viewer: Viewer) -> None:
        """A viewer does not move with the head any more."""
        del self._riders[viewer]
        self._pairs = None
        if self._broadcast is not None and viewer.socket >= 0:
            self._broadcast.discard(viewer)

    def _unseat(self, viewers: list[Viewer], now: float) -> None:
        head, head_byte, epoch = self.head, self.head_byte, self.log.epoch_read(self.head)
        for viewer in viewers:
            if viewer in self._riders:
                self._unmount(viewer)
                viewer.dismount(head_byte, head)
                viewer.cursor = head
                viewer.epoch = max(viewer.epoch, epoch)
                viewer.blocked_at = now
                viewer.last_unsent = 0
                self._behind[viewer] = None

    def _serve(self, viewer: Viewer, end: int, now: float) -> None:
        """Bring a viewer that is behind nearer to the head, or judge it."""
        try:
            unsent = viewer.unsent()
            if self._keeps(viewer, end, now, unsent) and not unsent:
                self._catch_up(viewer, end, now)
        except Exception:
            self._let_go(viewer, Closed.FAILED)

    def _keeps(self, viewer: Viewer, end: int, now: float, unsent: int) -> bool:
        """Apply the viewer's policy. False when it went, or has to wait for a key frame."""
        log, policy, cursor = self.log, viewer.policy, viewer.cursor
        if not unsent or unsent < viewer.last_unsent:
            viewer.blocked_at = now
        viewer.last_unsent = unsent
        if now - viewer.blocked_at > policy.stall_s:
            self._let_go(viewer, Closed.STALLED)
            return False
        newest = log.marks[-1][0] if log.marks else -1
        if cursor >= log.base:
            if policy.slow is Slow.WAIT or cursor >= end or (policy.slow is Slow.SKIP and newest <= cursor):
                return True
            lag_bytes, lag_s = self._lag(cursor)
            free_bytes, free_s = viewer.head_start
            if lag_bytes <= policy.max_lag_bytes + free_bytes and lag_s <= policy.max_lag_s + free_s:
                return True
        if policy.slow is Slow.DISCONNECT:
            self._let_go(viewer, Closed.SLOW)
            return False
        viewer.skips += 1
        self.totals.skips += 1
        self.totals.dropped += (end if newest < cursor else newest) - cursor
        if newest < cursor:
            viewer.dropped += end - cursor
            viewer.cursor = end
            del self._behind[viewer]
            self._waiting[viewer] = None
            return False
        viewer.dropped += newest - cursor
        self._enter(viewer, log.marks[-1])
        return True

    def _lag(self, cursor: int) -> tuple[int, float]:
        """Bytes and seconds of media from `cursor`, which is kept, to the newest."""
        log = self.log
        return log.bytes - log.before(cursor), log.end_s - log.time_s(cursor)

    def _enter(self, viewer: Viewer, mark: tuple[int, float]) -> None:
        """Put the cursor on an entry point; the header of its epoch goes first when the viewer has another."""
        epoch = self.log.epoch_at(mark[0])
        if viewer.epoch != epoch.number:
            # A header that still waits for an earlier epoch was never sent.
            viewer.header = epoch.change if viewer.bytes and epoch.change else epoch.join
        viewer.epoch = epoch.number
        viewer.cursor = mark[0]
        self._behind[viewer] = None

    def _catch_up(self, viewer: Viewer, end: int, now: float, *, eager: bool = False) -> None:
        """Write up to `end` while the peer takes it; a viewer that gets there rides with the head.

        `eager` writes the first piece whatever is unsent: uvloop keeps small writes, such as a response head, until
        the loop's turn ends.
        """
        log, cursor = self.log, viewer.cursor
        if viewer.header:
            header, viewer.header = viewer.header, b""
            viewer.write(header)
            viewer.sent(len(header), 0)
        while cursor < end and viewer.feed is not None and (eager or not viewer.unsent()):
            eager = False
            stop = log.stop(cursor, end)
            data = log.piece(cursor, stop)
            viewer.write(data)
            viewer.sent(len(data), stop - cursor)
            viewer.blocked_at = now
            cursor = viewer.cursor = stop
        if viewer.feed is None:
            return
        viewer.epoch = max(viewer.epoch, log.epoch_read(cursor))
        if cursor == end == self.head:
            del self._behind[viewer]
            viewer.head_start = (0, 0.0)
            self._seat(viewer)
            viewer.ride(self.head_byte, end)

    def _entry(self, policy: ViewerPolicy) -> tuple[int, float] | None:
        marks = self.log.marks
        if not marks or policy.start is Start.LIVE:
            return None
        if policy.back_s <= 0:
            return marks[-1]
        wanted_s = self.log.end_s - policy.back_s
        return next((mark for mark in reversed(marks) if mark[1] <= wanted_s), marks[0])

    # Going.

    def _retire(self) -> None:
        self._ended = True
        self._on_empty(self)

    def _detach(self, viewer: Viewer) -> bool:
        if viewer in self._riders:
            viewer.dismount(self.head_byte, self.head)
            self._unmount(viewer)
        elif viewer in self._behind:
            del self._behind[viewer]
        elif viewer in self._waiting:
            del self._waiting[viewer]
        else:
            return False
        self.totals.bytes_sent += viewer.bytes
        viewer.feed = None
        return True

    def _let_go(self, viewer: Viewer, why: Closed, detail: str = "") -> None:
        if not self._detach(viewer):
            return
        if why is Closed.SLOW:
            self.totals.slow += 1
        elif why is Closed.STALLED:
            self.totals.stalled += 1
        elif why is Closed.FAILED:
            self.totals.failed += 1
        on_close, viewer.on_close = viewer.on_close, None
        self._on_viewer("left", viewer, detail or why.value)
        if on_close is not None:
            try:
                on_close(why)
            except Exception:
                _log.exception("closing a viewer of feed %r failed", self.key)


def chooser(tracks: Collection[int] | Choose | None) -> Choose | None:
    """A track choice given as ids, as a function of the track list, or as None for all."""
    if tracks is None or callable(tracks):
        return tracks
    ids = frozenset(tracks)
    return lambda listed: [track for track in listed if track.id in ids]


def failure(error: Exception) -> str:
    """How a failure reads in an event."""
    return str(error) if isinstance(error, EvotoolsError) else f"{type(error).__name__}: {error}"
