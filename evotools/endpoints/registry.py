"""The one registry: scheme to source and sink, by dotted path, imported only when opened.

What a scheme can do (listen, connect, carry secrets, which options it declares) is data here, so that help, man
pages, `formats` and `serve --check` read the same table that the openers use.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import cast

from evotools.endpoints.base import Context, Sink, Source
from evotools.errors import UsageError
from evotools.log import protect
from evotools.uri import Uri


@dataclass(frozen=True, slots=True)
class Scheme:
    """One URI scheme."""

    name: str
    source: str = ""
    """`module:Class`, or empty when it cannot be read."""
    sink: str = ""
    summary: str = ""
    example: str = ""
    options: tuple[str, ...] = ()
    listens: bool = False
    local: bool = False
    """Names this machine's files, descriptors or programs: never opened for URIs that came through an API."""


_BYTES = "evotools.endpoints."
_HTTP = ("format", "timeout", "user_agent", "method", "tls_verify", "ca_file", "insecure_redirects")

SCHEMES: dict[str, Scheme] = {
    s.name: s
    for s in (
        Scheme("-", _BYTES + "stdio:StdinSource", _BYTES + "stdio:StdoutSink", "standard input or output", "-",
               local=True),
        Scheme("fd", _BYTES + "stdio:StdinSource", _BYTES + "stdio:StdoutSink", "an open descriptor", "fd:3",
               local=True),
        Scheme("file", _BYTES + "file:FileSource", _BYTES + "file:FileSink",
               "a file; the suffix or content tells the format", "recording.ts", ("format",), local=True),
        Scheme("null", "", _BYTES + "null:NullSink", "discards", "null:"),
        Scheme("test", _BYTES + "testsrc:TestSource", "", "the built-in test stream (videogen)",
               "test:?size=1280x720&fps=30"),
        Scheme("exec", _BYTES + "exec:ExecSource", _BYTES + "exec:ExecSink", "a program's standard output or input",
               "exec:'ffmpeg -i in.mov -f flv -'", local=True),
        Scheme("ts-exec", _BYTES + "exec:ExecSource", _BYTES + "exec:ExecSink", "a program that speaks MPEG-TS",
               "ts-exec:'videogen -f mpegts -'", local=True),
        Scheme("udp", _BYTES + "udp:UdpSource", _BYTES + "udp:UdpSink", "MPEG-TS over UDP, unicast or multicast",
               "udp://239.1.1.1:5000?iface=127.0.0.1",
               ("iface", "ttl", "packet_size", "buffer_size"), listens=True),
        Scheme("tcp", _BYTES + "tcp:TcpSource", _BYTES + "tcp:TcpSink", "a byte stream (MPEG-TS, FLV, Matroska)",
               "tcp://:9000", ("format", "timeout"), listens=True),
        Scheme("rtmp", _BYTES + "rtmp:RtmpSource", _BYTES + "rtmp:RtmpSink", "RTMP publish and play",
               "rtmp://host/app/stream", ("timeout", "rtmp_app"), listens=True),
        Scheme("rtmps", _BYTES + "rtmp:RtmpSource", _BYTES + "rtmp:RtmpSink", "the same over TLS",
               "rtmps://host/app/stream", ("timeout", "rtmp_app", "tls_verify", "ca_file")),
        Scheme("http", _BYTES + "http:HttpSource", _BYTES + "http:HttpSink",
               "media from an HTTP server, and a stream sent to one", "http://host:8080/live/show.flv", _HTTP),
        Scheme("https", _BYTES + "http:HttpSource", _BYTES + "http:HttpSink", "the same over TLS",
               "https://host/live/show.ts", _HTTP),
        Scheme("hub", _BYTES + "hub:open_source", _BYTES + "hub:open_sink", "a stream inside a running serve",
               "hub:live/cam"),
        Scheme("segment", "", _BYTES + "segments:SegmentSink", "files, cut at key frames",
               "segment:cam-%Y%m%d-%H%M%S.mp4?every=5m",
               ("time", "every", "size", "key", "format", "keep", "list", "list_format", "start_number", "timestamps",
                "utc", "sync"), local=True),
        Scheme("package", "", _BYTES + "package:PackageSink", "a folder of HLS and DASH", "package:www/show?type=event",
               ("format", "type", "segment", "window", "hls", "dash", "endlist", "force"), local=True),
    )
}  # fmt: skip

FOREIGN = {
    "rtsp": "RTSP, media inside the connection unless transport says other",
    "rtsps": "RTSP over TLS",
    "rtmpt": "RTMP in HTTP requests",
    "rtp": "RTP over UDP",
    "srtp": "RTP over UDP, encrypted",
    "ftp": "a file by FTP",
}
"""Opened for reading through libav, with its network options pinned down; what each is."""
_HTTP_HELP = {
    "format": "Container, by the names of -f; default: by content when reading, by suffix when writing.",
    "timeout": "Longest wait for the connection, for the answer and for media; default: 10s.",
    "user_agent": "What the server is told; default: evotools.",
    "method": "How a stream is sent: PUT or POST; default: PUT.",
    "tls_verify": "0 takes any certificate; default: 1.",
    "ca_file": "File of trusted certificates instead of the system's.",
    "insecure_redirects": "1 follows redirects from https to http; default: 0.",
}
OPTION_HELP: dict[str, dict[str, str]] = {
    "http": _HTTP_HELP,
    "https": _HTTP_HELP,
    "file": {"format": "Container, by the names of -f; default: by content when reading, by suffix when writing."},
    "udp": {
        "iface": "Network interface of multicast, by its address or name.",
        "ttl": "Hops that a datagram may travel; default: 16 for multicast, the system's for unicast.",
        "packet_size": "Bytes in a datagram that we send, cut to whole packets of 188; default: 1316.",
        "buffer_size": "Size of the receive buffer asked of the system; default: 8MiB.",
    },
    "tcp": {
        "format": "Container, by the names of -f; default: by content when reading, MPEG-TS when writing.",
        "timeout": "Longest wait for the connection; default: 10s.",
    },
    "rtmp": {
        "timeout": "Longest wait for the connection; default: 10s.",
        "rtmp_app": "The application, where it is not the first part of the path (the first two of three or more).",
    },
    "rtmps": {
        "timeout": "Longest wait for the connection; default: 10s.",
        "rtmp_app": "The application, where it is not the first part of the path (the first two of three or more).",
        "tls_verify": "0 takes any certificate; default: 1.",
        "ca_file": "File of trusted certificates instead of the system's.",
    },
    "segment": {
        "time": "A new file after this much media.",
        "every": "A new file at every multiple of this on the wall clock.",
        "size": "A new file before the current one grows beyond this.",
        "key": "1: every key frame begins a file.",
        "format": "ts, fmp4, mp4, mkv, webm or flv; default: by the suffix of the pattern.",
        "keep": "How many old files stay: a number, an age (7d), a size (10GB), or several with commas.",
        "list": "A list of the finished files.",
        "list_format": "m3u8, csv or ffconcat; default: by the suffix of the list.",
        "start_number": "First number of the counter, or next to go on after an earlier run; default: 0.",
        "timestamps": "keep or reset; default: keep for ts, reset for the others.",
        "utc": "1: names and clock in UTC instead of local time.",
        "sync": "1: a finished file is on the disk before it is told.",
    },
    "package": {
        "format": "Container of the segments: fmp4 or ts; default: fmp4.",
        "type": "vod, event or live; default: live for live sources, vod for stored ones.",
        "segment": "Target duration of a segment; default: 6s.",
        "window": "What a live presentation shows, or all; default: 60s.",
        "hls": "0 leaves out HLS.",
        "dash": "0 leaves out DASH; default: with fmp4.",
        "endlist": "0 leaves a live or event presentation open at the end, for the next run.",
        "force": "1 replaces what was packaged into the folder before.",
    },
    "foreign": {
        "format": "Container, by the names of -f; default: by content.",
        "timeout": "Longest wait for the connection and for media; default: 10s.",
        "tls_verify": "0 takes any certificate; default: 1.",
        "ca_file": "File of trusted certificates instead of the system's.",
        "transport": "RTSP: tcp, udp or multicast; default: tcp.",
    },
}
"""What the options of each scheme mean; `foreign` are those of FOREIGN. The options of `test:` are videogen's."""


def _lookup(uri: Uri, role: str, ctx: Context) -> str:
    scheme = SCHEMES.get(uri.scheme)
    if scheme is None:
        if role == "source" and uri.scheme in FOREIGN:
            return _BYTES + "libav:LibavSource"
        known = " ".join(sorted(SCHEMES))
        verb = "read from" if role == "source" else "write to"
        raise UsageError(f"{uri.redacted}: cannot {verb} '{uri.scheme}' URIs", hint=f"known schemes: {known}")
    target: str = getattr(scheme, role)
    if not target:
        verb = "reading" if role == "source" else "writing"
        raise UsageError(f"{uri.redacted}: '{uri.scheme}:' is not for {verb}")
    if scheme.local and not ctx.trusted:
        raise UsageError(f"'{uri.scheme}:' URIs come from the configuration file or the command line only")
    return target


def _load(target: str, uri: Uri, ctx: Context) -> object:
    protect(uri.secrets())
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)(uri, ctx)


def open_source(uri: Uri, ctx: Context) -> Source:
    """An unopened source for `uri`. Raises UsageError."""
    return cast(Source, _load(_lookup(uri, "source", ctx), uri, ctx))


def open_sink(uri: Uri, ctx: Context) -> Sink:
    """An unopened sink for `uri`. Raises UsageError."""
    return cast(Sink, _load(_lookup(uri, "sink", ctx), uri, ctx))
