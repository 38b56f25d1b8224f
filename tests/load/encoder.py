"""An encoder without a codec: RTMP publishing of frames that carry their number, from any time stamp on.

Payloads are noise behind correct headers: servers do not decode, and the players here do not either.
"""

import os
import random
import socket
import struct
import threading
import time

from evotools.protocols.rtmp.client import ClientConnection
from evotools.protocols.rtmp.states import Client

# Sequence header tag bodies (Annex E.4.3, E.4.2) of x264's baseline 320x180, and of AAC-LC 44.1 kHz stereo.
VIDEO_HEADER = bytes.fromhex(
    "17000000000142c00cffe100196742c00cd901419f9f011000000300100000030320f142a48001000568cb83cb20"
)
AUDIO_HEADER = bytes.fromhex("af001210")
MARK = b"evoframe"
FRAMES_PER_S = 25
AUDIO_STEP_MS = 1024 / 44.1
GOP = 25


class Encoder:
    """Publishes until it is ended; `start` returns when the server has accepted it."""

    def __init__(self, port: int, name: str, *, rate_bps: int = 200_000, start_ms: int = 0) -> None:
        self.name = name
        self.sent_frames = 0
        self.sent_bytes = 0
        """Of frames, as the hub counts them."""
        self.worst_send_s = 0.0
        """The longest that the server kept a frame waiting."""
        self.error: Exception | None = None
        self._size = rate_bps // 8 // FRAMES_PER_S
        self._start_ms = start_ms
        self._ending = threading.Event()
        self.sock = socket.create_connection(("127.0.0.1", port), 10)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        app, _, stream = name.rpartition("/")
        self._client = ClientConnection(
            f"rtmp://127.0.0.1:{port}/{app}", app, stream, "publish", time.monotonic(), os.urandom
        )
        while self._client.state is not Client.PUBLISHING:
            self.sock.sendall(self._client.data_to_send())
            data = self.sock.recv(65536)
            assert data, "the server refused the publisher"
            self._client.receive(data, time.monotonic())
            while self._client.next_event() is not None:
                pass
        self._thread = threading.Thread(target=self._run, name=f"encoder {name}")
        self._thread.start()

    def leave(self) -> None:
        """Say so, and close."""
        self._stop()
        self._client.close()
        self.sock.sendall(self._client.data_to_send())
        self.sock.close()

    def die(self) -> None:
        """As a killed process: a reset in the middle of whatever it is."""
        self._stop()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def fall_silent(self) -> socket.socket:
        """As an encoder whose network is gone: nothing comes, nothing is closed. The caller closes the socket."""
        self._stop()
        return self.sock

    def _stop(self) -> None:
        self._ending.set()
        self._thread.join(20)

    def _send(self, kind: int, at_ms: float, parts: tuple[bytes, ...]) -> None:
        self._client.send_media(kind, self._start_ms + int(at_ms), parts)
        begun = time.monotonic()
        self.sock.sendall(self._client.data_to_send())
        self.worst_send_s = max(self.worst_send_s, time.monotonic() - begun)

    def _run(self) -> None:
        try:
            self._publish()
        except Exception as error:
            self.error = error

    def _publish(self) -> None:
        self._send(9, 0, (VIDEO_HEADER,))
        self._send(8, 0, (AUDIO_HEADER,))
        noise = random.Random(self._size).randbytes(self._size)
        begun, number, audio = time.monotonic(), 0, 0
        while not self._ending.wait(max(0.0, begun + number / FRAMES_PER_S - time.monotonic())):
            key = number % GOP == 0
            nal = (bytes((0x65 if key else 0x41,)) + MARK + struct.pack(">I", number + 0x01010101) + noise)[
                : self._size
            ]
            head = bytes((0x17 if key else 0x27, 1, 0, 0, 0)) + struct.pack(">I", len(nal))
            at_ms = number * 1000 / FRAMES_PER_S
            self._send(9, at_ms, (head, nal))
            self.sent_frames += 1
            self.sent_bytes += len(nal) + 4
            number += 1
            while audio * AUDIO_STEP_MS <= at_ms:
                self._send(8, audio * AUDIO_STEP_MS, (b"\xaf\x01", noise[:64]))
                audio += 1
                self.sent_frames += 1
                self.sent_bytes += min(64, len(noise))
