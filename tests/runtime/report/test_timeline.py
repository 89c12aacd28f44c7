from __future__ import annotations

import pytest
from records import record, throttled

from edgefusion.pages.axis import log_steps, steps
from runtime.report.histograms import bars, edge_ms, group_size, span_ms
from runtime.report.numbers import duration, fixed, percent, places_of, short, signed
from runtime.report.schema import Second, Timeline
from runtime.report.timeline import thin, throttle_events


def test_thinning_keeps_frames_peaks_and_time() -> None:
    whole = record(seconds=600).timeline
    assert whole
    few = thin(whole, 60)
    assert len(few.seconds) == 60
    assert few.step_s == 10
    assert few.seconds[-1].t_s == whole.seconds[-1].t_s
    assert sum(one.frames for one in few.seconds) == sum(one.frames for one in whole.seconds)
    assert max(one.p99_ms or 0 for one in few.seconds) == max(one.p99_ms or 0 for one in whole.seconds)
    low, mean, high = few.seconds[3].rails_mw["hwmon/VDD_IN"]
    part = [one.rails_mw["hwmon/VDD_IN"] for one in whole.seconds[30:40]]
    assert (low, high) == (min(one[0] for one in part), max(one[2] for one in part))
    assert mean == pytest.approx(sum(one[1] for one in part) / 10)
    assert thin(whole, 600) is whole


def test_thinning_bridges_what_is_missing() -> None:
    seconds = [
        Second(t_s=1, frames=0),
        Second(t_s=2, frames=3, p50_ms=4.0, rails_mw={"a/b": (1, 2, 3)}, clocks_mhz={"gpu": 5}),
    ]
    (one,) = thin(Timeline(step_s=1, seconds=seconds), 1).seconds
    assert (one.p50_ms, one.p99_ms, one.frames) == (4.0, None, 3)
    assert one.rails_mw == {"a/b": (1, 2, 3)}


def test_throttling_is_found_where_counters_rise() -> None:
    timeline = throttled().timeline
    assert timeline
    events = throttle_events(timeline)
    assert min(t_s for t_s, _ in events) >= 340
    total = sum(rise for _, rises in events for rise in rises.values())
    assert total == timeline.seconds[-1].throttled["thermal"]
    assert len(throttle_events(thin(timeline, 60))) <= 27


def test_bars_hold_every_frame_within_their_edges() -> None:
    histogram = record(seconds=60).latency.published
    span = span_ms(histogram)
    assert span
    group = group_size(histogram, 30)
    found = bars(histogram, group)
    assert len(found) <= 31
    assert sum(bar.count for bar in found) == histogram.count
    assert all(bar.high_ms == pytest.approx(bar.low_ms * 2 ** (group / 64)) for bar in found)
    assert found[0].low_ms <= span[0] < span[1] <= found[-1].high_ms
    assert edge_ms(histogram, 64) == pytest.approx(0.002)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (short(84.04), "84"), (short(13.06), "13.1"), (short(0.2134), "0.213"), (short(17929.0), "17,929"),
        (short(None), "\N{EN DASH}"), (short(float("nan")), "\N{EN DASH}"), (short(-2.5), "\N{MINUS SIGN}2.5"),
        (signed(0.1), "+0.1"), (signed(0.0), "0"), (percent(0.00094), "0.094 %"), (percent(None), "\N{EN DASH}"),
        (duration(600), "600 s"), (duration(86400), "24 h"), (duration(5400), "1 h 30 min"),
        (fixed(0.401, 4), "0.4010"), (fixed(-0.1, 1, sign=True), "\N{MINUS SIGN}0.1"), (fixed(1e-9, 2), "0"),
    ],
)  # fmt: skip
def test_numbers_in_words(written: str, expected: str) -> None:
    assert written == expected


def test_ticks_are_round_and_inside() -> None:
    assert steps(0, 10, most=5) == [0, 2, 4, 6, 8, 10]
    assert steps(5, 5) == [5]
    assert log_steps(0.6, 2000) == pytest.approx([1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000])
    assert log_steps(1, 1e6) == pytest.approx([10**power for power in range(7)])
    assert all(11.1 <= tick <= 11.4 for tick in log_steps(11.1, 11.4))
    assert places_of(29.98, 3.1) == 2
    assert places_of(None, 0.0) == 0
