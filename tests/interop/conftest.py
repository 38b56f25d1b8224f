"""Fixtures of all tests with foreign programs."""

from collections.abc import Iterator

import pytest

from tests.interop.together import Crew


@pytest.fixture(scope="module")
def crew(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    """Who runs the tests of a module that are marked with `@together`."""
    made = Crew(tmp_path_factory)
    try:
        yield made
    finally:
        made.close()
