"""Folders that are offered for reading, and files in them by the names that come from the network.

A name leads to a regular file of media strictly inside its folder, or nowhere. Methods with `_blocking` in their
names touch the disk and run in threads.
"""

import asyncio
import errno
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from evotools.errors import RefusedError, UsageError
from evotools.log import get_logger
from evotools.server.config import FilesConfig
from evotools.server.vod.title import Title, open_title

T = TypeVar("T")

THREADS: Final = 8
"""Reads under way at once, for all connections. A disk with a queue likes several; what waits costs nothing else."""
MAX_NAME: Final = 1024
"""Bytes of a path below a folder."""
MAX_DEPTH: Final = 16
MAX_SCANNED: Final = 2_000
"""Directory entries that are looked at for the index page."""

MEDIA: Final = {
    "mp4": "video/mp4", "m4v": "video/mp4", "m4a": "audio/mp4", "mov": "video/quicktime", "mkv": "video/x-matroska",
    "mka": "audio/x-matroska", "webm": "video/webm", "ts": "video/mp2t", "m2ts": "video/mp2t", "mts": "video/mp2t",
    "flv": "video/x-flv", "ogg": "audio/ogg", "oga": "audio/ogg", "opus": "audio/ogg", "ogv": "video/ogg",
    "aac": "audio/aac", "mp3": "audio/mpeg", "flac": "audio/flac", "wav": "audio/wav",
}  # fmt: skip
"""Suffixes of files that are served, in the order in which a source for another suffix is looked for."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")

log = get_logger("files")


class Found(NamedTuple):
    """An open file. Whoever gets it closes `fd`."""

    fd: int
    path: str
    """As it was asked for but for the suffix: `/`-separated, with the folder's name in front."""
    suffix: str
    """Lower case, without the dot."""
    size_bytes: int
    modified_ns: int


class NotThere(Exception):
    """No such file, or none that may be read. Says no more: what lies outside is nobody's business."""


def check_folders(config: Mapping[str, FilesConfig], reserved: frozenset[str]) -> None:
    """Whether all of these can be served; `reserved` as in `Files`. Raises UsageError."""
    for name, folder in config.items():
        if not _NAME.fullmatch(name):
            raise UsageError(f"[files.{name}]: the name cannot stand in a URL", hint="use letters, digits, _ and -")
        if name.lower() in reserved:
            raise UsageError(f"[files.{name}]: /{name} is a URL of the server itself", hint="use another name")
        if not Path(folder.folder).is_dir():
            raise UsageError(f"[files.{name}]: {folder.folder} is not a folder", hint="create it, or mend the path")


class Files:
    """The folders of the configuration."""

    def __init__(self, config: Mapping[str, FilesConfig], reserved: frozenset[str] = frozenset()) -> None:
        """`reserved`: first segments of paths that have another meaning. Raises UsageError."""
        self._reserved = reserved
        self._folders: dict[str, FilesConfig] = {}
        self.pool = ThreadPoolExecutor(THREADS, "files")
        self.replace(config)

    def __bool__(self) -> bool:
        return bool(self._folders)

    @property
    def listing(self) -> bool:
        """Some folder is to be shown on the index page."""
        return any(folder.list for folder in self._folders.values())

    def replace(self, config: Mapping[str, FilesConfig]) -> None:
        """Take over another configuration; what is being read goes on. Raises UsageError and changes nothing."""
        check_folders(config, self._reserved)
        self._folders = dict(config)

    def owns(self, path: str) -> bool:
        """Whether a path of a URL lies in one of the folders."""
        return bool(self._folders) and path[1:].partition("/")[0] in self._folders

    def submit(self, work: Callable[..., T], *arguments: object) -> "asyncio.Future[T]":
        """Do something that blocks."""
        return asyncio.get_running_loop().run_in_executor(self.pool, work, *arguments)

    async def open(self, path: str) -> Found:
        """The file at a path with a suffix, such as `films/film.mp4`. Raises NotThere, RefusedError."""
        return await self._opened(self.submit(self._open_blocking, path))

    async def find(self, name: str) -> Found:
        """The file of a name without a suffix, whatever kind it is. Raises NotThere, RefusedError."""
        return await self._opened(self.submit(self._find_blocking, name))

    async def _opened(self, step: "asyncio.Future[Found]") -> Found:
        try:
            return await asyncio.shield(step)
        except asyncio.CancelledError:
            step.add_done_callback(self._forget_late)
            raise

    def _forget_late(self, step: "asyncio.Future[Found]") -> None:
        """Nobody waits any more for a file that was being opened."""
        if not step.cancelled() and step.exception() is None:
            self.forget(step.result())

    def forget(self, found: Found) -> None:
        """Close a file that nobody reads any more."""
        try:
            self.pool.submit(os.close, found.fd)
        except RuntimeError:  # The threads have been stopped.
            os.close(found.fd)

    async def title(self, name: str) -> Title:
        """The same, open for playing. Raises NotThere, RefusedError, MediaError, UnreachableError."""
        found = await self.find(name)
        return await self.title_of(found)

    async def title_of(self, found: Found) -> Title:
        """Open a file for playing; the title closes it. Raises MediaError, UnreachableError."""
        return await open_title(found.fd, self.pool, name=found.path)

    async def listed(self, limit: int) -> list[str]:
        """Names (without suffixes) of media in the folders that are to be listed, sorted."""
        return await self.submit(self._listed_blocking, limit)

    def close(self) -> None:
        """Stop the threads; what is being read ends by itself."""
        self.pool.shutdown(wait=False)

    # In a thread.

    def _open_blocking(self, path: str) -> Found:
        """See `open`."""
        name, _, rest = path.partition("/")
        folder = self._folders.get(name)
        stem, dot, suffix = rest.rpartition(".")
        if folder is None or not stem or not dot or suffix.lower() not in MEDIA or not _is_name(rest):
            raise NotThere
        try:
            fd, info = _open_inside(folder.folder, rest)
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
                raise RefusedError("too many files are open", hint="raise the limit of open files") from None
            log.debug("%s: %s", path, error.strerror)
            raise NotThere from None
        return Found(fd, path, suffix.lower(), info.st_size, info.st_mtime_ns)

    def _find_blocking(self, name: str) -> Found:
        for suffix in MEDIA:
            try:
                return self._open_blocking(f"{name}.{suffix}")
            except NotThere:
                continue
        raise NotThere

    def _listed_blocking(self, limit: int) -> list[str]:
        names: set[str] = set()
        for name, folder in self._folders.items():
            if folder.list:
                try:
                    names.update(f"{name}/{title}" for title in _titles(folder.folder))
                except OSError as error:
                    log.warning("[files.%s]: %s", name, error.strerror)
        return sorted(names)[:limit]


def _is_segment(part: str) -> bool:
    """One part of a path that may be looked up: visible, and without characters that any system takes for more."""
    return bool(part) and not part.startswith(".") and part.isprintable() and not set(part) & set("/\\\0")


def _is_name(rest: str) -> bool:
    parts = rest.split("/")
    return len(os.fsencode(rest)) <= MAX_NAME and len(parts) <= MAX_DEPTH and all(_is_segment(part) for part in parts)


def _open_inside(folder: str, rest: str) -> tuple[int, os.stat_result]:
    """Open a regular file inside `folder`. Links are followed as long as they stay inside. Raises OSError."""
    root = os.path.realpath(folder, strict=True)
    real = os.path.realpath(f"{root}/{rest}", strict=True)
    inside = real.removeprefix(root.rstrip("/") + "/")
    if inside == real or not _is_name(inside) or inside.rpartition(".")[2].lower() not in MEDIA:
        raise PermissionError(errno.EACCES, "it leads out of the folder, or to something hidden")
    # Part by part, and no link any more: whoever may write here must not swap one in between look and open.
    *folders, last = inside.split("/")
    at = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in folders:
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
            os.close(at)
            at = below
        # O_NONBLOCK: a named pipe would wait for its writer.
        fd = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
    finally:
        os.close(at)
    info = os.fstat(fd)
    if not stat.S_ISREG(info.st_mode):
        os.close(fd)
        raise PermissionError(errno.EACCES, "not a regular file")
    return fd, info


def _titles(folder: str) -> Iterator[str]:
    """Media in a folder and the folders in it, without following links."""
    left = MAX_SCANNED
    waiting = [""]
    while waiting and left > 0:
        below = waiting.pop(0)
        with os.scandir(f"{folder}/{below}") as entries:
            for entry in entries:
                left -= 1
                if left < 0:
                    return
                if not _is_segment(entry.name):
                    continue
                path = f"{below}{entry.name}"
                stem, dot, suffix = path.rpartition(".")
                if entry.is_dir(follow_symlinks=False):
                    if path.count("/") < MAX_DEPTH - 1:
                        waiting.append(f"{path}/")
                elif dot and suffix.lower() in MEDIA and entry.is_file(follow_symlinks=False):
                    yield stem
