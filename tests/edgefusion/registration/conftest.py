"""Frames of a rig whose registration is known."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from registration_cases import Grey

from edgefusion.core.geometry import Matrix, grid
from runtime.capture.simulated import SimulatedRig

SIZE, THERMAL_SIZE = (320, 240), (200, 160)
Frames = list[tuple[Grey, NDArray[np.uint16]]]


def frames(seed: int, indices: range) -> Frames:
    rig = SimulatedRig(seed=seed, visible_size_px=SIZE, thermal_size_px=THERMAL_SIZE)
    pairs = (rig.render(index) for index in indices)
    return [(np.asarray(cv2.cvtColor(p.visible.pixels, cv2.COLOR_RGB2GRAY), np.uint8), p.thermal.pixels) for p in pairs]


@pytest.fixture(scope="session")
def drive() -> Frames:
    """Four moments of one night drive: luma and 14-bit thermal."""
    return frames(0, range(0, 120, 30))


@pytest.fixture(scope="session")
def other_drive() -> Frames:
    return frames(7, range(0, 120, 30))


@pytest.fixture(scope="session")
def truth() -> Matrix:
    return SimulatedRig(visible_size_px=SIZE, thermal_size_px=THERMAL_SIZE).registration


@pytest.fixture(scope="session")
def off_px(truth: Matrix) -> Callable[[Callable[[Matrix], Matrix]], float]:
    """How far a map of points is from the truth, in visible pixels, mean over a 9x9 grid."""
    scale = float(np.sqrt(abs(np.linalg.det(truth[:2, :2]))))

    def measure(points: Callable[[Matrix], Matrix]) -> float:
        places = grid(SIZE)
        mapped = np.column_stack([places, np.ones(len(places))]) @ truth.T
        return float(np.hypot(*(points(places) - mapped[:, :2] / mapped[:, 2:]).T).mean()) / scale

    return measure
