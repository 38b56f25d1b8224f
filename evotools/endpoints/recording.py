"""The files of one recording: when they begin, what they are called, what is written. Blocks; runs in one thread.

One file is open at a time. Frames of the next piece that come while the last one still waits for a late track wait
themselves, for `LATE_S` of media at most. Every batch is written at once and unbuffered, so what was written stays
after a kill.
"""

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from evotools.endpoints.archive import Archive, Plan, make_folder
from evotools.errors import EvotoolsError, MediaError, UnreachableError
from evotools.log import get_logger
from evotools.media.frame import Frame, Metadata
from evotools.media.track import Kind, Track
from evotools.packaging.cutter import NEAR_S, Cutter, Piece, Run
from evotools.packaging.filemux import make
from evotools.packaging.lists import Entry
from evotools.packaging.naming import moment

log = get_logger("segment")

FIRST_KEY_S = 20.0
"""A stream without key frames is recorded all the same after so long."""
SILENT_S = 30.0
"""How long a picture may stand still before files begin without it: slides change rarely."""
LONELY_S = 5.0
"""After so long without a first key frame one says what is being waited for."""
STEP_S = 1.0
"""The clock was set when it differs by so much from what a steady clock says."""
WRITE_FRAMES = 64
"""Frames of one write: what the processor's cache holds, of a batch that a file may give by the thousand."""
MAX_TIMED = 256
"""Timed data that waits for the file it belongs to."""
MAX_REPEATS = 10_000
"""Files of one name; beyond that something else is wrong."""


@dataclass(slots=True)
class Finished:
    """One complete file."""

    path: str
    facts: dict[str, Any]


class Recording:
    """Call `prepare`, then `tracks` and `write` …, then `finish` or `abandon`. `finished` grows with complete files."""

    def __init__(self, plan: Plan, *, live: bool) -> None:
        self.finished: list[Finished] = []
        self._plan = plan
        self._live = live
        self._archive = Archive(plan)
        self._cutter = Cutter(
            plan.rule, live=True, silent_s=SILENT_S, keep_early=not live, first_key_s=FIRST_KEY_S, capture_times=False
        )
        self._mux = make(plan.container, plan.timestamps)
        self._file: _File | None = None
        self._piece: Piece | None = None
        self._waiting: list[Run] = []
        self._timed: list[Metadata] = []
        """What goes out with the next frame."""
        self._number = plan.start_number
        self._own: set[str] = set()
        """Files of this run, which --force does not overwrite."""
        self._listed_s = 0.0
        """Where the list of earlier runs ends."""
        self._last_tracks: tuple[Track, ...] = ()
        self._origin_s: float | None = None
        """Media time at which the recording begins."""
        self._start_s = 0.0
        """Presentation time at which the current file begins."""
        self._founds = False
        """The current file follows from nothing: sound from before its first picture counts too."""
        self._entered = False
        self._pictureless = False
        """The current file has no picture yet, and should."""
        self._warned: set[str] = set()
        self._first_dts_s: float | None = None
        self._first_steady_s = 0.0
        self._newest_s = 0.0
        self._unix_s = 0.0
        self._steady_s = 0.0

    def prepare(self) -> None:
        """Look for what earlier runs left. Raises EvotoolsError."""
        self._number = self._archive.prepare()
        self._listed_s = self._archive.end_s

    # Media.

    def accepts(self, track: Track) -> bool:
        """Whether the container has a name for the track's codec."""
        return self._mux.accepts(track)

    def tracks(self, tracks: Sequence[Track]) -> None:
        """The list of tracks, at the beginning and whenever it changes. Raises EvotoolsError."""
        runs = self._cutter.change(tracks) if self._cutter.tracks else self._cutter.start(tracks)
        self._take(runs)

    def describe(self, metadata: Metadata) -> None:
        """The publisher's onMetaData, for the files that begin from now on."""
        self._mux.described = metadata

    def write(self, frames: Sequence[Frame], unix_s: float, steady_s: float) -> None:
        """Frames in stream order that came at this time of the wall clock and of a steady one. Raises EvotoolsError."""
        if not frames:
            return
        self._keep_time(frames, unix_s, steady_s)
        if self._plan.size is not None and self._file is not None and self._piece is not None:
            self._plan.size.overhead = max(self._file.size / max(self._piece.size_bytes, 1), 1.0)
        self._take(self._cutter.push(frames, unix_s))
        piece = self._piece
        if piece is not None and self._plan.rule.overdue(self._newest_s, piece.size_bytes):
            self._warn("overdue", f"{self._path}: no key frame has come to begin the next file with; it grows on",
                       "let the encoder send key frames more often")  # fmt: skip
        if self._cutter.skipped and not self._entered and self._newest_s - (self._first_dts_s or 0.0) > LONELY_S:
            self._warn("first", f"{self._plan.pattern.text}: still waiting for the first key frame", "")

    def write_metadata(self, metadata: Metadata) -> None:
        """Timed data behind what was written before; it goes out with the next frame, which tells the file."""
        if len(self._timed) < MAX_TIMED:
            self._timed.append(metadata)

    def _keep_time(self, frames: Sequence[Frame], unix_s: float, steady_s: float) -> None:
        # Captions and data are often mistimed.
        newest = next((f for f in reversed(frames) if f.track.kind is not Kind.DATA), frames[-1])
        newest_s = newest.dts / newest.track.timescale
        if self._first_dts_s is None:
            self._first_dts_s = frames[0].dts / frames[0].track.timescale
            self._first_steady_s = steady_s
        elif self._plan.clock is not None and unix_s - self._unix_s < steady_s - self._steady_s - STEP_S:
            log.info("the clock was set back by %.1f s", steady_s - self._steady_s - unix_s + self._unix_s)
            self._plan.clock.stepped_back()
        self._newest_s, self._unix_s, self._steady_s = newest_s, unix_s, steady_s
        if not self._live:
            # A file is read faster than it plays; a pipe with a live source behind it keeps time with the clock.
            media_s, clock_s = newest_s - self._first_dts_s, steady_s - self._first_steady_s
            by_media = media_s > STEP_S and clock_s < media_s / 2
            self._cutter.live = not by_media
            if self._plan.clock is not None:
                self._plan.clock.by_media = by_media

    def finish(self) -> None:
        """The end of the media: complete the last file. Raises EvotoolsError."""
        self._take(self._cutter.finish())
        self._archive.end()
        if not self._entered and self._cutter.skipped:
            raise MediaError(
                f"{self._plan.pattern.text}: no key frame came, and without one no file can begin",
                hint="let the encoder send key frames more often",
            )
        if self._cutter.skipped:
            log.info("%s: %d frames from before the first key frame left out", self._plan.pattern.text,
                     self._cutter.skipped)  # fmt: skip

    def abandon(self) -> None:
        """Something failed: leave the last file as complete as it can be. Never raises."""
        file, self._file, self._piece = self._file, None, None
        self._waiting.clear()
        if file is None:
            return
        try:
            data, patches = self._mux.end()
            file.append([data])
            for at, patch in patches:
                file.overwrite(at, patch)
        except (OSError, EvotoolsError) as error:
            log.debug("%s: the end is missing: %s", file.path, error)
        finally:
            file.close()
            if file.size <= file.head_size:
                file.remove()

    # Pieces and files.

    def _take(self, runs: Sequence[Run]) -> None:
        for run in runs:
            if run[0] is self._piece or (self._piece is None and not self._waiting):
                self._put(run)
            else:
                self._waiting.append(run)
            while self._piece is None and self._waiting:
                waiting, self._waiting = self._waiting, []
                following = waiting[0][0]
                for held in waiting:
                    if held[0] is following:
                        self._put(held)
                    else:
                        self._waiting.append(held)

    def _put(self, run: Run) -> None:
        piece, frames, complete = run
        try:
            if self._piece is None:
                if not frames:
                    return
                self._begin(piece, frames)
            if self._pictureless:
                frames = self._enter(frames)
            if self._founds and frames:
                earliest_s = min(frame.pts / frame.track.timescale for frame in frames)
                if -self._mux.preroll_s <= earliest_s < 0:
                    earliest_s = 0.0
                self._start_s = min(self._start_s, earliest_s)
            file = self._file
            assert file is not None
            if self._timed:
                self._put_timed(piece, file)
            for at in range(0, len(frames), WRITE_FRAMES):
                file.append(self._mux.write(frames[at : at + WRITE_FRAMES]), self._mux.unit)
            if complete:
                self._end(piece, file)
        except OSError as error:
            raise EvotoolsError(f"{self._path}: cannot be written: {error.strerror or error}") from None

    def _put_timed(self, piece: Piece, file: "_File") -> None:
        # The end of a piece lies at its beginning until the next one has begun.
        end_s = piece.end_s - NEAR_S if piece.end_s > piece.start_s else inf
        now = [metadata for metadata in self._timed if metadata.time_s < end_s]
        self._timed = [metadata for metadata in self._timed if metadata.time_s >= end_s]
        data = [self._mux.write_metadata(metadata) for metadata in now]
        file.append([part for part in data if part], self._mux.unit)

    @property
    def _path(self) -> str:
        return self._file.path if self._file is not None else self._plan.pattern.text

    def _begin(self, piece: Piece, frames: Sequence[Frame]) -> None:
        self._file = self._create(piece)
        self._piece = piece
        self._number += 1
        origin_s = min(frame.dts / frame.track.timescale for frame in frames)
        self._start_s = piece.start_s
        self._founds = piece.index == 0 or piece.discontinuity
        self._file.append([self._mux.begin(piece.tracks, origin_s, follows=not piece.discontinuity)])
        self._file.head_size = self._file.size
        self._entered = True
        self._cutter.keep_early = True
        self._pictureless = any(track.kind is Kind.VIDEO for track in piece.tracks)

    def _enter(self, frames: list[Frame]) -> list[Frame]:
        """The first picture of a file counts as one to begin with even where it is none: so it gets the parameter sets,
        and players do not wait for another one that may never come."""
        for at, frame in enumerate(frames):
            if frame.track.kind is Kind.VIDEO:
                self._pictureless = False
                if frame.key:
                    return frames
                self._warn("dependent", f"{self._path}: begins without a key frame; none came",
                           "let the encoder send key frames more often")  # fmt: skip
                first = Frame(frame.track, frame.dts, frame.pts, frame.payload, duration=frame.duration, key=True,
                              wallclock_s=frame.wallclock_s, side=frame.side)  # fmt: skip
                return [*frames[:at], first, *frames[at + 1 :]]
        return frames

    def _create(self, piece: Piece) -> "_File":
        plan = self._plan
        start = moment(piece.start_unix_s, utc=plan.utc)
        first = path = plan.pattern.name(start, self._number)
        for repeat in range(MAX_REPEATS):
            path = plan.pattern.name(start, self._number, repeat)
            try:
                file = _new_file(path, overwrite=plan.force and path not in self._own)
            except FileExistsError:
                continue
            except OSError as error:
                text = f"{path}: cannot be created: {error.strerror or error}"
                if self._entered or error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise EvotoolsError(text) from None
                raise UnreachableError(text) from None
            if repeat:
                log.warning("%s exists already; writing %s", first, path)
            if plan.force:
                self._own.add(path)
            return file
        raise EvotoolsError(f"{first}: {MAX_REPEATS} files of this name exist already")

    def _end(self, piece: Piece, file: "_File") -> None:
        data, patches = self._mux.end()
        file.append([data])
        for at, patch in patches:
            file.overwrite(at, patch)
        if self._plan.sync:
            file.sync()
        file.close()
        self._file = self._piece = None
        if self._origin_s is None:
            self._origin_s = self._start_s
        duration_s = piece.end_s - self._start_s
        facts = {
            "bytes": file.size, "duration_s": round(duration_s, 6), "started": round(piece.start_unix_s, 3),
            "tracks": len(piece.tracks),
        }  # fmt: skip
        self.finished.append(Finished(file.path, facts))
        offset_s = self._listed_s - (self._origin_s or 0.0)
        follows = self._plan.timestamps == "keep" and piece.tracks == self._last_tracks and not piece.discontinuity
        entry = Entry(
            "", max(self._start_s + offset_s, 0.0), max(piece.end_s + offset_s, 0.0),
            piece.start_unix_s if self._live else None,
            discontinuity=not follows and (self._listed_s > 0 or piece.index > 0),
            header_bytes=self._mux.header_bytes, size_bytes=file.size,
        )  # fmt: skip
        self._last_tracks = piece.tracks
        self._archive.add(file.path, file.size, piece.start_unix_s, entry)

    def _warn(self, what: str, text: str, hint: str) -> None:
        if what not in self._warned:
            self._warned.add(what)
            log.warning("%s%s", text, f"; {hint}" if hint else "")


def _new_file(path: str, *, overwrite: bool) -> "_File":
    """With the folders above it. Raises FileExistsError for the file, and other OSErrors."""
    try:
        return _File(path, overwrite=overwrite)
    except FileNotFoundError:
        make_folder(Path(path).parent)
        return _File(path, overwrite=overwrite)


class _File:
    """One file that is being written, unbuffered."""

    def __init__(self, path: str, *, overwrite: bool) -> None:
        """Raises FileExistsError and other OSErrors."""
        flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        self.path = path
        self.size = 0
        self.head_size = 0
        """Bytes before the first frame."""
        self._fd = os.open(path, flags | (os.O_TRUNC if overwrite else os.O_EXCL), 0o666)

    def append(self, parts: Sequence[bytes], unit: int = 0) -> None:
        """All parts with one write. A full disk leaves the file with what found room, in whole parts or units."""
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        done = 0
        try:
            while done < len(data):
                done += os.write(self._fd, memoryview(data)[done:] if done else data)
        except OSError:
            fits = 0
            for part in parts:
                if fits + len(part) > done:
                    break
                fits += len(part)
            self._cut(self.size + (done - done % unit if unit else fits))
            raise
        self.size += done

    def _cut(self, size: int) -> None:
        try:
            os.ftruncate(self._fd, size)
            os.lseek(self._fd, size, os.SEEK_SET)
            self.size = size
        except OSError:
            pass

    def overwrite(self, at: int, data: bytes) -> None:
        """Replace bytes that were written before."""
        os.lseek(self._fd, at, os.SEEK_SET)
        os.write(self._fd, data)

    def remove(self) -> None:
        """No media came to be in it."""
        try:
            os.unlink(self.path)  # noqa: PTH108
        except OSError:
            pass

    def sync(self) -> None:
        """Wait until the disk has it."""
        os.fsync(self._fd)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._fd)
