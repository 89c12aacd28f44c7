"""The map between the cameras while it is sought: a homography and, if asked for, one radial term of the lenses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from edgefusion.core.bend import bent_radially
from edgefusion.core.geometry import Matrix, Size, apply, inverse, normaliser

Plane = npt.NDArray[np.float32]
Model = Literal["similarity", "homography", "lens"]
"""What may change: shift, turn and scale; all eight of a homography; those and one radial term."""

PARAMETERS: dict[Model, int] = {"similarity": 4, "homography": 8, "lens": 9}


@dataclass(frozen=True)
class Mapping:
    """From a visible pixel to a thermal one.

    Attributes:
        matrix: [3, 3] homography, applied first.
        lens: radial term, applied last: a point at r half diagonals from the thermal image's centre is moved to
            r * (1 + lens * r^2).
    """

    matrix: Matrix
    lens: float = 0.0

    def points(self, points: npt.ArrayLike, thermal_size_px: Size) -> Matrix:
        """Where [N, 2] pixels of a visible image lie in a thermal image of this size."""
        mapped = apply(self.matrix, points)
        return bent_radially(mapped, self.lens, thermal_size_px) if self.lens else mapped

    def bend(self, points: Matrix, thermal_size_px: Size) -> Matrix:
        """[N, 2] how far, in visible pixels, a unit more of the radial term moves what visible pixels show."""
        norm = normaliser(thermal_size_px)
        squares = (apply(np.asarray(norm @ self.matrix), points) ** 2).sum(axis=1, keepdims=True)
        centre = apply(inverse(norm @ self.matrix), np.zeros((1, 2)))
        return np.asarray((points - centre) * squares)


def change(parameters: Matrix) -> Matrix:
    """[3, 3] in normalised coordinates: of a similarity or of a homography (a lens term is none of its business)."""
    if len(parameters) == PARAMETERS["similarity"]:
        a, b, x, y = parameters
        return np.array([[1 + a, -b, x], [b, 1 + a, y], [0, 0, 1]])
    return np.asarray(np.eye(3) + np.append(parameters[:8], 0).reshape(3, 3))


def moved(parameters: Matrix, points: Matrix, bend: Matrix) -> tuple[Matrix, Matrix]:
    """How far a change moves normalised points.

    Args:
        parameters: [P].
        points: [N, 2].
        bend: [N, 2] what a unit of the radial term adds (normalised ``Mapping.bend``).

    Returns:
        [N, 2] displacements, and [N, 2, P] their slopes.
    """
    homogeneous = np.column_stack([points, np.ones(len(points))])
    mapped = homogeneous @ change(parameters).T
    flat = mapped[:, :2] / mapped[:, 2:]
    slopes = _slopes(homogeneous, flat, mapped[:, 2], len(parameters))
    if len(parameters) < PARAMETERS["lens"]:
        return flat - points, slopes
    slopes[:, :, 8] = bend
    return flat - points + parameters[8] * bend, slopes


def _slopes(homogeneous: Matrix, flat: Matrix, depth: Matrix, count: int) -> Matrix:
    slopes = np.zeros((len(flat), 2, count))
    if count == PARAMETERS["similarity"]:
        u, v, one = homogeneous.T
        slopes[:, 0] = np.column_stack([u, -v, one, 0 * one])
        slopes[:, 1] = np.column_stack([v, u, 0 * one, one])
        return slopes
    rows = homogeneous / depth[:, None]
    slopes[:, 0, :3], slopes[:, 1, 3:6] = rows, rows
    slopes[:, :, 6:8] = -flat[:, :, None] * rows[:, None, :2]
    return slopes


def similarity(*, turn_deg: float, scale: float, about: Size) -> Matrix:
    """[3, 3]: turned and scaled about the centre of an image."""
    norm = normaliser(about)
    angle = np.deg2rad(turn_deg)
    a, b = scale * np.cos(angle) - 1, scale * np.sin(angle)
    return np.asarray(inverse(norm) @ change(np.array([a, b, 0, 0])) @ norm)


def lookup(
    mapping: Mapping, size_px: Size, thermal_size_px: Size
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Where each pixel of a visible image lies in a thermal one: x and y, [H, W] each, for ``cv2.remap``."""
    columns, rows = np.meshgrid(np.arange(size_px[0], dtype=np.float64), np.arange(size_px[1], dtype=np.float64))
    points = np.column_stack([columns.ravel(), rows.ravel()])
    x, y = mapping.points(points, thermal_size_px).T.astype(np.float32).reshape(2, size_px[1], size_px[0])
    return x, y


def look_through(plane: Plane, at: tuple[Plane, Plane], border: int) -> Plane:
    """A plane at the places of ``lookup``."""
    return np.asarray(cv2.remap(plane, at[0], at[1], cv2.INTER_LINEAR, borderMode=border), np.float32)
