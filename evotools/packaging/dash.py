"""DASH manifests as bytes: ISO/IEC 23009-1, profile isoff-live, as the DASH-IF interoperability points use it.

Segments are named by $Number$ in a SegmentTimeline, which counts them: whatever breaks that count or the
initialisation (a gap, a new encoding, a restart) begins a new Period.
"""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from itertools import pairwise
from urllib.parse import quote

from evotools.media.language import bcp47
from evotools.media.track import Kind, Track
from evotools.packaging.presentation import MediaSegment, Period, Presentation, Rendition
from evotools.packaging.signal import channel_configuration, picture

MIME = "application/dash+xml"
PROFILE = "urn:mpeg:dash:profile:isoff-live:2011"
DELAY_SEGMENTS = 3
"""suggestedPresentationDelay: as far behind the live edge as HLS players stay (RFC 8216 6.3.3)."""
_ROLE = "urn:mpeg:dash:role:2011"
_URI_SAFE = "/!$&'()*+,;=@"
_SAME_CLOCK_S = 1e-5


def mpd(presentation: Presentation, now_unix_s: float) -> bytes:
    """The manifest at `now_unix_s`; URIs are relative to the folder of the renditions' folders.

    `dynamic` while a live or event presentation goes on, `static` from its end. The end moves no times, though what
    has left the window is a hole at the beginning then: who watched live plays on to the end (shaka 5 leaves out the
    last segments when presentationTimeOffset moves), and who comes later begins behind the hole.

    Raises ValueError when the segments of a rendition are not named by their numbers, or the presentation is not
    fMP4: the caller's mistakes.
    """
    if presentation.container != "fmp4":
        raise ValueError("DASH manifests are written for fMP4 presentations only")
    spans = _spans(presentation)
    dynamic = presentation.type != "vod" and not presentation.ended
    longest_s = max((s.duration / r.timescale for r in presentation.renditions for s in r.segments if not s.gap),
                    default=presentation.target_s)  # fmt: skip
    attributes = [
        ("xmlns", "urn:mpeg:dash:schema:mpd:2011"),
        ("profiles", PROFILE),
        ("type", "dynamic" if dynamic else "static"),
    ]
    if dynamic:
        target_s = max([presentation.target_s, *(float(r.target_duration) for r in presentation.renditions)])
        delay_s = DELAY_SEGMENTS * target_s
        if presentation.window_s is not None:
            # Who begins at the back of a short window loses the first segment to it.
            delay_s = min(delay_s, max(presentation.window_s - target_s, target_s))
        attributes += [
            ("availabilityStartTime", _date(presentation.availability_start_unix_s)),
            ("publishTime", _date(now_unix_s)),
            ("minimumUpdatePeriod", _duration(presentation.target_s)),
            ("suggestedPresentationDelay", _duration(delay_s)),
        ]
        if presentation.window_s is not None and presentation.type == "live":
            attributes.append(("timeShiftBufferDepth", _duration(presentation.window_s)))
    else:
        attributes.append(("mediaPresentationDuration", _duration(max((s.end_s for s in spans), default=0.0))))
    attributes += [
        ("maxSegmentDuration", _duration(max(longest_s, presentation.target_s) if dynamic else longest_s)),
        # 5.3.1.2: at @bandwidth, the rate of the fullest segment, every segment arrives while the one before plays.
        ("minBufferTime", _duration(longest_s)),
    ]
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', _tag("MPD", attributes)]
    # The schema wants a Period even where there is nothing yet.
    for span in spans or [_Span("p0", 0.0, 0.0)]:
        lines += _period(span)
    lines += ["</MPD>", ""]
    return "\n".join(lines).encode("utf-8", "replace")


# Periods.


@dataclass(frozen=True, slots=True)
class _Part:
    """One Representation of one Period."""

    rendition: Rendition
    track: Track
    """As it is in this period."""
    segments: list[MediaSegment]


@dataclass(slots=True)
class _Span:
    """One Period of the manifest: a period of the presentation, or a part of it without a break."""

    id: str
    start_s: float
    media_start_s: float
    parts: list[_Part] = field(default_factory=list)
    end_s: float = 0.0
    """Presentation time where its media ends."""


def _spans(presentation: Presentation) -> list[_Span]:
    spans: list[_Span] = []
    for period, indices in _periods(presentation):
        media: list[tuple[Rendition, list[MediaSegment]]] = []
        breaks: dict[float, int] = {}
        own: dict[str, list[tuple[int, float]]] = {}
        for rendition in presentation.renditions:
            segments = [s for s in rendition.segments if s.period in indices and not s.gap]
            if not segments:
                continue
            media.append((rendition, segments))
            for before, after in pairwise(segments):
                # 5.3.9.6: with @startNumber and a timeline numbers are counted; S@n, which could jump, is not
                # understood by dash.js 5 and ffmpeg.
                if after.number != before.number + 1 or after.init != before.init:
                    time_s = max(after.time, before.time + before.duration) / rendition.timescale
                    breaks[time_s] = after.number
                    own.setdefault(rendition.id, []).append((after.number, time_s))
        spans += _split(period, media, breaks, own)
    return spans


def _periods(presentation: Presentation) -> list[tuple[Period, set[int]]]:
    """Periods and the indices that they stand for.

    A live manifest may add no track to a Period that players have seen. At the end of an on-demand one it is known
    which tracks there are, and one that comes later or ends earlier needs no Period, whose edges would cut off what
    the others have there.
    """
    found: list[tuple[Period, set[int]]] = []
    inits: dict[str, str] = {}
    for period in presentation.periods:
        own: dict[str, str] = {}
        last: dict[str, str] = {}
        for rendition in presentation.renditions:
            for segment in rendition.segments:
                if segment.period == period.index and not segment.gap:
                    own.setdefault(rendition.id, segment.init)
                    last[rendition.id] = segment.init
        if found and presentation.type == "vod":
            before = found[-1][0]
            clock_s = period.start_s - period.media_start_s - (before.start_s - before.media_start_s)
            if abs(clock_s) < _SAME_CLOCK_S and all(inits.get(name, init) == init for name, init in own.items()):
                found[-1][1].add(period.index)
                inits |= last
                continue
        found.append((period, {period.index}))
        inits = last
    return found


def _split(
    period: Period, media: Sequence[tuple[Rendition, list[MediaSegment]]], breaks: dict[float, int],
    own: dict[str, list[tuple[int, float]]],
) -> list[_Span]:  # fmt: skip
    """`breaks`: where parts begin, in media time, and with which number; `own`: those that a rendition asks for."""
    at = sorted(breaks)
    offset_s = period.start_s - period.media_start_s
    spans = [_Span(f"p{period.index}", period.start_s, period.media_start_s)]
    spans += [_Span(f"p{period.index}.{breaks[time_s]}", time_s + offset_s, time_s) for time_s in at]
    for rendition, segments in media:
        scale = rendition.timescale
        parts: dict[int, list[MediaSegment]] = {}
        wanted = [(number, at.index(time_s)) for number, time_s in own.get(rendition.id, ())]
        for segment in segments:
            # Segments of different renditions do not begin at quite the same time.
            index = bisect_right(at, (segment.time + segment.duration / 2) / scale)
            least = max((place + 1 for number, place in wanted if number <= segment.number), default=0)
            most = min((place for number, place in wanted if number > segment.number), default=len(at))
            parts.setdefault(min(max(index, least), most), []).append(segment)
        for index, part in parts.items():
            span = spans[index]
            span.parts.append(_Part(rendition, rendition.tracks_in(part[0].period)[0], part))
            span.end_s = max(span.end_s, (part[-1].time + part[-1].duration) / scale + offset_s)
    return [span for span in spans if span.parts]


def _period(span: _Span) -> Iterable[str]:
    yield "  " + _tag("Period", [("id", span.id), ("start", _duration(span.start_s))])
    sets: dict[tuple[object, ...], list[_Part]] = {}
    for part in span.parts:
        sets.setdefault(_alike(part.track), []).append(part)
    main: dict[Kind, tuple[str, str]] = {}
    for number, parts in enumerate(sets.values()):
        track = parts[0].track
        sound = (bcp47(track.language), track.label)
        first = main.setdefault(track.kind, sound)
        # The same thing in another codec is no other content.
        role = "main" if track.kind is Kind.VIDEO or sound == first else "alternate"
        yield from _adaptation_set(number, parts, span, role)
    yield "  </Period>"


def _alike(track: Track) -> tuple[object, ...]:
    """What Representations of one AdaptationSet have in common: a player changes between them without a seam."""
    entry = track.codec_string.partition(".")[0] or track.codec
    language = bcp47(track.language)
    if track.kind is Kind.VIDEO:
        signal = picture(track)
        return track.kind, track.codec, entry, language, signal.sample_aspect_ratio or 1, signal.video_range
    return track.kind, track.codec, entry, language, track.label, track.channels


# Adaptation sets.


def _adaptation_set(number: int, parts: Sequence[_Part], span: _Span, role: str) -> Iterable[str]:
    tracks = [part.track for part in parts]
    track = tracks[0]
    segments = [segment for part in parts for segment in part.segments]
    video = track.kind is Kind.VIDEO
    attributes = [
        ("id", str(number)),
        ("contentType", track.kind.value),
        ("mimeType", f"{track.kind.value}/mp4"),
    ]
    language = bcp47(track.language)
    if language:
        attributes.append(("lang", language))
    if _aligned(parts):
        attributes.append(("segmentAlignment", "true"))
    sap = max(s.sap for s in segments) if all(s.independent for s in segments) else 0
    if sap:
        attributes.append(("startWithSAP", str(sap)))
    if video:
        widths, heights = [t.width for t in tracks if t.width], [t.height for t in tracks if t.height]
        if widths and heights:
            attributes += [("maxWidth", str(max(widths))), ("maxHeight", str(max(heights)))]
        rates = [t.fps for t in tracks if t.fps]
        if rates:
            attributes.append(("maxFrameRate", _ratio(max(rates))))
    yield "    " + _tag("AdaptationSet", attributes)
    labels = {t.label for t in tracks}
    if len(labels) == 1 and track.label:
        yield f"      <Label>{_escaped(track.label)}</Label>"
    yield "      " + _tag("Role", [("schemeIdUri", _ROLE), ("value", role)], empty=True)
    templates = [_template(part, span) for part in parts]
    shared = all(template == templates[0] for template in templates)
    if shared:
        yield from templates[0]
    for part, template in zip(parts, templates, strict=True):
        yield from _representation(part, [] if shared else template)
    yield "    </AdaptationSet>"


def _aligned(parts: Sequence[_Part]) -> bool:
    """5.3.3.2: at every number the segments of all Representations cover the same time, and do not overlap others."""

    def edges(part: _Part) -> list[tuple[int, Fraction]]:
        return [(s.number, Fraction(s.time, part.rendition.timescale)) for s in part.segments]

    first, *others = parts
    if not others:
        return True
    wanted = edges(first)
    # A tick of the coarser clock is no overlap.
    slack = max(Fraction(1, part.rendition.timescale) for part in parts)
    for part in others:
        found = edges(part)
        if len(found) != len(wanted):
            return False
        if any(a[0] != b[0] or abs(a[1] - b[1]) > slack for a, b in zip(found, wanted, strict=True)):
            return False
    return True


def _representation(part: _Part, template: Sequence[str]) -> Iterable[str]:
    rendition, track = part.rendition, part.track
    rate = max(rendition.peak_bps, rendition.average_bps) or track.bitrate_bps or 1
    attributes = [("id", rendition.id), ("bandwidth", str(rate))]
    if track.codec_string:
        attributes.append(("codecs", track.codec_string))
    inside = list(template)
    if track.kind is Kind.VIDEO:
        if track.width and track.height:
            attributes += [("width", str(track.width)), ("height", str(track.height))]
        if track.fps:
            attributes.append(("frameRate", _ratio(track.fps)))
        aspect = picture(track).sample_aspect_ratio
        if aspect:
            attributes.append(("sar", f"{aspect.numerator}:{aspect.denominator}"))
    else:
        if track.sample_rate:
            attributes.append(("audioSamplingRate", str(track.sample_rate)))
        scheme, value = channel_configuration(track)
        if scheme:
            element = _tag("AudioChannelConfiguration", [("schemeIdUri", scheme), ("value", value)], empty=True)
            inside.insert(0, f"      {element}")
    yield "      " + _tag("Representation", attributes, empty=not inside)
    if inside:
        yield from ("  " + line for line in inside)
        yield "      </Representation>"


# Segments.


def _template(part: _Part, span: _Span) -> list[str]:
    segments, scale = part.segments, part.rendition.timescale
    attributes = [("timescale", str(scale))]
    offset = round(span.media_start_s * scale)
    if offset:
        attributes.append(("presentationTimeOffset", str(offset)))
    folder = "$RepresentationID$/"
    attributes += [
        ("startNumber", str(segments[0].number)),
        ("initialization", folder + _literal(segments[0].init)),
        ("media", folder + name_template(segments)),
    ]
    lines = ["      " + _tag("SegmentTemplate", attributes), "        <SegmentTimeline>"]
    lines += (f"          {s}" for s in _timeline(segments))
    lines += ["        </SegmentTimeline>", "      </SegmentTemplate>"]
    return lines


def _timeline(segments: Sequence[MediaSegment]) -> Iterable[str]:
    """5.3.9.6: one S for each run of equally long segments that follow each other."""
    start: int | None = segments[0].time
    expected, duration, repeats = segments[0].time, segments[0].duration, -1
    for segment in segments:
        if segment.duration == duration and segment.time == expected:
            repeats += 1
        else:
            yield _run(start, duration, repeats)
            start = None if segment.time == expected else segment.time
            duration, repeats = segment.duration, 0
        expected = segment.time + segment.duration
    yield _run(start, duration, repeats)


def _run(start: int | None, duration: int, repeats: int) -> str:
    return "".join(
        (
            "<S",
            "" if start is None else f' t="{start}"',
            f' d="{duration}"',
            f' r="{repeats}"' if repeats else "",
            "/>",
        )
    )


def name_template(segments: Sequence[MediaSegment]) -> str:
    """The $Number$ template that makes the names of these segments (5.3.9.4.4). Raises ValueError when none does."""
    first = segments[0]
    for found in reversed(list(re.finditer("0*" + str(first.number), first.name))):
        head, tail, width = first.name[: found.start()], first.name[found.end() :], found.end() - found.start()
        if width == len(str(first.number)):
            # No leading zero to be seen: padded or not, names come out the same from here on.
            width = 1
        if all(segment.name == f"{head}{segment.number:0{width}d}{tail}" for segment in segments):
            return f"{_literal(head)}{'$Number$' if width == 1 else f'$Number%0{width}d$'}{_literal(tail)}"
    raise ValueError(f"segments from {first.name!r} on are not named by their numbers")


# Text.


def _tag(name: str, attributes: Iterable[tuple[str, str]], *, empty: bool = False) -> str:
    inside = "".join(f' {key}="{_escaped(value)}"' for key, value in attributes)
    return f"<{name}{inside}{'/' if empty else ''}>"


def _escaped(text: str) -> str:
    # XML 1.0 2.2: control characters, surrogates and two non-characters cannot be written at all.
    clean = "".join(" " if unicodedata.category(c) in ("Cc", "Cs") or c in "\ufffe\uffff" else c for c in text)
    return clean.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def _literal(name: str) -> str:
    """A piece of a template: `$` stands for itself when doubled."""
    return quote(name, safe=_URI_SAFE).replace("$", "$$")


def _ratio(rate: Fraction) -> str:
    return str(rate.numerator) if rate.denominator == 1 else f"{rate.numerator}/{rate.denominator}"


def _duration(seconds: float) -> str:
    """xs:duration to the microsecond."""
    text = f"{max(seconds, 0.0):.6f}".rstrip("0").rstrip(".")
    return f"PT{text}S"


def _date(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
