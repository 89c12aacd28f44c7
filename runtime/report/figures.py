"""A run in named numbers: what gates, comparisons and other programs read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean

from runtime.report.schema import Histogram, Meter, RunRecord, Second

Of = Callable[[RunRecord], float | None]

WORK = ("pack", "execute", "unpack", "sink")
"""Stages that keep the machine busy, and share the energy; ``source`` mostly waits for a pair."""


@dataclass(frozen=True)
class Figure:
    """One number of a run; ``of`` gives None where it was not measured.

    Attributes:
        name: what gates call it.
        label: what people call it.
        unit: empty for counts.
        better: ``less`` or ``more``; empty where neither is.
    """

    name: str
    label: str
    unit: str
    better: str
    of: Of


def percentile(histogram: Histogram | None, name: str) -> float | None:
    """A percentile of a histogram, where there is one with enough in it."""
    return histogram.percentiles_ms.get(name) if histogram else None


def main_meters(record: RunRecord) -> list[Meter]:
    """The meters that energy is told by, on a desktop two; the first that measured something where none is."""
    wanted = record.energy.meter.split(" + ") if record.energy else []
    known = [meter for meter in record.meters if meter.joules is not None or meter.rails]
    return [meter for meter in known if meter.name in wanted] or known[:1]


def mean_w(record: RunRecord) -> float | None:
    """Mean power of the main meters' totals together."""
    means = [_mean_w(meter) for meter in main_meters(record)]
    known = [mean for mean in means if mean is not None]
    return sum(known) if known and len(known) == len(means) else None


def _mean_w(meter: Meter) -> float | None:
    """Of the total; None where it was not measured, such as a sum that lacks one of its rails."""
    means = {rail.name: rail.mean_mw for rail in meter.rails}
    if meter.joules is None or not means.keys() >= set(meter.total_rails):
        return None
    return sum(means[name] for name in meter.total_rails) / 1e3


def seconds_of(record: RunRecord) -> list[Second]:
    """The run's timeline, empty where there is none."""
    return record.timeline.seconds if record.timeline else []


def power_w(record: RunRecord) -> list[float | None]:
    """Mean power of the main meters' totals together in each entry of the timeline."""
    names = [f"{meter.name}/{rail}" for meter in main_meters(record) for rail in meter.total_rails]
    return [_sum_w(second, names) for second in seconds_of(record)]


def _sum_w(second: Second, names: list[str]) -> float | None:
    if not names or any(name not in second.rails_mw for name in names):
        return None
    return sum(second.rails_mw[name][1] for name in names) / 1e3


def unpaced(record: RunRecord) -> str:
    """How fast frames come where no pace was asked for."""
    return "at the cameras' own rate" if record.counts.cameras else "as fast as it can"


def throttles(record: RunRecord) -> dict[str, int] | None:
    """Events by counter at the end; None where no counter was read."""
    last = [second.throttled for second in seconds_of(record) if second.throttled]
    return last[-1] if last else None


def _highest(of: Callable[[Second], list[float]]) -> Of:
    return lambda record: max((value for second in seconds_of(record) for value in of(second)), default=None)


def _mean(of: Callable[[Second], float | None]) -> Of:
    def mean(record: RunRecord) -> float | None:
        known = [value for value in map(of, seconds_of(record)) if value is not None]
        return fmean(known) if known else None

    return mean


def _known(value: float | None) -> list[float]:
    return [] if value is None else [value]


def _published(name: str) -> Of:
    return lambda record: percentile(record.latency.published, name)


def _joules(of: Callable[[RunRecord], float | None]) -> Of:
    def joules(record: RunRecord) -> float | None:
        value = of(record)
        return None if value is None else value / 1e3

    return joules


def _by_deadline(of: Callable[[RunRecord], int]) -> Of:
    return lambda record: None if record.latency.deadline_ms is None else of(record)


def _throttled(record: RunRecord) -> float | None:
    counters = throttles(record)
    return None if counters is None else sum(counters.values())


FIGURES = (
    Figure("fps", "frames per second", "fps", "more", lambda record: record.fps),
    Figure("fusion_fps", "what the fusion alone could do", "fps", "more", lambda record: record.fusion_fps),
    Figure("p50_ms", "latency p50", "ms", "less", _published("p50")),
    Figure("p90_ms", "latency p90", "ms", "less", _published("p90")),
    Figure("p99_ms", "latency p99", "ms", "less", _published("p99")),
    Figure("p99_9_ms", "latency p99.9", "ms", "less", _published("p99.9")),
    Figure("max_ms", "latency, longest", "ms", "less", lambda record: record.latency.published.max_ms),
    Figure("mean_ms", "latency, mean", "ms", "less", lambda record: record.latency.published.mean_ms),
    Figure("jitter_ms", "jitter (p99 - p50 of intervals)", "ms", "less", lambda record: record.latency.jitter_ms),
    Figure("skew_p99_ms", "pair skew p99", "ms", "less", lambda record: percentile(record.latency.skew, "p99")),
    Figure("misses", "deadlines missed", "", "less", _by_deadline(lambda record: record.latency.deadline_misses)),
    Figure("streak", "longest streak of misses", "", "less",
           _by_deadline(lambda record: record.latency.longest_streak)),
    Figure("published", "frames published", "", "more", lambda record: record.counts.published),
    Figure("dropped", "frames dropped", "", "less", lambda record: sum(record.counts.dropped.values())),
    Figure("dropped_per_s", "frames dropped per second", "1/s", "less",
           lambda record: sum(record.counts.dropped.values()) / record.seconds if record.seconds else None),
    Figure("flagged", "flags on published frames", "", "less", lambda record: sum(record.counts.flagged.values())),
    Figure("copies_per_frame", "copies per frame", "", "less", lambda record: record.counts.copies_per_frame),
    Figure("j_per_frame", "energy per frame, gross", "J", "less",
           _joules(lambda record: record.energy.gross_mj if record.energy else None)),
    Figure("net_j_per_frame", "energy per frame above idle", "J", "less",
           _joules(lambda record: record.energy.net_mj if record.energy else None)),
    Figure("fps_per_w", "frames per second and watt", "fps/W", "more",
           lambda record: record.energy.fps_per_w if record.energy else None),
    Figure("w_mean", "power, mean", "W", "less", mean_w),
    Figure("w_max", "power, highest second", "W", "less",
           lambda record: max((value for value in power_w(record) if value is not None), default=None)),
    Figure("temp_max_c", "highest temperature", "°C", "less",
           _highest(lambda second: list(second.temperatures_c.values()))),
    Figure("throttled", "throttle events", "", "less", _throttled),
    Figure("steal", "processor time stolen, share", "", "less", _mean(lambda second: second.steal)),
    Figure("cpu", "processors used", "", "less", _mean(lambda second: second.cpu)),
    Figure("resident_mb", "memory, highest", "MB", "less", _highest(lambda second: _known(second.resident_mb))),
    Figure("seconds", "length of the run", "s", "", lambda record: record.seconds),
)  # fmt: skip
"""What every run may have; a stage's are ``STAGE_p50_ms`` and ``STAGE_p99_ms``."""


def figures(record: RunRecord) -> dict[str, float | None]:
    """Every number of the run by name; None where it was not measured."""
    found = {figure.name: figure.of(record) for figure in FIGURES}
    for stage, histogram in record.latency.stages.items():
        found |= {f"{stage}_{name}_ms": percentile(histogram, name) for name in ("p50", "p99")}
    return found
