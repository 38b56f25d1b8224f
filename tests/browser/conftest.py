"""One browser for all tests that play media."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.chromium import Chromium
from tests.browser.folder_server import FolderServer
from tests.browser.play import HERE, Players


@pytest.fixture(scope="package")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """Each page that it opens has a cache and storage of its own."""
    browser = Chromium(tmp_path_factory.mktemp("chromium") / "profile")
    try:
        yield browser
    finally:
        browser.close()


@pytest.fixture(scope="package")
def players(chromium: Chromium) -> Iterator[Players]:
    with FolderServer(HERE / "page") as pages:
        pages.mount("lib", HERE / "node_modules")
        yield Players(chromium, pages)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[FolderServer]:
    """A new folder on the web."""
    folder = tmp_path / "www"
    folder.mkdir()
    with FolderServer(folder) as server:
        yield server
