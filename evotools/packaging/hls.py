"""HLS playlists as bytes. RFC 8216."""

from collections.abc import Sequence
from datetime import UTC, datetime

from evotools.media.track import Kind, Track
from evotools.packaging.window import LiveWindow

MIME = "application/vnd.apple.mpegurl"
OVERHEAD_BPS = 64_000
"""BANDWIDTH of a master playlist is a promise; without a whole segment the declared rates get so much more."""


def media_playlist(window: LiveWindow, suffix: str = ".ts") -> bytes:
    """The media playlist of a live window; segment URIs are the segments' names plus `suffix`, relative."""
    segments = window.segments
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:3",  # 4.3.2.1: decimal EXTINF
        f"#EXT-X-TARGETDURATION:{window.target_duration}",
        f"#EXT-X-MEDIA-SEQUENCE:{segments[0].sequence if segments else window.next_sequence}",
        f"#EXT-X-DISCONTINUITY-SEQUENCE:{window.discontinuity_sequence}",
    ]
    if all(segment.independent for segment in segments):
        lines.append("#EXT-X-INDEPENDENT-SEGMENTS")
    for segment in segments:
        if segment.discontinuity:
            lines.append("#EXT-X-DISCONTINUITY")
        lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{_date(segment.start_unix_s)}")
        lines.append(f"#EXTINF:{segment.duration_s:.5f},")
        lines.append(segment.name + suffix)
    if window.ended:
        lines.append("#EXT-X-ENDLIST")
    lines.append("")
    return "\n".join(lines).encode("ascii")


def master_playlist(tracks: Sequence[Track], uri: str, *, peak_bps: int, average_bps: int = 0) -> bytes:
    """The master playlist of one rendition.

    `peak_bps` is the rate of the fullest segment; 0 falls back to the rates that the tracks declare. CODECS,
    RESOLUTION and FRAME-RATE appear when they are known.
    """
    if not peak_bps:
        peak_bps = sum(track.bitrate_bps for track in tracks) + OVERHEAD_BPS
    attributes = [f"BANDWIDTH={max(peak_bps, average_bps)}"]
    if average_bps:
        attributes.append(f"AVERAGE-BANDWIDTH={average_bps}")
    # 4.3.4.2: the list must name every format present, so a half-known one is left out.
    codecs = [track.codec_string for track in tracks if track.kind is not Kind.DATA]
    if codecs and all(codecs):
        attributes.append(f'CODECS="{",".join(codecs)}"')
    video = next((track for track in tracks if track.kind is Kind.VIDEO), None)
    if video is not None and video.width and video.height:
        attributes.append(f"RESOLUTION={video.width}x{video.height}")
    if video is not None and video.fps:
        attributes.append(f"FRAME-RATE={float(video.fps):.3f}")
    return f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-STREAM-INF:{','.join(attributes)}\n{uri}\n".encode("ascii")


def with_query(playlist: bytes, query: str) -> bytes:
    """The same playlist with `?query` behind every URI line, so that a token given once goes on to every request.

    `query` is raw, as it came in a request target: without blanks, controls or line ends.
    """
    tail = b"?" + query.encode("ascii")
    return b"\n".join(line + tail if line and not line.startswith(b"#") else line for line in playlist.split(b"\n"))


def _date(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
