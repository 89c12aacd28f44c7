"""Runs side by side: how they were made differently, and which differences are more than chance (``RULE``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from edgefusion.metrics.resampling import LEVEL, holm
from runtime.report.differences import warnings_between
from runtime.report.figures import FIGURES, Figure, power_w, seconds_of
from runtime.report.histograms import buckets
from runtime.report.numbers import fixed, places_of
from runtime.report.schema import Histogram, RunRecord, Second

SIGNIFICANT = 0.05
RESAMPLES, CHUNK = 10_000, 1_000
"""So many that a p-value stays small when it is corrected for some 20 runs of 9 figures."""
SHORTEST_BLOCK, FEWEST_BLOCKS = 5, 12
DEPENDENT = 0.2
"""Differences as far apart as their correlation falls below this are taken as independent."""
PERCENTILES = {"p50_ms": "p50", "p90_ms": "p90", "p99_ms": "p99", "p99_9_ms": "p99.9"}
NAMES = (
    "fps", "fusion_fps", *PERCENTILES, "max_ms", "jitter_ms", "misses", "dropped_per_s", "j_per_frame",
    "net_j_per_frame", "w_mean", "temp_max_c", "throttled", "cpu", "resident_mb",
)  # fmt: skip
RULE = (
    "What is recorded each second is paired by the time since the start, so that what both runs share, such as "
    "warming up, cancels out; the mean difference gets a 95 % interval by a bootstrap over blocks of seconds as long "
    "as the differences depend on each other (Künsch 1989), and with fewer than 12 such blocks nothing is claimed. A "
    "latency percentile differs only if the seconds' p50 (for p90 and above their p99) does, and if it also does when "
    "both histograms are drawn again, give or take half a bucket. Where the seconds in common differ one way and the "
    "whole runs the other, nothing is claimed. p-values are corrected (Holm) for all that is "
    "compared here; below 0.05 a difference is told apart. Figures of which a run has one number are not judged."
)
SINGLE = "not judged"
OPPOSED = "not judged: the seconds in common differ otherwise than the whole runs"

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Values = list[float | None]


@dataclass(frozen=True)
class Difference:
    """A figure in two runs. ``p`` is corrected; None where it was not judged, and ``reason`` says why.

    Attributes:
        figure: which.
        first, other: of the run compared against, and of this one.
        interval: of the difference of the seconds they share, 95 %, in the figure's unit.
        p: chance of such a difference where there is none.
        reason: why it was not judged.
    """

    figure: Figure
    first: float | None
    other: float | None
    interval: tuple[float, float] | None = None
    p: float | None = None
    reason: str = ""

    @property
    def change(self) -> float | None:
        """The other run's less the first one's."""
        return None if self.first is None or self.other is None else self.other - self.first

    @property
    def share(self) -> float | None:
        """The change as part of the first run's figure."""
        return self.change / abs(self.first) if self.change is not None and self.first else None

    @property
    def shown(self) -> tuple[str, str, str, str, str]:
        """First, other, change, interval and relative change, all but the last with the same decimals."""
        places = 0 if self._counts else places_of(self.first, self.other)
        interval = " to ".join(fixed(end, places, sign=True) for end in self.interval) if self.interval else ""
        change = "" if self.change is None else fixed(self.change, places, sign=True)
        share = "" if self.share is None else f"{fixed(100 * self.share, 1, sign=True)} %"
        return fixed(self.first, places), fixed(self.other, places), change, interval, share

    @property
    def _counts(self) -> bool:
        return not self.figure.unit and all(float(value or 0).is_integer() for value in (self.first, self.other))

    @property
    def told_apart(self) -> bool:
        """Whether it is more than chance."""
        return self.p is not None and self.p < SIGNIFICANT

    @property
    def verdict(self) -> str:
        """Better, worse, not told apart, or why it was not judged."""
        if self.p is None:
            return self.reason
        if not self.told_apart:
            return "not told apart"
        return "better" if ((self.change or 0) < 0) == (self.figure.better == "less") else "worse"


@dataclass(frozen=True)
class Comparison:
    """One run against the first: warnings first, for they decide what the differences mean."""

    name: str
    record: RunRecord
    warnings: list[str]
    differences: list[Difference]


class Redrawn:
    """A histogram whose durations are drawn again as often as there were, ``RESAMPLES`` times, once it is asked."""

    def __init__(self, histogram: Histogram, seed: int) -> None:
        self._histogram, self._seed = histogram, seed

    @cached_property
    def percentiles_ms(self) -> dict[str, Floats]:
        """Each percentile of each draw, [RESAMPLES] by name."""
        draw = np.random.default_rng(self._seed)
        parts = [self._some(draw) for _ in range(RESAMPLES // CHUNK)]
        return {name: np.concatenate([part[name] for part in parts]) for name in PERCENTILES.values()}

    def _some(self, draw: np.random.Generator) -> dict[str, Floats]:
        edges, counts = buckets(self._histogram)
        draws = draw.multinomial(counts.sum(), counts / counts.sum(), size=CHUNK)
        sums = np.cumsum(draws, axis=1)
        return {name: self._percentile(float(name[1:]), edges, draws, sums) for name in PERCENTILES.values()}

    def _percentile(self, percent: float, edges: Floats, draws: Counts, sums: Counts) -> Floats:
        """Within its bucket by how far into the bucket's count it lies."""
        wanted, rows = max(percent / 100 * self._histogram.count, 1), np.arange(CHUNK)
        place = (sums >= wanted).argmax(axis=1)
        inside = (wanted - sums[rows, place]) / draws[rows, place] + 1
        return np.asarray(edges[place] * 2 ** (inside / self._histogram.per_octave), np.float64)

    def half_bucket_ms(self, value_ms: float) -> float:
        """How exactly such a value is known."""
        return float(value_ms * (2 ** (0.5 / self._histogram.per_octave) - 1))


@dataclass(frozen=True)
class Side:
    """A run with its latency drawn again."""

    record: RunRecord
    latency: Redrawn


def compare(first: RunRecord, others: Sequence[tuple[str, RunRecord]]) -> list[Comparison]:
    """Every other run against the first."""
    mine = _side(first, 0)
    found = [
        Comparison(name, other, warnings_between(first, other), _differences(mine, _side(other, 1)))
        for name, other in others
    ]
    judged = [one.p for comparison in found for one in comparison.differences if one.p is not None]
    corrected = iter(holm(judged))
    return [
        replace(one, differences=[row if row.p is None else replace(row, p=next(corrected)) for row in one.differences])
        for one in found
    ]


def _side(record: RunRecord, seed: int) -> Side:
    return Side(record, Redrawn(record.latency.published, seed))


def _differences(first: Side, other: Side) -> list[Difference]:
    by_name = {figure.name: figure for figure in FIGURES}
    return [_difference(by_name[name], first, other) for name in NAMES]


def _difference(figure: Figure, first: Side, other: Side) -> Difference:
    found = Difference(figure, figure.of(first.record), figure.of(other.record))
    if found.first is None or found.other is None:
        return replace(found, reason=_missing(figure, first.record, other.record))
    each = SERIES.get(figure.name)
    if each is None:
        return replace(found, reason=SINGLE)
    series = _paired(each(first.record), each(other.record), first.record, other.record)
    if isinstance(series, str):
        return replace(found, reason=series)
    interval, p = _judge(series)
    if figure.name in PERCENTILES:
        interval, chance = _redrawn(first.latency, other.latency, PERCENTILES[figure.name])
        p = 1.0 if interval[0] <= 0 <= interval[1] else max(p, chance)
    if p < SIGNIFICANT and np.sign(series.mean()) != np.sign(found.other - found.first):
        return replace(found, interval=interval, reason=OPPOSED)
    return replace(found, interval=interval, p=p)


def _missing(figure: Figure, first: RunRecord, other: RunRecord) -> str:
    if figure.name in PERCENTILES:
        counts = [run.latency.published.count for run in (first, other)]
        return f"hidden: too few frames ({min(counts):,})"
    return "not measured in both"


def _paired(a: Values, b: Values, first: RunRecord, other: RunRecord) -> Floats | str:
    """Differences of entries of the same time since the start, or why there are none."""
    if not first.timeline or not other.timeline:
        return "too little data: nothing recorded through time"
    steps = first.timeline.step_s, other.timeline.step_s
    if abs(steps[0] - steps[1]) > 0.01 * max(steps):
        return f"not judged: recorded in steps of {steps[0]:g} and {steps[1]:g} s"
    mine = {round(second.t_s / steps[0]): value for second, value in zip(first.timeline.seconds, a, strict=True)}
    theirs = {round(second.t_s / steps[0]): value for second, value in zip(other.timeline.seconds, b, strict=True)}
    pairs = [(x, y) for place, x in sorted(mine.items()) if x is not None and (y := theirs.get(place)) is not None]
    differences = np.array([y - x for x, y in pairs])
    need = SHORTEST_BLOCK * FEWEST_BLOCKS
    if len(differences) < need:
        return f"too little data: {len(differences)} entries in common, needs {need}"
    block = block_length(differences)
    if len(differences) // block < FEWEST_BLOCKS:
        return "too little data: the difference is not steady"
    return differences


def block_length(series: Floats) -> int:
    """How far apart two entries are until they hardly depend on each other."""
    rest = series - series.mean()
    power = float(rest @ rest)
    if not power:
        return SHORTEST_BLOCK
    lags = range(1, len(series))
    first = next((lag for lag in lags if float(rest[:-lag] @ rest[lag:]) / power < DEPENDENT), len(series))
    return max(first, SHORTEST_BLOCK)


def _judge(differences: Floats) -> tuple[tuple[float, float], float]:
    means = _resampled_means(differences, block_length(differences))
    return _interval(means), _chance(means)


def _resampled_means(series: Floats, block: int) -> Floats:
    """Means [RESAMPLES] of blocks that start anywhere on the series, closed to a ring; the last block is cut."""
    count, whole = len(series), len(series) // block
    sums = np.concatenate([[0.0], np.cumsum(np.concatenate([series, series]))])
    starts = np.random.default_rng(0).integers(count, size=(RESAMPLES, whole + 1))
    lengths = np.array([block] * whole + [count - whole * block])
    return np.asarray((sums[starts + lengths] - sums[starts]).sum(axis=1) / count, np.float64)


def _interval(draws: Floats) -> tuple[float, float]:
    low, high = np.percentile(draws, LEVEL)
    return float(low), float(high)


def _chance(draws: Floats) -> float:
    side = min(int((draws <= 0).sum()), int((draws >= 0).sum()))
    return min(2 * (side + 1) / (len(draws) + 1), 1.0)


def _redrawn(first: Redrawn, other: Redrawn, name: str) -> tuple[tuple[float, float], float]:
    """Difference of a percentile when both histograms are drawn again, give or take half a bucket of each."""
    mine, theirs = first.percentiles_ms[name], other.percentiles_ms[name]
    low, high = _interval(theirs - mine)
    slack = first.half_bucket_ms(float(np.median(mine))) + other.half_bucket_ms(float(np.median(theirs)))
    return (low - slack, high + slack), _chance(theirs - mine)


def _each(get: Callable[[Second], float | None]) -> Callable[[RunRecord], Values]:
    return lambda record: [get(second) for second in seconds_of(record)]


def _fps(record: RunRecord) -> Values:
    return [second.frames / record.timeline.step_s for second in seconds_of(record)] if record.timeline else []


def _dropped(record: RunRecord) -> Values:
    return [second.dropped / record.timeline.step_s for second in seconds_of(record)] if record.timeline else []


def _joules(record: RunRecord) -> Values:
    watts, step = power_w(record), record.timeline.step_s if record.timeline else 0.0
    pairs = zip(watts, seconds_of(record), strict=True)
    return [None if power is None or not second.frames else power * step / second.frames for power, second in pairs]


SERIES: dict[str, Callable[[RunRecord], Values]] = {
    "fps": _fps,
    "dropped_per_s": _dropped,
    "p50_ms": _each(lambda second: second.p50_ms),
    **{name: _each(lambda second: second.p99_ms) for name in ("p90_ms", "p99_ms", "p99_9_ms")},
    "w_mean": power_w,
    "j_per_frame": _joules,
    "cpu": _each(lambda second: second.cpu),
}
"""Figures with something in each second to judge them by."""
