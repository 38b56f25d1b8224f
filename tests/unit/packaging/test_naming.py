"""Names of files from a pattern, and patterns found again in names."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evotools.errors import UsageError
from evotools.packaging.naming import Pattern

START = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=timezone(timedelta(hours=1)))


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("cam-%Y%m%d-%H%M%S.mp4", "cam-20260102-030405.mp4"),
        ("part-%03d.ts", "part-007.ts"),
        ("part-%d.ts", "part-7.ts"),
        ("%Y/%m/%d/%H.mkv", "2026/01/02/03.mkv"),
        ("%d-%H.ts", "02-03.ts"),
        ("%H-%03d.ts", "03-007.ts"),
        ("/rec/100%%/%F-%s.%f.flv", "/rec/100%/2026-01-02-1767319445.678901.flv"),
        ("/%d.ts", "/7.ts"),
        ("../a/./b/%06d", "../a/./b/000007"),
        ("%05d/x.ts", "00007/x.ts"),
        ("cam %j %T%z.ts", "cam 002 03:04:05+0100.ts"),
    ],
)
def test_names(pattern: str, name: str) -> None:
    assert Pattern(pattern).name(START, 7) == name


def test_a_day_alone_is_no_time_but_a_counter() -> None:
    assert Pattern("%d.ts").counts
    assert not Pattern("%d.ts").dated
    assert Pattern("%d%m.ts").dated
    assert not Pattern("%d%m.ts").counts


def test_a_counter_outgrows_its_width() -> None:
    assert Pattern("%02d.ts").name(START, 1234) == "1234.ts"
    assert Pattern("%02d.ts").number_of("1234.ts") == 1234


def test_a_name_that_is_taken_gets_a_number_before_its_suffix() -> None:
    assert Pattern("a-%H.ts").name(START, 0, 2) == "a-03-2.ts"
    assert Pattern("a-%H").name(START, 0, 2) == "a-03-2"
    assert Pattern("a.%H").name(START, 0, 1) == "a.03-1"
    assert Pattern("%d/x.tar.ts").name(START, 4, 1) == "4/x.tar-1.ts"


@pytest.mark.parametrize(
    ("pattern", "root", "suffix"),
    [("%d.ts", "", ".ts"), ("/%d.MKV", "/", ".MKV"), ("a/b/%Y/c-%d", "a/b", ""), ("/a/x%%/%d.ts", "/a/x%", ".ts"),
     ("a/%H/fixed.mp4", "a", ".mp4"), ("cam.%H", "", "")],
)  # fmt: skip
def test_where_the_files_are(pattern: str, root: str, suffix: str) -> None:
    assert Pattern(pattern).root == root
    assert Pattern(pattern).suffix == suffix


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("rec.ts", "one file only"),
        ("100%%.ts", "one file only"),
        ("rec/", "is a folder"),
        ("rec/%d/", "is a folder"),
        ("%Q.ts", "%Q is not a directive"),
        ("%D.ts", "%D is not a directive"),
        ("%3d.ts", "blanks"),
        ("%d.ts%", "in the middle of a directive"),
        ("%Y/../%d.ts", "only folders"),
        ("%Y//%d.ts", "only folders"),
        ("a\0%d.ts", "control"),
        ("%-d.ts", "%- is not a directive"),
    ],
)
def test_patterns_that_cannot_name_files(pattern: str, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        Pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "path", "number"),
    [
        ("part-%03d.ts", "part-007.ts", 7),
        ("part-%03d.ts", "part-1007.ts", 1007),
        ("part-%03d.ts", "part-0007.ts", None),
        ("part-%03d.ts", "part-07.ts", None),
        ("part-%d.ts", "part-07.ts", None),
        ("part-%d.ts", "part-0.ts", 0),
        ("part-%d.ts", "part-7-1.ts", 7),
        ("part-%d.ts", "part-7-0.ts", None),
        ("part-%d.ts", "part-7.tsx", None),
        ("part-%d.ts", "part-7.ts\n", None),
        ("part-%d.ts", "xpart-7.ts", None),
        ("part-%d.ts", "a/part-7.ts", None),
        ("a+b/%H.ts", "03.ts", -1),
        ("%Y/%j.ts", "2026/002.ts", -1),
        ("%Y/%j.ts", "2026/2.ts", None),
        ("%Y%m%d.ts", "20260102-2.ts", -1),
        ("%H.ts", "0٣.ts", None),
    ],
)
def test_the_files_of_a_pattern_are_found_again(pattern: str, path: str, number: int | None) -> None:
    assert Pattern(pattern).number_of(path) == number


_PARTS = st.lists(
    st.sampled_from(["%Y", "%m", "%d", "%H", "%M", "%S", "%f", "%s", "%j", "%03d", "%F", "%z", "%p", "%a", "-", "cam",
                     "%%", ".", "[x]", "/%Y", "/a-%j", " "]), min_size=1, max_size=7,
).map("".join)  # fmt: skip


@given(_PARTS, st.sampled_from([".ts", ".mkv", ""]), st.integers(0, 10**6), st.integers(0, 30),
       st.integers(0, 7_000_000_000))  # fmt: skip
def test_every_name_leads_back(middle: str, suffix: str, number: int, repeat: int, unix_s: int) -> None:
    try:
        pattern = Pattern("rec/x" + middle + suffix)
    except UsageError:
        return
    name = pattern.name(datetime.fromtimestamp(unix_s, UTC), number, repeat)
    assert name.startswith(pattern.root + "/")
    relative = name[len(pattern.root) + 1 :]
    found = pattern.number_of(relative)
    assert found is not None
    if middle.count("%03d") == 1 and pattern.counts and not repeat and "%s%" not in middle + "%":
        assert (found == number) or "%03d%" in middle or not pattern.dated
    for level, part in zip(pattern.levels, relative.split("/"), strict=True):
        assert level.match(part)
