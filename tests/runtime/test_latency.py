from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefusion.core.errors import InputError
from runtime.latency import Deadlines, Intervals, LatencyHistogram, jitter_ms
from runtime.report.schema import Histogram


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


@given(st.lists(st.integers(1_000, 10**10), min_size=1, max_size=200))
def test_a_histogram_goes_into_a_record_and_comes_back(durations: list[int]) -> None:
    model = filled(durations).to_model()
    again = LatencyHistogram.from_model(Histogram.model_validate_json(model.model_dump_json()))
    assert again.to_model() == model
    assert model.count == len(durations)
    assert model.mean_ms == pytest.approx(np.mean(durations) / 1e6, abs=1e-4)


@given(st.lists(st.integers(0, 10**12), max_size=50), st.lists(st.integers(0, 10**12), max_size=50))
def test_merging_counts_as_if_one_had_counted_all(first: list[int], second: list[int]) -> None:
    merged = filled(first)
    merged.merge(filled(second))
    assert merged.to_model() == filled(first + second).to_model()


def test_tail_percentiles_are_hidden_until_ten_lie_beyond_them() -> None:
    visible = {}
    for count in (1, 99, 100, 999, 1000, 9999, 10_000):
        percentiles = filled([10**6] * count).to_model().percentiles_ms
        visible[count] = [name for name, value in percentiles.items() if value is not None]
    assert visible[1] == visible[99] == ["p50"]
    assert visible[100] == visible[999] == ["p50", "p90"]
    assert visible[1000] == visible[9999] == ["p50", "p90", "p99"]
    assert visible[10_000] == ["p50", "p90", "p99", "p99.9"]


def test_what_was_added_since_a_copy() -> None:
    histogram = filled([5 * 10**6] * 10)
    before = histogram.copy()
    for duration in (10**6, 2 * 10**6):
        histogram.add(duration)
    added = histogram.since(before)
    assert (added.count, added.mean_ms) == (2, 1.5)
    assert added.max_ms == pytest.approx(2, rel=0.011)
    histogram.add(7 * 10**6)
    assert histogram.since(before).max_ms == 7
    histogram.clear()
    histogram.add(10**6)
    assert histogram.since(before).count == 1


def test_a_copy_is_whole_while_another_thread_adds() -> None:
    histogram, over = LatencyHistogram(), threading.Event()

    def add() -> None:
        while not over.is_set():
            histogram.add(3 * 10**6)

    thread = threading.Thread(target=add)
    thread.start()
    try:
        for _ in range(300):
            copy = histogram.copy()
            assert copy.sum_ns == copy.count * 3 * 10**6
    finally:
        over.set()
        thread.join()


def test_other_buckets_are_refused() -> None:
    model = filled([10**6]).to_model()
    with pytest.raises(InputError, match="32 buckets per octave"):
        LatencyHistogram.from_model(model.model_copy(update={"per_octave": 32}))
    with pytest.raises(InputError, match="no bucket 99999"):
        LatencyHistogram.from_model(model.model_copy(update={"counts": {99999: 1}}))


def test_jitter_is_p99_minus_p50_of_the_intervals() -> None:
    intervals, now_ns = Intervals(), 0
    for number in range(1001):
        now_ns += 60_000_000 if number % 50 == 0 else 33_000_000
        intervals.published(now_ns)
        if number == 900:
            assert jitter_ms(intervals.histogram) is None
    assert intervals.histogram.count == 1000
    assert jitter_ms(intervals.histogram) == pytest.approx(27, rel=0.02)


def test_after_warm_up_the_next_interval_still_counts_from_the_last_frame() -> None:
    intervals = Intervals()
    intervals.published(0)
    intervals.published(5_000_000)
    intervals.clear()
    intervals.published(6_000_000)
    assert (intervals.histogram.count, intervals.histogram.max_ms) == (1, 1)


def test_a_dropped_frame_is_a_missed_deadline_and_lengthens_the_streak() -> None:
    deadlines = Deadlines(20_000_000)
    for latency_ms, dropped in ((10, 0), (21, 0), (25, 2), (20, 2), (30, 3)):
        deadlines.published(latency_ms * 1_000_000, dropped=dropped)
    assert (deadlines.misses, deadlines.longest_streak) == (6, 4)
    deadlines.dropped(8)
    assert (deadlines.misses, deadlines.longest_streak) == (11, 7)
    deadlines.clear()
    deadlines.published(10_000_000, dropped=8)
    assert (deadlines.misses, deadlines.longest_streak) == (0, 0)


def test_without_a_deadline_nothing_is_missed() -> None:
    deadlines = Deadlines(None)
    deadlines.published(10**12, dropped=3)
    assert (deadlines.misses, deadlines.longest_streak) == (0, 0)


def filled(durations: list[int]) -> LatencyHistogram:
    histogram = LatencyHistogram()
    for duration in durations:
        histogram.add(duration)
    return histogram
