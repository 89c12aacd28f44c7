"""Small changes of a registration: their parameters, what they do to points, and back."""

from __future__ import annotations

from typing import Literal

import numpy as np

from edgefusion.core.geometry import Matrix, Size

Model = Literal["similarity", "homography"]

NAMES: dict[Model, int] = {"similarity": 4, "homography": 8}
"""Number of parameters."""


def normaliser(size_px: Size) -> Matrix:
    """[3, 3] from pixels of an image to coordinates with its centre at 0 and its corners at a distance of 1."""
    half = np.hypot(*size_px) / 2
    return np.array([[1 / half, 0, -(size_px[0] - 1) / 2 / half], [0, 1 / half, -(size_px[1] - 1) / 2 / half], [0, 0, 1]])


def change(parameters: Matrix) -> Matrix:
    """[3, 3] in normalised coordinates: of a similarity (turn-free scale, turn, shift) or of a homography."""
    if len(parameters) == 4:
        a, b, x, y = parameters
        return np.array([[1 + a, -b, x], [b, 1 + a, y], [0, 0, 1]])
    return np.eye(3) + np.append(parameters, 0).reshape(3, 3)


def parameters_of(matrix: Matrix, model: Model) -> Matrix:
    """The inverse of ``change``, for a matrix of that model."""
    flat = (matrix / matrix[2, 2] - np.eye(3)).ravel()
    return flat[[0, 3, 2, 5]] if model == "similarity" else flat[:8]


def moved(parameters: Matrix, points: Matrix) -> tuple[Matrix, Matrix]:
    """Where normalised points [N, 2] go, and [N, 2, P]: how that depends on the parameters."""
    homogeneous = np.column_stack([points, np.ones(len(points))])
    mapped = homogeneous @ change(parameters).T
    flat = mapped[:, :2] / mapped[:, 2:]
    return flat, _slopes(homogeneous, flat, mapped[:, 2], len(parameters))


def _slopes(homogeneous: Matrix, flat: Matrix, depth: Matrix, count: int) -> Matrix:
    slopes = np.zeros((len(flat), 2, count))
    u, v = homogeneous[:, 0], homogeneous[:, 1]
    if count == 4:
        slopes[:, 0] = np.column_stack([u, -v, np.ones_like(u), np.zeros_like(u)])
        slopes[:, 1] = np.column_stack([v, u, np.zeros_like(u), np.ones_like(u)])
        return slopes
    rows = homogeneous / depth[:, None]
    slopes[:, 0, :3], slopes[:, 1, 3:6] = rows, rows
    slopes[:, :, 6:8] = -flat[:, :, None] * rows[:, None, :2]
    return slopes


def similarity(*, turn_deg: float, scale: float, about: Size) -> Matrix:
    """[3, 3]: turned and scaled about the centre of an image."""
    norm = normaliser(about)
    angle = np.deg2rad(turn_deg)
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    return np.asarray(np.linalg.inv(norm) @ np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]) @ norm)
