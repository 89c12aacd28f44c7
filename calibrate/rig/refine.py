"""Points of a target to a small part of a pixel: each of them is a centre of symmetry, seen straight on.

Of a corner of a checkerboard and of a circle alike, a turn by 180 degrees leaves the neighbourhood as it is, whichever
part is the brighter one. The neighbourhood is looked at as the board's plane has it, so perspective shifts no centre;
light or heat that falls off across it is fitted along with the place.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from calibrate.rig.target import Target

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

ROUNDS, SAMPLES = 6, 9
"""Gauss-Newton steps; samples from the centre to the edge of a neighbourhood, at most."""

REACH = {"checkerboard": 0.42, "circles": 0.75, "charuco": 0.42}
"""Half the side of a neighbourhood against the step: no other corner, circle or marker is in it."""

BAND = 0.1
"""Of a ChArUco only what is so near an edge of a square, against its side: beyond are markers."""

FARTHEST = 0.2
"""A centre that is found farther from where it was expected, against the step, is none."""

UNSURE_PX = 0.6
"""A point whose place is less certain than this is left out."""


def refine(image: npt.NDArray[np.generic], points_px: Doubles, flat: Doubles, target: Target) -> tuple[Doubles, Bools]:
    """Better places of points that were found roughly.

    Args:
        image: [H, W], any range.
        points_px: [N, 2], most of them within a pixel or two.
        flat: [N, 2] of the same points on the board, in steps.
        target: the board.

    Returns:
        [N, 2], and [N] whether each is sure: it has a centre of symmetry close to where the others put it.
    """
    plane = np.asarray(cv2.GaussianBlur(image.astype(np.float32), (0, 0), 0.6), np.float32)
    slopes = [np.asarray(cv2.Scharr(plane, cv2.CV_32F, *order) / 32, np.float32) for order in ((1, 0), (0, 1))]
    start, found, unsure_px = points_px, points_px, np.full(len(points_px), np.inf)
    for _ in range(2):
        start, tolerance_px, matrix = _expected(start, flat)
        found, unsure_px = _centres(plane, slopes, start, flat, matrix, target)
        off = np.linalg.norm(found - start, axis=1) > np.maximum(tolerance_px, 1.5)
        start = np.where(off[:, None], start, found)
    expected, tolerance_px, _ = _expected(found, flat)
    near = np.linalg.norm(found - expected, axis=1) <= tolerance_px / 2
    return found, np.asarray(near & (unsure_px < UNSURE_PX))


def _expected(points_px: Doubles, flat: Doubles) -> tuple[Doubles, Doubles, Doubles]:
    """Points, those far off put where the others have them; [N] how far is far; the board's homography."""
    rough = _homography(flat, points_px)
    tolerance_px = np.full(len(flat), max(FARTHEST * _step_px(rough, flat), 1.0))
    found, _ = cv2.findHomography(flat, points_px, cv2.RANSAC, float(tolerance_px[0]), maxIters=500)
    if found is None:
        return points_px, tolerance_px, rough
    matrix = np.asarray(found, np.float64)
    mapped = _mapped(matrix, flat)
    off = np.linalg.norm(mapped - points_px, axis=1) > tolerance_px
    return np.where(off[:, None], mapped, points_px), tolerance_px, matrix


def _homography(flat: Doubles, points_px: Doubles) -> Doubles:
    return np.asarray(cv2.findHomography(flat, points_px, 0)[0], np.float64)


def _step_px(matrix: Doubles, flat: Doubles) -> float:
    """A step of the board, in pixels of the image."""
    return float(np.sqrt(np.median(np.abs(np.linalg.det(_jacobians(matrix, flat))))))


def _mapped(matrix: Doubles, flat: Doubles) -> Doubles:
    shape = flat.shape
    points = flat.reshape(-1, 2) @ matrix[:, :2].T + matrix[:, 2]
    return np.asarray((points[:, :2] / points[:, 2:]).reshape(shape))


def _jacobians(matrix: Doubles, flat: Doubles) -> Doubles:
    """[N, 2, 2] of a homography at points."""
    mapped = flat @ matrix[:, :2].T + matrix[:, 2]
    place = mapped[:, :2] / mapped[:, 2:]
    return np.asarray((matrix[None, :2, :2] - place[:, :, None] * matrix[None, 2:, :2]) / mapped[:, 2, None, None])


def _centres(
    plane: Floats, slopes: list[Floats], start: Doubles, flat: Doubles, matrix: Doubles, target: Target
) -> tuple[Doubles, Doubles]:
    """Where the centres of symmetry are, and [N] how unsure, in pixels."""
    around = _neighbourhood(target, _step_px(matrix, flat))
    here = _mapped(matrix, flat)[:, None]
    ahead, behind = (_mapped(matrix, flat[:, None] + side * around) - here for side in (1, -1))
    found, unsure_px = start.copy(), np.full(len(start), np.inf)
    for _ in range(ROUNDS):
        step, unsure_px = _step(plane, slopes, (found[:, None] + ahead, found[:, None] + behind), around)
        found += step
    return found, unsure_px


def _neighbourhood(target: Target, step_px: float) -> Doubles:
    """[K, 2] of half a neighbourhood, in steps: the other half is what lies opposite."""
    reach = REACH[target.kind]
    count = int(np.clip(reach * step_px, 3, SAMPLES))
    axis = np.linspace(-reach, reach, 2 * count + 1)
    x, y = (each.ravel() for each in np.meshgrid(axis, axis))
    half = (y > 0) | ((y == 0) & (x > 0))
    if target.kind == "circles":
        half &= np.hypot(x, y) <= reach
    if target.kind == "charuco":
        half &= np.minimum(np.abs(x), np.abs(y)) < max(BAND, 0.6 * reach / count)
    return np.stack([x[half], y[half]], axis=1)


def _step(
    plane: Floats, slopes: list[Floats], places: tuple[Doubles, Doubles], around: Doubles
) -> tuple[Doubles, Doubles]:
    """[N, 2] to go so that each neighbourhood is more symmetric, and [N] how unsure that is."""
    front, back = (_sample(plane, each) for each in places)
    both = front + back
    both -= both.mean(axis=1, keepdims=True)
    scale = 1e-6 + np.abs(both).mean(axis=1, keepdims=True)
    columns = [_sample(each, places[0]) - _sample(each, places[1]) for each in slopes]
    columns += [scale * along for along in around.T]  # heat that is added
    columns += [both * along for along in around.T]  # light that multiplies
    pull = np.stack(columns, axis=2)
    normal = np.einsum("nki,nkj->nij", pull, pull)
    normal += 1e-6 * np.trace(normal, axis1=1, axis2=2)[:, None, None] * np.eye(6) + 1e-12 * np.eye(6)
    inverse = np.linalg.inv(normal)
    best = -np.einsum("nij,nkj,nk->ni", inverse, pull, front - back)
    left = front - back + np.einsum("nki,ni->nk", pull, best)
    unsure = np.sqrt((left**2).mean(axis=1) * (inverse[:, 0, 0] + inverse[:, 1, 1]))
    return np.asarray(np.clip(best[:, :2], -1.0, 1.0)), np.asarray(unsure)


def _sample(plane: Floats, points: Doubles) -> Doubles:
    x, y = (np.ascontiguousarray(points[..., axis], np.float32) for axis in (0, 1))
    found = cv2.remap(plane, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found, np.float64).reshape(points.shape[:2])
