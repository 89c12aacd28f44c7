"""Reading a record's histograms: where buckets lie, fewer of them for a chart, and percentiles of any counts."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from runtime.report.schema import Histogram


@dataclass(frozen=True)
class Bar:
    """So many durations from ``low_ms`` to ``high_ms``."""

    low_ms: float
    high_ms: float
    count: int


def edge_ms(histogram: Histogram, index: int) -> float:
    """Where a bucket begins."""
    return float(histogram.floor_ns * 2.0 ** (index / histogram.per_octave) / 1e6)


def span_ms(histogram: Histogram) -> tuple[float, float] | None:
    """From the first bucket that counted something to the end of the last; None where nothing was counted."""
    filled = [index for index, count in histogram.counts.items() if count]
    return (edge_ms(histogram, min(filled)), edge_ms(histogram, max(filled) + 1)) if filled else None


def group_size(histogram: Histogram, most: int) -> int:
    """How many buckets to take together to draw no more than ``most`` bars."""
    filled = [index for index, count in histogram.counts.items() if count] or [0]
    span = max(filled) - min(filled) + 1
    return 1 << max(math.ceil(math.log2(span / most)), 0)


def bars(histogram: Histogram, group: int) -> list[Bar]:
    """The buckets, so many taken together; empty ones are left out."""
    sums: Counter[int] = Counter()
    for index, count in histogram.counts.items():
        sums[index // group] += count
    return [
        Bar(edge_ms(histogram, place * group), edge_ms(histogram, (place + 1) * group), count)
        for place, count in sorted(sums.items())
        if count
    ]


def buckets(histogram: Histogram) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Lower edges in ms, ascending, and counts of the buckets that counted something."""
    filled = sorted((index, count) for index, count in histogram.counts.items() if count)
    edges = np.array([edge_ms(histogram, index) for index, _ in filled])
    return edges, np.array([count for _, count in filled], np.int64)
