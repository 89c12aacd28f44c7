"""Where the registration really is, from many measurements of which each may be wrong."""

from __future__ import annotations

import math

import numpy as np

from runtime.registration.similarity import NO_CHANGE, Change

NOISE_PX = 0.5
"""At least, of a measurement: what stands nearer or farther than the plane the registration suits shifts it."""

PUSH = 0.4
"""How fast a drift may begin, in pixels a second for each root of a second."""

START_SPEED = 0.5
"""Of a drift when nothing is known, in pixels a second."""

GATE = 4.0
"""A measurement farther off than so many deviations waits for a second one that says the same."""

MOVING = 2.0
"""A speed counts once it is so many deviations from none."""


class Track:
    """A Kalman filter of position and speed of a change, the same for each of its parts.

    Attributes:
        count: measurements taken in since the last jump.
        suspect: one waits to be confirmed.
    """

    def __init__(self) -> None:
        self.count = 0
        self._at_s = 0.0
        self._mean = np.zeros((2, 4))
        self._covariance = np.zeros((2, 2))
        self._waiting: Change | None = None

    @property
    def suspect(self) -> bool:
        """Whether a measurement that fits no other waits to be confirmed."""
        return self._waiting is not None

    def add(self, change: Change, uncertainty_px: float, at_s: float) -> bool:
        """Take in a measurement; whether it was, or waits."""
        noise = max(uncertainty_px, NOISE_PX) ** 2
        if not self.count:
            self._begin(change, noise, at_s)
            return True
        mean, covariance = self._predicted(at_s)
        off = change - mean[0]
        allowed = GATE * math.sqrt(covariance[0, 0] + noise)
        if np.abs(off).max() > allowed:
            return self._odd(change, noise, at_s)
        gain = covariance[:, 0] / (covariance[0, 0] + noise)
        self._mean = mean + gain[:, None] * off
        self._covariance = covariance - np.outer(gain, covariance[0])
        self._at_s, self._waiting = at_s, None
        self.count += 1
        return True

    def at(self, at_s: float) -> Change:
        """Where it is then, as far as known."""
        speed = self._mean[1] if self.moving else NO_CHANGE
        return np.asarray(self._mean[0] + speed * min(max(at_s - self._at_s, 0.0), 2.0))

    @property
    def moving(self) -> bool:
        """Whether it drifts at this time."""
        return bool(np.abs(self._mean[1]).max() > MOVING * math.sqrt(self._covariance[1, 1]))

    @property
    def uncertainty_px(self) -> float:
        """Expected error of where it is, all parts together."""
        return 2 * math.sqrt(self._covariance[0, 0]) if self.count else math.inf

    def _begin(self, change: Change, noise: float, at_s: float) -> None:
        self._mean = np.array([change, NO_CHANGE])
        self._covariance = np.diag([noise, START_SPEED**2])
        self._at_s, self.count, self._waiting = at_s, 1, None

    def _odd(self, change: Change, noise: float, at_s: float) -> bool:
        before, self._waiting = self._waiting, change
        if before is None or np.abs(change - before).max() > GATE * math.sqrt(2 * noise):
            return False
        self._begin((change + before) / 2, noise / 2, at_s)
        return True

    def _predicted(self, at_s: float) -> tuple[Change, Change]:
        """Mean [2, 4] and covariance [2, 2] then."""
        passed = max(at_s - self._at_s, 0.0)
        move = np.array([[1, passed], [0, 1]])
        pushed = PUSH**2 * np.array([[passed**3 / 3, passed**2 / 2], [passed**2 / 2, passed]])
        return np.asarray(move @ self._mean), np.asarray(move @ self._covariance @ move.T + pushed)
