"""HLS playlists as bytes. RFC 8216 and its revision, draft-pantos-hls-rfc8216bis."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from urllib.parse import quote

from evotools.media.track import Kind, Track
from evotools.packaging.ladder import Alternatives, Group, alternatives, quotable
from evotools.packaging.presentation import MediaSegment, Presentation, Rendition
from evotools.packaging.signal import joint_object_coding, picture
from evotools.packaging.window import LiveWindow, round_half_up

MIME = "application/vnd.apple.mpegurl"
MEDIA_PLAYLIST = "playlist.m3u8"
"""Name of a rendition's playlist in its folder."""
OVERHEAD_BPS = 64_000
"""BANDWIDTH of a master playlist is a promise; without a whole segment the declared rates get so much more."""
_VERSION_TS = 3
"""7: decimal EXTINF."""
_VERSION_FMP4 = 7
"""7: EXT-X-MAP without EXT-X-I-FRAMES-ONLY needs 6; Apple's authoring rules and older players want 7 for fMP4."""
_VERSION_GAP = 8
"""draft-pantos-hls-rfc8216bis 8: EXT-X-GAP."""
_URI_SAFE = "/!$&'()*+,;=@"


# Live playlists of the server: MPEG-TS from a window in memory.


def media_playlist(window: LiveWindow, suffix: str = ".ts") -> bytes:
    """The media playlist of a live window; segment URIs are the segments' names plus `suffix`, relative."""
    segments = window.segments
    lines = _head(
        _VERSION_TS,
        window.target_duration,
        segments[0].sequence if segments else window.next_sequence,
        window.discontinuity_sequence,
        independent=all(segment.independent for segment in segments),
    )
    for segment in segments:
        if segment.discontinuity:
            lines.append("#EXT-X-DISCONTINUITY")
        lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{_date(segment.start_unix_s)}")
        lines.append(f"#EXTINF:{segment.duration_s:.5f},")
        lines.append(segment.name + suffix)
    return _bytes(lines, ended=window.ended)


def master_playlist(tracks: Sequence[Track], uri: str, *, peak_bps: int, average_bps: int = 0) -> bytes:
    """The master playlist of one rendition.

    `peak_bps` is the rate of the fullest segment; 0 falls back to the rates that the tracks declare. CODECS,
    RESOLUTION and FRAME-RATE appear when they are known.
    """
    return _bytes(["#EXTM3U", f"#EXT-X-VERSION:{_VERSION_TS}", *_variant(tracks, tracks, peak_bps, average_bps, uri)])


def with_query(playlist: bytes, query: str) -> bytes:
    """The same playlist with `?query` behind every URI line, so that a token given once goes on to every request.

    `query` is raw, as it came in a request target: without blanks, controls or line ends.
    """
    tail = b"?" + query.encode("ascii")
    return b"\n".join(line + tail if line and not line.startswith(b"#") else line for line in playlist.split(b"\n"))


# Packaged presentations.


def rendition_playlist(presentation: Presentation, rendition: Rendition) -> bytes:
    """The media playlist of a rendition; URIs are relative to the rendition's folder."""
    segments, late, discontinuities = _shown(presentation, rendition)
    scale = rendition.timescale
    version = _VERSION_FMP4 if presentation.container == "fmp4" else _VERSION_TS
    if any(segment.gap for segment in segments):
        version = max(version, _VERSION_GAP)
    # 4.3.2.1: players add durations up, so that a late start belongs to the segment that follows it.
    durations = [(segment.lead + segment.duration + segment.tail) / scale for segment in segments]
    if durations:
        durations[0] += late / scale
    # 4.3.3.1: at least every duration, rounded.
    target = max([rendition.target_duration, 1, *map(round_half_up, durations)])
    lines = _head(
        version,
        target,
        segments[0].number if segments else _next_number(rendition),
        discontinuities,
        independent=bool(segments) and _independent(segments),
        kind=_kind(presentation),
    )
    init = ""
    for segment, duration in zip(segments, durations, strict=True):
        if segment.discontinuity:
            lines.append("#EXT-X-DISCONTINUITY")
        if segment.init and segment.init != init:
            init = segment.init
            lines.append(f'#EXT-X-MAP:URI="{_uri(init)}"')
        if segment.gap:
            lines.append("#EXT-X-GAP")
        if segment.start_unix_s:
            lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{_date(segment.start_unix_s)}")
        lines.append(f"#EXTINF:{duration:.6f},")
        lines.append(_uri(segment.name))
    return _bytes(lines, ended=presentation.ended)


def multivariant(presentation: Presentation) -> bytes:
    """The multivariant ("master") playlist; URIs are `ID/playlist.m3u8`."""
    version = _VERSION_FMP4 if presentation.container == "fmp4" else _VERSION_TS
    lines = ["#EXTM3U"]
    found = alternatives(presentation.renditions)
    if found.groups:
        # 7: EXT-X-MEDIA.
        version = max(version, 4)
    lines.append(f"#EXT-X-VERSION:{version}")
    if presentation.ended and all(r.segments and _independent(r.segments) for r in presentation.renditions):
        # Clients of a live presentation read this once, so that it must stay true.
        lines.append("#EXT-X-INDEPENDENT-SEGMENTS")
    for group in found.groups:
        lines += _media(group)
    lines += _variants(found)
    return _bytes(lines)


def _variants(found: Alternatives) -> Iterable[str]:
    for rendition, group in found.variants:
        attributes: list[str] = []
        own = _ever(rendition)
        tracks = list(own)
        peak, average = rendition.peak_bps, rendition.average_bps
        if not peak:
            peak = sum(track.bitrate_bps for track in rendition.tracks) + OVERHEAD_BPS
        if group is not None:
            others = [m.rendition for m in group.members if m.rendition is not None and m.rendition is not rendition]
            # 4.3.4.2: the most that any combination of renditions needs. Of sounds one plays at a time.
            most = max((r.peak_bps or OVERHEAD_BPS for r in others), default=0)
            mean = max((r.average_bps for r in others), default=0)
            if rendition.kind is Kind.AUDIO:
                peak, average = max(peak, most), max(average, mean)
            else:
                peak, average = peak + most, average + mean
            tracks += [track for r in others for track in _ever(r)]
            attributes.append(f'AUDIO="{quotable(group.id)}"')
        yield from _variant(own, tracks, peak, average, f"{_uri(rendition.id)}/{MEDIA_PLAYLIST}", attributes)


def _ever(rendition: Rendition) -> list[Track]:
    """The tracks of all that is shown: CODECS names every format (4.3.4.2)."""
    periods = dict.fromkeys(segment.period for segment in rendition.segments if not segment.gap)
    return [track for period in periods for track in rendition.tracks_in(period)] or list(rendition.tracks)


def _media(group: Group) -> Iterable[str]:
    for member in group.members:
        attributes = ["TYPE=AUDIO", f'GROUP-ID="{quotable(group.id)}"', f'NAME="{quotable(member.name)}"']
        if member.language:
            attributes.append(f'LANGUAGE="{quotable(member.language)}"')
        attributes.append(f"DEFAULT={'YES' if member.default else 'NO'}")
        attributes.append(f"AUTOSELECT={'YES' if member.autoselect else 'NO'}")
        if member.track.channels:
            objects = joint_object_coding(member.track)
            attributes.append(f'CHANNELS="{f"{objects}/JOC" if objects else member.track.channels}"')
        if member.rendition is not None:
            attributes.append(f'URI="{_uri(member.rendition.id)}/{MEDIA_PLAYLIST}"')
        yield f"#EXT-X-MEDIA:{','.join(attributes)}"


# Shared.


def _head(
    version: int, target: int, sequence: int, discontinuity_sequence: int, *, independent: bool, kind: str = ""
) -> list[str]:
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{version}", f"#EXT-X-TARGETDURATION:{target}"]
    if kind:
        lines.append(f"#EXT-X-PLAYLIST-TYPE:{kind}")
    lines.append(f"#EXT-X-MEDIA-SEQUENCE:{sequence}")
    if not kind or discontinuity_sequence:
        # 6.2.2: only a playlist that loses segments needs it.
        lines.append(f"#EXT-X-DISCONTINUITY-SEQUENCE:{discontinuity_sequence}")
    if independent:
        lines.append("#EXT-X-INDEPENDENT-SEGMENTS")
    return lines


def _variant(
    own: Sequence[Track], all_tracks: Sequence[Track], peak_bps: int, average_bps: int, uri: str,
    more: Sequence[str] = (),
) -> list[str]:  # fmt: skip
    """The lines of one variant: `own` are the tracks of its playlist, `all_tracks` those of its groups too."""
    if not peak_bps:
        peak_bps = sum(track.bitrate_bps for track in all_tracks) + OVERHEAD_BPS
    attributes = [f"BANDWIDTH={max(peak_bps, average_bps)}"]
    if average_bps:
        attributes.append(f"AVERAGE-BANDWIDTH={average_bps}")
    # 4.3.4.2: the list must name every format present, so a half-known one is left out.
    codecs = [track.codec_string for track in all_tracks if track.kind is not Kind.DATA]
    if codecs and all(codecs):
        attributes.append(f'CODECS="{quotable(",".join(dict.fromkeys(codecs)))}"')
    videos = [track for track in own if track.kind is Kind.VIDEO]
    if videos:
        video = max(videos, key=lambda track: track.width * track.height)
        signal = picture(video)
        if video.width and video.height:
            # "the optimal pixel resolution at which to display": with square pixels.
            width = round(video.width * (signal.sample_aspect_ratio or 1))
            attributes.append(f"RESOLUTION={width}x{video.height}")
        if video.fps:
            attributes.append(f"FRAME-RATE={float(video.fps):.3f}")
        if signal.video_range:
            attributes.append(f"VIDEO-RANGE={signal.video_range}")
    return [f"#EXT-X-STREAM-INF:{','.join([*attributes, *more])}", uri]


def _shown(presentation: Presentation, rendition: Rendition) -> tuple[list[MediaSegment], int, int]:
    """The segments of a media playlist, how many ticks the first one lasts longer in it, and how many discontinuities
    come before it.

    Gaps at the beginning are left out: Chromium fetches the first segment whatever is said of it, and hls.js 1.7 waits
    for it for ever. A late track keeps its place by a longer first segment, save where PROGRAM-DATE-TIME tells it and
    the front of the window moves. Gaps at the end of what is over say nothing.
    """
    segments = list(rendition.segments)
    first = next((n for n, segment in enumerate(segments) if not segment.gap), len(segments))
    left_out = segments[:first]
    late = 0
    if presentation.type != "live" and left_out and len(left_out) < len(segments):
        late = _late(presentation, rendition.timescale, left_out[0], segments[first])
    discontinuities = rendition.discontinuity_sequence + sum(s.discontinuity for s in left_out)
    del segments[:first]
    if presentation.ended:
        while segments and segments[-1].gap:
            segments.pop()
    return segments, late, discontinuities


def _late(presentation: Presentation, scale: int, gap: MediaSegment, first: MediaSegment) -> int:
    """Ticks from the beginning of a gap to where `first` begins without it; its media may reach into the gap."""
    clock = {p.index: p.start_s - p.media_start_s for p in presentation.periods}
    moved_s = clock.get(first.period, 0.0) - clock.get(gap.period, 0.0)
    return max(first.time - gap.time + round(moved_s * scale) + gap.lead - first.lead, 0)


def _next_number(rendition: Rendition) -> int:
    return rendition.segments[-1].number + 1 if rendition.segments else 0


def _independent(segments: Iterable[MediaSegment]) -> bool:
    # 4.3.5.1: every sample can be decoded without another segment, those before the first key frame in time too.
    return all(segment.independent and segment.sap <= 2 for segment in segments if not segment.gap)


def _kind(presentation: Presentation) -> str:
    if presentation.type == "live":
        return ""
    # 4.3.3.5: a VOD playlist must not change, so one that still grows is an event.
    return "VOD" if presentation.type == "vod" and presentation.ended else "EVENT"


def _bytes(lines: Sequence[str], *, ended: bool = False) -> bytes:
    tail = "\n#EXT-X-ENDLIST\n" if ended else "\n"
    # 4.1: UTF-8, without a byte order mark.
    return ("\n".join(lines) + tail).encode("utf-8")


def _uri(name: str) -> str:
    return quote(name, safe=_URI_SAFE)


def _date(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
