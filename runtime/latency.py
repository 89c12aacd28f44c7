"""Latency histograms with logarithmic buckets: constant memory, constant relative error."""

from __future__ import annotations

import math

import numpy as np

BUCKETS_PER_OCTAVE = 64
FLOOR_NS = 1_000
OCTAVES = 28
"""From 1 us to about 4.5 minutes; what lies outside is counted in the first or last bucket."""


class LatencyHistogram:
    """Counts durations; percentiles come back within 0.6 %, the maximum exactly."""

    def __init__(self) -> None:
        self._counts = np.zeros(OCTAVES * BUCKETS_PER_OCTAVE, np.int64)
        self.count = 0
        self.max_ns = 0
        self.sum_ns = 0

    def add(self, duration_ns: int) -> None:
        """Count one duration."""
        octaves = math.log2(max(duration_ns, FLOOR_NS) / FLOOR_NS)
        self._counts[min(int(octaves * BUCKETS_PER_OCTAVE), len(self._counts) - 1)] += 1
        self.count += 1
        self.sum_ns += max(duration_ns, 0)
        self.max_ns = max(self.max_ns, duration_ns)

    def clear(self) -> None:
        """Forget everything."""
        self._counts[:] = 0
        self.count = self.max_ns = self.sum_ns = 0

    def percentile_ms(self, percent: float) -> float | None:
        """The duration that ``percent`` of the counted ones do not exceed, in ms; None if nothing was counted."""
        if not self.count:
            return None
        wanted = max(math.ceil(percent / 100 * self.count), 1)
        bucket = int(np.searchsorted(np.cumsum(self._counts), wanted))
        return min(edge_of(bucket + 0.5), self.max_ns) / 1e6

    def summary(self, *percents: float) -> dict[str, float | None]:
        """``{"p50": ms, ...}`` for the percentiles asked for."""
        return {f"p{percent:g}": _rounded(self.percentile_ms(percent)) for percent in percents}

    @property
    def max_ms(self) -> float | None:
        """The longest duration in ms; None if nothing was counted."""
        return _rounded(self.max_ns / 1e6) if self.count else None

    @property
    def counts(self) -> dict[int, int]:
        """Bucket -> count, of those that are not empty."""
        return {int(bucket): int(self._counts[bucket]) for bucket in np.flatnonzero(self._counts)}


def edge_of(bucket: float) -> float:
    """Where a bucket begins, in ns; half a bucket more is its middle."""
    return FLOOR_NS * math.pow(2, bucket / BUCKETS_PER_OCTAVE)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
