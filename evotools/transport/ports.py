"""Which protocol a server takes on which port, for the log line about a client that knocked at another's."""


class Ports:
    """Filled by those that bind."""

    def __init__(self) -> None:
        self.bound: dict[str, int] = {}
        """Port by protocol: RTMP, RTMPS, HTTP, HTTPS."""

    def advice(self, protocol: str) -> str:
        """Where clients of `protocol` should go; empty for one that has no port of its own here."""
        if port := self.bound.get(protocol):
            return f"{protocol} is on port {port}"
        if protocol in ("RTMPS", "HTTPS"):
            return f"{protocol} needs a certificate in [tls]"
        return f"{protocol} is switched off" if protocol in ("RTMP", "HTTP") else ""
