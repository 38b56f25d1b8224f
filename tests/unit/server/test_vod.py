"""Files over HTTP: what is served, ranges, conditions, other containers, and what must never be served."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import formatdate
from pathlib import Path

import pytest

from evotools.containers.flv.demux import FlvDemuxer
from evotools.containers.mp4.demux import Mp4Demuxer
from evotools.containers.mpegts.demux import TsDemuxer
from evotools.errors import RefusedError, UsageError
from evotools.media.frame import Frame, Metadata
from evotools.media.track import Kind
from evotools.server import names
from evotools.server.access_types import Decision
from evotools.server.config import FilesConfig, parse
from evotools.server.listeners import vod as vod_module
from evotools.server.vod.files import Files
from tests.unit.server.films import film
from tests.unit.server.test_http_listener import Server, serving, until
from tests.unit.server.test_http_listener import parse as parse_answer

SECRET = b"root:x:0:0:nobody should read this\n"


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """A folder of films, and things around and in it that are none of the world's business."""
    folder = tmp_path / "srv" / "films"
    (folder / "new").mkdir(parents=True)
    film(folder / "film.mp4", 20)
    film(folder / "new" / "übung 1.ts", 5)
    old = time.time() - 3600
    os.utime(folder / "film.mp4", (old, old))
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(SECRET)
    (tmp_path / "srv" / "films2").mkdir()
    (tmp_path / "srv" / "films2" / "other.mp4").write_bytes(SECRET)
    (folder / "out.mp4").symlink_to(secret)
    (folder / "etc").symlink_to("/etc")
    (folder / "up").symlink_to("..")
    (folder / "inside.mp4").symlink_to("film.mp4")
    (folder / "passwd.mp4").symlink_to("/etc/passwd")
    (folder / ".hidden.mp4").write_bytes(SECRET)
    (folder / ".trash").mkdir()
    (folder / ".trash" / "gone.mp4").write_bytes(SECRET)
    (folder / "shown.mp4").symlink_to(".trash/gone.mp4")
    (folder / "notes.txt").write_bytes(SECRET)
    (folder / "text.mp4").symlink_to("notes.txt")
    (folder / "folder.mp4").mkdir()
    (folder / "zero.mp4").symlink_to("/dev/zero")
    (folder / "loop.mp4").symlink_to("loop.mp4")
    os.mkfifo(folder / "pipe.mp4")
    return folder


@asynccontextmanager
async def offering(shelf: Path, *, listed: bool = False) -> AsyncIterator[Server]:
    async with serving() as server:
        server.listener.files.replace({"films": FilesConfig(str(shelf), listed)})
        yield server


# What is served.


async def test_a_file_comes_as_it_is(shelf: Path) -> None:
    data = (shelf / "film.mp4").read_bytes()
    async with offering(shelf) as server:
        status, fields, body = await server.ask("/films/film.mp4")
        assert (status, body) == (200, data)
        assert fields["content-type"] == "video/mp4"
        assert int(fields["content-length"]) == len(data)
        assert fields["accept-ranges"] == "bytes"
        assert fields["access-control-allow-origin"] == "*"
        head = await server.ask("/films/film.mp4", "HEAD")
        assert (head[0], head[2]) == (200, b"")
        assert {k: v for k, v in head[1].items() if k != "date"} == {k: v for k, v in fields.items() if k != "date"}
        assert (await server.ask("/films/inside.mp4"))[2] == data
        status, fields, body = await server.ask("/films/new/%C3%BCbung%201.ts")
        assert (status, fields["content-type"]) == (200, "video/mp2t")
        assert body == (shelf / "new" / "übung 1.ts").read_bytes()
        assert (await server.ask("/films/none.mp4"))[0] == 404


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [("bytes=0-0", 0, 0), ("bytes=100-199", 100, 199), ("bytes=1000-", 1000, None), ("bytes=-10", -10, None),
     ("bytes=0-", 0, None), ("bytes=5-99999999", 5, None)],
)  # fmt: skip
async def test_ranges(shelf: Path, wanted: str, first: int, last: int | None) -> None:
    data = (shelf / "film.mp4").read_bytes()
    size = len(data)
    begin = first % size
    end = size - 1 if last is None else last
    async with offering(shelf) as server:
        status, fields, body = await server.ask("/films/film.mp4", fields=f"Range: {wanted}\r\n")
        assert status == 206
        assert fields["content-range"] == f"bytes {begin}-{end}/{size}"
        assert body == data[begin : end + 1]
        assert int(fields["content-length"]) == len(body)


async def test_ranges_that_cannot_be_had(shelf: Path) -> None:
    size = (shelf / "film.mp4").stat().st_size
    async with offering(shelf) as server:
        for wanted in (f"bytes={size}-", "bytes=-0"):
            status, fields, _ = await server.ask("/films/film.mp4", fields=f"Range: {wanted}\r\n")
            assert (status, fields["content-range"]) == (416, f"bytes */{size}")
        # RFC 9110 14.2: what is not understood is ignored.
        for wanted in ("bytes=9-1", "lines=1-2", "bytes=1-2,5-6", "bytes=x-"):
            status, _, body = await server.ask("/films/film.mp4", fields=f"Range: {wanted}\r\n")
            assert (status, len(body)) == (200, size)
        status, fields, body = await server.ask("/films/film.mp4", "HEAD", "Range: bytes=1-2\r\n")
        assert (status, fields["content-length"], body) == (200, str(size), b"")


async def test_conditions(shelf: Path) -> None:
    modified = formatdate(int((shelf / "film.mp4").stat().st_mtime), usegmt=True)
    later = formatdate(time.time() - 60, usegmt=True)
    earlier = formatdate(time.time() - 9999, usegmt=True)
    async with offering(shelf) as server:

        async def ask(fields: str) -> int:
            return (await server.ask("/films/film.mp4", fields=fields))[0]

        tag = (
            (await server.raw(b"HEAD /films/film.mp4 HTTP/1.0\r\n\r\n")).split(b"ETag: ")[1].split(b"\r\n")[0].decode()
        )
        assert tag.startswith('"')
        assert await ask(f"If-None-Match: {tag}\r\n") == 304
        assert await ask(f'If-None-Match: "x", W/{tag}\r\n') == 304
        assert await ask("If-None-Match: *\r\n") == 304
        assert await ask(f'If-None-Match: "x"\r\nIf-Modified-Since: {later}\r\n') == 200
        assert await ask(f"If-Modified-Since: {modified}\r\n") == 304
        assert await ask(f"If-Modified-Since: {earlier}\r\n") == 200
        assert await ask("If-Modified-Since: yesterday\r\n") == 200
        assert await ask('If-Match: "x"\r\n') == 412
        assert await ask(f"If-Match: {tag}\r\n") == 200
        assert await ask(f"If-Unmodified-Since: {earlier}\r\n") == 412
        assert await ask(f"Range: bytes=0-9\r\nIf-Range: {tag}\r\n") == 206
        assert await ask(f"Range: bytes=0-9\r\nIf-Range: {modified}\r\n") == 206
        assert await ask(f"Range: bytes=0-9\r\nIf-Range: W/{tag}\r\n") == 200
        assert await ask('Range: bytes=0-9\r\nIf-Range: "x"\r\n') == 200
        assert await ask(f"Range: bytes=0-9\r\nIf-Range: {earlier}\r\n") == 200
        os.utime(shelf / "film.mp4")
        assert (await server.ask("/films/film.mp4"))[1]["etag"].startswith("w/")
        assert await ask(f"If-None-Match: {tag}\r\n") == 200


async def test_one_connection_serves_many_requests(shelf: Path) -> None:
    data = (shelf / "film.mp4").read_bytes()
    async with offering(shelf) as server:
        reader, writer = await server.connect()
        for first in (0, 500, 100):
            writer.write(f"GET /films/film.mp4 HTTP/1.1\r\nHost: x\r\nRange: bytes={first}-\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            assert b" 206 " in head
            assert await reader.readexactly(len(data) - first) == data[first:]
        writer.close()


async def test_a_name_for_the_download(shelf: Path) -> None:
    async with offering(shelf) as server:
        told = (await server.ask("/films/film.mp4?dl=Gr%C3%BC%C3%9Fe%22%0d%0aX:%20y.mp4", "HEAD"))[1][
            "content-disposition"
        ]
        assert told.startswith("attachment; filename=")
        assert "\r" not in told and "x: y" not in told.split("filename*")[0].replace("x: y.mp4", "")
        assert (await server.ask("/films/film.mp4?dl=1", "HEAD"))[1]["content-disposition"].startswith(
            'attachment; filename="film.mp4"'
        )


# Other containers, and other times.


@pytest.mark.parametrize(("suffix", "make"), [("flv", FlvDemuxer), ("ts", TsDemuxer), ("mp4", Mp4Demuxer)])
async def test_another_container_from_any_time(
    shelf: Path, suffix: str, make: "type[FlvDemuxer] | type[TsDemuxer] | type[Mp4Demuxer]"
) -> None:
    async with offering(shelf) as server:
        status, fields, body = await server.ask(f"/films/film.{suffix}?start=10.5&duration=3")
        assert status == 200
        # The whole of it can be told from a broken connection.
        assert fields["transfer-encoding"] == "chunked"
        assert "content-length" not in fields
        demuxer = make()
        events = demuxer.feed(body) + demuxer.flush()
        frames = [e for e in events if isinstance(e, Frame)]
        shown = [f for f in frames if f.track.kind is Kind.VIDEO]
        assert shown[0].key
        assert shown[-1].pts_s - shown[0].pts_s == pytest.approx(3.46, abs=0.05)
        # MP4 begins at zero, others go on as the file does.
        begin_s = shown[0].pts_s
        if suffix == "mp4":
            assert begin_s == pytest.approx(0, abs=0.05)
        elif suffix == "flv":
            assert begin_s == pytest.approx(10, abs=0.01)
            told = next(e for e in events if isinstance(e, Metadata))
            assert told.value["duration"] == pytest.approx(13.5)
        status, fields, body = await server.ask(f"/films/film.{suffix}?start=0:10&video=none", "HEAD")
        assert (status, body) == (200, b"")
        assert "content-length" not in fields


async def test_a_remux_for_http10_ends_with_the_connection(shelf: Path) -> None:
    async with offering(shelf) as server:
        request = b"GET /films/film.ts?start=10&duration=3 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
        _, fields, body = parse_answer(await server.raw(request))
        assert "transfer-encoding" not in fields
        assert fields["connection"] == "close"
        assert len(body) % 188 == 0
        assert body


async def test_a_remux_says_what_it_cannot_do(shelf: Path) -> None:
    async with offering(shelf) as server:
        for target, status in (
            ("/films/film.webm", 406), ("/films/film.mp3", 406), ("/films/film.flv?video=none&audio=none", 406),
            ("/films/film.flv?start=soon", 400), ("/films/film.ts?rate=-1", 400), ("/films/film.ts?rate=nan", 400),
            ("/films/film.ts?audio=(", 400), ("/films/film.ts?start=1e99", 400),
            ("/films/film.mp4?start=10&end=5", 400), ("/films/film.mp4?duration=0", 400), ("/films/film.avi", 404),
            ("/films/film.wav", 404), ("/films/film", 404), ("/films/none.flv", 404), ("/films/", 404),
        ):  # fmt: skip
            assert (await server.ask(target))[0] == status, target


async def test_real_time_when_asked_for(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vod_module, "LEAD_S", 0.1)
    async with offering(shelf) as server:
        begun = time.monotonic()
        await server.ask("/films/film.ts?rate=20&end=19")
        assert 0.5 < time.monotonic() - begun < 5


async def test_a_client_that_reads_nothing_holds_little(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    big = shelf / "big.ts"
    big.write_bytes((shelf / "new" / "übung 1.ts").read_bytes() * 400)
    monkeypatch.setattr(vod_module, "STALL_S", 0.3)
    async with offering(shelf) as server:
        _, writer = await server.connect()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(b"GET /films/big.ts HTTP/1.1\r\nHost: x\r\n\r\n")
        (connection,) = await until_one(server)
        await until(lambda: connection._paused)
        assert connection._transport.get_write_buffer_size() <= vod_module.PIECE_BYTES
        # The peer has taken nothing for STALL_S.
        await until(lambda: not len(server.listener._vod))
        writer.close()
        assert not len(server.listener._vod)


async def until_one(server: Server) -> list[object]:
    await until(lambda: len(server.listener._vod))
    return list(server.listener._server._connections)


async def test_whoever_leaves_leaves_nothing_open(shelf: Path) -> None:
    async with offering(shelf) as server:
        before = len(os.listdir("/proc/self/fd"))
        for target in ("film.mp4", "film.flv", "film.ts?rate=1", "film/"):
            for wait in (0.0, 0.02):
                _, writer = await server.connect()
                writer.write(f"GET /films/{target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                await asyncio.sleep(wait)
                writer.transport.abort()
        await until(lambda: not len(server.listener._vod) and len(os.listdir("/proc/self/fd")) <= before)


async def test_a_viewer_of_a_paced_film_who_leaves_is_noticed_at_once(shelf: Path) -> None:
    async with offering(shelf) as server:
        for leave in ("abort", "close", "write_eof"):
            reader, writer = await server.connect()
            # At this pace the next write would come in some minutes.
            writer.write(b"GET /films/film.ts?rate=0.01 HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            assert len(server.listener._vod)
            getattr(writer.transport, leave)()
            async with asyncio.timeout(5):
                await until(lambda: not len(server.listener._vod))
            writer.close()


# Rules, pages, facts.


async def test_access_is_asked_with_the_protocol(shelf: Path) -> None:
    async with offering(shelf, listed=True) as server:
        await server.ask("/films/film.mp4?token=abc")
        await server.ask("/films/new/%C3%BCbung%201.flv")
        asked = [(r.action, r.name, r.protocol, r.token) for r in server.rules.asked]
        assert asked == [("read", "films/film", "http-mp4", "abc"), ("read", "films/new/übung 1", "http-flv", "")]
        server.rules.answer = lambda request: Decision(False, "no", challenge=True)
        for target in ("/films/film.mp4", "/films/film.flv", "/films/film/", "/films/none.mp4", "/json/films/film"):
            assert (await server.ask(target))[0] == 401
        assert b"film" not in (await server.ask("/"))[2].split(b"<body>")[1].split(b"Addresses")[0].replace(
            b"films", b""
        )


async def test_pages_and_facts(shelf: Path) -> None:
    async with offering(shelf, listed=True) as server:
        status, _, body = await server.ask("/")
        text = body.decode()
        assert status == 200
        assert 'href="films/film/"' in text and 'href="films/new/%C3%BCbung%201/"' in text
        for hidden in ("hidden", "gone", "notes", "out", "passwd", "zero", "pipe", "folder"):
            assert f"films/{hidden}/" not in text
        status, _, body = await server.ask("/films/new/%C3%BCbung%201/")
        assert status == 200 and b'src="../%C3%BCbung%201.mp4"' in body
        assert b'src="../film.mp4"' in (await server.ask("/films/film/"))[2]
        status, fields, body = await server.ask("/json/films/film?token=a%26b")
        told = json.loads(body)
        assert (status, fields["content-type"], fields["access-control-allow-origin"]) == (200, "application/json", "*")
        assert (told["type"], told["duration"]) == ("vod", 20.0)
        assert [track["codec"] for track in told["tracks"]] == ["h264", "aac"]
        assert told["tracks"][0]["codecs"].startswith("avc1.")
        assert told["sources"][0]["url"] == "../../films/film.mp4?token=a%26b"
        assert (await server.ask("/json/films/none"))[0] == 404
        server.publish()
        told = json.loads((await server.ask("/json/live/cam"))[2])
        assert (told["type"], told["state"]) == ("live", "live")
        urls = {source["protocol"]: source["url"] for source in told["sources"]}
        assert urls["hls"] == "../../live/cam/index.m3u8"
        assert urls["http-mp4"] == urls["ws-mp4"] == "../../live/cam.mp4"
        assert "http-mp3" not in urls and "http-webm" not in urls
        assert (await server.ask("/json/live/none"))[0] == 404
    async with offering(shelf) as server:
        assert b"films" not in (await server.ask("/"))[2]


# Attacks: path traversal.


@pytest.mark.parametrize(
    "target",
    [
        "/films/../secret.mp4", "/films/../../secret.mp4", "/films/%2e%2e/secret.mp4", "/films/..%2fsecret.mp4",
        "/films/%2e%2e%2f%2e%2e%2fsecret.mp4", "/films/..\\secret.mp4", "/films/..%5csecret.mp4",
        "/films/%5c..%5csecret.mp4", "/films/%252e%252e/secret.mp4", "/films/%c0%ae%c0%ae/secret.mp4",
        "/films/..;/secret.mp4", "/films//etc/passwd.mp4", "/films/./film.mp4", "/films/new/../film.mp4",
        "/films//film.mp4", "/films/film.mp4%00.txt", "/films/film.mp4%00", "/films/secret%00.mp4",
        "/films/film.mp4/", "/films/film.mp4/film.mp4", "/films/~/film.mp4", "/films/out.mp4", "/films/out.flv",
        "/films/up/films2/other.mp4", "/films/etc/passwd.mp4", "/films/etc/passwd", "/films/passwd.mp4",
        "/films/.hidden.mp4", "/films/.hidden.flv", "/films/.trash/gone.mp4", "/films/shown.mp4", "/films/notes.txt",
        "/films/notes.mp4", "/films/text.mp4", "/films/folder.mp4", "/films/zero.mp4", "/films/loop.mp4",
        "/films/pipe.mp4", "/films/pipe.ts", "/films2/other.mp4", "/filmsX/other.mp4", "/films/../films2/other.mp4",
        "/films/" + "a/" * 20 + "film.mp4", "/films/" + "a" * 3000 + ".mp4", "/films/%F0%9F%8E%AC\x7f.mp4",
        "/films/film.mp4;x", "/FILMS/film.mp4", "/json/films/../secret", "/json/films/out", "/json/films/.hidden",
        "/films/out/", "/films/.hidden/", "/films/%2e/film.mp4", "/films/C:%5csecret.mp4",
        "/films/file:%2f%2f%2fetc%2fpasswd.mp4",
    ],
)  # fmt: skip
async def test_nothing_outside_is_served(shelf: Path, target: str) -> None:
    async with offering(shelf) as server:
        answer = await server.raw(
            f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode("latin-1")
        )
        status, _, body = parse_answer(answer)
        assert status in (400, 404, 406)
        assert SECRET not in body and b"root:" not in body
        assert str(shelf).encode() not in body


async def test_a_part_that_becomes_a_link_between_look_and_open_is_not_followed(
    shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.path.realpath

    def swapped(path: str, *, strict: bool = False) -> str:
        found = real(path, strict=strict)
        if found.endswith(".ts"):
            (shelf / "new").rename(shelf / "was")
            (shelf / "new").symlink_to(shelf.parent / "films2")
            (shelf.parent / "films2" / "übung 1.ts").write_bytes(SECRET)
        return found

    monkeypatch.setattr(os.path, "realpath", swapped)
    async with offering(shelf) as server:
        status, _, body = await server.ask("/films/new/%C3%BCbung%201.ts")
        assert (status, SECRET in body) == (404, False)


# Configuration.


def test_folders_are_checked(tmp_path: Path) -> None:
    for name in ("", "a/b", "json", "Web", ".x", "a b", "ä", "healthz", "a.b"):
        with pytest.raises(UsageError):
            Files({name: FilesConfig(str(tmp_path))}, names.FIRST)
    with pytest.raises(UsageError):
        Files({"films": FilesConfig(str(tmp_path / "none"))})
    with pytest.raises(UsageError, match="lacks a folder"):
        parse({"files": {"films": {"list": True}}})
    assert parse({"files": {"films": {"folder": "/srv", "list": True}}}).files["films"].list


async def test_no_stream_takes_the_place_of_a_folder(shelf: Path) -> None:
    async with offering(shelf) as server:
        server.hub.reserved = names.reserved(["films"])
        with pytest.raises(RefusedError):
            server.publish("films/live")
