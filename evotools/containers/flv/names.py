"""Codec numbers of FLV (Adobe video file format 10.1, E.4.2 and E.4.3) and FourCCs of Enhanced RTMP v2."""

from evotools.media.track import Kind, Track

AUDIO, VIDEO, SCRIPT, SCRIPT_AMF3 = 8, 9, 18, 15
"""Tag types of FLV, message types of RTMP. 15 is from Enhanced RTMP v2, "Enabling AMF3 in FLV"."""

COLOR_INFO = "colorInfo"
"""The one name in VideoPacketType.Metadata that is defined (Enhanced RTMP v2, "Metadata Frame")."""

# E.4.3.1 CodecID. 12 is no number of Adobe's: CDNs in China and the encoders that feed them use it for HEVC.
VIDEO_AVC, VIDEO_HEVC = 7, 12
LEGACY_VIDEO = {
    1: "jpeg",
    2: "flv1",
    3: "flashsv",
    4: "vp6f",
    5: "vp6a",
    6: "flashsv2",
    VIDEO_AVC: "h264",
    8: "h263",
    9: "mpeg4",
    VIDEO_HEVC: "h265",
}

# E.4.2.1 SoundFormat.
AUDIO_MP3, AUDIO_ALAW, AUDIO_MULAW, AUDIO_EX, AUDIO_AAC, AUDIO_MP3_8K = 2, 7, 8, 9, 10, 14
LEGACY_AUDIO = {
    0: "pcm_s16le",
    1: "adpcm_swf",
    AUDIO_MP3: "mp3",
    3: "pcm_s16le",
    4: "nellymoser",
    5: "nellymoser",
    6: "nellymoser",
    AUDIO_ALAW: "pcma",
    AUDIO_MULAW: "pcmu",
    AUDIO_AAC: "aac",
    11: "speex",
    AUDIO_MP3_8K: "mp3",
    15: "device",
}
FIXED_RATES = {4: 16000, 5: 8000, AUDIO_ALAW: 8000, AUDIO_MULAW: 8000, 11: 16000, AUDIO_MP3_8K: 8000}
"""Sample rates that the format implies, whatever the rate bits say."""
MONO_FORMATS = frozenset({4, 5, 11})
SOUND_RATES = (5512, 11025, 22050, 44100)

FOURCC_CODECS = {
    b"avc1": "h264",
    b"hvc1": "h265",
    b"vvc1": "h266",
    b"av01": "av1",
    b"vp09": "vp9",
    b"vp08": "vp8",
    b"mp4a": "aac",
    b"Opus": "opus",
    b".mp3": "mp3",
    b"ac-3": "ac3",
    b"ec-3": "eac3",
    b"fLaC": "flac",
}
VIDEO_FOURCC = {"h264": b"avc1", "h265": b"hvc1", "av1": b"av01", "vp9": b"vp09", "vp8": b"vp08"}
AUDIO_FOURCC = {
    "aac": b"mp4a",
    "opus": b"Opus",
    "mp3": b".mp3",
    "ac3": b"ac-3",
    "eac3": b"ec-3",
    "flac": b"fLaC",
}

NEEDS_CONFIG = frozenset({"h264", "h265", "h266", "aac", "flac", "av1"})
"""Frames of these are of no use before their sequence header."""
HAS_CONFIG = NEEDS_CONFIG | {"vp9", "opus"}
NAL_CODECS = frozenset({"h264", "h265"})


class PacketType:
    """Enhanced RTMP v2, ExVideoTagHeader and ExAudioTagHeader."""

    SEQUENCE_START = 0
    CODED_FRAMES = 1
    SEQUENCE_END = 2
    VIDEO_CODED_FRAMES_X = 3
    VIDEO_METADATA = 4
    VIDEO_MPEG2TS_SEQUENCE_START = 5
    VIDEO_MULTITRACK = 6
    AUDIO_MULTICHANNEL_CONFIG = 4
    AUDIO_MULTITRACK = 5
    MOD_EX = 7


class Multitrack:
    """Enhanced RTMP v2, AvMultitrackType."""

    ONE_TRACK = 0
    MANY_TRACKS = 1
    MANY_TRACKS_MANY_CODECS = 2


FRAME_KEY, FRAME_INTER, FRAME_GENERATED_KEY, FRAME_COMMAND = 1, 2, 4, 5

TIMESCALE = 1000


def track_id(kind: Kind, index: int) -> int:
    """The id of track number `index` (0..255) of its kind: 1, 3, 5 … for video and 2, 4, 6 … for audio."""
    return index * 2 + (1 if kind == Kind.VIDEO else 2)


def codec_of_fourcc(fourcc: bytes) -> str:
    """The codec's name; for an unknown FourCC its own letters, so that reports can name it."""
    known = FOURCC_CODECS.get(fourcc)
    if known is not None:
        return known
    text = fourcc.decode("ascii", "replace").strip().lower()
    return text if text.isalnum() and text.isascii() else f"fourcc-{fourcc.hex()}"


def accepts(track: Track) -> bool:
    """Whether FLV has a name for the track's codec, and the track carries the configuration the name demands."""
    if track.codec in NEEDS_CONFIG and not track.config:
        return False
    if track.kind == Kind.VIDEO:
        return track.codec in VIDEO_FOURCC
    if track.kind == Kind.AUDIO:
        # SoundFormat 7 and 8 mean 8000 Hz.
        g711 = track.codec in ("pcma", "pcmu") and track.sample_rate in (0, 8000) and track.channels in (0, 1, 2)
        return g711 or track.codec in AUDIO_FOURCC
    return False
