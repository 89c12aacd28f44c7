"""What a run has done so far, in constant memory."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from edgefusion.core.frames import Flag, FusedInfo
from runtime.latency import Deadlines, Intervals, LatencyHistogram

STAGES = ("source", "pack", "execute", "unpack", "sink")
WARM_UP_FRAMES = 5
"""So many first frames are left out of the histograms, if more follow."""


@dataclass
class Statistics:
    """Counts and times of one rig's frames.

    ``latency`` is from exposure to published where frames come live or paced, else from the moment the source handed
    the pair over. ``seconds`` is wall-clock time since the first pair was asked for. ``sink`` is what the loop spends
    on publishing and on handing the frame to the threads of other outputs.

    Attributes:
        frames: published.
        flagged: published, by flag: stale, thermal_lost, visible_lost, misregistered.
        drops: moments that were not published, by cause.
        deadlines: from exposure to published; a frame that was dropped missed its own.
        intervals: between published frames.
        warm_up_s: warm-up takes so long at least, beside ``WARM_UP_FRAMES``.
    """

    frames: int = 0
    flagged: Counter[str] = field(default_factory=Counter)
    drops: Counter[str] = field(default_factory=Counter)
    warm_up_s: float = 0.0
    warm_up_frames: int = 0
    warm_up_seconds: float = 0.0
    seconds: float = 0.0
    size_px: tuple[int, int] = (0, 0)
    deadlines: Deadlines = field(default_factory=lambda: Deadlines(None))
    intervals: Intervals = field(default_factory=Intervals)
    latency: LatencyHistogram = field(default_factory=LatencyHistogram)
    stages: dict[str, LatencyHistogram] = field(default_factory=lambda: {name: LatencyHistogram() for name in STAGES})

    def warmed_up(self) -> None:
        """Forget the timings of the first frames, which caches and lazy loading slow down."""
        self.warm_up_frames, self.warm_up_seconds = self.frames, self.seconds
        for histogram in (self.latency, *self.stages.values()):
            histogram.clear()
        self.deadlines.clear()
        self.intervals.clear()

    def count(self, info: FusedInfo, latency_ns: int, *, published_ns: int, lost: int) -> None:
        """One frame was published; so many that were due were given up before it."""
        if not self.warm_up_frames and self.frames >= WARM_UP_FRAMES and self.seconds >= self.warm_up_s:
            self.warmed_up()
        self.frames += 1
        for flag in Flag:
            if info.flags & flag:
                self.flagged[str(flag.name).lower()] += 1
        self.latency.add(latency_ns)
        self.intervals.published(published_ns)
        self.deadlines.published(latency_ns, dropped=lost)

    def time(self, *spans_ns: int) -> None:
        """How long each stage took; a stage that did not run took none and is not counted."""
        for stage, span_ns in zip(STAGES, spans_ns, strict=True):
            if span_ns or stage in ("source", "sink"):
                self.stages[stage].add(span_ns)

    @property
    def counted_s(self) -> float:
        """Wall-clock time since warm-up; 0 during it."""
        return self.seconds - self.warm_up_seconds if self.warm_up_frames else 0.0

    @property
    def dropped(self) -> int:
        """Moments that were not published, whatever the cause."""
        return self.drops.total()

    @property
    def fps(self) -> float:
        """Fused frames per second of wall-clock time after warm-up, source and sink included."""
        seconds = self.seconds - self.warm_up_seconds
        return (self.frames - self.warm_up_frames) / seconds if seconds else 0.0
