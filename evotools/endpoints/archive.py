"""The finished files of a recording: which are there already, which have to go, the list that names them. Blocks."""

import errno
import os
import stat
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evotools.errors import EvotoolsError, ParseError, UnreachableError, UsageError
from evotools.log import get_logger
from evotools.packaging.filemux import Container
from evotools.packaging.lists import MAX_LIST, Entry, FileList, Kind
from evotools.packaging.naming import Pattern, moment
from evotools.packaging.retention import Keep, Kept
from evotools.packaging.rules import EveryClock, EverySize, FileRule

log = get_logger("segment")

_EXISTS = "--start-number next goes on after it, --force overwrites"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be recorded how; everything that decides the files but the media."""

    pattern: Pattern
    container: Container
    timestamps: str
    rule: FileRule
    clock: EveryClock | None = None
    """The part of `rule` that looks at the wall clock."""
    size: EverySize | None = None
    """The part of `rule` that looks at sizes."""
    target_s: float = 0.0
    """How long files are meant to be, 0 where the rule has no time."""
    keep: Keep = field(default_factory=Keep)
    list_path: str = ""
    list_kind: Kind = "m3u8"
    start_number: int = 0
    proceed: bool = False
    """Go on with the numbers and the list of an earlier run."""
    utc: bool = False
    sync: bool = False
    force: bool = False
    strict: bool = False
    """The container was asked for by name: a track that it cannot carry is an error."""


@dataclass(slots=True)
class _Old:
    """A finished file as retention sees it."""

    path: str
    size_bytes: int
    unix_s: float
    """When it was finished, by its own date."""
    steady_s: float | None
    """The same by our steady clock, for files of this run: they do not age when the clock is set."""


class Archive:
    """Call `check` before anything is opened, `prepare` once, then `add` for each finished file and `end`."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._old: list[_Old] = []
        self._list = FileList(
            plan.list_kind, hls=plan.container in ("ts", "fmp4"), sliding=bool(plan.keep), target_s=plan.target_s
        )
        self._warned = False

    def check(self) -> None:
        """Whether there is a place for the files and none of them is there yet. Raises UsageError, UnreachableError."""
        plan = self._plan
        folder = Path(plan.pattern.root or ".")
        while not folder.exists() and folder.parent != folder:
            folder = folder.parent
        if not folder.is_dir():
            raise UnreachableError(f"{folder}: is not a folder")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise UnreachableError(f"{folder}: cannot be written to", hint="choose another folder, or its permissions")
        if plan.list_path:
            path = Path(plan.list_path)
            if path.is_dir():
                raise UsageError(f"--list {path}: is a folder", hint="name a file")
            if path.exists() and not plan.proceed and not plan.force:
                raise UsageError(f"{path} exists already", hint=_EXISTS)
        if not plan.pattern.counts or plan.proceed or plan.force:
            return
        if plan.pattern.dated:
            first = plan.pattern.name(moment(time.time(), utc=plan.utc), plan.start_number)
            taken = [(plan.start_number, first)] if os.path.lexists(first) else []
        else:
            taken = [(number, path) for number, path in self._scan() if number >= plan.start_number]
        if taken:
            raise UsageError(f"{min(taken)[1]} exists already", hint=_EXISTS)

    def prepare(self) -> int:
        """Look for the files and the list of earlier runs; the number of the first new file. Raises EvotoolsError."""
        plan = self._plan
        number = plan.start_number
        if plan.keep or plan.proceed:
            found = list(self._scan())
            if plan.proceed and plan.pattern.counts:
                number = max([number, *(n + 1 for n, _ in found)])
            if plan.keep:
                self._remember(found)
        if plan.list_path and plan.proceed:
            self._load_list()
        gone = self._surplus()
        if plan.list_path and self._list.entries:
            self._write_list(ended=False)
        self._delete(gone)
        return number

    @property
    def end_s(self) -> float:
        """Where the list ends on its own clock."""
        return self._list.end_s

    def add(self, path: str, size_bytes: int, unix_s: float, entry: Entry) -> None:
        """A file is complete. `entry` lacks its name. Raises EvotoolsError when the list cannot be written."""
        if self._plan.keep:
            self._old.append(_Old(path, size_bytes, unix_s, time.monotonic()))
        if self._plan.list_path:
            self._list.add(entry.named(self._relative(path)))
        gone = self._surplus()
        if self._plan.list_path:
            # No list names a file that is not there.
            self._write_list(ended=False)
        self._delete(gone)

    def end(self) -> None:
        """No further file comes. Raises EvotoolsError when the list cannot be written."""
        if self._plan.list_path and self._list.entries:
            self._write_list(ended=True)

    # What is there.

    def _scan(self) -> Iterator[tuple[int, str]]:
        """(number, path) of the files that the pattern made before: regular files in real folders only."""
        root = self._plan.pattern.root
        yield from self._scan_folder(root or ".", root.rstrip("/") + "/" if root else "", "", 0)

    def _scan_folder(self, folder: str, prefix: str, below: str, depth: int) -> Iterator[tuple[int, str]]:
        pattern = self._plan.pattern
        last = depth == len(pattern.levels) - 1
        try:
            with os.scandir(folder) as entries:
                found = [
                    e.name for e in entries
                    if pattern.levels[depth].match(e.name)
                    and (e.is_file(follow_symlinks=False) if last else e.is_dir(follow_symlinks=False))
                ]  # fmt: skip
        except FileNotFoundError:
            return
        except OSError as error:
            raise UnreachableError(f"{folder}: {error.strerror}") from None
        for name in found:
            if last:
                number = pattern.number_of(below + name)
                if number is not None:
                    yield number, prefix + name
            else:
                yield from self._scan_folder(f"{folder}/{name}", f"{prefix}{name}/", f"{below}{name}/", depth + 1)

    def _remember(self, found: Sequence[tuple[int, str]]) -> None:
        dated: list[tuple[float, int, str, int]] = []
        for number, path in found:
            try:
                told = os.lstat(path)
            except OSError:
                continue
            dated.append((told.st_mtime, number, path, told.st_size))
        self._old = [_Old(path, size, unix_s, None) for unix_s, _, path, size in sorted(dated)]

    # The list.

    def _relative(self, path: str) -> str:
        return os.path.relpath(path, Path(self._plan.list_path).parent).replace(os.sep, "/")

    def _load_list(self) -> None:
        path = Path(self._plan.list_path)
        try:
            with path.open("rb") as file:
                data = file.read(MAX_LIST + 1)
        except FileNotFoundError:
            return
        except OSError as error:
            raise UnreachableError(f"{path}: {error.strerror}") from None
        try:
            self._list.load(data)
        except ParseError as error:
            raise UsageError(f"{path}: {error.message}", hint="name another list, or use --force") from None

    def _write_list(self, *, ended: bool) -> None:
        path = Path(self._plan.list_path)
        part = path.with_name(f".{path.name}.part")
        try:
            make_folder(path.parent)
            part.write_bytes(self._list.render(ended=ended))
            part.replace(path)
        except OSError as error:
            try:
                part.unlink(missing_ok=True)
            except OSError:
                pass
            raise EvotoolsError(f"{path}: cannot be written: {error.strerror or error}") from None

    # What goes.

    def _surplus(self) -> list[_Old]:
        """The files that have to go, taken out of `_old` and the list."""
        keep = self._plan.keep
        if not keep:
            return []
        unix_s, steady_s = time.time(), time.monotonic()

        def count() -> int:
            return keep.surplus([
                Kept(o.path, o.size_bytes, unix_s - o.unix_s if o.steady_s is None else steady_s - o.steady_s)
                for o in self._old
            ])  # fmt: skip

        if count():
            # Others may have taken files away meanwhile.
            self._old = [o for o in self._old if os.path.lexists(o.path)]
        number = count()
        gone, self._old = self._old[:number], self._old[number:]
        if self._plan.list_path:
            for old in gone:
                self._list.drop(self._relative(old.path))
        return gone

    def _delete(self, gone: Sequence[_Old]) -> None:
        if not gone:
            return
        root = os.path.realpath(self._plan.pattern.root or ".")
        for old in gone:
            try:
                folder = os.path.realpath(Path(old.path).parent)
                inside = os.path.commonpath((root, folder)) == root
                if not inside or not stat.S_ISREG(os.lstat(old.path).st_mode):
                    continue
                os.unlink(old.path)  # noqa: PTH108
                log.info("%s: deleted, as --keep says", old.path)
                # Folders that the pattern made; one with anything in it stays.
                while folder != root:
                    os.rmdir(folder)  # noqa: PTH106
                    folder = os.path.dirname(folder)  # noqa: PTH120
            except FileNotFoundError:
                pass
            except OSError as error:
                if os.path.lexists(old.path) and not self._warned:
                    self._warned = True
                    log.warning("%s: cannot be deleted: %s", old.path, error.strerror)


def make_folder(folder: Path) -> None:
    """With the folders above it. Raises OSError, but never FileExistsError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from None
