"""Which tracks are packaged as which rendition, over epochs, inputs and runs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from evotools.media.track import Kind, Track
from evotools.packaging.presentation import Rendition
from evotools.packaging.writers import Writer, writer_for, written_scale

Container = Literal["ts", "fmp4"]


@dataclass(frozen=True, slots=True)
class Key:
    """What makes a rendition the same one in a later epoch or run."""

    number: int
    """Of the input."""
    kind: Kind
    ordinal: int
    """Among the input's tracks of this kind."""


class Out:
    """One rendition being written, in one epoch."""

    __slots__ = ("begun", "ids", "init", "key", "rendition", "tracks", "writer")

    def __init__(self, key: Key, rendition: Rendition, tracks: tuple[Track, ...], writer: Writer | None) -> None:
        self.key = key
        self.rendition = rendition
        self.tracks = tracks
        """As the input has them; those of `rendition` are as written."""
        self.ids = frozenset(t.id for t in tracks)
        self.writer = writer
        """None for a rendition that its input does not have any more: it gets gaps."""
        self.init = ""
        """Name of the initialisation segment, once there is media."""
        self.begun = False
        """The writer knows the tracks."""


class Roster:
    """All renditions that there ever were in the folder, and the rules by which tracks become renditions."""

    def __init__(self, container: Container) -> None:
        self.kept: dict[Key, Rendition] = {}
        """Renditions of earlier runs, not taken up yet."""
        self.ids: set[str] = set()
        """Of all renditions, those of earlier runs included."""
        self._container = container

    def assign(
        self, number: int, tracks: Sequence[Track], before: Sequence[Out], elsewhere: Iterable[Out], *, last_input: int
    ) -> list[Out]:
        """The renditions of input `number` from now on.

        `before` are those of its last epoch: what did not change goes on, what the input does not have any more gets
        gaps. `elsewhere` are those of the other inputs. What earlier runs had of inputs behind `last_input` goes to
        the first input.
        """
        old = {out.key: out for out in before}
        outs: list[Out] = []
        counts: dict[Kind, int] = {}
        for group in self._groups(tracks, elsewhere):
            kind = group[0].kind
            ordinal = counts.get(kind, 0)
            counts[kind] = ordinal + 1
            key = Key(number, kind, ordinal)
            out = old.pop(key, None)
            if out is not None and _same_group(out.tracks, group):
                outs.append(out)
                continue
            rendition = out.rendition if out is not None else self.kept.pop(key, None)
            if rendition is None:
                rendition = self._new(kind, group, number)
            outs.append(Out(key, rendition, group, writer_for(self._container, rendition.timescale)))
        gone = {key: out.rendition for key, out in old.items()}
        for key in [k for k in self.kept if k.number == number or (number == 0 and k.number > last_input)]:
            gone[key] = self.kept.pop(key)
        return outs + [Out(key, rendition, (), None) for key, rendition in gone.items()]

    def _groups(self, tracks: Sequence[Track], elsewhere: Iterable[Out]) -> list[tuple[Track, ...]]:
        """Tracks by rendition: one each in fMP4; in MPEG-TS the first sound goes with each picture.

        Sound that another input has too is packaged once.
        """
        videos = [t for t in tracks if t.kind is Kind.VIDEO]
        audios = [t for t in tracks if t.kind is Kind.AUDIO]
        groups: list[tuple[Track, ...]]
        if self._container == "ts" and videos:
            groups = [(video, *audios[:1]) for video in videos]
            audios = audios[1:]
        else:
            groups = [(video,) for video in videos]
        heard = {_sound(t) for out in elsewhere for t in out.tracks if t.kind is Kind.AUDIO}
        return groups + [(audio,) for audio in audios if _sound(audio) not in heard]

    def _new(self, kind: Kind, tracks: tuple[Track, ...], number: int) -> Rendition:
        letter = "v" if kind is Kind.VIDEO else "a"
        at = 0
        while f"{letter}{at}" in self.ids:
            at += 1
        self.ids.add(f"{letter}{at}")
        scale = written_scale(tracks[0], self._container)
        return Rendition(f"{letter}{at}", kind, tracks, scale, number_of_input=number)


def same_media(one: Track, other: Track) -> bool:
    """Whether a decoder of one track can go on with the other."""
    return (one.codec, one.timescale, one.config, one.sample_rate, one.channels, one.width, one.height) == (
        other.codec, other.timescale, other.config, other.sample_rate, other.channels, other.width, other.height
    )  # fmt: skip


def _same_group(old: Sequence[Track], new: Sequence[Track]) -> bool:
    return len(old) == len(new) and all(a.id == b.id and same_media(a, b) for a, b in zip(old, new, strict=True))


def _sound(track: Track) -> tuple[str, str, int]:
    """What makes two audio tracks of different inputs the same to a listener."""
    return track.codec, track.language, track.channels
