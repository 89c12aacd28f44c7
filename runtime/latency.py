"""Latency histograms with logarithmic buckets: constant memory, constant relative error."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

import numpy as np

from edgefusion.core.errors import InputError
from runtime.report.schema import Histogram

BUCKETS_PER_OCTAVE = 64
FLOOR_NS = 1_000
OCTAVES = 28
"""From 1 us to about 4.5 minutes; what lies outside is counted in the first or last bucket."""

BUCKETS = OCTAVES * BUCKETS_PER_OCTAVE
BEYOND = 10
"""A tail percentile is shown once so many counted durations lie beyond it."""
PERCENTS = (50.0, 90.0, 99.0, 99.9)


def needed(percent: float) -> int:
    """How many durations it takes before a percentile is shown: p90 100, p99 1,000, p99.9 10,000; the median 1."""
    return round(BEYOND * 100 / (100 - percent)) if percent > 50 else 1


class LatencyHistogram:
    """Counts durations; percentiles come back within 0.6 %, mean and maximum exactly.

    One thread adds; any may read a ``copy``.
    """

    def __init__(self) -> None:
        self._counts = np.zeros(BUCKETS, np.int64)
        self.count = 0
        self.max_ns = 0
        self.sum_ns = 0

    def add(self, duration_ns: int) -> None:
        """Count one duration; one that clocks made negative is none."""
        duration_ns = max(duration_ns, 0)
        self._counts[bucket_of(duration_ns)] += 1
        self.sum_ns += duration_ns
        self.max_ns = max(self.max_ns, duration_ns)
        self.count += 1  # last: by it a copy sees whether the rest is whole

    def clear(self) -> None:
        """Forget everything."""
        self._counts[:] = 0
        self.sum_ns = self.max_ns = 0
        self.count = 0

    def copy(self) -> LatencyHistogram:
        """As it is now, whole, also while another thread adds to it."""
        for _ in range(100):  # a thread may have been stopped for good in the middle of ``add``
            count, twin = self.count, self._twin()
            if twin.count == count == self.count:
                break
            time.sleep(0)
        return twin

    def _twin(self) -> LatencyHistogram:
        twin = LatencyHistogram()
        twin._counts = self._counts.copy()
        twin.count, twin.sum_ns, twin.max_ns = int(twin._counts.sum()), self.sum_ns, self.max_ns
        return twin

    def merge(self, other: LatencyHistogram) -> None:
        """Count what another one has counted, too."""
        self._counts += other._counts
        self.sum_ns += other.sum_ns
        self.max_ns = max(self.max_ns, other.max_ns)
        self.count += other.count

    def since(self, earlier: LatencyHistogram) -> LatencyHistogram:
        """What was added after the copy ``earlier``; all of it if this one was cleared in between.

        The maximum is exact if it is a new one, else it is known within a bucket.
        """
        counts = self._counts - earlier._counts
        if counts.min() < 0:
            return self.copy()
        added = LatencyHistogram()
        added._counts, added.count = counts, int(counts.sum())
        added.sum_ns = max(self.sum_ns - earlier.sum_ns, 0)
        if added.count:
            edge_ns = round(edge_of(int(np.flatnonzero(counts)[-1]) + 1))
            added.max_ns = self.max_ns if self.max_ns > earlier.max_ns else min(edge_ns, self.max_ns)
        return added

    def percentile_ms(self, percent: float) -> float | None:
        """The duration that ``percent`` of the counted ones do not exceed, in ms; None if nothing was counted."""
        if not self.count:
            return None
        wanted = max(math.ceil(percent / 100 * self.count), 1)
        bucket = int(np.searchsorted(np.cumsum(self._counts), wanted))
        return min(edge_of(bucket + 0.5), self.max_ns) / 1e6

    def shown_ms(self, percent: float) -> float | None:
        """The percentile, rounded; None below the count that it needs."""
        return _rounded(self.percentile_ms(percent)) if self.count >= needed(percent) else None

    def summary(self, *percents: float) -> dict[str, float | None]:
        """``{"p50": ms, ...}`` for the percentiles asked for, however few were counted."""
        return {f"p{percent:g}": _rounded(self.percentile_ms(percent)) for percent in percents}

    @property
    def max_ms(self) -> float | None:
        """The longest duration in ms; None if nothing was counted."""
        return _rounded(self.max_ns / 1e6) if self.count else None

    @property
    def mean_ms(self) -> float | None:
        """The mean duration in ms; None if nothing was counted."""
        return _rounded(self.sum_ns / self.count / 1e6) if self.count else None

    @property
    def counts(self) -> dict[int, int]:
        """Bucket -> count, of those that are not empty."""
        return {int(bucket): int(self._counts[bucket]) for bucket in np.flatnonzero(self._counts)}

    def over(self, limit_ns: float) -> tuple[int, int]:
        """Between how many and how many of the durations are longer than ``limit_ns``, as far as buckets tell."""
        bucket = bucket_of(limit_ns)
        surely = int(self._counts[bucket + 1 :].sum())
        return surely, surely + int(self._counts[bucket])

    def to_model(self) -> Histogram:
        """For the run record, with tail percentiles hidden below the count that they need."""
        return Histogram(
            count=self.count,
            max_ms=self.max_ms,
            mean_ms=self.mean_ms,
            percentiles_ms={f"p{percent:g}": self.shown_ms(percent) for percent in PERCENTS},
            floor_ns=FLOOR_NS,
            per_octave=BUCKETS_PER_OCTAVE,
            counts=self.counts,
        )

    @classmethod
    def from_counts(cls, counts: Mapping[int, int], *, mean_ms: float | None, max_ms: float | None) -> LatencyHistogram:
        """From bucket -> count.

        Raises:
            InputError: there is no such bucket.
        """
        histogram = cls()
        for bucket, count in counts.items():
            if not 0 <= bucket < BUCKETS:
                raise InputError(f"a histogram has no bucket {bucket}")
            histogram._counts[bucket] = count
        histogram.count = sum(counts.values())
        histogram.sum_ns = round((mean_ms or 0.0) * 1e6 * histogram.count)
        histogram.max_ns = round((max_ms or 0.0) * 1e6)
        return histogram

    @classmethod
    def from_model(cls, model: Histogram) -> LatencyHistogram:
        """From a run record.

        Raises:
            InputError: its buckets are others.
        """
        if (model.floor_ns, model.per_octave) != (FLOOR_NS, BUCKETS_PER_OCTAVE):
            raise InputError(f"a histogram from {model.floor_ns} ns with {model.per_octave} buckets per octave")
        return cls.from_counts(model.counts, mean_ms=model.mean_ms, max_ms=model.max_ms)


class Intervals:
    """Times between published frames; ``last_ns`` is when the last one was."""

    def __init__(self) -> None:
        self.histogram = LatencyHistogram()
        self.last_ns: int | None = None

    def published(self, timestamp_ns: int) -> None:
        """A frame was published, by a clock that does not go back."""
        if self.last_ns is not None:
            self.histogram.add(timestamp_ns - self.last_ns)
        self.last_ns = timestamp_ns

    def clear(self) -> None:
        """Forget the intervals so far; the next one counts from the last frame."""
        self.histogram.clear()


def jitter_ms(intervals: LatencyHistogram) -> float | None:
    """p99 minus p50 of the intervals between published frames; None below the count that p99 needs."""
    high_ms, middle_ms = intervals.shown_ms(99), intervals.shown_ms(50)
    return None if high_ms is None or middle_ms is None else round(high_ms - middle_ms, 4)


class Deadlines:
    """Deadlines missed, and the most in a row; a frame that was dropped missed its own.

    Args:
        deadline_ns: a frame published later than this has missed; None: there is none, and nothing is missed.
    """

    def __init__(self, deadline_ns: int | None) -> None:
        self.deadline_ns = deadline_ns
        self.misses = self.longest_streak = 0
        self._streak = self._dropped = 0

    def published(self, latency_ns: int, *, dropped: int) -> None:
        """A frame was published; ``dropped`` were given up so far since the start, those before this one included."""
        self.dropped(dropped)
        if self.deadline_ns is not None and latency_ns > self.deadline_ns:
            self._miss(1)
        else:
            self._streak = 0

    def dropped(self, total: int) -> None:
        """So many frames were given up since the start; after the last published one, those at its end."""
        if self.deadline_ns is not None:
            self._miss(total - self._dropped)
        self._dropped = total

    def clear(self) -> None:
        """Forget the misses so far, warm-up's."""
        self.misses = self.longest_streak = self._streak = 0

    def _miss(self, frames: int) -> None:
        self.misses += frames
        self._streak += frames
        self.longest_streak = max(self.longest_streak, self._streak)


def bucket_of(duration_ns: float) -> int:
    """The bucket that counts a duration."""
    octaves = math.log2(max(duration_ns, FLOOR_NS) / FLOOR_NS)
    return min(int(octaves * BUCKETS_PER_OCTAVE), BUCKETS - 1)


def edge_of(bucket: float) -> float:
    """Where a bucket begins, in ns; half a bucket more is its middle."""
    return FLOOR_NS * math.pow(2, bucket / BUCKETS_PER_OCTAVE)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
