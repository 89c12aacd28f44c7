"""Which way round thermal is, and from which end each camera numbers the board."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from calibrate.rig.detect import Sighting
from calibrate.rig.target import Target
from edgefusion.core.errors import InputError

Doubles = npt.NDArray[np.float64]
Both = tuple[Sighting, Sighting]
"""What visible and thermal see of the target in one frame."""

NARROW = 0.02
"""Spread of the board's places, against the image, below which they say nothing about which way round thermal is."""

UNLIKE = 0.6
"""Share of the places' spread in thermal that visible may leave unexplained."""


def ordered(pairs: Sequence[Both], target: Target, *, widths_px: tuple[int, int]) -> list[Both]:
    """The pairs with both cameras' points numbered from the same end.

    Args:
        pairs: of each frame.
        target: the board.
        widths_px: of the visible and the thermal images.

    Raises:
        InputError: thermal is mirrored or turned, or the board's places in the two cameras have nothing to do with each
            other.
    """
    linear = _linear(pairs, widths_px)
    if problem := _pose_of(linear):
        raise InputError(
            f"the thermal images are {problem} against the visible ones", where="thermal",
            remedy="turn them back in the camera's settings (flip, rotate) or in the recording",
        )  # fmt: skip
    return [(left, _like(left, right, linear, target)) for left, right in pairs]


def _linear(pairs: Sequence[Both], widths_px: tuple[int, int]) -> Doubles:
    """[2, 2]: how the board's centre moves in thermal when it moves in visible, in image widths."""
    left, right = (
        np.array([pair[side].centre for pair in pairs]) / widths_px[side] for side in (0, 1)
    )  # fmt: skip
    left, right = left - left.mean(axis=0), right - right.mean(axis=0)
    if np.linalg.svd(left, compute_uv=False)[-1] / np.sqrt(len(pairs)) < NARROW:
        raise InputError(
            "the target is in one place, or on one line, in all frames",
            remedy="hold it in the middle, in all corners and at all edges of the image, nearer and farther",
        )
    linear, *_ = np.linalg.lstsq(left, right, rcond=None)
    left_over = np.linalg.norm(right - left @ linear) / max(float(np.linalg.norm(right)), 1e-9)
    if left_over > UNLIKE:
        raise InputError(
            f"where visible sees the target says little about where thermal does ({left_over:.0%} is unexplained)",
            remedy="check that the frames of a pair are of one moment, and that only one target is in view",
        )
    return np.asarray(linear.T)


def _pose_of(linear: Doubles) -> str:
    """How thermal is mirrored or turned; empty if it is upright."""
    if np.linalg.det(linear) < 0:
        across = abs(linear[0, 0]) + abs(linear[1, 1]) > abs(linear[0, 1]) + abs(linear[1, 0])
        if not across:
            return "mirrored and turned by 90 degrees"
        return "mirrored left to right" if linear[0, 0] < 0 else "mirrored top to bottom"
    turn = np.degrees(np.arctan2(linear[1, 0] - linear[0, 1], linear[0, 0] + linear[1, 1]))
    if abs(turn) > 135:
        return "turned by 180 degrees"
    if abs(turn) > 45:
        return f"turned by 90 degrees {'clockwise' if turn > 0 else 'counterclockwise'}"
    return ""


def _like(left: Sighting, right: Sighting, linear: Doubles, target: Target) -> Sighting:
    """Thermal's points numbered as visible's are."""
    if not target.ambiguous:
        return right
    numbers = np.intersect1d(left.numbers, right.numbers)
    turned = right.turned(target)
    agree = [_agreement(left, each, numbers, linear) for each in (right, turned)]
    return turned if agree[1] > agree[0] else right


def _agreement(left: Sighting, right: Sighting, numbers: npt.NDArray[np.int64], linear: Doubles) -> float:
    """How well the way from the first to the last points in visible agrees with that in thermal."""
    ways = []
    for seen in (left, right):
        points = seen.points_px[np.isin(seen.numbers, numbers)]
        half = len(points) // 2
        ways.append(points[half:].mean(axis=0) - points[:half].mean(axis=0))
    return float((linear @ ways[0]) @ ways[1])
