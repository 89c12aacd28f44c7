from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pytest

from edgefusion.core.bundle import load_bundle
from edgefusion.core.geometry import Matrix
from edgefusion.core.rig import Drift
from runtime.registration.allowance import MOST_S, RESERVE_S, SHARE, Allowance
from runtime.registration.sample import Measurement
from runtime.registration.similarity import change_of, length_px, matrix_of
from runtime.registration.watch import STEP_PX, Trained, Watch, trained_range

SIZE = (640, 480)


@dataclass
class Rig:
    """A watch whose measurements are what is true, and a little noise."""

    watch: Watch
    at_s: float = 0.0
    used: Matrix = field(default_factory=lambda: np.eye(3))
    draw: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def see(self, *change: float, seconds: float = 10.0, doubt: str = "") -> str:
        """Measure as often as is wanted; the state then."""
        end_s = self.at_s + seconds
        while self.at_s < end_s:
            noisy = np.array([*change, *[0.0] * (4 - len(change))]) + self.draw.normal(0, 0.15, 4)
            correction = np.linalg.inv(self.used) @ matrix_of(noisy, SIZE)
            self.watch.add(Measurement(correction, 0.3, doubt), self.used, self.at_s)
            self.follow(self.watch.period_s)
        return self.state

    def follow(self, seconds: float) -> None:
        for at_s in np.arange(self.at_s, self.at_s + seconds, 0.1):
            step = self.watch.step(float(at_s))
            if step is not None:
                way = change_of(step, SIZE) - change_of(self.used, SIZE)
                assert length_px(way, SIZE) <= STEP_PX * 1.01
                self.used = step
        self.at_s += seconds

    @property
    def state(self) -> str:
        return self.watch.status()["state"]

    @property
    def corrected_px(self) -> float:
        return length_px(change_of(self.used, SIZE), SIZE)


def rig(*, correct: bool = False, trained: Trained | None = None, **settings: float) -> Rig:
    return Rig(Watch(SIZE, Drift(auto_correct=correct, **settings), correct=correct, trained=trained))


def test_nothing_is_known_before_there_is_a_measurement() -> None:
    status = Watch(SIZE, Drift(), correct=False, trained=None).status()
    assert (status["state"], status["residual_px"], status["corrected_px"]) == ("unknown", None, 0.0)


def test_a_registration_that_was_a_little_off_from_the_start_is_good() -> None:
    front = rig()
    assert front.see(3, 3, seconds=60) == "good"
    assert front.watch.status()["residual_px"] == pytest.approx(math.hypot(3, 3), abs=0.5)


def test_one_that_was_far_off_from_the_start_is_not() -> None:
    assert rig().see(12, 0) == "drifted"


def test_a_change_beyond_the_limit_is_reported_until_it_is_gone() -> None:
    front = rig(limit_px=2.5)
    assert front.see(1, 0) == "good"
    assert front.see(5, 0) == "drifted"
    assert front.see(1, 0, seconds=20) == "good"
    assert rig(limit_px=8).see(5, 0) == "good"


def test_on_the_edge_of_the_limit_the_state_does_not_flap() -> None:
    front = rig(limit_px=2.5)
    front.see(0, 0)
    changes, before = 0, front.state
    for _ in range(60):
        now = front.see(2.6, 0, seconds=1.5)
        changes, before = changes + (now != before), now
    assert changes <= 1


def test_beyond_the_budget_it_is_given_up_and_taken_back_below_it() -> None:
    front = rig(budget_px=15)
    assert front.see(0, 0) == "good"
    assert front.see(18, 0) == "beyond"
    assert front.see(14, 0) == "beyond"
    assert front.see(9, 0, seconds=20) == "drifted"
    assert front.see(0, 0, seconds=20) == "good"


def test_what_is_no_measurement_changes_nothing() -> None:
    front = rig()
    front.see(0, 0)
    assert front.see(25, 0, doubt="nothing to register in visible: hardly an edge") == "good"
    status = front.watch.status()
    assert status["residual_px"] < 1
    assert status["why"].startswith("nothing to register")
    assert status["ignored"] >= 6


def test_after_a_long_silence_nothing_is_known_but_what_was_given_up_stays_so() -> None:
    front, far = rig(), rig(budget_px=15)
    front.see(0, 0), far.see(0, 0), far.see(18, 0)
    assert front.see(0, 0, doubt="dark", seconds=70) == "unknown"
    assert front.see(0, 0) == "good"
    assert far.see(0, 0, doubt="dark", seconds=70) == "beyond"


def astray(front: Rig, *, uncertainty_px: float = 8.0) -> str:
    """One measurement that says 40 pixels; the state then."""
    front.watch.add(Measurement(matrix_of(np.array([40.0, 0, 0, 0]), SIZE), uncertainty_px), front.used, front.at_s)
    front.follow(front.watch.period_s)
    return front.state


def test_one_measurement_gives_nothing_up_when_nothing_is_known_yet() -> None:
    front = rig()
    assert astray(front) == "unknown"
    assert front.see(0, 0) == "good"
    far = rig()
    assert [astray(far) for _ in range(3)][-1] == "beyond"


@pytest.mark.parametrize("noticed", [True, False], ids=["dark meanwhile", "no frames meanwhile"])
def test_one_measurement_after_a_long_silence_neither_gives_up_nor_corrects(noticed: bool) -> None:
    front = rig(correct=True)
    assert front.see(0, 0) == "good"
    if noticed:
        assert front.see(0, 0, doubt="dark", seconds=67) == "unknown"
    front.at_s += 67
    assert astray(front, uncertainty_px=0.3) == "unknown"
    assert front.corrected_px == 0
    assert front.see(0, 0) == "good"
    assert front.corrected_px < 0.5


def test_a_suspicion_from_before_a_long_silence_counts_no_more() -> None:
    front = rig()
    assert front.see(0, 0) == "good"
    front.see(4, 0, seconds=0.1)
    front.at_s += 67
    assert astray(front) == "unknown"


def test_what_moved_during_a_long_silence_is_believed_when_it_is_said_again() -> None:
    front = rig(correct=True)
    front.see(0, 0)
    front.at_s += 67
    front.see(5, -3, seconds=10)
    assert change_of(front.used, SIZE)[:2] == pytest.approx([5, -3], abs=0.7)
    assert front.state == "good"


def test_a_correction_follows_a_drift() -> None:
    front = rig(correct=True)
    front.see(0.3, 0)
    assert front.corrected_px == 0
    front.see(6, -4, seconds=15)
    assert change_of(front.used, SIZE)[:2] == pytest.approx([6, -4], abs=0.7)
    assert front.state == "good"
    assert front.watch.status()["corrected_px"] == pytest.approx(front.corrected_px, abs=0.01)


def test_nothing_is_corrected_unless_it_is_allowed() -> None:
    front = rig()
    front.see(0, 0), front.see(9, 0)
    assert front.corrected_px == 0


def test_noise_alone_is_not_followed() -> None:
    front = rig(correct=True)
    front.see(0.2, 0.2, seconds=300)
    assert front.corrected_px == 0


def test_a_correction_goes_no_farther_than_its_range_and_what_is_left_counts() -> None:
    front = rig(correct=True, range_px=5, budget_px=10)
    front.see(0, 0)
    assert front.see(9, 0, seconds=20) == "drifted"
    assert 4.6 < front.corrected_px <= 5
    assert front.see(17, 0, seconds=20) == "beyond"
    assert front.see(4, 0, seconds=30) == "good"


def test_a_sudden_jump_is_corrected_in_steps() -> None:
    front = rig(correct=True)
    front.see(0, 0)
    front.see(14, 5, seconds=15)
    assert front.corrected_px == pytest.approx(math.hypot(14, 5), abs=0.7)


def test_farther_off_than_in_training_is_said() -> None:
    front = rig(trained=Trained(10, 3), budget_px=40)
    front.see(0, 0)
    assert not front.watch.status()["untrained"]
    front.see(14, 0)
    assert front.watch.status()["untrained"]
    turned = rig(trained=Trained(60, 2), budget_px=40)
    turned.see(0, 0), turned.see(0, 0, 0, 9.5)
    assert turned.watch.status()["untrained"]


def test_the_shipped_bundle_says_what_it_was_trained_for() -> None:
    assert trained_range(load_bundle()) == Trained(60, 20)


def test_measuring_hastens_while_something_changes() -> None:
    front = rig(every_s=3)
    front.see(0, 0)
    assert front.watch.period_s == 3
    front.see(4, 0, seconds=0.1)
    assert front.watch.period_s < 1


def test_on_average_no_more_than_the_share_is_spent() -> None:
    allowance, spent_s = Allowance(), 0.0
    for at_s in np.arange(0, 600, 0.1):
        if allowance.permits(float(at_s), urgent=True):
            allowance.spend(0.05)
            spent_s += 0.05
    assert spent_s <= SHARE * 600 + MOST_S + 0.05
    assert not allowance.permits(600.0, urgent=False)
    assert allowance.permits(600.0 + 2 * RESERVE_S / SHARE, urgent=False)
