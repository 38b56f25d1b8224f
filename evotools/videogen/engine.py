"""The test stream as frames in decode order: pictures, sound and their clock, step by step.

Blocking, for a worker thread. Neither the time of day nor randomness is read here; both are arguments.
"""

from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from math import ceil
from typing import Any

from evotools.errors import UsageError
from evotools.media.frame import Frame
from evotools.media.track import Track
from evotools.videogen.libav import AudioEncoder, Picture, VideoEncoder, encoder_options
from evotools.videogen.spec import Spec
from evotools.videogen.tone import Tone

Parallel = Callable[[Callable[[int], list[Frame]], Iterable[int]], Iterable[list[Frame]]]
"""`map`, or one that calls from several threads at once and keeps the order of the results."""

MAX_STARTUP_S = 10
"""Seconds of media made while an encoder has not said anything: more is an encoder that never will."""


class Engine:
    """One test stream. Frames of all tracks leave in the order of their decode times."""

    def __init__(self, spec: Spec, tone_seed: int, parallel: Parallel = map) -> None:
        """Opens the encoders; `parallel` runs those of a ladder. Raises UsageError for options that one refuses."""
        self.spec = spec
        self._parallel = parallel
        given_video, given_audio = encoder_options(spec)
        self._pictures: dict[tuple[int, int], Picture] = {}
        self._video: list[VideoEncoder] = []
        for video in spec.video:
            size = video.width, video.height
            if size not in self._pictures:
                self._pictures[size] = Picture(spec, *size)
            matrix = self._pictures[size].matrix
            self._video.append(VideoEncoder(spec, video, len(self._video) + 1, matrix, given_video))
        self._audio: list[AudioEncoder] = []
        tones: dict[int, Tone] = {}
        for audio in spec.audio:
            tone = tones.setdefault(audio.sample_rate, Tone(tone_seed, audio.sample_rate, spec.tone_hz))
            number = len(self._video) + len(self._audio) + 1
            self._audio.append(AudioEncoder(spec, audio, number, tone, given_audio))
        # Decode times may begin before presentation times; all tracks move together so that none is negative.
        self._delay_s = max((v.delay_frames for v in self._video), default=0) / spec.fps
        self._heap: list[tuple[float, int, int, Frame]] = []
        self._video_until = [0.0] * len(self._video)
        self._sequence = 0
        self.number = 0
        """The next picture."""
        self.finished = False

    @property
    def tracks(self) -> tuple[Track, ...]:
        """All tracks; complete once `ready`."""
        return tuple(v.track for v in self._video) + tuple(a.track for a in self._audio)

    @property
    def ready(self) -> bool:
        """Whether every track's configuration is known."""
        return all(v.ready for v in self._video)

    def step(self, count: int, start_s: float, offset_s: int = 0) -> list[Frame]:
        """The frames that become complete with the next `count` pictures and the sound beside them.

        The clock shows `start_s` (Unix time) in picture 0, in a zone `offset_s` seconds east of UTC. May be empty
        while encoders look ahead; after the last picture `finished` is set and everything was given.
        """
        last = self.spec.frame_count
        fps = self.spec.fps
        while count > 0 and not self.finished:
            count -= 1
            if last is not None and self.number >= last:
                self._flush(last, start_s)
                break
            number = self.number
            elapsed_ms = int(number * 1000 / fps)
            unix_ms = round(start_s * 1000) + elapsed_ms
            shown = {
                size: picture.draw(number, elapsed_ms, unix_ms, offset_s) for size, picture in self._pictures.items()
            }

            def encode(index: int, number: int = number, shown: dict[tuple[int, int], Any] = shown) -> list[Frame]:
                encoder, video = self._video[index], self.spec.video[index]
                return encoder.encode(shown[video.width, video.height], number, self._ticks(encoder.track))

            for index, frames in enumerate(self._parallel(encode, range(len(self._video)))):
                self._push(frames, start_s)
                if frames:
                    self._video_until[index] = frames[-1].dts_s
            for sound in self._audio:
                rate = sound.track.timescale
                frames = sound.encode_until(int(number * rate / fps), self._ticks(sound.track))
                self._push(self._cut(frames, sound), start_s)
            self.number = number + 1
            if not self.ready and number > MAX_STARTUP_S * fps:
                silent = " ".join(v.track.codec for v in self._video if not v.ready)
                raise UsageError(f"the encoder gave nothing in {MAX_STARTUP_S} s ({silent})", hint="look ahead less")
            if last is not None and self.number >= last:
                self._flush(last, start_s)
        return self._pop()

    def _ticks(self, track: Track) -> int:
        return round(self._delay_s * track.timescale)

    def _cut(self, frames: list[Frame], sound: AudioEncoder) -> list[Frame]:
        """Without what begins after the end of the stream."""
        last = self.spec.frame_count
        if last is None:
            return frames
        end = ceil(last * sound.track.timescale / self.spec.fps) + self._ticks(sound.track)
        return [f for f in frames if f.pts < end]

    def _flush(self, last: int, start_s: float) -> None:
        for encoder in self._video:
            self._push(encoder.encode(None, last, self._ticks(encoder.track)), start_s)
        for sound in self._audio:
            end = ceil(last * sound.track.timescale / self.spec.fps)
            self._push(self._cut(sound.encode_until(end - 1, self._ticks(sound.track)), sound), start_s)
        self.finished = True

    def _push(self, frames: list[Frame], start_s: float) -> None:
        for frame in frames:
            frame.wallclock_s = start_s + frame.pts_s - float(self._delay_s)
            # Ties leave in the order of the tracks, so that equal streams give equal bytes.
            heappush(self._heap, (frame.dts_s, frame.track.id, self._sequence, frame))
            self._sequence += 1

    def _pop(self) -> list[Frame]:
        """Frames before which nothing can come any more."""
        heap = self._heap
        if self.finished:
            return [heappop(heap)[3] for _ in range(len(heap))]
        if not self.ready:
            return []
        until = min([*self._video_until, *(a.end / a.track.timescale + float(self._delay_s) for a in self._audio)])
        frames = []
        while heap and heap[0][0] <= until:
            frames.append(heappop(heap)[3])
        return frames
