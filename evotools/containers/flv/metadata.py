"""onMetaData: what tracks say, and what a publisher said before (E.5, and Enhanced RTMP v2)."""

from collections.abc import Sequence
from typing import Any

from evotools.containers.flv import amf0
from evotools.containers.flv.names import (
    AUDIO_AAC,
    AUDIO_ALAW,
    AUDIO_FOURCC,
    AUDIO_MP3,
    AUDIO_MULAW,
    VIDEO_AVC,
    VIDEO_FOURCC,
)
from evotools.media.track import Kind, Track

LARGEST = 1 << 20
"""Bytes of script data that are written; readers of ours take no more."""

_MAPS = {Kind.VIDEO: "videoTrackIdInfoMap", Kind.AUDIO: "audioTrackIdInfoMap"}
# True of the publisher's file or of nothing; a copy that runs for days in front of late viewers is not that long.
_UNTRUE = frozenset(
    {
        "duration", "filesize", "datasize", "videosize", "audiosize", "lasttimestamp", "lastkeyframetimestamp",
        "lastkeyframelocation", "keyframes", "haskeyframes", "canseektoend", "hasvideo", "hasaudio", "hasmetadata",
        "hascuepoints", *(name.lower() for name in _MAPS.values()),
    }
)  # fmt: skip
_OF_VIDEO = ("video", "avc", "width", "height", "display", "framerate", "fps")
_OF_AUDIO = ("audio", "stereo", "aac")


def merge(told: dict[str, Any], ours: dict[str, Any], tracks: Sequence[Track]) -> dict[str, Any]:
    """`told` by the publisher with `ours` over it, without what is true of neither.

    Fields that describe a track which is not among `tracks` go; those of a further track that has become the first
    of its kind take their place. Sizes, durations and indices of the publisher's file go.
    """
    info = amf0.EcmaArray((name, value) for name, value in told.items() if name.lower() not in _UNTRUE)
    maps: dict[str, dict[str, Any]] = {}
    for kind, name in _MAPS.items():
        mine = [track for track in tracks if track.kind is kind]
        entries = [_entry(told, name, _number(track)) for track in mine]
        if not mine or _number(mine[0]):
            prefixes = _OF_VIDEO if kind is Kind.VIDEO else _OF_AUDIO
            for field in [field for field in info if field.lower().startswith(prefixes)]:
                del info[field]
            info.update(entries[0] if entries else {})
        table = ours.get(name, {})
        if table:
            maps[name] = {str(n): {**entries[n], **table[str(n)]} for n in range(1, len(mine))}
    encoder = info.get("encoder")
    info.update(ours)
    info.update(maps)
    if encoder:
        info["encoder"] = encoder
    return info


def _number(track: Track) -> int:
    """The track number on the publisher's side: see `names.track_id`."""
    return (track.id - (1 if track.kind is Kind.VIDEO else 2)) // 2


def _entry(told: dict[str, Any], name: str, number: int) -> dict[str, Any]:
    table = told.get(name)
    entry = table.get(str(number)) if isinstance(table, dict) else None
    return entry if isinstance(entry, dict) else {}


def on_metadata(tracks: Sequence[Track]) -> dict[str, Any]:
    """The properties of onMetaData (E.5, and Enhanced RTMP v2 for FourCCs and further tracks)."""
    info: dict[str, Any] = amf0.EcmaArray()
    seen = {Kind.VIDEO: 0, Kind.AUDIO: 0}
    maps: dict[str, dict[str, Any]] = {}
    for track in tracks:
        number = seen[track.kind]
        seen[track.kind] += 1
        if number == 0:
            info.update(_track_info(track, number))
        else:
            name = "videoTrackIdInfoMap" if track.kind == Kind.VIDEO else "audioTrackIdInfoMap"
            maps.setdefault(name, {})[str(number)] = _track_info(track, number)
    info.update(maps)
    info["encoder"] = "evotools"
    return info


def _track_info(track: Track, index: int) -> dict[str, Any]:
    info: dict[str, Any] = {}
    if track.kind == Kind.VIDEO:
        info["videocodecid"] = _codec_id(track, index)
        if track.width:
            info["width"] = track.width
            info["height"] = track.height
        if track.fps:
            info["framerate"] = float(track.fps)
        if track.bitrate_bps:
            info["videodatarate"] = track.bitrate_bps / 1000
    else:
        info["audiocodecid"] = _codec_id(track, index)
        if track.sample_rate:
            info["audiosamplerate"] = track.sample_rate
        if track.channels:
            info["audiosamplesize"] = 16
            info["audiochannels"] = track.channels
            info["stereo"] = track.channels == 2
        if track.bitrate_bps:
            info["audiodatarate"] = track.bitrate_bps / 1000
    if track.language:
        info["language"] = track.language
    return info


def _codec_id(track: Track, index: int) -> int:
    if not index:
        legacy = {"h264": VIDEO_AVC, "aac": AUDIO_AAC, "mp3": AUDIO_MP3, "pcma": AUDIO_ALAW, "pcmu": AUDIO_MULAW}
        number = legacy.get(track.codec)
        if number is not None:
            return number
    fourccs = VIDEO_FOURCC if track.kind == Kind.VIDEO else AUDIO_FOURCC
    return int.from_bytes(fourccs[track.codec], "big")
