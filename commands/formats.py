"""`evotools formats`: containers, codecs and URI schemes, asked of the tables and muxers that do the work."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evotools.commands.globals import exit_codes

if TYPE_CHECKING:
    from evotools.containers.base import Muxer
    from evotools.media.track import Kind, Track

SUMMARY = "containers, codecs and URI schemes that evotools reads and writes"
EPILOG = """Examples:

  evotools formats

  evotools formats --json | jq -r '.containers[] | select(.codecs | index("av1")) | .name'"""
EXIT_CODES = exit_codes()
OURS, LIBAV = "evotools", "libav"


@dataclass(frozen=True, slots=True)
class Container:
    """One container format."""

    name: str
    names: tuple[str, ...]
    """What -f takes."""
    suffixes: tuple[str, ...]
    """File suffixes that choose it when writing, without their dot."""
    read_by: str
    """`evotools`, `libav` or empty."""
    written_by: tuple[str, ...]
    codecs: tuple[str, ...]
    """What it can carry when written."""


def command(
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> Any:
    """List the containers, what each can carry and whose code reads and writes it, the codecs, and the URI schemes.

    Reading goes by content: libav identifies more codecs than those that can be written.

    stdout: the lists.
    """
    found = containers()
    kinds = codecs()
    if as_json:
        import json

        print(json.dumps(_json(found, kinds), ensure_ascii=False))  # noqa: T201
        return
    print("\n".join(_text(found, kinds)))  # noqa: T201


def containers() -> list[Container]:
    """All containers that have a name."""
    from evotools.containers import sniff
    from evotools.containers.libav_tables import CARRIES
    from evotools.endpoints.bytestream import FORMAT_NAMES, input_name
    from evotools.endpoints.file import OWN, OWN_SUFFIXES

    kinds = codecs()
    found = []
    for name in sorted({*FORMAT_NAMES.values(), *OWN, *CARRIES, *sniff.OURS} - {""}):
        names = tuple(given for given, meant in FORMAT_NAMES.items() if meant == name)
        own = {suffix[1:] for suffix, meant in OWN_SUFFIXES.items() if meant == name}
        # libav's writer takes the names of -f and of its containers as suffixes too.
        other = {s for s in (*names, name) if f".{s}" not in OWN_SUFFIXES and name in CARRIES}
        muxer = _muxer(name)
        content = input_name(names[0]) if names else _CONTENT.get(name, name)
        found.append(
            Container(
                name=name,
                names=names,
                suffixes=tuple(sorted(own | other)),
                read_by=OURS if content in sniff.OURS else LIBAV if _libav_reads(content) else "",
                written_by=(
                    *((OURS,) if muxer or name in OWN else ()),
                    *((LIBAV,) if name in CARRIES and name not in OWN else ()),
                ),
                codecs=tuple(
                    codec
                    for codec, kind in sorted(kinds.items())
                    if (muxer and muxer.accepts(_track(codec, kind)))
                    or _in_file(_track(codec, kind), names[0] if names else "", *sorted(own | other))
                ),
            )
        )
    return found


_CONTENT = {"m4a": "mp4", "cmfv": "mp4", "cmfa": "mp4", "mka": "matroska"}
"""Suffixes that stand for part of a container: reading looks at the content."""


def _in_file(track: "Track", format_: str, suffix: str = "", *_: str) -> bool:
    """Whether a file of this format, or of this suffix where no format is named, takes the track."""
    from evotools.endpoints.base import Context
    from evotools.endpoints.file import FileSink
    from evotools.errors import EvotoolsError
    from evotools.uri import Uri

    sink = FileSink(Uri.parse(f"file:/evotools-formats.{suffix}"), Context(options={"force": True}))
    sink.format = format_
    try:
        return not sink.offer([track])
    except EvotoolsError:
        return False


def codecs() -> "dict[str, Kind]":
    """Every codec that some container can carry, in the order of kinds."""
    from evotools.containers.flv.names import AUDIO_FOURCC, VIDEO_FOURCC
    from evotools.containers.libav_tables import CARRIES
    from evotools.containers.matroska import CODEC_ID
    from evotools.media.track import Kind

    video = {codec for codec, ident in CODEC_ID.items() if ident.startswith("V_")} | set(VIDEO_FOURCC)
    audio = ({*CODEC_ID, *AUDIO_FOURCC}.union(*CARRIES.values())) - video
    kinds = dict.fromkeys(sorted(video), Kind.VIDEO) | dict.fromkeys(sorted(audio), Kind.AUDIO)
    muxer = _muxer("ts")
    for codec in ("id3", "scte35"):
        if muxer is not None and muxer.accepts(_track(codec, Kind.DATA)):
            kinds[codec] = Kind.DATA
    return kinds


def _muxer(name: str) -> "Muxer | None":
    """Our muxer of a container, or None."""
    from evotools.containers.matroska import MatroskaMuxer
    from evotools.endpoints.bytestream import make_muxer
    from evotools.errors import UsageError

    if name in ("matroska", "webm"):
        return MatroskaMuxer(name)
    try:
        return make_muxer(name, latency="normal")
    except UsageError:
        return None


def _track(codec: str, kind: "Kind") -> "Track":
    """An ordinary track: muxers look into the configuration of some codecs."""
    from evotools.codecs import opus
    from evotools.media.track import Kind, Track

    # AudioSpecificConfig of AAC-LC, 48 kHz, stereo; elsewhere it is enough that there is one.
    configs = {"aac": b"\x11\x90", "opus": opus.build_head(2, pre_skip=312)}
    rate = 8000 if codec in ("pcma", "pcmu") else 48000
    audio = kind is Kind.AUDIO
    return Track(id=1, kind=kind, codec=codec, timescale=90_000, config=configs.get(codec, b"\x01" * 40),
                 sample_rate=rate if audio else 0, channels=1 if rate == 8000 else 2 if audio else 0)  # fmt: skip


def _libav_reads(name: str) -> bool:
    import av

    from evotools.containers.libav_tables import LIBAV_FORMAT

    try:
        av.format.ContainerFormat(LIBAV_FORMAT.get(name, name), "r")
    except ValueError:
        return False
    return True


def _text(found: list[Container], kinds: "dict[str, Kind]") -> list[str]:
    import textwrap

    from evotools.commands.docs.text import terminal_width
    from evotools.commands.docs.uris import scheme_docs

    rows = [("CONTAINER", "NAMES", "READ BY", "WRITTEN BY", "CARRIES")]
    rows += [
        (c.name, " ".join(sorted({*c.names, *c.suffixes})), c.read_by or "-", " ".join(c.written_by) or "-",
         " ".join(c.codecs) or "-")
        for c in found
    ]  # fmt: skip
    widths = [max(len(row[column]) for row in rows) + 2 for column in range(4)]
    left = sum(widths)
    lines = []
    for row in rows:
        head = "".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=False))
        text = textwrap.wrap(row[4], max(terminal_width() - left, 40))
        lines += [(head + text[0]).rstrip(), *(" " * left + line for line in text[1:])]
    lines += ["", "CODECS"]
    for kind in dict.fromkeys(kinds.values()):
        line = f"{kind.value:<7}{' '.join(codec for codec, of in kinds.items() if of is kind)}"
        lines += textwrap.wrap(line, max(terminal_width(), 40), subsequent_indent=" " * 7)
    lines += ["", "URIS"]
    schemes = scheme_docs()
    wide = max(len(s.form) for s in schemes) + 2
    lines += [f"{s.form:<{wide}}{s.directions:<13}{s.summary}" for s in schemes]
    return lines


def _json(found: list[Container], kinds: "dict[str, Kind]") -> dict[str, Any]:
    from evotools.commands.docs.uris import scheme_docs

    return {
        "schema": "evotools.formats/1",
        "containers": [
            {
                "name": c.name,
                "names": list(c.names),
                "suffixes": list(c.suffixes),
                "read_by": c.read_by or None,
                "written_by": list(c.written_by),
                "codecs": list(c.codecs),
            }
            for c in found
        ],
        "codecs": [
            {"name": codec, "kind": kind.value, "containers": [c.name for c in found if codec in c.codecs]}
            for codec, kind in kinds.items()
        ],
        "schemes": [
            {"name": s.name, "read": s.reads, "write": s.writes, "listens": s.listens, "summary": s.summary}
            for s in scheme_docs()
        ],
    }
