"""Lenses and poses of both cameras from what they saw of the target; frames that contradict the others are left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from calibrate.rig.detect import Sighting
from calibrate.rig.order import Both
from calibrate.rig.target import Target
from edgefusion.core.geometry import Size
from edgefusion.core.lenses import Geometry, Lens
from edgefusion.recordings.pairing import SIDES

Doubles = npt.NDArray[np.float64]

_cv: Any = cv2
"""Its stubs allow no None where OpenCV takes one."""

CRITERIA = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 60, 1e-8)

OUTLYING, LEAST_OUTLYING_PX = 3.0, 0.35
"""A frame whose error is so many times the median one, and at least so large, contradicts the others."""

RICHER = 0.97
"""A third radial term is kept where the error falls below this share of what it was without it."""


@dataclass(frozen=True)
class Frame:
    """What both cameras see of the target in a frame that may be used.

    Attributes:
        index: its place in the recording.
        seen: in visible, and in thermal.
    """

    index: int
    seen: Both


@dataclass(frozen=True)
class Solution:
    """The geometry, and what it rests on.

    Attributes:
        geometry: of both cameras.
        error_px: RMS distance of a point from where the geometry puts it, of visible, thermal, and of both cameras as
            one rig.
        focal_error: standard deviation of each camera's focal length, as a share of it.
        frames: that were used.
        errors_px: of each of them, the worse of the two cameras', as one rig.
        rejected: index of each other one, and why.
    """

    geometry: Geometry
    error_px: tuple[float, float, float]
    focal_error: tuple[float, float]
    frames: list[Frame]
    errors_px: list[float]
    rejected: dict[int, str]


def solve(frames: Sequence[Frame], target: Target, sizes_px: tuple[Size, Size]) -> Solution:
    """The geometry that suits the frames.

    Args:
        frames: a handful at least, in unlike poses.
        target: the board.
        sizes_px: of the visible and the thermal images.

    Raises:
        cv2.error: the frames do not determine it.
    """
    kept: list[Frame] = list(frames)
    rejected: dict[int, str] = {}
    for side in (0, 1):
        kept, more = _agreeing(kept, target, sizes_px[side], side)
        rejected |= more
    found = _rig(kept, target, sizes_px)
    for _ in range(3):
        bad = _outliers(found.errors_px)
        if not bad or len(kept) - len(bad) < 4:
            break
        for number in bad:
            rejected[kept[number].index] = _reason("the two cameras disagree about it", found.errors_px, number)
        kept = [each for number, each in enumerate(kept) if number not in bad]
        found = _rig(kept, target, sizes_px)
    return Solution(found.geometry, found.error_px, found.focal_error, kept, found.errors_px, rejected)


def geometry_of(frames: Sequence[Frame], target: Target, sizes_px: tuple[Size, Size]) -> Geometry:
    """The geometry that suits the frames, all of which are good."""
    return _rig(frames, target, sizes_px).geometry


def _agreeing(
    frames: list[Frame], target: Target, size_px: Size, side: int
) -> tuple[list[Frame], dict[int, str]]:  # fmt: skip
    """The frames that one camera alone can be calibrated on, and the others."""
    rejected: dict[int, str] = {}
    for _ in range(3):
        errors = list(_lens([each.seen[side] for each in frames], target, size_px)[2])
        bad = _outliers(errors)
        if not bad or len(frames) - len(bad) < 4:
            break
        name = SIDES[side]
        rejected |= {frames[number].index: _reason(f"{name} contradicts the others", errors, number) for number in bad}
        frames = [each for number, each in enumerate(frames) if number not in bad]
    return frames, rejected


def _outliers(errors: Sequence[float]) -> list[int]:
    limit = max(OUTLYING * float(np.median(errors)), LEAST_OUTLYING_PX)
    return [number for number, error in enumerate(errors) if error > limit]


def _reason(what: str, errors: Sequence[float], number: int) -> str:
    return f"{what}: its points lie {errors[number]:.2f} px off, usual are {np.median(errors):.2f}"


def _lens(seen: Sequence[Sighting], target: Target, size_px: Size) -> tuple[Lens, float, Doubles, float]:
    """A camera's lens, its RMS error, each frame's error, and the focal length's standard deviation."""
    plain = _fitted(seen, target, size_px, cv2.CALIB_FIX_K3)
    rich = _fitted(seen, target, size_px, 0)
    sure = abs(rich[0].distortion[4]) > 3 * rich[4]
    best = rich if sure and rich[1] < RICHER * plain[1] else plain
    return best[:4]


def _fitted(
    seen: Sequence[Sighting], target: Target, size_px: Size, flags: int
) -> tuple[Lens, float, Doubles, float, float]:  # fmt: skip
    points = [target.points_m[each.numbers] for each in seen]
    places = [each.points_px.astype(np.float32) for each in seen]
    error, matrix, distortion, _, _, deviations, _, views = _cv.calibrateCameraExtended(
        points, places, size_px, None, None, flags=flags, criteria=CRITERIA
    )  # fmt: skip
    lens = _as_lens(size_px, matrix, distortion)
    spread = np.ravel(deviations)
    return lens, float(error), np.ravel(views).astype(np.float64), float(spread[0] / matrix[0, 0]), float(spread[8])


def _as_lens(size_px: Size, matrix: Any, distortion: Any) -> Lens:
    return Lens(size_px, np.asarray(matrix), tuple(float(value) for value in np.ravel(distortion)[:5]))


@dataclass(frozen=True)
class _Rig:
    geometry: Geometry
    error_px: tuple[float, float, float]
    focal_error: tuple[float, float]
    errors_px: list[float]


def _rig(frames: Sequence[Frame], target: Target, sizes_px: tuple[Size, Size]) -> _Rig:
    lenses = [_lens([each.seen[side] for each in frames], target, sizes_px[side]) for side in (0, 1)]
    points, places = _shared(frames, target)
    # k3 is free of both or of none: where a camera showed none by itself, one too many costs less than one too few
    plain = all(lens.distortion[4] == 0 for lens, *_ in lenses)
    flags = cv2.CALIB_USE_INTRINSIC_GUESS | (cv2.CALIB_FIX_K3 if plain else 0)
    given = [part.copy() for lens, *_ in lenses for part in (lens.matrix, np.array(lens.distortion))]
    error, *fitted, rotation, moved, _, _, _, _, views = _cv.stereoCalibrateExtended(
        points, *places, *given, sizes_px[0], np.eye(3), np.zeros((3, 1)), flags=flags, criteria=CRITERIA
    )
    left, right = (_as_lens(size, *fitted[2 * side : 2 * side + 2]) for side, size in enumerate(sizes_px))
    geometry = Geometry(left, right, np.asarray(rotation), np.ravel(moved))
    each = np.asarray(views, np.float64)
    own = [float(np.sqrt((each[:, side] ** 2).mean())) for side in (0, 1)]
    return _Rig(
        geometry, (own[0], own[1], float(error)), (lenses[0][3], lenses[1][3]), [float(row.max()) for row in each]
    )


def _shared(
    frames: Sequence[Frame], target: Target
) -> tuple[list[npt.NDArray[np.float32]], tuple[list[npt.NDArray[np.float32]], list[npt.NDArray[np.float32]]]]:
    """Points that both cameras see, and where."""
    points: list[npt.NDArray[np.float32]] = []
    left: list[npt.NDArray[np.float32]] = []
    right: list[npt.NDArray[np.float32]] = []
    for frame in frames:
        numbers = np.intersect1d(frame.seen[0].numbers, frame.seen[1].numbers)
        points.append(target.points_m[numbers])
        for seen, into in zip(frame.seen, (left, right), strict=True):
            order = np.argsort(seen.numbers)
            places = seen.points_px[order][np.isin(seen.numbers[order], numbers)]
            into.append(places.astype(np.float32))
    return points, (left, right)
