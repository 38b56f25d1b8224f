"""Live streams over HTTP in every format: choice of tracks, start, status, headers."""

import asyncio
from collections.abc import Callable
from fractions import Fraction

import pytest

from evotools.containers.adts import AdtsDemuxer
from evotools.containers.base import Demuxer
from evotools.containers.flv.demux import FlvDemuxer
from evotools.containers.mp4.demux import Mp4Demuxer
from evotools.containers.mpegts.demux import TsDemuxer
from evotools.hub.stream import PublisherInfo
from evotools.media.frame import Event, Frame, Tracks
from evotools.media.track import Kind, Track
from tests.unit.server.test_http_listener import AUDIO, VIDEO, media, parse, serving, until

GERMAN = Track(3, Kind.AUDIO, "aac", 48000, b"\x11\x90", "mp4a.40.2", sample_rate=48000, channels=2, language="deu")
OPUS_HEAD = b"OpusHead\x01\x02\x00\x00\x80\xbb\x00\x00\x00\x00\x00"


def german(start_ms: int, length_ms: int) -> list[Event]:
    return [
        Frame(GERMAN, ms * 48, ms * 48, b"\x22" * 40, duration=960, key=True)
        for ms in range(start_ms, start_ms + length_ms, 20)
    ]


async def read_for(server: object, target: str, size: int) -> tuple[int, dict[str, str], bytes]:
    """The head and at least `size` bytes of an endless answer."""
    reader, writer = await server.connect()  # type: ignore[attr-defined]
    try:
        writer.write(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        body = await asyncio.wait_for(reader.readexactly(size), 10)
        return parse(head + body)
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("suffix", "make", "ids"),
    [("flv", FlvDemuxer, 2), ("ts", TsDemuxer, 2), ("mp4", Mp4Demuxer, 2), ("aac", AdtsDemuxer, 1)],
)
async def test_each_format_can_be_read_again(suffix: str, make: Callable[[], Demuxer], ids: int) -> None:
    async with serving() as server:
        publication = server.publish()
        publication.push(media(0, 3000))
        asked = asyncio.create_task(server.ask(f"/live/cam.{suffix}", fields="Range: bytes=0-\r\n"))
        await until(lambda: server.hub.viewers == 1)
        publication.push(media(3000, 1000))
        publication.close()
        server.hub.streams["live/cam"].finish(server.hub.clock())
        status, fields, body = await asked
        assert status == 200
        assert "content-length" not in fields
        assert fields["access-control-allow-origin"] == "*"
        demuxer = make()
        events = demuxer.feed(body) + demuxer.flush()
        tracks = next(event.tracks for event in events if isinstance(event, Tracks))
        assert len(tracks) == ids
        frames = [event for event in events if isinstance(event, Frame)]
        pictures = [frame for frame in frames if frame.track.kind is Kind.VIDEO]
        if ids == 2:
            assert pictures[0].key
            assert abs(pictures[-1].dts_s - pictures[0].dts_s - 1.96) < 0.05
        else:
            assert not pictures
            assert 1.5 < frames[-1].dts_s - frames[0].dts_s < 2.6


async def test_head_has_the_fields_of_get() -> None:
    async with serving() as server:
        server.publish().push(media(0, 2000))
        for suffix in ("flv", "ts", "mp4", "mkv", "aac"):
            _, told, body = await server.ask(f"/live/cam.{suffix}?audio=0", "HEAD")
            assert body == b""
            _, got, _ = await read_for(server, f"/live/cam.{suffix}?audio=0", 1 if suffix != "mp4" else 500)
            assert {k: v for k, v in told.items() if k != "date"} == {k: v for k, v in got.items() if k != "date"}
        assert told["content-type"] == "audio/aac"
        assert not server.hub.viewers or await until(lambda: not server.hub.viewers) is None


async def test_http_1_0_clients_are_served() -> None:
    async with serving() as server:
        publication = server.publish()
        publication.push(media(0, 2000))
        asked = asyncio.create_task(server.raw(b"GET /live/cam.ts HTTP/1.0\r\n\r\n"))
        await until(lambda: server.hub.viewers == 1)
        server.hub.streams["live/cam"].finish(server.hub.clock())
        status, fields, body = parse(await asked)
        assert (status, fields["connection"]) == (200, "close")
        assert "transfer-encoding" not in fields
        assert TsDemuxer().feed(body)


async def test_a_query_selects_tracks_and_equal_choices_share_a_feed() -> None:
    async with serving() as server:
        publication = server.hub.publish("live/cam", PublisherInfo("test"))
        publication.push([Tracks((VIDEO, AUDIO, GERMAN)), *media(0, 1000), *german(0, 1000)])
        stream = server.hub.streams["live/cam"]
        targets = ["", "?audio=0", "?audio=1", "?audio=lang:de", "?audio=deu&video=0", "?video=none&audio=1"]
        tasks = [asyncio.create_task(server.ask(f"/live/cam.ts{target}")) for target in targets]
        await until(lambda: server.hub.viewers == len(targets))
        assert sorted(len(feed) for feed in stream.feeds.values()) == [1, 2, 3]
        publication.push([*media(1000, 1000), *german(1000, 1000)])
        stream.finish(server.hub.clock())
        wanted = [(1, 2), (1, 2), (1, 3), (1, 3), (1, 3), (3,)]
        for task, ids in zip(tasks, wanted, strict=True):
            _, _, body = await task
            demuxer = TsDemuxer()
            events = demuxer.feed(body) + demuxer.flush()
            (tracks,) = {event.tracks for event in events if isinstance(event, Tracks)}
            assert len(tracks) == len(ids)
            assert [track.language for track in tracks if track.kind is Kind.AUDIO] == ["deu" if 3 in ids else ""]


async def test_a_choice_is_made_anew_when_the_tracks_change() -> None:
    async with serving() as server:
        publication = server.hub.publish("live/cam", PublisherInfo("test"))
        publication.push([Tracks((VIDEO, AUDIO, GERMAN)), *media(0, 1000), *german(0, 1000)])
        stream = server.hub.streams["live/cam"]
        first = asyncio.create_task(server.ask("/live/cam.ts?audio=1"))
        await until(lambda: server.hub.viewers == 1)
        other = GERMAN.with_(id=7)
        publication.push([Tracks((VIDEO, AUDIO, other)), *media(1000, 1000)])
        (feed,) = stream.feeds.values()
        assert [track.id for track in feed.tracks] == [1, 7]
        # Whoever asks for the old ids' key now must not get the new tracks by it.
        second = asyncio.create_task(server.ask("/live/cam.ts?audio=none"))
        await until(lambda: server.hub.viewers == 2)
        assert [[t.id for t in f.tracks] for f in stream.feeds.values()] == [[1, 7], [1]]
        stream.finish(server.hub.clock())
        await asyncio.gather(first, second)


async def test_too_many_choices_are_refused_and_the_plain_stream_is_not() -> None:
    async with serving() as server:
        tracks = [VIDEO, *[AUDIO.with_(id=n) for n in range(2, 24)]]
        publication = server.hub.publish("live/cam", PublisherInfo("test"))
        publication.push([Tracks(tuple(tracks)), *media(0, 1000)])
        plain = asyncio.create_task(server.ask("/live/cam.ts"))
        await until(lambda: server.hub.viewers == 1)
        limit = server.hub.limits.feeds_per_stream
        tasks = [asyncio.create_task(server.ask(f"/live/cam.ts?audio={n}")) for n in range(1, limit)]
        await until(lambda: server.hub.viewers == limit)
        status, _, body = await server.ask(f"/live/cam.ts?audio={limit}")
        assert (status, b"track selection" in body or b"too many" in body) == (503, True)
        more = asyncio.create_task(server.ask("/live/cam.ts?audio=0"))
        await until(lambda: server.hub.viewers == limit + 1)
        server.hub.streams["live/cam"].finish(server.hub.clock())
        await asyncio.gather(plain, more, *tasks)


async def test_what_cannot_be_carried_is_said() -> None:
    async with serving() as server:
        publication = server.publish()
        publication.push(media(0, 1000))
        for target in ("/live/cam.mp3", "/live/cam.ogg", "/live/cam.webm"):
            status, _, body = await server.ask(target)
            assert status == 406
            assert b"h264" in body and b"aac" in body and target.rpartition(".")[2].encode() in body
        status, _, body = await server.ask("/live/cam.ts?video=none&audio=lang:fr")
        assert (status, b"#1 video h264" in body, b"#2 audio aac" in body) == (406, True, True)
        status, _, body = await server.ask("/live/cam.ts?audio=%00")
        assert status == 400
        assert not server.hub.streams["live/cam"].feeds


@pytest.mark.parametrize(("start", "first_s"), [("", 3.0), ("keyframe", 3.0), ("-2", 1.0), ("-1.5", 1.0), ("-90", 0.0)])
async def test_viewers_choose_where_to_begin(start: str, first_s: float) -> None:
    async with serving() as server:
        publication = server.publish()
        publication.push(media(0, 3500))
        asked = asyncio.create_task(server.ask(f"/live/cam.mp4?start={start}"))
        await until(lambda: server.hub.viewers == 1)
        server.hub.streams["live/cam"].finish(server.hub.clock())
        _, _, body = await asked
        demuxer = Mp4Demuxer()
        frames = [e for e in demuxer.feed(body) + demuxer.flush() if isinstance(e, Frame)]
        assert next(f.dts_s for f in frames if f.track.kind is Kind.VIDEO) == pytest.approx(first_s)


async def test_a_viewer_may_wait_for_the_next_key_frame() -> None:
    async with serving() as server:
        publication = server.publish()
        publication.push(media(0, 1500))
        asked = asyncio.create_task(server.ask("/live/cam.flv?start=live"))
        await until(lambda: server.hub.viewers == 1)
        publication.push(media(1520, 1000))
        server.hub.streams["live/cam"].finish(server.hub.clock())
        _, _, body = await asked
        frames = [e for e in FlvDemuxer().feed(body) if isinstance(e, Frame)]
        assert frames[0].key and frames[0].dts_s == pytest.approx(2.0)
        assert (await server.ask("/live/cam.flv?start=soon"))[0] in (400, 404)


async def test_webm_and_ogg_carry_what_browsers_send() -> None:
    video = Track(1, Kind.VIDEO, "vp8", 90000, width=64, height=64, fps=Fraction(25))
    opus = Track(2, Kind.AUDIO, "opus", 48000, OPUS_HEAD, "opus", sample_rate=48000, channels=2)
    async with serving() as server:
        publication = server.hub.publish("live/cam", PublisherInfo("test"))
        frames = [
            frame
            for ms in range(0, 1000, 20)
            for frame in (
                Frame(video, ms * 90, ms * 90, b"\x10\x02\x00\x9d\x01\x2a@\0@\0", duration=1800, key=ms == 0),
                Frame(opus, ms * 48, ms * 48, b"\xfc\xff\xfe", duration=960, key=True),
            )
        ]
        publication.push([Tracks((video, opus)), *frames])
        _, fields, body = await read_for(server, "/live/cam.webm", 400)
        assert fields["content-type"] == 'video/webm; codecs="vp8, opus"'
        assert body.startswith(b"\x1a\x45\xdf\xa3") and b"webm" in body
        _, fields, body = await read_for(server, "/live/cam.ogg", 100)
        assert fields["content-type"] == 'audio/ogg; codecs="opus"'
        assert body.startswith(b"OggS") and b"OpusHead" in body
        _, fields, _ = await read_for(server, "/live/cam.webm?video=none", 200)
        assert fields["content-type"] == 'audio/webm; codecs="opus"'
