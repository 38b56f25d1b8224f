"""What libav may do on the network: which protocols per scheme, verified TLS, time-outs, no reconnects of its own."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from evotools.containers.libav import LibavReader
from evotools.errors import MediaError, UsageError
from evotools.log import get_logger
from evotools.uri import Options, Uri

log = get_logger("libav")

OPEN_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 10.0

_HTTP = "http,https,tls,tcp,crypto"
PROTOCOLS = {
    "http": _HTTP,
    "https": _HTTP,
    "rtsp": "rtsp,rtp,udp,tcp",
    "rtsps": "rtsp,rtsps,rtp,srtp,udp,tcp,tls",
    "rtmpt": "rtmpt,rtmphttp,ffrtmphttp,http,tcp",
    "rtp": "rtp,udp",
    "srtp": "srtp,rtp,udp",
    "ftp": "ftp,tcp",
}
"""Never `file`: a playlist or a redirect must not reach this machine's files."""

SINGLE_FILE_FORMATS = (
    "aac,ac3,aiff,amr,asf,avi,caf,dts,eac3,flac,flv,live_flv,gif,h264,hevc,ivf,matroska,webm,mjpeg,mov,mp4,m4a,3gp,3g2,"
    "mj2,mp3,mpeg,mpegts,mpegvideo,mxf,nut,obu,ogg,truehd,w64,wav,yuv4mpegpipe,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm"
)
"""Containers that name no other file. Everything else (playlists, concat scripts, SDP, image sequences) is only
opened when asked for by name or address."""
SEGMENT_FORMATS = "hls,mpegts,mov,mp4,m4a,3gp,3g2,mj2,aac,ac3,eac3,mp3,webvtt"


@dataclass(frozen=True, slots=True)
class _Access:
    options: dict[str, str]
    """For every connection."""
    verify: bool


def open_url(uri: Uri, query: str, settings: Options, wanted: str, ca_file: str) -> Callable[[], LibavReader]:
    """A blocking opener for `uri`; `query` is the part of its query that the peer gets. Raises UsageError."""
    whitelist = PROTOCOLS.get(uri.scheme)
    if whitelist is None:
        raise UsageError(f"{uri.redacted}: '{uri.scheme}:' cannot be opened")
    timeout_s = settings.seconds("timeout", READ_TIMEOUT_S) or READ_TIMEOUT_S
    verify = settings.flag("tls_verify", True)
    options = {
        "protocol_whitelist": whitelist,
        "rw_timeout": str(round(timeout_s * 1e6)),
    }
    if uri.scheme in ("https", "rtsps", "http"):
        if verify and not ca_file and uri.scheme != "http":
            raise UsageError(
                f"{uri.redacted}: this system has no file of trusted certificates",
                hint="install ca-certificates, name a file with ca_file=, or add tls_verify=0",
            )
        options["tls_verify"] = "1" if verify else "0"
        if ca_file:
            options["ca_file"] = ca_file
    base = uri.text.partition("?")[0]
    url = f"{base}?{query}" if query else base
    name = uri.redacted
    timeouts = (max(timeout_s, OPEN_TIMEOUT_S), timeout_s)
    if uri.scheme in ("http", "https"):
        options |= {"user_agent": settings.text("user_agent") or "evotools", "reconnect": "0"}
        access = _Access(options, verify)
        playlist = wanted == "hls" or uri.path.lower().endswith((".m3u8", ".m3u"))
        return lambda: _open_http(url, wanted, name, access, timeouts, playlist=playlist)
    if uri.scheme in ("rtsp", "rtsps"):
        transport = settings.choice("transport", ("tcp", "udp", "multicast"), "tcp")
        options |= {"rtsp_transport": {"multicast": "udp_multicast"}.get(transport, transport),
                    "timeout": options.pop("rw_timeout")}  # fmt: skip
    return lambda: LibavReader(url, format=wanted or None, options=options, name=name, timeouts_s=timeouts)


def _open_http(
    url: str, wanted: str, name: str, access: _Access, timeouts: tuple[float, float], *, playlist: bool
) -> LibavReader:
    if not playlist:
        options = {**access.options, "format_whitelist": SINGLE_FILE_FORMATS}
        try:
            return LibavReader(url, format=wanted or None, options=options, name=name, timeouts_s=timeouts)
        except MediaError:
            if wanted:
                raise
            # The address did not say so, but it may be a playlist.
    options = {
        "protocol_whitelist": _HTTP,
        "format_whitelist": SEGMENT_FORMATS,
        # Both reach into libav's own connection objects, which ours are not: a crash, not an error.
        "http_persistent": "0",
        "http_multiple": "0",
        "seg_max_retry": "2",
    }
    opener = SegmentOpener(access.options, timeouts, name)
    return LibavReader(url, format="hls", options=options, name=name, timeouts_s=timeouts, io_open=opener)


class SegmentOpener:
    """Opens playlists, keys and segments for libav's HLS reader.

    libav 8 hands user agent, cookies and time-outs down to segments, but not `tls_verify` and `ca_file`: segments
    would come from anyone. Here every address is a connection of its own with all options.
    """

    def __init__(self, options: dict[str, str], timeouts: tuple[float, float], name: str) -> None:
        self._options = options
        self._timeouts = timeouts
        self._name = name
        self._opened = 0

    def __call__(self, url: str, flags: int, options: dict[str, str]) -> "UrlFile | EmptyFile":
        scheme = url.partition(":")[0].lower()
        # Only the first address may raise: PyAV prints a traceback for errors that libav answers by going on.
        if flags & 2 or scheme.removeprefix("crypto+") not in ("http", "https"):
            log.warning("%s: refers to an address of scheme '%s', which is not opened", self._name, scheme)
            return EmptyFile()
        try:
            file = UrlFile(url, {**options, **self._options}, self._timeouts)
        except Exception as error:
            if not self._opened:
                raise
            log.warning("%s: a segment could not be opened: %s", self._name, getattr(error, "strerror", error))
            return EmptyFile()
        self._opened += 1
        return file


class EmptyFile:
    """Stands for what was not opened."""

    def read(self, size: int) -> bytes:
        """The end, at once."""
        return b""


class UrlFile:
    """The bytes behind one URL, through libav's raw `data` reader: decryption, ranges and TLS included."""

    def __init__(self, url: str, options: dict[str, str], timeouts: tuple[float, float]) -> None:
        import av

        self._container: Any = av.open(url, "r", format="data", options=options, timeout=timeouts)
        self._packets = self._container.demux()
        self._rest = b""

    def read(self, size: int) -> bytes:
        """The next bytes; empty at the end."""
        data = self._rest
        while not data:
            packet = next(self._packets, None)
            if packet is None:
                return b""
            data = bytes(packet)
            if not data:
                return b""
        self._rest = data[size:]
        return data[:size]

    def close(self) -> None:
        """Drop the connection."""
        self._container.close()
