"""What follows from the measurements: the state that is reported, the next step of a correction."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

from edgefusion.core.bundle import Bundle
from edgefusion.core.geometry import Matrix, Size, inverse
from edgefusion.core.rig import Drift
from runtime.registration.sample import Measurement
from runtime.registration.similarity import NO_CHANGE, Change, change_of, length_px, matrix_of, turn_deg
from runtime.registration.track import Track


class State(IntEnum):
    """Of a registration, the worse the higher."""

    UNKNOWN, GOOD, DRIFTED, BEYOND = range(4)


FIRST, FIRST_PX = 4, 6.0
"""So many measurements say how the run began; as it was then, up to so many pixels off, it is taken to be meant."""

FAST_S = 0.2
"""Between measurements while something seems to change."""

CONFIRMED, SURE = 1.6, 2.0
"""The weights of measurements in a row that say the state is worse have to add up to so much, 1 being that of one that
is sure to a pixel, and half of it of one with which all together say so; and to say so, one has to be so many of its
deviations beyond the limit."""

RETURN = 0.8
"""A state is left again below this part of its limit."""

STEP_PX, BEGIN_PX, END_PX = 0.25, 1.0, 0.3
"""Of a correction: one step, and the distance at which it begins and ends."""

SILENT_S = 60.0
"""Without a measurement for so long, nothing is known any more."""


@dataclass(frozen=True)
class Trained:
    """How far off thermal was when the student was trained."""

    shift_px: float
    turn_deg: float


def trained_range(bundle: Bundle) -> Trained | None:
    """What the bundle's training record says; None if it says nothing."""
    misalign = bundle.manifest.training.settings.get("misalign")
    return Trained(float(misalign[0]), float(misalign[1])) if misalign else None


class Watch:
    """The registration of one rig at one size. Not a thread, and without a clock of its own.

    Changes are against the rig's own registration; ``corrected`` is the one in use.

    Args:
        size_px: of visible frames.
        settings: of the rig.
        correct: corrections are allowed and can be made.
        trained: of the student, if the bundle says so.

    Attributes:
        state: good, drifted (changed by more than limit_px), beyond (the budget), or unknown.
        why: the last measurement was none.
        measured, ignored: measurements taken in, and those without evidence or confirmation.
    """

    def __init__(self, size_px: Size, settings: Drift, *, correct: bool, trained: Trained | None) -> None:
        self._size, self._settings, self._correct, self._trained = size_px, settings, correct, trained
        self.state = State.UNKNOWN
        self.why = ""
        self.measured = self.ignored = 0
        self._track = Track()
        self._first: list[Change] = []
        self._meant = NO_CHANGE
        self._corrected = NO_CHANGE
        self._stepping = self._doubted = self._near = False
        self._worse = 0.0
        self._heard_s: float | None = None

    def start(self, used: Matrix) -> Matrix:
        """[3, 3] about which to seek the correction of a sample that was made with the correction ``used``."""
        if self._doubted or not self._track.count:
            return np.eye(3)
        return inverse(used) @ matrix_of(self._track.at(0.0), self._size)

    def add(self, measurement: Measurement, used: Matrix, at_s: float) -> None:
        """Take in what was measured of a sample that was made with the correction ``used``, at that time."""
        self.why, self._doubted = measurement.doubt, bool(measurement.doubt)
        if silent := self._silent(at_s):
            self._forget()
        if measurement.doubt:
            self.ignored += 1
            return
        if silent:
            self._track = Track()  # the old one would believe anything by now
        total = change_of(used @ measurement.correction, self._size)
        if not self._track.add(total, measurement.uncertainty_px, at_s):
            self.ignored += 1
            self.why = "unlike those before: waits for another that says the same"
            return
        self.measured += 1
        self._heard_s = at_s
        self._begin(total)
        self._judge(total, measurement.uncertainty_px)

    @property
    def urgent(self) -> bool:
        """Whether something seems to change, or nothing is known yet."""
        starting = len(self._first) < FIRST and self.ignored < FIRST
        return starting or bool(self._worse) or self._near or self._stepping or self._track.suspect

    @property
    def period_s(self) -> float:
        """Until the next measurement is wanted."""
        return min(FAST_S, self._settings.every_s) if self.urgent else self._settings.every_s

    def step(self, at_s: float) -> Matrix | None:
        """The next correction to be used, [3, 3], STEP_PX from the last one at most; None if that may stay."""
        if not self._correct or len(self._first) < FIRST or self.state is State.UNKNOWN:
            self._stepping = False
            return None
        goal = self._within(self._track.at(at_s))
        way = goal - self._corrected
        left = length_px(way, self._size)
        certain = max(BEGIN_PX, self._track.uncertainty_px)
        self._stepping = left > (END_PX if self._stepping else certain)
        if not self._stepping:
            return None
        self._corrected = self._corrected + way * min(STEP_PX / left, 1.0)
        self._meant = NO_CHANGE  # from now on it is this that is meant
        return matrix_of(self._corrected, self._size)

    @property
    def untrained(self) -> bool:
        """Whether the student was never trained with thermal so far off."""
        if self._trained is None or not self._track.count:
            return False
        left = self._left()
        turned = abs(turn_deg(left, self._size)) > self._trained.turn_deg
        return turned or length_px(left, self._size) > self._trained.shift_px

    def status(self) -> dict[str, Any]:
        """As JSON types: how far off the registration in use is, how sure that is, and by how much it was corrected."""
        known = self._track.count > 0
        return {
            "state": "correcting" if self._stepping and self.state <= State.GOOD else self.state.name.lower(),
            "why": self.why,
            "residual_px": round(length_px(self._left(), self._size), 2) if known else None,
            "uncertainty_px": round(self._track.uncertainty_px, 2) if known else None,
            "corrected_px": round(length_px(self._corrected, self._size), 2),
            "untrained": self.untrained,
            "measured": self.measured,
            "ignored": self.ignored,
        }

    def _left(self) -> Change:
        """What the registration in use is off by."""
        return np.asarray(self._track.at(0.0) - self._corrected)

    def _begin(self, total: Change) -> None:
        if len(self._first) < FIRST:
            self._first.append(total)
            meant = np.median(self._first, axis=0)
            self._meant = meant * min(1.0, FIRST_PX / max(length_px(meant, self._size), 1e-9))

    def _judge(self, total: Change, uncertainty_px: float) -> None:
        """For the worse once measurements in a row say so, alone or with those before; else by all of them."""
        newest = self._rated(total - self._corrected, uncertainty_px)
        known = self._rated(self._left(), self._track.uncertainty_px)
        self._near = newest is State.GOOD and self._changed(total - self._corrected) > self._settings.limit_px / 2
        if max(newest, known) > self.state:
            weight = max(min(1.0, uncertainty_px**-2), CONFIRMED / 2 if known > self.state else 0.0)
            self._worse += weight
            if self._worse >= CONFIRMED or max(newest, known) is State.GOOD:
                self.state, self._worse = max(newest, known), 0.0
            return
        self._worse = 0.0
        if newest < self.state:
            self.state = min(self.state, self._rated(self._left(), self._track.uncertainty_px / SURE, ease=RETURN))

    def _rated(self, left: Change, uncertainty_px: float, *, ease: float = 1.0) -> State:
        if length_px(left, self._size) > ease * self._settings.budget_px:
            return State.BEYOND
        limit_px = ease * math.hypot(self._settings.limit_px, SURE * uncertainty_px)
        return State.DRIFTED if self._changed(left) > limit_px else State.GOOD

    def _changed(self, left: Change) -> float:
        """How far the registration in use is from what is meant, or from being right."""
        return min(length_px(left - self._meant, self._size), length_px(left, self._size))

    def _within(self, goal: Change) -> Change:
        return np.asarray(goal * min(1.0, self._settings.range_px / max(length_px(goal, self._size), 1e-9)))

    def _silent(self, at_s: float) -> bool:
        limit_s = max(SILENT_S, 20 * self._settings.every_s)
        return self._heard_s is None or at_s - self._heard_s > limit_s

    def _forget(self) -> None:
        """Nothing is known any more; what was given up stays so."""
        self._worse = 0.0
        if self.state is not State.BEYOND:
            self.state = State.UNKNOWN
