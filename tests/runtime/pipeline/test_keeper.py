from __future__ import annotations

import itertools
import threading
from types import SimpleNamespace

import pytest
from lanes import Run, make_fusion, pairs
from waiting import until

from edgefusion.core.errors import RunError
from edgefusion.core.frames import Frame
from edgefusion.core.geometry import Size
from runtime.pipeline.keeper import Keeper


class Lane(SimpleNamespace):
    """What the keeper asks of a lane."""

    def __init__(self) -> None:
        self.name, self.state, self.preparing = "front", "running", False
        self.statistics = SimpleNamespace(frames=1, fps=30.0)
        self.shown: list[dict] = []
        self.closed = threading.Event()
        self.outputs = SimpleNamespace(set_status=self.shown.append, close=self.closed.set)

    def status(self) -> dict:
        return {"rig": self.name}


def test_the_status_says_what_the_lane_does_and_since_when() -> None:
    lane = Lane()
    with Keeper([lane], {"device": "cpu"}, watchdog_s=60, period_s=0.01) as keeper:
        keeper.turned()
        until(lambda: any(shown["state"] == "running" for shown in lane.shown), 20)
        lane.state = "thermal_lost"
        until(lambda: lane.shown[-1]["state"] == "thermal_lost", 20)
    first = next(shown for shown in lane.shown if shown["state"] == "running")
    assert first["device"] == "cpu"
    assert lane.shown[-1]["since_ns"] > first["since_ns"]


def test_a_loop_that_hangs_is_stuck_and_then_given_up(capfd) -> None:
    lane, ended = Lane(), threading.Event()
    with Keeper([lane], {}, watchdog_s=0.2, period_s=0.02, end=ended.set) as keeper:
        keeper.turned()
        assert ended.wait(20)
    assert lane.closed.is_set()
    assert lane.shown[-1]["state"] == "stuck"
    log = capfd.readouterr().err
    assert "stuck" in log
    assert "test_keeper.py" in log  # where its threads are


@pytest.mark.parametrize("error", [RunError("the disk is full"), OSError("the disk is full")])
def test_an_output_that_cannot_be_finished_keeps_no_other_lane_and_not_the_process(error, caplog) -> None:
    broken, lane, ended = Lane(), Lane(), threading.Event()

    def fail() -> None:
        raise error

    broken.outputs.close = fail
    caplog.set_level("INFO", logger="edgefusion")
    with Keeper([broken, lane], {}, watchdog_s=0.2, period_s=0.02, end=ended.set) as keeper:
        keeper.turned()
        assert ended.wait(20)
    assert lane.closed.is_set()
    assert any("the disk is full" in line for line in caplog.messages)


def test_before_the_first_turn_nothing_counts_as_stuck() -> None:
    lane, ended = Lane(), threading.Event()
    with Keeper([lane], {}, watchdog_s=0.01, period_s=0.01, end=ended.set):
        until(lambda: len(lane.shown) > 20, 20)
    assert not ended.is_set()


def test_a_lane_that_prepares_may_take_any_time_and_is_watched_again_afterwards() -> None:
    lane, ended = Lane(), threading.Event()
    with Keeper([lane], {}, watchdog_s=0.2, period_s=0.01, end=ended.set) as keeper:
        lane.preparing = True
        keeper.turned()
        assert not ended.wait(1.0)
        assert {shown["state"] for shown in lane.shown} == {"running"}
        lane.preparing = False
        assert ended.wait(20)


def test_a_lane_prepares_while_it_makes_ready_for_frames_of_another_size() -> None:
    fusion = make_fusion()
    prepare, seen = fusion.prepare, []

    def watched(visible: Frame | None, thermal: Frame | None) -> Size:
        seen.append(run.lane.preparing)
        return prepare(visible, thermal)

    fusion.prepare = watched  # type: ignore[method-assign]
    run = Run(pairs(2), fusion=fusion)
    run.go()
    assert (seen, run.lane.preparing) == ([True, True], False)


def test_without_a_watchdog_a_turn_may_take_any_time() -> None:
    lane, ended = Lane(), threading.Event()
    with Keeper([lane], {}, watchdog_s=None, period_s=0.01, end=ended.set) as keeper:
        keeper.turned()
        until(lambda: len(lane.shown) > 20, 20)
    assert not ended.is_set()
    assert {shown["state"] for shown in lane.shown} == {"running"}


def test_a_run_puts_its_status_into_the_ring(ring_name: str) -> None:
    from edgefusion.ring.status import read_status

    run = Run(itertools.cycle(pairs(2)), outputs=(f"ring:{ring_name}",), fps=100)
    thread = threading.Thread(target=run.go)
    with Keeper([run.lane], {"device": "cpu"}, watchdog_s=60, period_s=0.01):
        thread.start()
        try:
            until(lambda: run.lane.statistics.frames > 3, 20)
            until(lambda: read_status(ring_name).status.get("frames", 0) > 3, 20)
            status = read_status(ring_name).status
        finally:
            run.stop.set()
            thread.join()
    assert status["state"] == "running"
    assert status["rig"] == "test"
    assert status["copies_per_frame"] == 0
    assert status["outputs"][0]["to"] == f"ring:{ring_name}"
