"""Drift in real clips and in the simulated rig: noticed, followed, and never seen where there is none."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from clips import CLIPS
from drifting import FPS, Drive, apart_px, clip, ramp, shift
from registration_cases import Warp

from edgefusion.core.bend import radial_bend
from edgefusion.core.frames import FramePair
from edgefusion.core.geometry import Registration
from edgefusion.core.rig import Drift
from runtime.capture.simulated import THERMAL_BITS, SimulatedRig

REPORT, FOLLOW = Drift(), Drift(auto_correct=True)


def first(pairs: Iterator[FramePair], seconds: float) -> Iterator[FramePair]:
    return itertools.islice(pairs, round(seconds * FPS))


def test_a_drift_in_a_clip_is_noticed_within_three_seconds(data: Path) -> None:
    found = Drive(REPORT, ramp(2.7)).go(first(clip(data, CLIPS[1]), 6.5))
    assert 0 < found.noticed_s(2.7) <= 3.0, found.states
    assert found.status["state"] == "drifted"
    assert found.status["residual_px"] == pytest.approx(found.off_px[-1], abs=2.0)


def test_a_drift_in_a_clip_is_followed_in_small_steps(data: Path) -> None:
    found = Drive(FOLLOW, ramp(2.0, most_px=8)).go(first(clip(data, CLIPS[1]), 10))
    assert found.noticed_s(2.0) <= 3.0, found.states
    assert max(found.off_px) < 4.0
    assert found.off_px[-1] <= 2.0
    assert found.largest_step_px <= 0.26


def test_where_nothing_drifts_nothing_is_reported(data: Path) -> None:
    assert Drive(REPORT).go(clip(data, CLIPS[0])).alarms == []


@pytest.mark.slow
@pytest.mark.parametrize("name", CLIPS)
@pytest.mark.parametrize("begin_s", [0.0, 2.6])
def test_drift_of_every_clip(data: Path, name: str, begin_s: float) -> None:
    pairs = list(clip(data, name))
    reported = Drive(REPORT, ramp(begin_s)).go(pairs)
    if len(pairs) / FPS > begin_s + 3:
        assert reported.noticed_s(begin_s) <= 3.0, reported.states
    undisturbed, followed = Drive(FOLLOW), Drive(FOLLOW, path := ramp(begin_s, most_px=8))
    undisturbed.go(pairs)
    assert followed.go(pairs).largest_step_px <= 0.26
    if len(pairs) / FPS > begin_s + 9:
        right = shift(path(len(pairs) / FPS)) @ undisturbed.used
        assert apart_px(followed.used, right, pairs[0].visible.size_px) <= 2.0


@pytest.mark.slow
@pytest.mark.parametrize("name", CLIPS)
@pytest.mark.parametrize("skipped", [0, 23])
def test_no_clip_gives_a_false_alarm(data: Path, name: str, skipped: int) -> None:
    assert Drive(REPORT).go(itertools.islice(clip(data, name), skipped, None)).alarms == []


class OnDemand:
    """The simulated drive, of which only the frames are drawn that somebody looks at; thermal through a lens."""

    def __init__(self, seed: int, fog: float = 0.0, radial: float = 0.0) -> None:
        self.rig, self._radial = SimulatedRig(seed=seed, fog=fog), radial

    @property
    def registration(self) -> Registration:
        sizes = {"visible": self.rig.visible_size_px, "thermal": self.rig.thermal_size_px}
        matrix = self.rig.registration
        return Registration(matrix, radial_bend(self._radial, matrix, **sizes) if self._radial else None)

    def render(self, number: int) -> FramePair:
        pair = self.rig.render(number)
        if not self._radial:
            return pair
        return replace(pair, thermal=replace(pair.thermal, pixels=Warp(np.eye(3), self._radial)(pair.thermal.pixels)))

    def go(self, drive: Drive, seconds: float) -> None:
        pair = self.render(0)
        for number in range(round(seconds * FPS)):
            at_s = number / FPS
            if drive.wanted(at_s):
                pair = self.render(number)
            drive.frame(pair, at_s)


def simulated(
    settings: Drift, seconds: float, path=lambda at_s: (0.0, 0.0), seed: int = 0, fog: float = 0.0, radial: float = 0.0
) -> Drive:
    source = OnDemand(seed, fog, radial)
    scale, registration = source.rig.registration[0, 0], source.registration
    drive = Drive(settings, path, registration=lambda visible, thermal: registration, bits=THERMAL_BITS, scale=scale)
    source.go(drive, seconds)
    return drive


def test_the_simulated_rig_is_still() -> None:
    found = simulated(REPORT, 20).outcome
    assert found.alarms == []
    assert found.status["state"] == "good"
    assert found.measurements >= 10


def test_a_drift_of_the_simulated_rig_is_followed() -> None:
    found = simulated(FOLLOW, 12, ramp(2.0, most_px=8)).outcome
    assert found.noticed_s(2.0) <= 3.0
    assert found.off_px[-1] <= 2.0


@pytest.mark.slow
def test_a_drift_of_a_rig_with_a_lens_is_followed_along_the_lens() -> None:
    found = simulated(FOLLOW, 12, ramp(2.0, most_px=8), radial=-0.1).outcome
    assert found.noticed_s(2.0) <= 3.0
    assert found.off_px[-1] <= 2.0


@pytest.mark.slow
def test_ten_minutes_of_the_simulated_rig() -> None:
    found = simulated(REPORT, 600).outcome
    assert found.alarms == []
    assert np.isfinite(found.status["residual_px"])
