"""What every listener needs of the server around it."""

from typing import Protocol

from evotools.server.access_types import AccessRequest, Decision


class Access(Protocol):
    """The one place that says who may publish and who may read."""

    def check(self, request: AccessRequest) -> Decision:
        """Decide at once; never blocks."""
        ...
