"""One browser for all tests that play media."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.chromium import Chromium
from tests.browser.folder_server import FolderServer
from tests.browser.play import HERE, Players


@pytest.fixture(scope="session")
def players(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Players]:
    chromium = Chromium(tmp_path_factory.mktemp("chromium") / "profile")
    try:
        with FolderServer(HERE / "page") as pages:
            pages.mount("lib", HERE / "node_modules")
            yield Players(chromium, pages)
    finally:
        chromium.close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[FolderServer]:
    """A new folder on the web."""
    folder = tmp_path / "www"
    folder.mkdir()
    with FolderServer(folder) as server:
        yield server
