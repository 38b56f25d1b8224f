"""A web server on loopback for a folder of media, which remembers what was asked for."""

import mimetypes
import re
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

TYPES = {
    ".m3u8": "application/vnd.apple.mpegurl",  # RFC 8216 4
    ".mpd": "application/dash+xml",  # ISO/IEC 23009-1 C.1
    ".ts": "video/mp2t",
    ".mp4": "video/mp4",
    ".m4s": "video/iso.segment",
    ".m4v": "video/mp4",
    ".m4a": "audio/mp4",
    ".aac": "audio/aac",
    ".vtt": "text/vtt",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}


@dataclass(frozen=True)
class Request:
    """One request that was answered."""

    method: str
    path: str
    """Decoded, from the served folder, without query."""
    status: int
    size_bytes: int
    at_s: float
    """Monotonic time."""


class FolderServer:
    """Serves `folder` at `url` until `close`, with the media types and the CORS headers that players ask for.

    Nothing is to be cached, and each file is read whole at each request, so a live folder is served as it is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.requests: list[Request] = []
        self._mounts: dict[str, Path] = {}
        self._server = _Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def mount(self, name: str, folder: Path) -> None:
        """Serve another folder below /NAME/."""
        self._mounts[name] = folder.resolve()

    def find(self, name: str) -> Path | None:
        """The file of a request's path."""
        first, _, rest = name.partition("/")
        root, below = (self._mounts[first], rest) if first in self._mounts else (self.folder, name)
        path = (root / below).resolve()
        return path if path.is_relative_to(root) and path.is_file() else None

    @property
    def missing(self) -> list[str]:
        """What was asked for and is not there; browsers ask for icons by themselves."""
        return [r.path for r in self.requests if r.status >= 400 and r.path != "favicon.ico"]

    def served(self, pattern: str) -> list[str]:
        """Paths that were read at least once and match a regular expression, in order."""
        paths = [r.path for r in self.requests if r.status < 300 and r.method == "GET" and re.search(pattern, r.path)]
        return list(dict.fromkeys(paths))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def __enter__(self) -> "FolderServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, owner: FolderServer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.owner = owner


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        name = unquote(urlsplit(self.path).path).lstrip("/")
        status, body = 404, b""
        try:
            if path := self.server.owner.find(name):
                status, body = 200, path.read_bytes()
        except FileNotFoundError:
            # A live folder's oldest segment, removed between the look and the reading.
            pass
        suffix = PurePosixPath(name).suffix
        headers = {"Content-Type": TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "text/plain"}
        if status == 200 and (asked := self.headers.get("Range")):
            total = len(body)
            span = _span(asked, total)
            if span is None:
                status, body = 416, b""
                headers["Content-Range"] = f"bytes */{total}"
            else:
                status, body = 206, body[span[0] : span[1]]
                headers["Content-Range"] = f"bytes {span[0]}-{span[1] - 1}/{total}"
        self._answer(status, headers, body, name)

    do_HEAD = do_GET

    def do_OPTIONS(self) -> None:
        asked = self.headers.get("Access-Control-Request-Headers", "")
        self._answer(204, {"Access-Control-Allow-Headers": asked, "Access-Control-Allow-Methods": "GET, HEAD"}, b"", "")

    def _answer(self, status: int, headers: dict[str, str], body: bytes, name: str) -> None:
        if name:
            self.server.owner.requests.append(Request(self.command, name, status, len(body), time.monotonic()))
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Access-Control-Expose-Headers", "*")
        try:
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)
        except OSError:
            # Players drop requests that they need no more.
            self.close_connection = True

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            pass

    def log_message(self, *_: object) -> None:
        pass


def _span(header: str, total: int) -> tuple[int, int] | None:
    """First byte and the one behind the last of a Range header with one range (RFC 9110 14.1.2)."""
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", header.strip())
    if not found or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if not first:
        return max(0, total - int(last)), total
    begin, end = int(first), min(int(last) + 1, total) if last else total
    return (begin, end) if begin < end else None
