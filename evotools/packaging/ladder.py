"""Which picture is offered with which sound: the variants and audio groups of an HLS multivariant playlist."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from evotools.media.language import bcp47
from evotools.media.track import Kind, Track
from evotools.packaging.presentation import Rendition


@dataclass(frozen=True, slots=True)
class Member:
    """One sound of a group."""

    rendition: Rendition | None
    """None: it is multiplexed with the picture."""
    track: Track
    name: str
    """The same in every group, and one name for one sound (draft-pantos-hls-rfc8216bis 4.4.6.1.1)."""
    language: str
    """BCP 47, or empty."""
    default: bool
    autoselect: bool


@dataclass(frozen=True, slots=True)
class Group:
    """Sounds to choose from, all of one codec."""

    id: str
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Alternatives:
    """A multivariant playlist in short."""

    groups: tuple[Group, ...]
    variants: tuple[tuple[Rendition, Group | None], ...]


_Sound = tuple[str, str]
"""Language and label: what makes two tracks the same to a listener, whatever their codec and rate."""


def alternatives(renditions: Sequence[Rendition]) -> Alternatives:
    """The variants, in the order of `renditions` (the first is what a player begins with), and their groups.

    One group per audio codec. Several renditions of one sound in one codec are steps of a ladder: the second of each
    makes a second group, which goes with the lower half of the pictures.
    """
    videos = [r for r in renditions if r.kind is Kind.VIDEO]
    audios = [r for r in renditions if r.kind is Kind.AUDIO]
    if not audios:
        return Alternatives((), tuple((video, None) for video in videos))
    if not videos and len({_sound(audio.tracks[0]) for audio in audios}) == 1:
        return Alternatives((), tuple((audio, None) for audio in audios))
    inside = [t for v in videos for t in v.tracks if t.kind is Kind.AUDIO][:1]
    names = _names([*inside, *(audio.tracks[0] for audio in audios)])
    groups: list[Group] = []
    variants: list[tuple[Rendition, Group | None]] = []
    for codec in dict.fromkeys(audio.tracks[0].codec for audio in audios):
        steps = _steps([audio for audio in audios if audio.tracks[0].codec == codec])
        ladder = [
            Group(codec if not n else f"{codec}-{n + 1}", _members(step, inside, names)) for n, step in enumerate(steps)
        ]
        groups += ladder
        if not videos:
            variants += [(step[0], group) for step, group in zip(steps, ladder, strict=True)]
        for family in dict.fromkeys(video.tracks[0].codec for video in videos):
            pictures = [video for video in videos if video.tracks[0].codec == family]
            count = max(len(pictures), len(ladder))
            variants += [(pictures[n * len(pictures) // count], ladder[n * len(ladder) // count]) for n in range(count)]
    order = {id(rendition): n for n, rendition in enumerate(renditions)}
    variants.sort(key=lambda variant: order[id(variant[0])])
    return Alternatives(tuple(groups), tuple(variants))


def quotable(text: str) -> str:
    """What may stand between quotation marks (4.2): without line ends, quotation marks and control characters, and in
    normal form C (4.1)."""
    clean = "".join(
        "'" if c == '"' else " " if unicodedata.category(c) in ("Cc", "Zl", "Zp", "Cs") else c for c in text
    )
    return unicodedata.normalize("NFC", " ".join(clean.split()))


def _sound(track: Track) -> _Sound:
    return bcp47(track.language), track.label


def _names(tracks: Sequence[Track]) -> dict[_Sound, str]:
    names: dict[_Sound, str] = {}
    taken: set[str] = set()
    for sound in dict.fromkeys(_sound(track) for track in tracks):
        # Compared as they will be written.
        wish = quotable(sound[1]) or sound[0] or "Audio"
        name, count = wish, 1
        while name in taken:
            count += 1
            name = f"{wish} {count}"
        taken.add(name)
        names[sound] = name
    return names


def _steps(audios: Sequence[Rendition]) -> list[list[Rendition]]:
    """The n-th rendition of each sound; of one that has fewer, its last."""
    sounds: dict[_Sound, list[Rendition]] = {}
    for audio in audios:
        sounds.setdefault(_sound(audio.tracks[0]), []).append(audio)
    count = max(len(found) for found in sounds.values())
    return [[found[min(n, len(found) - 1)] for found in sounds.values()] for n in range(count)]


def _members(step: Sequence[Rendition], inside: Sequence[Track], names: dict[_Sound, str]) -> tuple[Member, ...]:
    members: list[Member] = []
    languages: set[str] = set()
    found: list[tuple[Rendition | None, Track]] = [(None, track) for track in inside]
    found += [(rendition, rendition.tracks[0]) for rendition in step]
    for rendition, track in found:
        sound = _sound(track)
        if rendition is not None and any(sound == _sound(other) for other in inside):
            continue
        default = not members
        # 4.3.4.1: what plays by default can be chosen automatically; so can the first of each language.
        autoselect = default or (bool(sound[0]) and sound[0] not in languages)
        languages.add(sound[0])
        members.append(Member(rendition, track, names[sound], sound[0], default, autoselect))
    return tuple(members)
