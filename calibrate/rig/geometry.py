"""What one map of two cameras with lenses cannot do: parallax, and what a homography alone leaves of the lenses."""

from __future__ import annotations

import numpy as np

from edgefusion.core.geometry import Matrix, apply
from edgefusion.core.lenses import Doubles, Geometry

DISTANCES_M = (1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0, 50.0, 100.0)


def parallax_px(geometry: Geometry, distance_m: float, reference_m: float) -> tuple[float, float]:
    """How far thermal is off at a distance where the map for another one is used: mean and most, visible pixels."""
    points, seen = geometry.overlap(reference_m)
    off = geometry.thermal_points(points, distance_m) - seen
    return _statistics(off, geometry.registration(reference_m), points)


def lens_px(geometry: Geometry, registration: Matrix, distance_m: float) -> tuple[float, float]:
    """What a homography leaves of the lenses at a distance: mean and most, visible pixels."""
    points, seen = geometry.overlap(distance_m)
    return _statistics(apply(registration, points) - seen, registration, points)


def _statistics(off_px: Doubles, registration: Matrix, points: Doubles) -> tuple[float, float]:
    """Mean and largest length of displacements in thermal, in visible pixels."""
    step = 0.5
    across, down = (apply(registration, points + move) - apply(registration, points) for move in np.eye(2) * step)
    scale = np.sqrt(np.abs(across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0])) / step
    length = np.linalg.norm(off_px, axis=1) / scale
    return float(length.mean()), float(length.max())
