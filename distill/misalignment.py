"""Thermal that does not lie where it should: warps drawn at random, mild at first, up to what a drifting rig shows.

The student sees visible with warped thermal and is asked for what the teacher made of the aligned pair.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edgefusion.core.errors import UsageError

Matrix = npt.NDArray[np.float64]
Plane = npt.NDArray[np.float32]
Size = tuple[int, int]

ALIGNED_UNTIL, FULL_FROM = 0.1, 0.7
"""The curriculum rises linearly between these shares of all steps."""


@dataclass(frozen=True)
class WarpRange:
    """The largest warp of each kind.

    Attributes:
        shift_px: of the image centre, in any direction.
        turn_deg: about the image centre, either way.
        scale: larger or smaller by this share.
        perspective: each corner moved along x and y by this share of the sides.
        aligned: share of pairs that stay as they are, so that the aligned case is never forgotten.
    """

    shift_px: float = 60.0
    turn_deg: float = 20.0
    scale: float = 0.05
    perspective: float = 0.02
    aligned: float = 0.9


def parse_range(text: str) -> tuple[float, float] | None:
    """``60,20`` as pixels and degrees; ``none`` as None.

    Raises:
        UsageError: neither.
    """
    if text == "none":
        return None
    try:
        shift_px, turn_deg = map(float, text.split(","))
    except ValueError as error:
        raise UsageError(f"--misalign {text}", remedy="give PX,DEG such as 60,20, or none") from error
    if not (0 <= shift_px < math.inf and 0 <= turn_deg <= 180):
        raise UsageError(f"--misalign {text}", remedy="pixels from 0, degrees in 0..180")
    return shift_px, turn_deg


def level_at(progress: float) -> float:
    """How much of the range is in use, 0..1, at a share 0..1 of all steps."""
    return min(max((progress - ALIGNED_UNTIL) / (FULL_FROM - ALIGNED_UNTIL), 0.0), 1.0)


def random_warp(draw: np.random.Generator, size_px: Size, *, level: float, most: WarpRange) -> Matrix:
    """[3, 3] homography from a visible pixel to the thermal point that is shown there instead of the right one.

    A perspective, then a scale and a turn about the image centre, then a shift; the same numbers are drawn whatever
    the level, so that a higher level is more of the same.

    Args:
        draw: source of chance.
        size_px: (width, height) of the images.
        level: 0 (nothing moves) to 1 (all of ``most``).
        most: the range.
    """
    aligned = draw.random() < most.aligned
    turn, scale = draw.uniform(-1, 1, 2)
    radius, direction = math.sqrt(draw.random()), draw.uniform(0, 2 * math.pi)
    corners = draw.uniform(-1, 1, (4, 2))
    if aligned or not level:
        return np.eye(3)
    sides = np.array(size_px, float)
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * (sides - 1)
    moved = square + level * most.perspective * corners * sides
    tilted = cv2.getPerspectiveTransform(square.astype(np.float32), moved.astype(np.float32))
    centre = ((sides[0] - 1) / 2, (sides[1] - 1) / 2)
    turned = cv2.getRotationMatrix2D(centre, level * most.turn_deg * turn, (1 + most.scale) ** (level * scale))
    shift = level * most.shift_px * radius * np.array([math.cos(direction), math.sin(direction)])
    shifted = np.column_stack([turned[:, :2], turned[:, 2] + shift])
    warp = np.vstack([shifted, [0, 0, 1]]) @ tilted
    return np.asarray(warp / warp[2, 2], np.float64)


def warped_crop(plane: Plane, warp: Matrix, *, top: int, left: int, size_px: Size) -> Plane:
    """The part of a warped plane that a crop shows; what lies outside the plane is black, as in ``pack``.

    Args:
        plane: [H, W].
        warp: of ``random_warp``.
        top: first row of the crop.
        left: first column of it.
        size_px: its (width, height).
    """
    offset = np.array([[1, 0, left], [0, 1, top], [0, 0, 1]], float)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpPerspective(plane, warp @ offset, size_px, flags=flags), np.float32)
