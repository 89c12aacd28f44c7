from __future__ import annotations

from typing import Any

import pytest

from runtime.journal.lines import Added, Step
from runtime.journal.timeline import TimelineMaker
from runtime.latency import LatencyHistogram
from runtime.report.schema import Second, Timeline


def step(t_s: float, step_s: float = 1.0, *, latencies_ms: tuple[float, ...] = (), **second: Any) -> Step:
    histogram = LatencyHistogram()
    for latency_ms in latencies_ms:
        histogram.add(round(latency_ms * 1e6))
    frames = len(latencies_ms)
    return Step(
        step_s=step_s, second=Second(t_s=t_s, frames=frames, **second), seconds=t_s, latency=Added.of(histogram)
    )


def timeline_of(*steps: Step) -> Timeline:
    maker = TimelineMaker()
    for each in steps:
        maker.add(each)
    timeline = maker.timeline()
    assert timeline is not None
    return timeline


def test_no_step_is_no_timeline() -> None:
    assert TimelineMaker().timeline() is None


def test_neighbours_become_one_when_steps_get_longer() -> None:
    first = step(
        1, latencies_ms=(10, 10, 10), dropped=1, rails_mw={"a/X": (1, 2, 3)}, cpu=1.0, temperatures_c={"tj": 50}
    )
    second = step(4, latencies_ms=(10, 90), dropped=2, rails_mw={"a/X": (2, 6, 9)}, cpu=2.0, temperatures_c={"tj": 60})
    timeline = timeline_of(first, second, step(6, 2.0))
    assert (timeline.step_s, [each.t_s for each in timeline.seconds]) == (2, [4, 6])
    joined = timeline.seconds[0]
    assert (joined.frames, joined.dropped) == (5, 3)
    assert joined.rails_mw == {"a/X": (1, 5, 9)}  # the second of them took three times as long
    assert joined.cpu == 1.75
    assert joined.temperatures_c == {"tj": 60}
    assert joined.p50_ms == pytest.approx(10, rel=0.006)
    assert joined.p99_ms == pytest.approx(90, rel=0.011)


def test_what_only_one_of_them_knows_is_kept() -> None:
    timeline = timeline_of(
        step(1, rails_mw={"a/X": (1, 2, 3)}, steal=0.5), step(2, rails_mw={"b/Y": (4, 5, 6)}), step(4, 2.0)
    )
    assert timeline.seconds[0].rails_mw == {"a/X": (1, 2, 3), "b/Y": (4, 5, 6)}
    assert timeline.seconds[0].steal == 0.5
    assert timeline.seconds[0].p99_ms is None


def test_an_odd_one_stays_alone() -> None:
    timeline = timeline_of(step(1), step(2), step(3), step(7, 4.0))
    assert [each.t_s for each in timeline.seconds] == [3, 7]
