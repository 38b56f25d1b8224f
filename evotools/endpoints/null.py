"""`null:` takes everything and keeps nothing: for measuring and for draining."""

from collections.abc import Sequence

from evotools.endpoints.base import Context, Sink
from evotools.media.frame import Event
from evotools.media.track import Track
from evotools.uri import Uri


class NullSink(Sink):
    """Discards every event."""

    def __init__(self, uri: Uri, ctx: Context) -> None:
        self.uri = uri
        uri.options(())

    async def open(self) -> None:
        """Nothing to open."""

    async def start(self, tracks: Sequence[Track]) -> None:
        """Takes any tracks."""

    async def write(self, events: Sequence[Event]) -> None:
        """Discards."""

    async def finish(self) -> None:
        """Nothing to finish."""

    async def close(self) -> None:
        """Nothing to close."""
