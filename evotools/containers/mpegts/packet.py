"""Transport packets: finding them in a byte stream, their headers, and the program clock reference.

ISO/IEC 13818-1 2.4.3. Packets of 188 bytes, of 192 (a 4-byte arrival time stands before each: Blu-ray, M2TS) and of
204 (16 parity bytes stand after each: DVB modulators) are told apart by where the sync bytes repeat.
"""

import sys
from array import array
from collections.abc import Callable, Sequence
from functools import lru_cache
from struct import Struct
from typing import NamedTuple

from evotools.errors import ParseError

PACKET = 188
SYNC = 0x47
NULL_PID = 0x1FFF
PAYLOAD = 184
TIMESCALE = 90_000
WRAP = 1 << 33
"""Timestamps count modulo 2^33 ticks of 90 kHz (2.4.3.7)."""

MAX_UNSYNCED_BYTES = 1 << 20
"""How much is searched for a first packet before the input is called something else: 5000 packets, far more than any
capture has in front of its first packet."""

_STEPS = (188, 192, 204)
_SUSPECT_BYTES = 4096
"""How far sync is searched while the packet in front of the loss is kept back; beyond this it is given up."""
_SYNCS = 3
"""Sync bytes in a row that make a lock: two still occur by chance in video every few megabytes."""
_FEW = 64
"""Runs up to this length, such as the seven packets of a datagram, have their headers unpacked in one call; a format
for each length is remembered."""


class Run(NamedTuple):
    """Packets in a row: packet k begins (with its sync byte) at `start + k * step` of `data`."""

    data: bytes
    start: int
    packets: int
    step: int
    lost: int
    """Bytes skipped in front of this run because sync was lost; 0 before the first lock."""

    def words(self) -> Sequence[int]:
        """The 4-byte headers as integers.

        From the top: sync byte 8 bits, error 1, start 1, priority 1, PID 13, scrambling 2, field control 2, counter 4.
        """
        if self.packets <= _FEW:
            return _unpacker(self.packets, self.step)(self.data, self.start)
        # All three packet sizes are multiples of four, so that one strided view picks every header out in C.
        span = self.data[self.start : self.start + (self.packets - 1) * self.step + 4]
        words = array("I", memoryview(span).cast("I")[:: self.step // 4].tobytes())
        if sys.byteorder == "little":
            words.byteswap()
        return words.tolist()


@lru_cache(maxsize=_FEW * len(_STEPS))
def _unpacker(packets: int, step: int) -> Callable[[bytes, int], tuple[int, ...]]:
    return Struct(">" + f"I{step - 4}x" * (packets - 1) + "I").unpack_from


class PacketSync:
    """Cuts input of any split into runs of packets; finds the next packet again after lost or foreign bytes."""

    def __init__(self) -> None:
        self._step = 0
        self._suspect = 0
        """The packet size while a packet in front of lost sync waits for a verdict; 0 when there is none."""
        self._ever_locked = False
        self._rest = b""
        self._skipped = 0

    def feed(self, data: bytes | bytearray | memoryview) -> list[Run]:
        """Runs completed by `data`. Raises ParseError when the first MAX_UNSYNCED_BYTES hold no packets."""
        return self._scan(self._rest + bytes(data) if self._rest else bytes(data), final=False)

    def flush(self) -> list[Run]:
        """The last packets, where fewer sync bytes than usual have to do."""
        return self._scan(self._rest, final=True)

    def _scan(self, data: bytes, *, final: bool) -> list[Run]:
        runs: list[Run] = []
        at, end = 0, len(data)
        while True:
            if not self._step:
                found, step = self._find(data, at + self._suspect, final=final)
                if self._suspect:
                    shifted = (found - at) % self._suspect > 0
                    if not step and not final and found - at < _SUSPECT_BYTES:
                        break
                    if not shifted and (step or final):
                        runs.append(Run(data, at, 1, self._suspect, 0))
                        self._ever_locked = True
                        at += self._suspect
                    self._suspect = 0
                self._skipped += found - at
                at = found
                if not step:
                    break
                self._step = step
            step = self._step
            count = (end - at + (step - PACKET if final else 0)) // step
            if count <= 0:
                break
            marks = data[at : at + (count - 1) * step + 1 : step]
            good = count - len(marks.lstrip(b"\x47"))
            # Where sync is lost the last packet may be the broken one: it stays until the next sync byte is found.
            # Bytes are missing in it when packets go on at another place than a multiple of their size.
            whole = good if good == count else good - 1
            if whole > 0:
                runs.append(Run(data, at, whole, step, self._skipped if self._ever_locked else 0))
                self._ever_locked = True
                self._skipped = 0
                at += whole * step
            if good == count:
                break
            self._suspect = step if good else 0
            self._step = 0
        if not self._ever_locked and self._skipped > MAX_UNSYNCED_BYTES:
            self._rest = b""
            raise ParseError(
                f"no MPEG-TS packets in the first {MAX_UNSYNCED_BYTES} bytes", hint="name the format with -f"
            )
        self._rest = data[at:]
        return runs

    def _find(self, data: bytes, at: int, *, final: bool) -> tuple[int, int]:
        """Where packets begin and how far apart; step 0 means undecided, and that nothing in front of it matters."""
        end = len(data)
        at = data.find(b"\x47", at)
        while at >= 0:
            for step in _STEPS:
                marks = data[at : at + (_SYNCS - 1) * step + 1 : step]
                if marks.count(0x47) == len(marks):
                    if len(marks) == _SYNCS or (final and end - at >= PACKET):
                        return at, step
                    if not final:
                        return at, 0
            at = data.find(b"\x47", at + 1)
        return end, 0


def strip_headers(data: bytes, start: int, count: int, step: int) -> bytes | bytearray:
    """The joined payloads of `count` packets that have no adaptation field."""
    if count == 1:
        return data[start + 4 : start + PACKET]
    if step == PACKET and count > 3:
        # Four strided deletions run in C and beat one slice per packet from about four packets on.
        payload = bytearray(data[start : start + count * PACKET])
        for width in (188, 187, 186, 185):
            del payload[::width]
        return payload
    return b"".join([data[at + 4 : at + PACKET] for at in range(start, start + count * step, step)])


def header(pid: int, *, start: bool, field: int, counter: int) -> bytes:
    """A 4-byte packet header; `field` is adaptation_field_control (1 payload, 2 field alone, 3 both)."""
    return bytes((SYNC, 0x40 * start | pid >> 8, pid & 0xFF, field << 4 | counter))


def encode_pcr(ticks: int) -> bytes:
    """The 6-byte program clock reference of a time in 90 kHz ticks; the 27 MHz extension is 0. 2.4.3.5."""
    return ((ticks % WRAP) << 15 | 0x7E00).to_bytes(6, "big")
