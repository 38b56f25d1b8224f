"""Cost of our own TS, FLV and MP4 readers and writers, beside libavformat through PyAV on the same bytes."""

import io
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from bench.tools import BIN, need, sample
from evotools.containers.base import Demuxer, Muxer
from evotools.containers.flv.demux import FlvDemuxer
from evotools.containers.flv.mux import FlvMuxer
from evotools.containers.mp4.demux import Mp4Demuxer
from evotools.containers.mp4.mux import Fmp4Muxer
from evotools.containers.mpegts.demux import TsDemuxer
from evotools.containers.mpegts.mux import TsMuxer
from evotools.media.frame import Event, Frame, Tracks

READ_BYTES = 64 * 1024
"""What one read from a socket brings under load."""


def _transport_stream() -> Path:
    path = BIN / "sample.ts"
    if not path.exists():
        subprocess.run([need("ffmpeg"), "-hide_banner", "-loglevel", "error", "-y", "-i", str(sample()), "-c", "copy",
                        "-f", "mpegts", str(path)], check=True, timeout=60)  # fmt: skip
    return path


def _fragmented_mp4() -> Path:
    path = BIN / "sample.mp4"
    if not path.exists():
        subprocess.run([need("ffmpeg"), "-hide_banner", "-loglevel", "error", "-y", "-i", str(sample()), "-c", "copy",
                        "-movflags", "frag_keyframe+empty_moov+default_base_moof", str(path)],
                       check=True, timeout=60)  # fmt: skip
    return path


def _demux(make: Callable[[], Demuxer], data: bytes) -> list[Event]:
    demuxer = make()
    events: list[Event] = []
    for at in range(0, len(data), READ_BYTES):
        events += demuxer.feed(data[at : at + READ_BYTES])
    return events + demuxer.flush()


def _mux(make: Callable[[], Muxer], events: list[Event]) -> int:
    muxer = make()
    size = 0
    for event in events:
        if isinstance(event, Frame):
            size += len(muxer.write(event))
        elif isinstance(event, Tracks):
            size += len(muxer.start(event.tracks))
    return size + len(muxer.finish())


def _libav(data: bytes, form: str, *, write: bool) -> int:
    """Read all packets, and write them again when asked; number of packets."""
    import av

    count = 0
    with av.open(io.BytesIO(data), "r", format=form) as source:
        if not write:
            return sum(packet.size > 0 for packet in source.demux())
        with av.open(io.BytesIO(), "w", format=form) as sink:
            streams = {stream.index: sink.add_stream_from_template(stream) for stream in source.streams}
            for packet in source.demux():
                if packet.size:
                    packet.stream = streams[packet.stream_index]
                    sink.mux(packet)
                    count += 1
    return count


def _fresh(events: list[Event]) -> list[Event]:
    """Copies without remembered wire forms, as the frames of a live source are."""
    return [
        Frame(e.track, e.dts, e.pts, e.payload, duration=e.duration, key=e.key) if isinstance(e, Frame) else e
        for e in events
    ]


def _cpu(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def run(rounds: int) -> None:
    """Print cost per unit and the ratio to PyAV, medians of interleaved rounds."""
    print(f"\nmux and demux: {rounds} interleaved rounds over {sample().stat().st_size / 1e6:.1f} MB, 64 KiB reads; "
          "CPU µs per TS packet or frame", flush=True)  # fmt: skip
    jobs: tuple[tuple[str, bytes, Callable[[], Demuxer], Callable[[], Muxer]], ...] = (
        ("mpegts", _transport_stream().read_bytes(), TsDemuxer, TsMuxer),
        ("flv", sample().read_bytes(), FlvDemuxer, FlvMuxer),
        ("mp4", _fragmented_mp4().read_bytes(), Mp4Demuxer, Fmp4Muxer),
    )
    for form, data, demuxer, muxer in jobs:
        events = _demux(demuxer, data)
        frames = sum(isinstance(event, Frame) for event in events)
        times: dict[str, list[float]] = {"demux": [], "mux": [], "libav demux": [], "libav remux": []}
        for _ in range(rounds):
            times["demux"].append(_cpu(lambda: _demux(demuxer, data)))  # noqa: B023
            times["libav demux"].append(_cpu(lambda: _libav(data, form, write=False)))  # noqa: B023
            copies = _fresh(events)
            times["mux"].append(_cpu(lambda: _mux(muxer, copies)))  # noqa: B023
            times["libav remux"].append(_cpu(lambda: _libav(data, form, write=True)))  # noqa: B023
        units = len(data) // 188 if form == "mpegts" else frames
        middle = {name: median(values) / units * 1e6 for name, values in times.items()}
        both = middle["demux"] + middle["mux"]
        print(f"  {form:7} {units} {'packets' if form == 'mpegts' else 'frames'}: demux {middle['demux']:.2f}, "
              f"mux {middle['mux']:.2f}; PyAV demux {middle['libav demux']:.2f}, remux {middle['libav remux']:.2f}; "
              f"ours / PyAV: demux {middle['demux'] / middle['libav demux']:.2f}, "
              f"remux {both / middle['libav remux']:.2f}", flush=True)  # fmt: skip
