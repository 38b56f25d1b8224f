"""Publishers that come and go under viewers that stay: nobody is disconnected and no clock runs backwards."""

import random
import socket
import threading
import time
from typing import Any

import pytest

from tests.load.encoder import Encoder
from tests.load.serving import Serving
from tests.load.watching import Watchers

KINDS = ("rtmp", "flv", "ts", "ws")
START_MS = (0, 1, 3_600_000, 2**24 - 400, 2**31 - 400, 2**32 - 400)
"""Where encoders' clocks begin: at zero, within a long stream, and shortly before each width that RTMP's time stamps
have or that somebody took for one."""


class _Channel:
    """One stream name and the encoders that take turns on it."""

    def __init__(self, server: Serving, name: str, seed: int, lives_s: tuple[float, float], grace_s: float) -> None:
        self.name = name
        self.ends: list[str] = []
        self.error: Exception | None = None
        self._server = server
        self._random = random.Random(seed)
        self._lives_s = lives_s
        self._grace_s = grace_s
        self._ending = threading.Event()
        self._silent: list[socket.socket] = []
        self._first = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name)
        self._thread.start()

    def wait(self) -> None:
        assert self._first.wait(20), self.error

    def stop(self) -> None:
        self._ending.set()
        self._thread.join(30)
        for sock in self._silent:
            sock.close()

    def _run(self) -> None:
        try:
            while not self._ending.is_set():
                self._life()
        except Exception as error:
            self.error = error
            raise

    def _life(self) -> None:
        rng = self._random
        encoder = Encoder(self._server.rtmp, self.name, start_ms=rng.choice(START_MS))
        self._first.set()
        self._ending.wait(rng.uniform(*self._lives_s))
        end = rng.choice(("leave", "die", "silence"))
        try:
            if end == "leave":
                encoder.leave()
            elif end == "die":
                encoder.die()
            else:
                self._silent.append(encoder.fall_silent())
        finally:
            if encoder.error is not None:
                raise encoder.error
        self.ends.append(end)
        # Most come back at once, some within the grace time.
        self._ending.wait(rng.choice((0.0, 0.1, self._grace_s / 10, self._grace_s / 4)))


def _soak(
    channels: int, viewers: int, seconds: float, lives_s: tuple[float, float], grace_s: float, seed: int
) -> dict[str, Any]:
    with Serving(f"hub.grace={grace_s}s", "hub.conflict=takeover") as server:
        names = [f"soak/{number}" for number in range(channels)]
        running = [_Channel(server, name, seed + number, lives_s, grace_s) for number, name in enumerate(names)]
        try:
            for channel in running:
                channel.wait()
            # Every kind on every name, as far as there are viewers.
            wanted = [(KINDS[n // channels % len(KINDS)], names[n % channels]) for n in range(viewers)]
            with Watchers(server, wanted) as watchers:
                early = server.figures()
                time.sleep(seconds)
                late = server.figures()
                reports = watchers.end()
        finally:
            for channel in running:
                channel.stop()
    ends = [end for channel in running for end in channel.ends]
    assert [channel.error for channel in running] == [None] * channels
    assert {"leave", "die", "silence"} <= set(ends), ends
    assert all(stream["session"] >= 2 for stream in late["streams"].values()), late
    for report in reports:
        assert not report["closed"], report
        assert not report["back"], report
        # A new session follows the old one by the time that passed in between, not by what encoders' clocks say.
        assert report["ahead_s"] <= grace_s and report["gap_s"] <= grace_s, report
        assert report["frames"] >= 0.4 * seconds * 25, report
    return {"early": early, "late": late, "ends": len(ends)}


@pytest.mark.timeout(180)
def test_viewers_stay_and_see_time_go_on_while_publishers_come_and_go() -> None:
    _soak(3, 32, 6, (0.5, 1.5), 4, seed=7)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ten_publishers_reconnecting_under_500_viewers_for_ten_minutes() -> None:
    figures = _soak(10, 500, 600, (2.0, 30.0), 10, seed=70)
    assert figures["ends"] >= 100
    grown = figures["late"]["rss_kib"] - figures["early"]["rss_kib"]
    assert grown <= 64 * 1024, figures
