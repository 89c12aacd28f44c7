"""The monitor beside a real loop, with its real process."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache

import numpy as np
import psutil
import pytest
from drifting import apart_px, moved, shift
from lanes import SIZES, make_fusion, pairs

from edgefusion.core.frames import REGULAR, Flag, FramePair
from edgefusion.core.geometry import Registration
from edgefusion.core.rig import Drift
from edgefusion.kernels.cpu import sampling_table
from runtime.capture.simulated import SimulatedRig
from runtime.fusion import Fusion
from runtime.pipeline.lane import Lane
from runtime.pipeline.outputs import Outputs
from runtime.pipeline.stream import PairStream
from runtime.registration.monitor import TICK_S, Monitor
from runtime.registration.worker import Worker
from runtime.sync.moments import Moment

SIZE, FPS, PATIENCE_S = (320, 240), 20.0, 60.0
QUICK = Drift(every_s=0.3)


@cache
def scenes() -> tuple[SimulatedRig, list[FramePair]]:
    rig = SimulatedRig(seed=0, visible_size_px=SIZE, thermal_size_px=(320, 256))
    return rig, [rig.render(8 * number) for number in range(6)]


@cache
def small_pair() -> FramePair:
    return pairs(1)[0]


class Turning(PairStream):
    """The simulated rig, at a camera's pace, whose thermal camera can be turned; marks what is misregistered."""

    def __init__(self, stop: threading.Event) -> None:
        self.off, self.drifted, self.stale, self.small = (0.0, 0.0), False, False, False
        super().__init__(self._pairs_of(), stop=stop, fps=FPS)

    def _pairs_of(self) -> Iterator[FramePair]:
        rig, rendered = scenes()
        while True:
            for pair in rendered:
                yield small_pair() if self.small else moved(pair, self.off, rig.registration[0, 0])

    def next(self, timeout_s: float = 0.0) -> Moment | None:
        moment = super().next(timeout_s)
        flags = (Flag.MISREGISTERED if self.drifted else REGULAR) | (Flag.STALE if self.stale else REGULAR)
        return moment and replace(moment, flags=flags)

    def set_drifted(self, drifted: bool) -> None:
        self.drifted = drifted


class Loop:
    """A lane in this thread, with a monitor."""

    def __init__(self, settings: Drift, *, live: bool = True) -> None:
        self.stop = threading.Event()
        self.moments = Turning(self.stop)
        registration = Registration(scenes()[0].registration)
        self.fusion: Fusion = make_fusion(lambda visible, thermal: registration)
        self.monitor = Monitor("front", self.fusion, settings, live=live, drifted=self.moments.set_drifted)
        outputs = Outputs([], fps=FPS, live=False, failed=lambda to, error: None)
        self.lane = Lane("front", self.moments, self.fusion, outputs, monitor=self.monitor, observe=self._keep)
        self.last: np.ndarray | None = None

    def _keep(self, moment: Moment, slot, statistics) -> None:
        self.last, self.moment = slot.pixels.copy(), moment

    def __enter__(self) -> Loop:
        self.monitor.__enter__()
        return self

    def __exit__(self, *reason: object) -> None:
        self.monitor.__exit__(*reason)
        self.lane.finish()
        self.fusion.close()

    @property
    def status(self) -> dict:
        return self.lane.status()["registration"]

    def until(self, reached: Callable[[], bool]) -> None:
        end_s = time.monotonic() + PATIENCE_S
        while not reached():
            assert time.monotonic() < end_s, self.status
            self.lane.turn(0.2)

    def see(self, state: str) -> None:
        self.until(lambda: self.status["state"] == state)

    def frames(self, count: int) -> None:
        wanted = self.lane.statistics.frames + count
        self.until(lambda: self.lane.statistics.frames >= wanted)


def packed(pair: FramePair, correction: np.ndarray) -> np.ndarray:
    """Thermal as a rig packs it whose registration is corrected in rig.toml."""
    fusion = make_fusion(lambda visible, thermal: Registration(scenes()[0].registration @ correction))
    fusion.fuse(pair)
    return fusion.thermal_view()


def alike(first: np.ndarray, second: np.ndarray) -> float:
    """Whatever the gain is."""
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def children() -> list[psutil.Process]:
    return [each for each in psutil.Process().children() if "spawn_main" in " ".join(each.cmdline())]


def gone(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_registration_that_is_right_is_called_good() -> None:
    with Loop(QUICK) as loop:
        assert loop.status == {"state": "unknown"}
        loop.see("good")
        loop.until(lambda: loop.status["measured"] >= 5)
        assert loop.status["residual_px"] < 1.5
        assert loop.status["corrected_px"] == 0
        assert loop.status["cpu"] > 0
    assert children() == []


def test_a_drift_is_reported_and_logged_and_the_picture_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    with Loop(QUICK) as loop, caplog.at_level(logging.INFO, "edgefusion"):
        logging.getLogger("edgefusion").propagate = True
        loop.see("good")
        loop.moments.off = (9.0, -5.0)
        loop.see("drifted")
        loop.until(lambda: loop.status["residual_px"] == pytest.approx(10.3, abs=1.5))
        assert not loop.moments.drifted
        assert loop.status["corrected_px"] == 0
    said = [record.getMessage() for record in caplog.records]
    assert any(line.startswith("registration rig=front state=drifted") for line in said)


def test_a_drift_is_corrected_in_what_is_packed() -> None:
    with Loop(Drift(every_s=0.3, auto_correct=True)) as loop:
        loop.see("good")
        loop.moments.off = (6.0, -4.0)
        loop.until(lambda: loop.status["corrected_px"] > 6 and loop.status["state"] == "good")
        right = shift((6.0, -4.0))
        loop.until(lambda: apart_px(loop.monitor.used, right, SIZE) < 1.5)  # sure to 0.8 px when first called good
        size = scenes()[1][0].thermal.size_px
        table = sampling_table(SIZE, size, Registration(scenes()[0].registration @ loop.monitor.used))
        for ours, expected in zip(loop.fusion.table(loop.monitor.used), table, strict=True):
            np.testing.assert_array_equal(ours, expected)
        loop.until(lambda: alike(loop.fusion.thermal_view(), packed(loop.moment.pair, loop.monitor.used)) > 0.99)
        assert alike(loop.fusion.thermal_view(), packed(loop.moment.pair, np.eye(3))) < 0.99


def test_steps_of_a_correction_are_a_tenth_of_a_second_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    with Loop(Drift(every_s=0.3, auto_correct=True)) as loop:
        make, made_s = loop.fusion.table, []

        def timed(correction: np.ndarray):
            made_s.append(time.monotonic())
            return make(correction)

        monkeypatch.setattr(loop.fusion, "table", timed)
        loop.see("good")
        loop.moments.off = (9.0, -6.0)
        loop.until(lambda: loop.status["corrected_px"] > 8)
    assert len(made_s) >= 32
    assert np.diff(made_s).min() > TICK_S - 1e-6


def test_a_correction_that_is_lost_as_the_frames_change_and_change_back_is_made_again() -> None:
    """Between the two changes no sample is taken."""
    with Loop(Drift(every_s=0.3, auto_correct=True)) as loop:
        loop.see("good")
        loop.moments.off = (5.0, -3.0)
        loop.until(lambda: loop.status["corrected_px"] > 3)
        loop.moments.stale = loop.moments.small = True
        loop.until(lambda: loop.fusion.size_px == SIZES[0])
        loop.moments.small = False
        loop.until(lambda: loop.fusion.size_px == SIZE)
        loop.frames(5)
        np.testing.assert_array_equal(loop.monitor.used, np.eye(3))
        assert loop.status == {"state": "unknown"}
        loop.moments.stale = False
        loop.until(lambda: loop.status.get("corrected_px", 0) > 3)
        loop.until(lambda: apart_px(loop.monitor.used, shift((5.0, -3.0)), SIZE) < 1.5)
        loop.until(lambda: alike(loop.fusion.thermal_view(), packed(loop.moment.pair, loop.monitor.used)) > 0.99)


def test_a_table_made_for_other_frames_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """The frames change while it is made, and change back before it is asked for."""
    with Loop(Drift(every_s=0.3, auto_correct=True)) as loop:
        begun, done = threading.Event(), threading.Event()
        make, registered = loop.fusion.table, []

        def late(correction: np.ndarray):
            begun.set()
            done.wait(PATIENCE_S)
            return make(correction)

        monkeypatch.setattr(loop.fusion, "table", late)
        monkeypatch.setattr(loop.fusion, "register", registered.append)
        loop.see("good")
        loop.moments.off = (5.0, -3.0)
        loop.until(begun.is_set)
        loop.moments.stale = loop.moments.small = True
        loop.until(lambda: loop.fusion.size_px == SIZES[0])
        done.set()
        loop.moments.small = False
        loop.until(lambda: loop.fusion.size_px == SIZE)
        loop.frames(10)
        assert registered == []
        np.testing.assert_array_equal(loop.monitor.used, np.eye(3))


def test_beyond_the_budget_the_visible_image_passes_through_until_it_is_right_again() -> None:
    with Loop(Drift(every_s=0.3, budget_px=6)) as loop:
        loop.see("good")
        loop.moments.off = (8.0, -5.0)
        loop.see("beyond")
        loop.frames(2)
        assert loop.lane.statistics.flagged["misregistered"] >= 1
        np.testing.assert_array_equal(loop.last, loop.moment.visible.pixels)
        loop.moments.off = (0.0, 0.0)
        loop.see("good")
        loop.frames(2)
        assert loop.moment.flags == REGULAR


def test_images_that_became_too_small_to_compare_are_fused_again() -> None:
    with Loop(Drift(every_s=0.3, budget_px=6)) as loop:
        loop.see("good")
        loop.moments.off = (8.0, -5.0)
        loop.see("beyond")
        loop.frames(2)
        assert loop.moment.flags == Flag.MISREGISTERED
        loop.moments.small = True
        loop.until(lambda: "too small" in loop.status.get("why", ""))
        loop.until(lambda: not loop.moments.drifted)
        loop.frames(2)
        assert loop.moment.flags == REGULAR


def test_of_a_recording_it_is_only_reported() -> None:
    with Loop(Drift(every_s=0.3, budget_px=6, auto_correct=True), live=False) as loop:
        loop.see("good")
        loop.moments.off = (8.0, -5.0)
        loop.see("beyond")
        loop.frames(5)
        assert loop.status["corrected_px"] == 0
        assert loop.lane.statistics.flagged == {}


def test_stale_frames_are_not_measured() -> None:
    with Loop(QUICK) as loop:
        loop.moments.stale = True
        loop.until(lambda: loop.monitor.due)
        loop.frames(10)
        assert loop.monitor.due
        loop.moments.stale = False
        loop.see("good")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_a_process_that_answers_no_more_ends_no_run(monkeypatch: pytest.MonkeyPatch, how: signal.Signals) -> None:
    monkeypatch.setattr("runtime.registration.monitor.AGAIN_S", 0.5)
    monkeypatch.setattr("runtime.registration.monitor.PATIENCE_S", 5.0)
    with Loop(QUICK) as loop:
        loop.see("good")
        (process,) = children()
        os.kill(process.pid, how)
        loop.until(lambda: gone(process))
        before = loop.status["measured"]
        loop.until(lambda: loop.status["measured"] > before + 1)
        assert children()
    assert children() == []


def test_images_too_small_to_compare_are_said_to_be() -> None:
    fusion = make_fusion()
    with Monitor("small", fusion, Drift(every_s=0.2), live=True) as monitor:
        end_s = time.monotonic() + PATIENCE_S
        while "too small" not in monitor.status().get("why", "") and time.monotonic() < end_s:
            fusion.fuse(pairs(1)[0])
            monitor.before()
            if monitor.due:
                monitor.look()
            time.sleep(0.02)
        assert f"{SIZES[0][0]}x{SIZES[0][1]}" in monitor.status()["why"]
        assert monitor.status()["state"] == "unknown"
        assert children() == []


def test_the_worker_gives_way_to_everything() -> None:
    worker = Worker()
    planes = np.random.default_rng(0).random((16, 60, 80), np.float32)
    try:
        worker.ask(planes, SIZE, np.eye(3))
        found = worker.answer(PATIENCE_S)
        assert found is not None
        assert found.doubt
        assert found.cpu_s > 0
        (process,) = children()
        assert os.sched_getscheduler(process.pid) == os.SCHED_IDLE
    finally:
        worker.close()
    assert children() == []


def test_a_worker_that_is_stopped_holds_nobody_up() -> None:
    worker = Worker()
    draw = np.random.default_rng(0)
    try:
        worker.ask(draw.random((16, 60, 80), np.float32), SIZE, np.eye(3))
        assert worker.answer(PATIENCE_S)
        (process,) = children()
        os.kill(process.pid, signal.SIGSTOP)
        more = draw.random((8, 270, 480), np.float32), (1920, 1080), np.eye(3)
        asking = threading.Thread(target=lambda: (worker.ask(*more), worker.answer(0.2)), daemon=True)
        asking.start()
        asking.join(PATIENCE_S / 4)
        assert not asking.is_alive()
        os.kill(process.pid, signal.SIGCONT)
        assert worker.answer(PATIENCE_S)
    finally:
        worker.close()
    assert children() == []
