from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.latency import LatencyHistogram


@given(st.lists(st.integers(1_000, 10**10), min_size=1, max_size=200), st.sampled_from([1, 50, 90, 99, 100]))
def test_percentiles_are_within_their_stated_error(durations: list[int], percent: float) -> None:
    histogram = LatencyHistogram()
    for duration in durations:
        histogram.add(duration)
    exact = np.percentile(durations, percent, method="inverted_cdf") / 1e6
    assert histogram.percentile_ms(percent) == pytest.approx(exact, rel=0.006)
    assert histogram.max_ms == pytest.approx(max(durations) / 1e6, abs=1e-4)


def test_nothing_counted_is_none_and_not_zero() -> None:
    histogram = LatencyHistogram()
    assert histogram.summary(50, 99) == {"p50": None, "p99": None}
    assert histogram.max_ms is None


def test_what_is_out_of_range_is_still_counted() -> None:
    histogram = LatencyHistogram()
    histogram.add(0)
    histogram.add(10**13)
    assert histogram.count == 2
    assert histogram.max_ms == 1e7
