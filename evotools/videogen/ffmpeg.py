"""Familiar ffmpeg spellings (`-s 1280x720 -c:v hevc -f mpegts udp://…`) in the words of `evotools videogen`."""

from collections.abc import Iterator, Sequence

from evotools.errors import UsageError

_VALUED = {
    "s": "--size", "g": "--gop", "r": "--fps", "t": "--duration", "f": "--format",
    "b": "--bitrate", "vb": "--bitrate", "ab": "--audio-bitrate",
    "c": "--codec", "codec": "--codec", "vcodec": "--codec", "acodec": "--audio",
    "ar": "--audio-rate", "ac": "--channels", "profile": "--profile", "level": "--level", "preset": "--preset",
    "tune": "--tune", "pix_fmt": "--pix-fmt", "vprofile": "--profile", "vpre": "--preset",
}  # fmt: skip
"""Options with a value, without stream specifier or with `:v`."""
_AUDIO_VALUED = {
    "b": "--audio-bitrate", "c": "--audio", "codec": "--audio", "ar": "--audio-rate", "ac": "--channels",
}  # fmt: skip
"""The same with `:a`."""
_FLAGS = {"re": ("--realtime",), "an": ("--no-audio",), "vn": ("--no-video",), "y": ("--force",)}
_DROPPED = frozenset({"hide_banner", "nostdin", "nostats", "stats", "stdin", "n", "sn", "dn", "shortest"})
"""Flags that change nothing here."""
_DROPPED_VALUED = frozenset({"strict", "loglevel", "map", "threads_queue_size", "thread_queue_size"})
_FORMATS = {"mpegts": "ts", "matroska": "mkv", "webm": "mkv"}
_OWN = frozenset({"o", "i", "h", "q", "v", "vv", "vvv", "t"})
"""Short options that videogen and the program declare themselves."""


def translate(argv: Sequence[str]) -> list[str]:
    """`argv` of videogen with ffmpeg's options replaced by ours, in their order; later ones override earlier ones.

    Stream numbers in specifiers (`-g:v:0`) are ignored: an option is for all tracks of its kind. An option that is
    neither ours nor translated takes a value and becomes an encoder option. Pure. Raises UsageError for an option
    without its value.
    """
    result: list[str] = []
    items = iter(argv)
    for item in items:
        if item == "--":
            result += [item, *items]
            break
        if len(item) < 2 or item[0] != "-" or item.startswith("--"):
            result.append(item)
            continue
        name, _, specifier = item[1:].partition(":")
        if not specifier and name in _OWN and name != "t":
            result.append(item)
        elif not specifier and name in _FLAGS:
            result += _FLAGS[name]
        elif name in _DROPPED:
            continue
        else:
            result += _option(item, name, specifier, items)
    return result


def _option(item: str, name: str, specifier: str, items: Iterator[str]) -> list[str]:
    value = next(items, None)
    if value is None:
        raise UsageError(f"option {item} needs a value", hint="see evotools videogen --help")
    kind = specifier.split(":")[0]
    if name in _DROPPED_VALUED:
        return []
    if name == "f":
        return ["--format", _FORMATS.get(value, value)]
    if name == "metadata":
        key, _, text = value.partition("=")
        return ["--language", text] if key == "language" else []
    if kind == "a":
        if name in _AUDIO_VALUED:
            return [_AUDIO_VALUED[name], value]
        return ["--audio-option", f"{name}={value}"]
    if name in _VALUED:
        return [_VALUED[name], value]
    if kind == "v":
        return ["--video-option", f"{name}={value}"]
    return ["--option", f"{name}={value}"]
