"""Several lanes in one loop."""

from __future__ import annotations

import threading
import time

from lanes import Run, pairs

from runtime.pipeline.loop import PATIENCE_S, run_lanes
from runtime.pipeline.stream import PairStream
from runtime.sync.moments import Moment


class Silent(PairStream):
    """Nothing comes, and nothing is due."""

    def next(self, timeout_s: float = 0.0) -> Moment | None:
        return None

    def wait_s(self) -> float | None:
        return None


def test_a_lane_that_has_ended_does_not_keep_the_loop_from_waiting() -> None:
    stop, wake = threading.Event(), threading.Condition()
    over, silent = Run(PairStream(pairs(2), stop=stop)), Run(Silent((), stop=stop))
    assert over.lane.moments.wait_s() == 0.0  # as of cameras that go on to deliver after the last frame
    turns: list[float] = []

    def turned() -> None:
        turns.append(time.monotonic())
        if len(turns) == 6:
            stop.set()

    run_lanes([over.lane, silent.lane], stop=stop, wake=wake, turned=turned)
    assert (over.lane.ended, over.lane.statistics.frames) == (True, 2)
    assert turns[-1] - turns[2] > 2.9 * PATIENCE_S  # two frames, and the turn that finds no third
