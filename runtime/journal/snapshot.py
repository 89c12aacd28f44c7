"""What the recorder asks of a run, its power meters and its machine, once a second."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from runtime.latency import LatencyHistogram
from runtime.report.schema import Energy, Meter


@dataclass(frozen=True)
class Snapshot:
    """What a lane has done so far. Nothing in it changes afterwards: histograms are copies (``LatencyHistogram.copy``).

    Attributes:
        published: exposure (or receive) to published, of all frames after warm-up.
        warm_up: frames before those.
        warm_up_s, seconds: wall clock of both parts, the time in which no frame came included.
        last_ns: CLOCK_MONOTONIC of the last published frame; None before the first.
        size_px: (width, height) of fused frames.
        stages: after warm-up, by name.
        intervals: between published frames, after warm-up.
        skew: between the exposures of all pairs so far, where there are cameras.
        dropped, flagged: since the start, by cause; a count never gets less.
        deadline_misses, longest_streak: of ``runtime.latency.Deadlines``.
        cameras: each camera's facts and counts.
    """

    published: LatencyHistogram
    warm_up: int = 0
    warm_up_s: float = 0.0
    seconds: float = 0.0
    last_ns: int | None = None
    size_px: tuple[int, int] = (0, 0)
    stages: Mapping[str, LatencyHistogram] = field(default_factory=dict)
    intervals: LatencyHistogram | None = None
    skew: LatencyHistogram | None = None
    dropped: Mapping[str, int] = field(default_factory=dict)
    flagged: Mapping[str, int] = field(default_factory=dict)
    deadline_misses: int = 0
    longest_streak: int = 0
    cameras: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    copies_per_frame: float = 0.0

    @property
    def frames(self) -> int:
        """All that were published."""
        return self.warm_up + self.published.count


class Power(Protocol):
    """The power sampler, as far as a recorder uses it: from its own thread only."""

    def begin(self, timestamp_ns: int, /) -> None:
        """Energy counts from this moment of the monotonic clock."""

    def so_far(self, timestamp_ns: int, /) -> Sequence[Meter]:
        """Energy up to this moment; it goes on, and is asked again with a later one."""

    def second(self) -> Mapping[str, tuple[float, float, float]]:
        """Least, mean and most mW by METER/RAIL since asked last."""


class Readings(Protocol):
    """The state of the machine, as far as a recorder uses it."""

    def read(self) -> Any:
        """A dataclass whose fields are some of ``schema.Second``'s: temperatures_c, clocks_mhz, fan_rpm, cpu ..."""


@dataclass(frozen=True)
class Block:
    """A part of the run.

    Attributes:
        frames: published in it.
        joules: by meter; those that measured.
        seconds: how long it took.
    """

    frames: int
    joules: Mapping[str, float]
    seconds: float


@dataclass(frozen=True)
class Spent:
    """What energy is worked out from.

    Attributes:
        meters: what they measured between the marks.
        frames, seconds: published between the marks; between the marks.
        stages_ms: mean time per counted frame, by stage.
        blocks: the time between the marks in parts, equally long but for the last, for a confidence interval.
    """

    meters: Sequence[Meter]
    frames: int
    seconds: float
    stages_ms: Mapping[str, float]
    blocks: Sequence[Block]


EnergyOf = Callable[[Spent], Energy | None]
