"""The directory of a packaged presentation: its lock, what an earlier run left in it, whole files by renames."""

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from evotools.errors import EvotoolsError, ParseError, RefusedError, UnreachableError, UsageError
from evotools.log import get_logger
from evotools.packaging.files import (
    DASH_NAME,
    HLS_NAME,
    LOCK_NAME,
    PLAYLIST_NAME,
    RESERVE_NAME,
    STATE_NAME,
    Operation,
    Remove,
    Write,
    is_ours,
)
from evotools.packaging.packager import Settings
from evotools.packaging.state import MAX_STATE, State, decode

log = get_logger("package")

MAX_PARTS = 1024
"""IOV_MAX of Linux and macOS."""
RESERVE_BYTES = 256 * 1024
"""Manifests of an hour in six renditions of 6 s segments, twice."""
_OURS = (STATE_NAME, LOCK_NAME, RESERVE_NAME)


class Folder:
    """The directory. Every method but `take_up` and `close` runs in its own thread and may block."""

    def __init__(self, path: str, name: str) -> None:
        self.path = Path(path)
        self.name = name
        """For messages."""
        self.lost: set[str] = set()
        self._lock: IO[bytes] | None = None
        self._made: set[Path] = set()

    def check(self, *, force: bool) -> None:
        """What can be told without changing anything, before the source is opened. Raises as `take_up`."""
        try:
            if self.path.exists() and not self.path.is_dir():
                raise UsageError(f"{self.name} is a file", hint="name a folder")
            if not self.path.is_dir():
                return
            if not os.access(self.path, os.W_OK):
                raise UnreachableError(f"{self.name}: cannot be written", hint="it is read-only for this user")
            state = self._read_state(force)
            if state is None:
                self._refuse_strangers(force)
            elif state.presentation.type == "vod" and state.presentation.ended and not force:
                raise UsageError(f"{self.name} holds a finished presentation", hint="--force replaces it")
        except OSError as error:
            raise UnreachableError(f"{self.name}: {error.strerror or error}") from None

    def _refuse_strangers(self, force: bool) -> None:
        other = next((p.name for p in self.path.iterdir() if p.name not in _OURS), None)
        if other is not None and not force:
            raise UsageError(
                f"{self.name} holds {other} and was not made by evotools package",
                hint="name an empty folder; --force writes into this one and leaves alone what is not ours",
            )

    def take_up(self, settings: Settings, *, force: bool) -> State | None:
        """Make the folder, lock it and look at what is in it; the state of a run that is gone on with.

        Raises UsageError for a folder with other content or a finished presentation, RefusedError when another
        process packages into it, UnreachableError when it cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(self.path / LOCK_NAME, self.name)
            state = self._read_state(force)
            if state is None:
                self._refuse_strangers(force)
            else:
                state = self._judge(state, settings, force)
            if settings.type == "vod":
                with os.fdopen(_create(self.path / RESERVE_NAME), "wb") as file:
                    file.write(bytes(RESERVE_BYTES))
            return state
        except OSError as error:
            raise UnreachableError(f"{self.name}: {error.strerror or error}") from None

    def _read_state(self, force: bool) -> State | None:
        path = self.path / STATE_NAME
        try:
            with path.open("rb") as file:
                data = file.read(MAX_STATE + 1)
        except FileNotFoundError:
            return None
        try:
            return decode(data)
        except ParseError as error:
            if force:
                return None
            raise UsageError(
                f"{self.name}: its state file {STATE_NAME} cannot be used: {error.message}",
                hint="--force begins anew",
            ) from None

    def _judge(self, state: State, settings: Settings, force: bool) -> State | None:
        """Go on with a live or event folder; clear what a stopped on-demand run left; refuse the rest."""
        before = state.presentation
        resumes = before.type != "vod" and not force
        if resumes and (before.type, before.container) != (settings.type, settings.container):
            raise UsageError(
                f"{self.name} holds a presentation of type {before.type} in {before.container}, not {settings.type} in "
                f"{settings.container}",
                hint="use the same --type and --format to go on with it; --force replaces it",
            )
        if before.type == "vod" and before.ended and not force:
            raise UsageError(f"{self.name} holds a finished presentation", hint="--force replaces it")
        keep = set()
        if resumes:
            for rendition in before.renditions:
                keep |= {f"{rendition.id}/{s.name}" for s in rendition.segments}
                keep |= {f"{rendition.id}/{s.init}" for s in rendition.segments if s.init}
                keep.add(f"{rendition.id}/{PLAYLIST_NAME}")
            keep |= {path for _, path in state.late}
        self._clear(state.folders, keep, everything=not resumes)
        return state if resumes else None

    def _clear(self, folders: Sequence[str], keep: set[str], *, everything: bool) -> None:
        """Remove files of ours that nothing names: left-overs of an interruption, or all of them."""
        # Manifests first: they must not name what is gone.
        for name in (HLS_NAME, DASH_NAME):
            if everything:
                (self.path / name).unlink(missing_ok=True)
            _hidden(self.path / name).unlink(missing_ok=True)
        _hidden(self.path / STATE_NAME).unlink(missing_ok=True)
        for name in folders:
            folder = self.path / name
            if folder.is_symlink() or not folder.is_dir():
                continue
            for entry in folder.iterdir():
                if is_ours(entry.name) and f"{name}/{entry.name}" not in keep:
                    entry.unlink(missing_ok=True)
            if everything and not any(folder.iterdir()):
                folder.rmdir()

    def perform(self, operations: Sequence[Operation]) -> None:
        """Write and remove in order. Raises EvotoolsError; what was complete before stays complete, and `lost` names
        what was not written."""
        for index, operation in enumerate(operations):
            path = self.path / operation.path
            try:
                if isinstance(operation, Remove):
                    path.unlink(missing_ok=True)
                else:
                    self._write(path, operation)
            except OSError as error:
                self.lost = {o.path for o in operations[index:] if isinstance(o, Write)}
                raise EvotoolsError(
                    f"{self.name}/{operation.path}: cannot be written: {error.strerror or error}",
                    hint="what was complete before stays playable",
                ) from None

    def _write(self, path: Path, operation: Write) -> None:
        parent = path.parent
        if parent not in self._made:
            parent.mkdir(exist_ok=True)
            if parent != self.path and parent.is_symlink():
                # Somebody else made it: what lies behind it is not ours to write and remove.
                raise NotADirectoryError(errno.ENOTDIR, "its folder is a symbolic link")
            self._made.add(parent)
        hidden = _hidden(path)
        fd = _create(hidden)
        try:
            try:
                _write_all(fd, operation.parts)
            finally:
                os.close(fd)
            hidden.replace(path)
        except BaseException:
            hidden.unlink(missing_ok=True)
            raise

    def use_reserve(self) -> None:
        """Free the room that was kept for manifests."""
        try:
            (self.path / RESERVE_NAME).unlink(missing_ok=True)
        except OSError as error:
            log.debug("%s: %s", self.name, error)

    def close(self) -> None:
        """Let go of the lock."""
        lock, self._lock = self._lock, None
        if lock is not None:
            self.use_reserve()
            lock.close()


def _hidden(path: Path) -> Path:
    """The name under which a file is written."""
    return path.with_name(f"{path.name}.tmp" if path.name.startswith(".") else f".{path.name}.tmp")


def _create(path: Path) -> int:
    """A new file; what had the name goes, be it a link to somewhere else. Its descriptor."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        return os.open(path, flags, 0o666)
    except FileExistsError:
        path.unlink(missing_ok=True)
        return os.open(path, flags, 0o666)


def _write_all(fd: int, parts: Sequence[bytes]) -> None:
    """Every byte, without making one piece of the parts where the system takes many."""
    size = sum(map(len, parts))
    if len(parts) <= MAX_PARTS and hasattr(os, "writev"):
        done = os.writev(fd, parts)
        if done == size:
            return
        data = b"".join(parts)[done:]
    else:
        data = b"".join(parts)
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _locked(path: Path, name: str) -> IO[bytes]:
    """An exclusive lock on the file, for as long as it is open; it also ends with the process."""
    file = path.open("ab")
    try:
        try:
            import fcntl
        except ImportError:
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise RefusedError(f"{name}: another process is packaging into it", hint="name another folder") from None
    return file
