"""Which files are to be written and removed, in order; the manifests among them, where they change."""

from typing import Any

from evotools.packaging import dash, hls
from evotools.packaging.files import DASH_NAME, HLS_NAME, PLAYLIST_NAME, Operation, Remove, Role, Write
from evotools.packaging.presentation import Presentation


class Writes:
    """Operations that were not taken yet, and the small files as they stand in the folder."""

    def __init__(self) -> None:
        self._operations: list[Operation] = []
        self._written: dict[str, bytes] = {}

    def take(self) -> list[Operation]:
        """What is due by now."""
        operations, self._operations = self._operations, []
        return operations

    def forget(self) -> None:
        """Nothing of what was asked for may be there."""
        self._operations = []
        self._written.clear()

    def add(self, path: str, parts: list[bytes], role: Role, **facts: Any) -> None:
        """A new file."""
        self._operations.append(Write(path, parts, role, facts))

    def change(self, path: str, data: bytes, role: Role, **facts: Any) -> None:
        """A file that may be there already as it is."""
        if self._written.get(path) != data:
            self._written[path] = data
            self.add(path, [data], role, **facts)

    def remove(self, path: str) -> None:
        """A file that nothing names any more."""
        self._operations.append(Remove(path))


class Manifests:
    """The manifests that are asked for."""

    def __init__(self, presentation: Presentation, writes: Writes, *, with_hls: bool, with_dash: bool) -> None:
        self._presentation = presentation
        self._writes = writes
        self._hls = with_hls
        self._dash = with_dash

    def write(self, now_s: float) -> None:
        """Those that change; what names others comes behind them."""
        presentation, change = self._presentation, self._writes.change
        if self._hls:
            for rendition in presentation.renditions:
                playlist = hls.rendition_playlist(presentation, rendition)
                change(f"{rendition.id}/{PLAYLIST_NAME}", playlist, "playlist")
            change(HLS_NAME, hls.multivariant(presentation), "manifest", format="hls")
        if self._dash:
            change(DASH_NAME, dash.mpd(presentation, now_s), "manifest", format="dash")
