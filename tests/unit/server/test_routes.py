"""What paths mean, and that every route is in the table of reserved names."""

import pytest

from evotools.errors import RefusedError
from evotools.hub.names import check_name
from evotools.server.listeners.routes import Route, classify
from evotools.server.names import RESERVED


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/live/cam.flv", Route("live", "live/cam", "flv")),
        ("/cam.ts", Route("live", "cam", "ts")),
        ("/live/cam.v2.ts", Route("live", "live/cam.v2", "ts")),
        ("/live/cam/index.m3u8", Route("master", "live/cam", "media.m3u8")),
        ("/live/cam.m3u8", Route("master", "live/cam", "cam/media.m3u8")),
        ("/live/cam/media.m3u8", Route("media", "live/cam")),
        ("/live/cam/18bcfe5689a-850000001.ts", Route("segment", "live/cam", "18bcfe5689a-850000001")),
        ("/live/cam/18BCFE5689A-1.ts", Route("live", "live/cam/18BCFE5689A-1", "ts")),
        ("/live/cam/", Route("player", "live/cam")),
        ("/live/cam", Route("other", "live/cam")),
        ("/", Route("index")),
        ("/healthz", Route("health")),
        ("/web/page.css", Route("asset", "", "page.css")),
        ("/.ts", Route("other", ".ts")),
        ("*", Route("other", "")),
    ],
)
def test_classify(path: str, route: Route) -> None:
    assert classify(path) == route


@pytest.mark.parametrize(
    "name",
    ["a.flv", "a.ts", "a.m3u8", "a/index.m3u8", "a/media.m3u8", "healthz", "web/page.css", "A/INDEX.M3U8"],
)
def test_names_that_a_route_would_hide_cannot_be_published(name: str) -> None:
    with pytest.raises(RefusedError):
        check_name(name, RESERVED)
    check_name(name.replace(".", "_").replace("healthz", "health").replace("web", "w"), RESERVED)
