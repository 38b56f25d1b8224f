"""What a presentation remembers of encodings that came before: through a restart, and no longer than it is shown."""

from fractions import Fraction

from evotools.media.frame import Frame
from evotools.media.track import Kind
from evotools.packaging.expiry import Expiry
from evotools.packaging.presentation import MediaSegment, Period
from evotools.packaging.roster import Key
from evotools.packaging.state import State, decode, encode
from evotools.packaging.writers import CmafWriter
from tests.unit.packaging.presentations import SOUND, VIDEO, film, rendition


def test_a_later_run_knows_the_encodings_before() -> None:
    presentation = film("live", ended=False, window_s=30.0)
    other = VIDEO.with_(codec="h265", codec_string="hvc1.1.6.L93.B0")
    presentation.renditions[0].epochs = {0: (other,), 3: (VIDEO,)}
    keys = {"v0": Key(0, Kind.VIDEO, 0), "a0": Key(0, Kind.AUDIO, 0)}
    read = decode(encode(State(presentation, keys))).presentation.renditions[0]
    assert read.epochs == {0: (other,), 3: (VIDEO,)}
    assert read.tracks_in(0) == (other,)
    assert read.tracks_in(7) == (VIDEO,)


def test_encodings_are_forgotten_with_their_segments() -> None:
    video = rendition("v0", VIDEO, [90_000] * 4)
    presentation = film("live", ended=False, window_s=4.0)
    presentation.renditions = [video]
    presentation.periods.append(Period(1, 4.0, 4.0))
    video.epochs = {0: (VIDEO,), 1: (VIDEO.with_(width=640),)}
    expiry = Expiry(4.0)
    for number in range(4, 12):
        video.segments.append(MediaSegment(f"{number}.m4s", number, 1, number * 90_000, 90_000, 1, 0.0, "init-4.mp4"))
        expiry.slide(presentation)
    assert [p.index for p in presentation.periods] == [1]
    assert set(video.epochs) == {1}


def test_sound_that_steps_back_leaves_no_holes_between_segments() -> None:
    """Joined transport streams: the second one's sound begins before the first one's ends."""
    track = SOUND.with_(timescale=90_000, config=bytes.fromhex("1190"))
    writer = CmafWriter(48_000)
    writer.begin((track,), Fraction(0), b"")
    times = [0, 1920, 3840, 5760, *range(960, 960 + 40 * 1920, 1920)]
    frames = [Frame(track, t, t, b"x" * 20, duration=1920, key=True) for t in times]
    one = writer.make(1, frames[:20], 0.0, 0.4, frames[20], last=False)
    two = writer.make(2, frames[20:40], 0.4, 0.8, frames[40], last=False)
    assert one.time + one.duration == two.time
    assert two.duration == 20 * 1024
