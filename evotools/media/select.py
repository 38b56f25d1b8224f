"""Track selectors: `video`, `audio:1`, `audio:lang=de`, `#3`, `h264`, `video:max`, `all`, `none`."""

import re
from collections.abc import Iterable, Sequence

from evotools.errors import UsageError
from evotools.media.language import bcp47
from evotools.media.track import Kind, Track

_SELECTOR = re.compile(
    r"(?P<base>all|none|video|audio|data|#\d{1,9}|[a-z0-9]{2,12})(?::(?P<arg>[A-Za-z0-9_=-]{1,32}))?"
)


def _language_matches(track: Track, wanted: str) -> bool:
    """RFC 4647 3.3.1, basic filtering: `de` takes German of any region, whichever of `de`, `ger`, `deu` either says."""
    own, wished = bcp47(track.language).lower(), bcp47(wanted).lower()
    if not wished:
        return wanted.lower() == "und" and not own
    return own == wished or own.startswith(wished + "-")


def match(selector: str, tracks: Sequence[Track]) -> list[Track]:
    """The tracks that one selector names, in stream order. Raises UsageError for a malformed selector."""
    found = _SELECTOR.fullmatch(selector.strip())
    if not found:
        raise UsageError(
            f"'{selector}' is not a track selector",
            hint="use video, audio:1, audio:lang=de, #3, a codec, all or none",
        )
    base, arg = found["base"], found["arg"]
    if base == "none":
        return []
    if base == "all":
        chosen = list(tracks)
    elif base.startswith("#"):
        chosen = [t for t in tracks if t.id == int(base[1:])]
    elif base in ("video", "audio", "data"):
        chosen = [t for t in tracks if t.kind == Kind(base)]
    else:
        chosen = [t for t in tracks if t.codec == base]
    if arg is None or arg == "all":
        return chosen
    if arg.isdigit():
        return chosen[int(arg) : int(arg) + 1]
    if arg.startswith("lang=") and len(arg) > 5:
        return [t for t in chosen if _language_matches(t, arg[5:])]
    if arg in ("max", "min"):
        ordered = sorted(chosen, key=lambda t: (t.width * t.height, t.bitrate_bps, t.sample_rate * t.channels))
        return (ordered[-1:] if arg == "max" else ordered[:1]) if ordered else []
    raise UsageError(f"'{selector}': unknown qualifier '{arg}'", hint="use a number, lang=xx, max, min or all")


def select(tracks: Sequence[Track], keep: Iterable[str] = (), drop: Iterable[str] = ()) -> list[Track]:
    """Tracks named by any `keep` selector (all when there is none) and by no `drop` selector, in stream order."""
    keep_list = list(keep)
    kept = {t.id for s in keep_list for t in match(s, tracks)} if keep_list else {t.id for t in tracks}
    dropped = {t.id for s in drop for t in match(s, tracks)}
    return [t for t in tracks if t.id in kept and t.id not in dropped]


def first_of_each_kind(tracks: Sequence[Track]) -> list[Track]:
    """The first video and the first audio track: what single-track formats such as legacy FLV carry."""
    chosen: list[Track] = []
    for kind in (Kind.VIDEO, Kind.AUDIO):
        chosen.extend([t for t in tracks if t.kind == kind][:1])
    return chosen
