"""Built-in sets of coefficients: what was measured on evotools, and what MistServer's makers published in 2018."""

from evotools.capacity.coefficients import DELIVERY, PROTOCOLS, Coefficient, Profile, parse_value

Row = tuple[str, str, str]
"""Value as people type it, origin, source. Measured sizes are plain bytes, so that --binary leaves them alone."""

DEFAULT = "evotools"

_BLOG = "MistServer's blog, 1 March 2018"
_MIST: dict[str, Row] = {
    "cpu_per_connection": ("3.4", "vendor", f"{_BLOG}; the formula adds incoming streams"),
    "ram_per_connection": ("2MB", "vendor", f"{_BLOG}: per active connection, either direction"),
    "ram_windows": ("2", "vendor", f"{_BLOG}: 12.5 MB per Mbit/s is 100 s, twice 50 s"),
    "dvr": ("50s", "vendor", "MistServer's default buffer"),
    "package_windows": ("1", "assumed", "the source has no packaging to disk"),
    "full_duplex": ("0", "vendor", f"{_BLOG}: both directions are added up"),
    "margin_cpu": ("0%", "vendor", f"{_BLOG} names none"),
    "margin_ram": ("10%", "vendor", f"{_BLOG}: at least 10 %"),
    "margin_network": ("0%", "vendor", f"{_BLOG} names none"),
    "margin_disk": ("0%", "vendor", f"{_BLOG} names none"),
}

_CORE = "the blog's Xeon E5-2679 v4: CPU mark 25236 over 20 cores"
_FANOUT = "bench fanout: 1000 viewers, 0.5 to 6 Mbit/s, flush interval auto"
_LOAD = "serve with 10 publishers of 0.5 to 6 Mbit/s"
_RSS = "bench fanout: growth from 500 to 1000 viewers"
_HLS_LOAD = "serve, 2 s segments: 25 µs a playlist, 20 µs and 0.17 µs/kB a segment"
_FLV = "our muxer, 0.5 to 6 Mbit/s"
_TS = "our muxer, 0.5 to 6 Mbit/s, tables each 100 ms"
_CMAF = "our muxer, 0.5 to 6 Mbit/s, fragments of 2 s"
_TCP = "Ethernet, IPv4, TCP with time stamps: 1538 bytes for 1448"
_WRITES = "25 writes a second, the last packet half full"
_WEBRTC = "prototype of a sender (AES-GCM, GSO): 0.75 ms at 2.15 Mbit/s"
_SRT = "prototype of a sender (AES-128): 1.3 ms at 2.2 Mbit/s"

_TCP_LIVE: dict[str, Row] = {
    "transport_percent": ("6.22%", "computed", _TCP),
    "transport_bps": ("9000", "computed", _WRITES),
}
_TS_BYTES: dict[str, Row] = {
    "container_percent": ("2.15%", "measured", _TS),
    "container_bps": ("125000", "measured", _TS),
}
_FLV_BYTES: dict[str, Row] = {
    "container_percent": ("0%", "measured", _FLV),
    "container_bps": ("10000", "measured", _FLV),
}
_CMAF_BYTES: dict[str, Row] = {
    "container_percent": ("0%", "measured", _CMAF),
    "container_bps": ("3400", "measured", _CMAF),
    "cpu_us_per_stream": ("2000", "assumed", "as hls"),
    "ram_per_viewer": ("4700", "assumed", "as flv: a connection of HTTP"),
    "ram_windows": ("2.2", "assumed", "as hls"),
    "ram_s": ("3", "assumed", "as hls"),
}


def _http(us: str, bps: str, why: str, traffic: str) -> dict[str, Row]:
    return {
        "cpu_us_per_viewer": (us, "assumed", why),
        "cpu_us_per_viewer_mbit": ("22", "assumed", "as hls"),
        "transport_percent": ("6.22%", "computed", _TCP),
        "transport_bps": (bps, "computed", traffic),
    }


def _live(us: str, origin: str, source: str, ram: str, ram_s: str, stream_us: str) -> dict[str, Row]:
    return {
        "cpu_us_per_viewer": (us, origin, source),
        "cpu_us_per_viewer_mbit": ("6", origin, source),
        "cpu_us_per_stream": (stream_us, origin, _LOAD if origin == "measured" else "as flv"),
        "ram_per_viewer": (ram, origin, _RSS if origin == "measured" else "as flv"),
        "ram_s": (ram_s, origin, _LOAD if origin == "measured" else "as flv"),
        **_TCP_LIVE,
    }


_EVO: dict[str, Row] = {
    "cpu_us_base": ("5000", "measured", "one publisher alone takes 0.8 % of a core, ten 0.3 % each"),
    "cpu_us_per_publisher": ("2500", "measured", _LOAD),
    "cpu_us_per_publisher_mbit": ("250", "measured", _LOAD),
    "cpu_max_cores": ("1", "computed", "serve is one process with one event loop"),
    "ram_base": ("35000000", "measured", "evotools serve without streams"),
    "ram_per_publisher": ("20000", "assumed", "its connection; lost in the noise beside its media"),
    "ram_s": ("8.5s", "measured", f"{_LOAD}: the ring, 4 s and groups of pictures of 2 s"),
    "ram_in_flight_s": ("200ms", "assumed", "100 ms round trip; the kernel's accounting doubles it"),
    "dvr": ("12s", "measured", "the live playlist as installed: 6 segments of 2 s"),
    "ingest_percent": ("7.1%", "computed", f"RTMP in chunks of 128 bytes; {_TCP}"),
    "ingest_bps": ("18000", "computed", f"RTMP headers of 68 frames/s; {_WRITES}"),
    "record_percent": ("2.15%", "measured", f"MPEG-TS: {_TS}"),
    "record_bps": ("125000", "measured", f"MPEG-TS: {_TS}"),
    "package_windows": ("2", "assumed", "what the playlist shows, and as much for those who come late"),
    "package_s": ("4s", "assumed", "a segment of 2 s being made and one being written"),
    "full_duplex": ("1", "assumed", "Ethernet is"),
    "margin_cpu": ("25%", "assumed", "no more than 80 % load"),
    "margin_ram": ("10%", "assumed", "as the source advises"),
    "margin_network": ("25%", "assumed", "no more than 80 % load: key frames come in bursts"),
    "margin_disk": ("10%", "assumed", "file systems slow down when they are full"),
}
_EVO_DELIVERY: dict[str, dict[str, Row]] = {
    "rtmp": {
        **_live("218", "measured", _FANOUT, "9400", "6.5", "2500"),
        "container_percent": ("0.02%", "measured", f"{_FLV}, chunks of 4096 bytes"),
        "container_bps": ("8300", "measured", f"{_FLV}, chunks of 4096 bytes"),
    },
    "flv": {**_live("223", "measured", _FANOUT, "4700", "5", "2000"), **_FLV_BYTES},
    "ts": {**_live("223", "measured", f"as flv; {_FANOUT}", "4500", "13.5", "2500"), **_TS_BYTES},
    "ws": {**_live("225", "assumed", "as flv, and a frame header for each write", "4700", "5", "2000"), **_FLV_BYTES},
    "hls": {
        "cpu_us_per_viewer": ("25", "measured", _HLS_LOAD),
        "cpu_us_per_viewer_mbit": ("22", "measured", _HLS_LOAD),
        "cpu_us_per_stream": ("2000", "measured", _LOAD),
        "ram_per_viewer": ("4700", "assumed", "as flv: a connection of HTTP"),
        "ram_windows": ("2.2", "measured", f"{_LOAD}: segments shown and late ones"),
        "ram_s": ("3", "measured", f"{_LOAD}: the segment being made"),
        **_TS_BYTES,
        "transport_percent": ("6.22%", "computed", _TCP),
        "transport_bps": ("5500", "computed", "a playlist of 1 kB and two response heads each 2 s"),
    },
    "hls-fmp4": {
        **_CMAF_BYTES,
        **_http("25", "5500", "as hls", "a playlist of 1 kB and two response heads each 2 s"),
    },
    "ll-hls": {
        **_CMAF_BYTES,
        "container_bps": ("5500", "measured", "our muxer, 0.5 to 6 Mbit/s, fragments of 0.5 s"),
        **_http("100", "32000", "two parts and two playlists a second, at hls's cost of a request",
                "two parts and two playlists of 1.3 kB a second"),
    },
    "dash": {
        **_CMAF_BYTES,
        **_http("40", "11000", "a manifest, a video and an audio segment each 2 s, at hls's cost of a request",
                "a manifest of 2 kB and three response heads each 2 s"),
    },
    "mss": {
        **_CMAF_BYTES,
        **_http("25", "2500", "a video and an audio fragment each 2 s, at hls's cost of a request",
                "two response heads each 2 s"),
    },
    "hds": {
        **_CMAF_BYTES, **_FLV_BYTES,
        **_http("25", "5500", "as hls", "bootstrap information and two response heads each 2 s"),
    },
    "rtsp": {
        "cpu_us_per_viewer": ("100", "assumed", "between flv and webrtc without encryption"),
        "cpu_us_per_viewer_mbit": ("180", "assumed", "between flv and webrtc without encryption"),
        "ram_per_viewer": ("50000", "assumed", "half of webrtc's"),
        "ram_s": ("5", "assumed", "as flv"),
        "transport_percent": ("5.7%", "computed", "RTP, UDP, IPv4 and Ethernet: 80 bytes for 1400"),
        "transport_bps": ("35000", "computed", "43 audio packets a second; last packets of frames half full"),
    },
    "srt": {
        "cpu_us_per_viewer": ("100", "prototype", _SRT),
        "cpu_us_per_viewer_mbit": ("545", "prototype", _SRT),
        "ram_per_viewer": ("100000", "assumed", "as webrtc"),
        "ram_s": ("13.5", "assumed", "as ts"),
        **_TS_BYTES,
        "transport_percent": ("6.23%", "computed", "SRT, UDP, IPv4 and Ethernet: 82 bytes for 1316"),
        "transport_bps": ("8000", "computed", _WRITES),
    },
    "webrtc": {
        "cpu_us_per_viewer": ("200", "prototype", _WEBRTC),
        "cpu_us_per_viewer_mbit": ("250", "prototype", _WEBRTC),
        "cpu_us_per_stream": ("25000", "prototype", "our sender's prototype: 2.5 % of a core for a running stream"),
        "ram_per_viewer": ("100000", "prototype", "our sender's prototype, 600 viewers"),
        "ram_s": ("5", "assumed", "as flv: packets kept to be sent again"),
        "transport_percent": ("8.3%", "computed", "RTP, AES-GCM tag, UDP, IPv4 and Ethernet: 96 bytes for 1158"),
        "transport_bps": ("49000", "computed", "50 audio packets a second; last packets of frames half full; RTCP"),
    },
}  # fmt: skip

_MIST_NOTHING: Row = ("0", "vendor", f"{_BLOG} makes no difference between protocols and counts no overhead")


def _rows(name: str) -> dict[str, Row]:
    if name == DEFAULT:
        rows = dict(_EVO)
        rows.update({f"{p}.{n}": row for p, keys in _EVO_DELIVERY.items() for n, row in keys.items()})
    else:
        rows = {**_MIST, **{f"{p}.{n}": _MIST_NOTHING for p in PROTOCOLS for n in DELIVERY}}
    rows["cpu_mark_per_core"] = ("1260", "assumed", _CORE)
    return rows


SERVED = ("rtmp", "flv", "ts", "hls")
"""What `evotools serve` delivers; figures of other ways are of prototypes or assumed."""

TITLES = {
    "evotools": ("evotools serve, measured and computed figures", "hls"),
    "mistserver-2018": ("the constants of MistServer's calculators of 2018", "any"),
}
"""Built-in profiles: title, and delivery where none is asked for."""


def built_in(name: str, step: int = 1000) -> Profile:
    """A built-in profile; `step` is what MB and M mean in its published constants. Raises KeyError."""
    title, deliver = TITLES[name]
    found = {
        key: Coefficient(key, parse_value(key, value, step), origin, source)
        for key, (value, origin, source) in _rows(name).items()
    }
    return Profile(name, title, deliver, found)
