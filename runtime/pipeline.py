"""The loop: source, pack, execute, unpack, sink, one frame pair after the other."""

from __future__ import annotations

import itertools
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from edgefusion.core.frames import FramePair, FusedInfo
from runtime.fusion import Fusion
from runtime.latency import LatencyHistogram
from runtime.sinks import Sink

STAGES = ("source", "pack", "execute", "unpack", "sink")
WARM_UP_FRAMES = 5
"""So many first frames are left out of the histograms, if more follow."""


@dataclass
class Statistics:
    """What a run has done so far.

    ``latency`` is from exposure to the end of the sink where frames are paced, else from the moment the source
    handed the pair over. ``seconds`` is wall-clock time since the first pair was asked for.
    """

    frames: int = 0
    dropped: int = 0
    warm_up_frames: int = 0
    warm_up_seconds: float = 0.0
    seconds: float = 0.0
    interrupted: bool = False
    size_px: tuple[int, int] = (0, 0)
    latency: LatencyHistogram = field(default_factory=LatencyHistogram)
    stages: dict[str, LatencyHistogram] = field(default_factory=lambda: {name: LatencyHistogram() for name in STAGES})

    def warmed_up(self) -> None:
        """Forget the timings of the first frames, which caches and lazy loading slow down."""
        self.warm_up_frames, self.warm_up_seconds = self.frames, self.seconds
        for histogram in (self.latency, *self.stages.values()):
            histogram.clear()

    @property
    def fps(self) -> float:
        """Fused frames per second of wall-clock time after warm-up, source and sink included."""
        seconds = self.seconds - self.warm_up_seconds
        return (self.frames - self.warm_up_frames) / seconds if seconds else 0.0

    @property
    def fusion_fps(self) -> float | None:
        """1 / (median pack + median execute + median unpack): what the fusion itself could sustain."""
        medians = [self.stages[name].percentile_ms(50) or 0.0 for name in ("pack", "execute", "unpack")]
        return 1e3 / sum(medians) if self.stages["execute"].count else None


class Pacer:
    """Lets pair ``index`` pass at its exposure time, as a camera would deliver it.

    Args:
        fps: the camera's rate.
        stop: set to end every wait at once.
    """

    def __init__(self, fps: float, stop: threading.Event) -> None:
        self._period_ns = round(1e9 / fps)
        self._stop = stop
        self._start_ns: int | None = None

    def admit(self, index: int) -> int | None:
        """Wait until the pair is due; its exposure time in ns, or None if the one after it is due already."""
        now_ns = time.monotonic_ns()
        if self._start_ns is None:
            self._start_ns = now_ns
        due_ns = self._start_ns + index * self._period_ns
        if now_ns >= due_ns + self._period_ns:
            return None
        if now_ns < due_ns:
            self._stop.wait((due_ns - now_ns) / 1e9)
        return due_ns


class Pipeline:
    """Takes frame pairs through the stages and counts what happens.

    Args:
        fusion: the stages between source and sink.
        sink: where fused frames go.
        stop: when set, the run ends after the frame in hand.
        fps: pace like a camera of this rate and drop what comes late; None for as fast as possible.
        stills: pairs are unrelated pictures, not a stream.
        observe: called after every fused frame.
    """

    def __init__(
        self,
        fusion: Fusion,
        sink: Sink,
        *,
        stop: threading.Event,
        fps: float | None = None,
        stills: bool = False,
        observe: Callable[[FramePair, Statistics], None] = lambda pair, statistics: None,
    ) -> None:
        self._fusion, self._sink, self._stop = fusion, sink, stop
        self._pacer = Pacer(fps, stop) if fps else None
        self._stills, self._observe = stills, observe
        self.statistics = Statistics()

    def run(self, source: Iterable[FramePair], frames: int | None = None) -> Statistics:
        """Fuse until the source ends, ``frames`` pairs were taken from it, or ``stop`` is set; then close the sink.

        If anything fails the sink is abandoned, so that nothing unfinished keeps a final name.
        """
        start_ns = time.monotonic_ns()
        try:
            pairs = iter(source)
            for index in itertools.count() if frames is None else range(frames):
                if self._stop.is_set() or not self._step(pairs, index):
                    break
                self.statistics.seconds = (time.monotonic_ns() - start_ns) / 1e9
            self._sink.close()
        except BaseException:
            self._sink.abandon()
            raise
        self.statistics.interrupted = self._stop.is_set()
        return self.statistics

    def _step(self, pairs: Iterator[FramePair], index: int) -> bool:
        """Fuse the next pair, or drop it if it is late; False when the source has ended."""
        asked_ns = time.monotonic_ns()
        pair = next(pairs, None)
        received_ns = time.monotonic_ns()
        if pair is None:
            return False
        exposure_ns = self._pacer.admit(index) if self._pacer else received_ns
        if exposure_ns is None:
            self.statistics.dropped += 1
        else:
            self._fuse(pair, exposure_ns, received_ns - asked_ns)
            self._observe(pair, self.statistics)
        return True

    def _fuse(self, pair: FramePair, exposure_ns: int, source_ns: int) -> None:
        fusion, clock = self._fusion, time.monotonic_ns
        fusion.prepare(pair)
        if self._stills:
            fusion.forget()
        begin_ns = clock()
        fusion.pack(pair)
        packed_ns = clock()
        fusion.execute()
        executed_ns = clock()
        fusion.unpack(pair)
        unpacked_ns = clock()
        self._sink.write(fusion.rgb, _info(pair, self.statistics.frames), pair if self._sink.wants_inputs else None)
        end_ns = clock()
        statistics = self.statistics
        if statistics.frames == WARM_UP_FRAMES:
            statistics.warmed_up()
        statistics.frames += 1
        statistics.size_px = pair.visible.size_px
        statistics.latency.add(end_ns - exposure_ns)
        spans = (
            source_ns,
            packed_ns - begin_ns,
            executed_ns - packed_ns,
            unpacked_ns - executed_ns,
            end_ns - unpacked_ns,
        )
        for stage, span_ns in zip(STAGES, spans, strict=True):
            statistics.stages[stage].add(span_ns)


def _info(pair: FramePair, frame_id: int) -> FusedInfo:
    visible, thermal = pair.visible, pair.thermal
    return FusedInfo(
        frame_id, visible.timestamp_ns, visible.clock, visible.sequence, thermal.sequence,
        thermal_age_ns=visible.timestamp_ns - thermal.timestamp_ns, name=pair.name,
    )  # fmt: skip


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """An event that SIGINT (Ctrl-C) and SIGTERM set; a second signal interrupts at once."""
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
