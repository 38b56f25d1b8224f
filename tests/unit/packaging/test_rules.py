"""When files begin."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from evotools.packaging.rules import EveryClock, EveryKey, EverySize, EveryTime, FileRule, FirstOf


def starts(rule: FileRule, keys: list[float], unix: float = 0.0, size: int = 1000) -> list[float]:
    """Where files begin, of key frames at these times; each group of pictures has `size` bytes."""
    found = [keys[0]]
    rule.begin(keys[0], unix + keys[0])
    current = size
    for at in keys[1:]:
        if rule.due(at, unix + at, current):
            rule.begin(at, unix + at)
            found.append(at)
            current = 0
        current += size
    return found


def test_media_time_is_a_grid_that_does_not_drift() -> None:
    assert starts(EveryTime(10), [n * 3.0 for n in range(20)]) == [0, 12, 21, 30, 42, 51]


def test_a_key_frame_a_little_early_counts() -> None:
    assert starts(EveryTime(2), [0, 1.9996, 4.0004, 5.9996]) == [0, 1.9996, 4.0004, 5.9996]
    assert starts(EveryTime(2), [0, 1.99, 2.5]) == [0, 2.5]
    # It belongs to the line that it was early for.
    assert starts(EveryTime(2), [0, 1.9996, 2.5, 3.5, 4.5]) == [0, 1.9996, 4.5]


def test_the_grid_begins_with_the_first_file() -> None:
    assert starts(EveryTime(10), [7.0 + n for n in range(30)]) == [7, 17, 27]


def test_a_gap_skips_lines_of_the_grid() -> None:
    assert starts(EveryTime(10), [0, 5, 35, 40, 45]) == [0, 35, 40]


def utc(unix_s: float) -> float:
    return 0.0


def test_the_clock_cuts_at_its_multiples() -> None:
    began = datetime(2026, 11, 21, 14, 3, 20, tzinfo=UTC).timestamp()
    found = starts(EveryClock(300, utc), [n * 2.0 for n in range(500)], began)
    names = [datetime.fromtimestamp(began + at, UTC).strftime("%H:%M:%S") for at in found]
    assert names == ["14:03:20", "14:05:00", "14:10:00", "14:15:00"]


def local(zone: str):  # type: ignore[no-untyped-def]
    def offset_s(unix_s: float) -> float:
        return datetime.fromtimestamp(unix_s, ZoneInfo(zone)).utcoffset().total_seconds()  # type: ignore[union-attr]

    return offset_s


@pytest.mark.parametrize("day", ["2026-03-28", "2026-10-24", "2026-06-01"])
def test_a_day_ends_at_midnight_of_local_time_in_spring_and_autumn_too(day: str) -> None:
    zone = ZoneInfo("Europe/Berlin")
    began = datetime.fromisoformat(day).replace(hour=13, tzinfo=zone).timestamp()
    found = starts(EveryClock(86400, local("Europe/Berlin")), [n * 600.0 for n in range(6 * 24 * 4)], began)
    times = [datetime.fromtimestamp(began + at, zone) for at in found]
    assert all((t.hour, t.minute) == (0, 0) for t in times[1:])
    assert len({t.date() for t in times}) == len(times) == 5


def test_zones_with_half_hours_have_their_own_hours() -> None:
    zone = ZoneInfo("Asia/Kolkata")
    began = datetime(2026, 6, 1, 10, 10, tzinfo=zone).timestamp()
    found = starts(EveryClock(3600, local("Asia/Kolkata")), [n * 60.0 for n in range(200)], began)
    assert [datetime.fromtimestamp(began + at, zone).strftime("%H:%M") for at in found[1:]] == [
        "11:00",
        "12:00",
        "13:00",
    ]


def test_a_clock_that_was_set_back_gives_the_next_line_of_the_new_time() -> None:
    rule = EveryClock(300, utc)
    rule.begin(0, 3600 + 299)
    assert rule.due(1, 3600 + 300, 0)
    rule.begin(1, 3600 + 300)
    rule.stepped_back()
    assert not rule.due(2, 301, 0)
    assert not rule.due(3, 599, 0)
    assert rule.due(4, 600, 0)


def test_a_clock_that_was_set_forward_cuts_at_once() -> None:
    rule = EveryClock(300, utc)
    rule.begin(0, 10)
    assert not rule.due(1, 11, 0)
    assert rule.due(2, 10_000, 0)


def test_media_that_is_faster_than_the_clock_has_the_grid_of_media_time() -> None:
    rule = EveryClock(10, utc)
    rule.by_media = True
    assert starts(rule, [float(n) for n in range(35)], 1_000_003.5) == [0, 10, 20, 30]


def test_a_file_ends_before_it_is_too_large() -> None:
    assert starts(EverySize(3500), [float(n) for n in range(10)]) == [0, 3, 6, 9]
    assert starts(EverySize(3000), [float(n) for n in range(10)]) == [0, 3, 6, 9]
    assert starts(EverySize(2999), [float(n) for n in range(6)]) == [0, 2, 4]


def test_a_group_of_pictures_larger_than_the_limit_is_a_file() -> None:
    assert starts(EverySize(500), [0.0, 1.0, 2.0]) == [0, 1, 2]


def test_what_the_container_adds_counts() -> None:
    rule = EverySize(3100)
    rule.overhead = 1.1
    assert starts(rule, [float(n) for n in range(6)]) == [0, 2, 4]


def test_every_key_frame() -> None:
    assert starts(EveryKey(), [0, 0.5, 4]) == [0, 0.5, 4]


def test_whichever_comes_first() -> None:
    keys = [float(n) for n in range(25)]
    assert starts(FirstOf([EveryTime(10), EverySize(4500)]), keys) == [0, 4, 8, 10, 14, 18, 20, 24]


def test_every_rule_hears_of_every_key_frame() -> None:
    """The large group of pictures before a cut by time counts for the size of later files."""
    rule = FirstOf([EveryTime(10), EverySize(3500)])
    rule.begin(0.0, 0.0)
    assert rule.due(10.0, 10.0, 3000)
    rule.begin(10.0, 10.0)
    assert rule.due(11.0, 11.0, 1000)


@pytest.mark.parametrize(
    ("rule", "fine_s", "late_s"), [(EveryTime(10), 30, 30.1), (EveryClock(10, utc), 30, 30.1), (EveryKey(), 60, 60.1)]
)
def test_rules_tell_when_key_frames_are_missing(rule: FileRule, fine_s: float, late_s: float) -> None:
    rule.begin(100.0, 5.0)
    assert not rule.overdue(100.0 + fine_s, 10**9)
    assert rule.overdue(100.0 + late_s, 0)
    assert FirstOf([EveryTime(1000), rule]).overdue(1e6, 0)


def test_a_size_is_overdue_at_twice_as_much() -> None:
    rule = EverySize(1000)
    assert not rule.overdue(1e9, 2000)
    assert rule.overdue(0, 2001)
