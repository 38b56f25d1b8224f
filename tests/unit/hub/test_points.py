from evotools.hub.points import EntryPoints
from tests.unit.hub.make import AUDIO, VIDEO, audio, video


def test_video_key_frames_are_entries_and_sound_is_not() -> None:
    points = EntryPoints((AUDIO, VIDEO))
    assert [points(f) for f in (audio(0), video(0, key=True), audio(1500), video(1600), video(2000, key=True))] == [
        False, True, False, False, True,
    ]  # fmt: skip


def test_sound_alone_is_entered_twice_a_second() -> None:
    points = EntryPoints((AUDIO,))
    assert sum(points(audio(n * 20)) for n in range(100)) == 4


def test_sound_serves_while_the_picture_is_silent() -> None:
    points = EntryPoints((VIDEO, AUDIO))
    entered = [n * 20 for n in range(250) if points(audio(n * 20))]
    assert entered[0] == 2000
    assert points(video(5000, key=True))
    assert not points(audio(5020))


def test_a_long_group_of_pictures_does_not_count_as_silence() -> None:
    points = EntryPoints((VIDEO, AUDIO))
    points(video(0, key=True))
    assert not any(points(f) for n in range(1, 300) for f in (video(n * 40), audio(n * 40)))
