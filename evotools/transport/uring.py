"""One system call that sends the same bytes to many sockets: io_uring of Linux 6.1 and later.

Between two system calls a Python program runs with cold branch predictors and caches, so that the few hundred
instructions around each `send` cost as much as thousands; and each call has its own price. Here a flush fills one
queue entry per socket with a handful of slice assignments, whatever their number, and enters the kernel once. Sends do
not wait (MSG_DONTWAIT), so each completes inside that call, and the buffer is not used after it.

Kernel interface: io_uring_setup(2), io_uring_enter(2), include/uapi/linux/io_uring.h. Where it is missing, too old or
forbidden (containers mostly forbid it), `open_ring` gives None and viewers are written to one by one.
"""

import ctypes
import errno
import mmap
import os
import socket
import struct
import sys

from evotools.hub.viewer import Viewer
from evotools.log import get_logger

ENTRIES = 1024
"""Sends per system call; more sockets take several."""

# asm-generic numbers; every architecture has the same ones since 424.
_SETUP, _ENTER = 425, 426
_SUBMIT_ALL, _SINGLE_ISSUER, _DEFER_TASKRUN = 1 << 7, 1 << 12, 1 << 13
_ENTER_GETEVENTS = 1
_OFF_SQES = 0x10000000
_OP_SEND = 26
_FLAGS = socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT if sys.platform == "linux" else 0
# struct io_uring_params: 10 words, then struct io_sqring_offsets and struct io_cqring_offsets.
_PARAMS = struct.Struct("=40s40s40s")
_WORDS = struct.Struct("=10I")
# struct io_uring_sqe: opcode, flags, ioprio, fd, off, addr, len, msg_flags, user_data; the rest is zero.
_ENTRY = struct.Struct("=BBHiQQIIQ24x")
_ENTRY_SIZE = 64
_ADDRESS_AT = 16
_TARGET = struct.Struct("=QI")
_USER_DATA = struct.Struct("=Q")
_USER_DATA_AT = 32
# struct io_uring_cqe: user_data, res, flags.
_COMPLETION = struct.Struct("=QiI")
_RESULT = struct.Struct("=i")

log = get_logger("transport")


class Ring:
    """A submission and a completion queue. For the thread that made it only."""

    def __init__(self, entries: int = ENTRIES) -> None:
        """Raises OSError where the kernel does not offer it."""
        libc = ctypes.CDLL(None, use_errno=True)
        self._syscall = libc.syscall
        params = bytearray(_PARAMS.size)
        struct.pack_into("=I", params, 8, _SUBMIT_ALL | _SINGLE_ISSUER | _DEFER_TASKRUN)
        view = (ctypes.c_char * len(params)).from_buffer(params)
        self._fd = self._syscall(_SETUP, entries, view)
        if self._fd < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        try:
            first, submission, completion = _PARAMS.unpack(params)
            self._size, completions = _WORDS.unpack(first)[:2]
            _, tail, _, _, _, _, array, _, _, _ = _WORDS.unpack(submission)
            head, ctail, _, _, _, results, _, _, _, _ = _WORDS.unpack(completion)
            length = max(array + 4 * self._size, results + 16 * completions)
            self._ring = mmap.mmap(self._fd, length, mmap.MAP_SHARED)
            self._entries = mmap.mmap(self._fd, self._size * _ENTRY_SIZE, mmap.MAP_SHARED, offset=_OFF_SQES)
        except BaseException:
            os.close(self._fd)
            raise
        # Slot i of the queue is always entry i.
        struct.pack_into(f"={self._size}I", self._ring, array, *range(self._size))
        self._words = memoryview(self._ring).cast("I")
        self._tail_at = tail // 4
        self._head_at = head // 4
        self._ctail_at = ctail // 4
        self._completions_at = results // 4
        self._completions = completions
        self._tail = 0

    @property
    def size(self) -> int:
        """Entries of one submission."""
        size: int = self._size
        return size

    def submit(self, entries: memoryview, count: int) -> bytes:
        """Do the `count` operations of `entries`; a struct io_uring_cqe for each, in any order.

        There are fewer when the kernel took only the first ones. Raises OSError; nothing was done then.
        """
        size, words, tail = self._size, self._words, self._tail
        slot = tail & (size - 1)
        first = min(count, size - slot)
        self._entries[slot * _ENTRY_SIZE : (slot + first) * _ENTRY_SIZE] = entries[: first * _ENTRY_SIZE]
        if first < count:
            self._entries[: (count - first) * _ENTRY_SIZE] = entries[first * _ENTRY_SIZE : count * _ENTRY_SIZE]
        words[self._tail_at] = (tail + count) & 0xFFFFFFFF
        done, code = -1, errno.EINTR
        while done < 0 and code == errno.EINTR:
            done = self._syscall(_ENTER, self._fd, count, count, _ENTER_GETEVENTS, None, 0)
            code = ctypes.get_errno()
        # What the kernel did not take (it had no memory) must not be sent by a later call, when the buffer is gone.
        taken = max(done, 0)
        self._tail = words[self._tail_at] = (tail + taken) & 0xFFFFFFFF
        if done < 0:
            raise OSError(code, os.strerror(code))
        # Sends that do not wait complete where they are submitted; should a kernel think otherwise, wait for them.
        while (words[self._ctail_at] - words[self._head_at]) & 0xFFFFFFFF < taken:
            self._syscall(_ENTER, self._fd, 0, taken, _ENTER_GETEVENTS, None, 0)
        at = words[self._head_at] & (self._completions - 1)
        first = min(taken, self._completions - at)
        begin = self._completions_at
        completions = words[begin + 4 * at : begin + 4 * (at + first)].tobytes()
        if first < taken:
            completions += words[begin : begin + 4 * (taken - first)].tobytes()
        words[self._head_at] = (words[self._head_at] + taken) & 0xFFFFFFFF
        return completions

    def close(self) -> None:
        """Give everything back."""
        self._words.release()
        self._ring.close()
        self._entries.close()
        os.close(self._fd)


class Group:
    """Viewers that all get the same bytes; a `Broadcast` of the hub."""

    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        self._viewers: list[Viewer] = []
        self._places: dict[Viewer, int] = {}
        self._entries = bytearray()

    def __len__(self) -> int:
        return len(self._viewers)

    def add(self, viewer: Viewer) -> None:
        """`viewer.socket` is a connected stream socket in non-blocking mode."""
        place = self._places[viewer] = len(self._viewers)
        self._viewers.append(viewer)
        self._entries += _ENTRY.pack(_OP_SEND, 0, 0, viewer.socket, 0, 0, 0, _FLAGS, place)

    def discard(self, viewer: Viewer) -> None:
        """Take a viewer out; the last one takes its place."""
        place = self._places.pop(viewer, None)
        if place is None:
            return
        last = self._viewers.pop()
        entry = self._entries[-_ENTRY_SIZE:]
        del self._entries[-_ENTRY_SIZE:]
        if last is not viewer:
            self._viewers[place] = last
            self._places[last] = place
            _USER_DATA.pack_into(entry, _USER_DATA_AT, place)
            self._entries[place * _ENTRY_SIZE : (place + 1) * _ENTRY_SIZE] = entry

    def write(self, data: bytes) -> list[tuple[Viewer, int]]:
        """Send `data` to all. Gives those whose socket took less, and how many bytes it took.

        Raises OSError when nobody got anything.
        """
        count = len(self._viewers)
        address = ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0
        entries = self._entries
        # The same address and length in every entry: one assignment per byte, not per viewer.
        for at, value in enumerate(_TARGET.pack(address, len(data)), _ADDRESS_AT):
            entries[at::_ENTRY_SIZE] = bytes((value,)) * count
        expected = _RESULT.pack(len(data))
        short: list[tuple[Viewer, int]] = []
        size = self._ring.size
        with memoryview(entries) as view:
            for begin in range(0, count, size):
                number = min(size, count - begin)
                try:
                    completions = self._ring.submit(view[begin * _ENTRY_SIZE :], number)
                except OSError:
                    if begin == 0:
                        raise
                    completions = b""
                results = memoryview(completions).cast("I")[2::4].tobytes()
                if results == expected * number:
                    continue
                for place, sent, _ in _COMPLETION.iter_unpack(completions):
                    if sent != len(data):
                        short.append((self._viewers[place], max(sent, 0)))
                taken = len(completions) // _COMPLETION.size
                if taken < number:
                    short += [(viewer, 0) for viewer in self._viewers[begin + taken :]]
                    break
        return short


def open_ring() -> Ring | None:
    """A ring, or None where there is none to have."""
    if sys.platform != "linux":
        return None
    try:
        return Ring()
    except (OSError, AttributeError, ValueError) as error:
        log.debug("io_uring cannot be used: %s", error)
        return None
