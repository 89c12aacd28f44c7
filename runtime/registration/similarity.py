"""Small changes of a registration as four numbers in pixels, which can be averaged and compared."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from edgefusion.core.geometry import Matrix, Size, apply, grid

Change = npt.NDArray[np.float64]
"""[4] (right, down, larger, clockwise): shift of the centre, and what scale and turn move a pixel at the usual distance
from it, all in visible pixels."""

NO_CHANGE: Change = np.zeros(4)


def usual_px(size_px: Size) -> float:
    """Root mean square distance of an image's pixels from its centre."""
    return math.hypot(*size_px) / math.sqrt(12)


def change_of(matrix: Matrix, size_px: Size) -> Change:
    """The change that a [3, 3] map among visible pixels is, as far as it is a similarity."""
    centre = (np.array(size_px, np.float64) - 1) / 2
    shift = apply(matrix, centre[None])[0] - centre
    linear = matrix[:2, :2] / matrix[2, 2]
    larger, turned = (linear[0, 0] + linear[1, 1]) / 2 - 1, (linear[1, 0] - linear[0, 1]) / 2
    return np.array([*shift, larger * usual_px(size_px), turned * usual_px(size_px)])


def matrix_of(change: Change, size_px: Size) -> Matrix:
    """The [3, 3] map among visible pixels that a change is."""
    larger, turned = change[2:] / usual_px(size_px)
    linear = np.array([[1 + larger, -turned], [turned, 1 + larger]])
    centre = (np.array(size_px, np.float64) - 1) / 2
    matrix = np.eye(3)
    matrix[:2, :2], matrix[:2, 2] = linear, centre + change[:2] - linear @ centre
    return matrix


def length_px(change: Change, size_px: Size) -> float:
    """Mean displacement over a 9x9 grid."""
    points = grid(size_px)
    return float(np.hypot(*(apply(matrix_of(change, size_px), points) - points).T).mean())


def turn_deg(change: Change, size_px: Size) -> float:
    """The turn of a change."""
    larger, turned = change[2:] / usual_px(size_px)
    return math.degrees(math.atan2(turned, 1 + larger))
