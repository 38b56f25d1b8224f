"""ffmpeg's spellings in our words."""

import shlex

import pytest

from evotools.errors import UsageError
from evotools.videogen.ffmpeg import translate


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("-f mpegts udp://127.0.0.1:5000", "--format ts udp://127.0.0.1:5000"),
        ("-f flv rtmp://host/live/x", "--format flv rtmp://host/live/x"),
        ("-f mpegts -", "--format ts -"),
        ("-f flv out.flv", "--format flv out.flv"),
        ("-s 1920x1080 -g 25 -r 30", "--size 1920x1080 --gop 25 --fps 30"),
        ("-b:v 2M -b:a 96k", "--bitrate 2M --audio-bitrate 96k"),
        ("-c:v hevc -vcodec h264 -codec:v vp9", "--codec hevc --codec h264 --codec vp9"),
        ("-c:a mp3 -ar 44100 -ac 1 -acodec aac", "--audio mp3 --audio-rate 44100 --channels 1 --audio aac"),
        ("-t 10", "--duration 10"),
        ("-re -y", "--realtime --force"),
        ("-profile:v baseline -level 3.0", "--profile baseline --level 3.0"),
        ("-preset fast -tune film -pix_fmt yuv420p", "--preset fast --tune film --pix-fmt yuv420p"),
        ("-an", "--no-audio"),
        ("-vn", "--no-video"),
        ("-hide_banner -strict -2 -loglevel error out.ts", "out.ts"),
        ("-crf 20", "--option crf=20"),
        ("-crf:v 20 -cutoff:a 15000", "--video-option crf=20 --audio-option cutoff=15000"),
        ("-x264-params keyint=50:ref=1", "--option x264-params=keyint=50:ref=1"),
        ("-g:v:0 25 -ar:a:1 44100", "--gop 25 --audio-rate 44100"),
        ("-metadata:s:a:0 language=deu -metadata title=x", "--language deu"),
        ("--size 640x480 -o - -q", "--size 640x480 -o - -q"),
        ("-- -f mpegts", "-- -f mpegts"),
        ("-b -5", "--bitrate -5"),
    ],
)
def test_spellings(theirs: str, ours: str) -> None:
    assert translate(shlex.split(theirs)) == shlex.split(ours)


def test_the_order_stays_so_that_later_options_win() -> None:
    assert translate(["-s", "320x240", "--size", "640x480", "-s", "800x600"]) == [
        "--size", "320x240", "--size", "640x480", "--size", "800x600",
    ]  # fmt: skip


def test_translating_twice_changes_nothing() -> None:
    once = translate(shlex.split("-f mpegts -s 640x480 -crf 20 -b:a 64k -an -y udp://127.0.0.1:5000"))
    assert translate(once) == once


@pytest.mark.parametrize("argv", [["-s"], ["out.ts", "-crf"], ["-loglevel"]])
def test_a_missing_value_is_named(argv: list[str]) -> None:
    with pytest.raises(UsageError, match=f"option {argv[-1]} needs a value"):
        translate(argv)
