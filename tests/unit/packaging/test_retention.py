"""What stays and what goes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evotools.errors import UsageError
from evotools.packaging.retention import Keep, Kept


def files(*ages_s: float, size: int = 100) -> list[Kept]:
    return [Kept(f"{n}.ts", size, age) for n, age in enumerate(ages_s)]


def test_what_people_type() -> None:
    assert Keep.parse(["10"]) == Keep(count=10)
    assert Keep.parse(["7d"]) == Keep(age_s=7 * 86400)
    assert Keep.parse(["90m", "1h"]) == Keep(age_s=3600)
    assert Keep.parse(["10GB"]) == Keep(size_bytes=10 * 1000**3)
    assert Keep.parse(["512MiB", "100", "2h", "1GB"]) == Keep(100, 7200, 512 * 2**20)
    assert not Keep.parse([])
    assert Keep.parse(["1"])


@pytest.mark.parametrize("text", ["10G", "x", "", "-1", "10 files", "GB", "0", "0GB", "0s", "1e3"])
def test_what_says_nothing(text: str) -> None:
    if text == "1e3":
        assert Keep.parse([text]) == Keep(age_s=1000)
        return
    with pytest.raises(UsageError):
        Keep.parse([text])


def test_the_oldest_go() -> None:
    assert Keep(count=3).surplus(files(5, 4, 3, 2, 1)) == 2
    assert Keep(count=9).surplus(files(5, 4)) == 0
    assert Keep(age_s=3).surplus(files(5, 4, 3, 2, 1)) == 2
    assert Keep(size_bytes=250).surplus(files(5, 4, 3, 2, 1)) == 3
    assert Keep(count=4, age_s=4.5, size_bytes=300).surplus(files(5, 4, 3, 2, 1)) == 2


def test_the_newest_file_stays() -> None:
    assert Keep(size_bytes=10).surplus(files(1)) == 0
    assert Keep(age_s=1).surplus(files(500, 400)) == 1
    assert Keep(count=1).surplus([]) == 0


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), max_size=30), st.none() | st.integers(1, 20),
       st.none() | st.integers(1, 600), st.none() | st.integers(1, 3000))  # fmt: skip
def test_what_stays_obeys_every_limit_and_no_more_goes_than_must(
    given_: list[tuple[int, int]], count: int | None, age: int | None, size: int | None
) -> None:
    kept = [Kept(str(n), s, float(a)) for n, (s, a) in enumerate(sorted(given_, key=lambda f: -f[1]))]
    keep = Keep(count, age, size)
    go = keep.surplus(kept)

    def fine(left: list[Kept]) -> bool:
        return (
            (count is None or len(left) <= count)
            and (age is None or all(f.age_s <= age for f in left))
            and (size is None or sum(f.size_bytes for f in left) <= size)
        )

    assert fine(kept[go:]) or len(kept) - go <= 1
    assert go == 0 or not fine(kept[go - 1 :])
