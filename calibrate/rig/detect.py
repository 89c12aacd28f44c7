"""Finding a target in an image of either camera."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from calibrate.rig import views
from calibrate.rig.refine import refine
from calibrate.rig.target import DICTIONARIES, Kind, Target, charuco
from calibrate.rig.views import Bytes, Preparation

Doubles = npt.NDArray[np.float64]

_cv: Any = cv2
"""Its stubs allow no None where OpenCV takes one."""

SMALL_PX = 480
"""Images narrower than this are searched at twice their size: thermal cameras have few pixels."""

MOST_BLOBS = 3
"""So many times as many blobs as circles are no target."""

COMMON: dict[Kind, tuple[tuple[int, int], ...]] = {
    "charuco": ((5, 7), (7, 5), (8, 11), (11, 8), (9, 12)),
    "circles": ((4, 11), (3, 9), (4, 9)),
    "checkerboard": ((9, 6), (8, 6), (7, 5), (8, 5), (7, 6), (11, 8)),
}
"""Boards that many have."""

PATIENCE, HURRIED = 10, 3
"""After so many images without the target, and none with it, only the so many most likely ways are tried."""

LEAST_POINTS, LEAST_SURE = 8, 0.6
"""Of a ChArUco, which may be seen in part; of what was found, the share that must stand a closer look."""


@dataclass(frozen=True)
class Sighting:
    """A target in an image.

    Attributes:
        numbers: [N], of ``Target.points_m``.
        points_px: [N, 2], (0, 0) the centre of the top-left pixel.
    """

    numbers: npt.NDArray[np.int64]
    points_px: Doubles

    @property
    def centre(self) -> Doubles:
        """[2], of its points."""
        return np.asarray(self.points_px.mean(axis=0))

    def turned(self, target: Target) -> Sighting:
        """The same, numbered from the other end."""
        last = target.columns * target.rows - 1
        return Sighting(last - self.numbers[::-1], self.points_px[::-1].copy())


class Detector:
    """Finds one target in the images of one camera; what worked on one image is tried first on the next.

    Args:
        target: the board.
        patient: also search in ways that take long.
    """

    def __init__(self, target: Target, *, patient: bool = True) -> None:
        self.target = target
        self._find: Callable[[Bytes, int], Sighting | None] = {
            "checkerboard": self._corners, "circles": self._circles, "charuco": self._charuco,
        }[target.kind]  # fmt: skip
        preparations = views.EITHER if target.kind == "checkerboard" else views.PREPARATIONS
        preparations = preparations if patient else preparations[:2]
        ways = {"checkerboard": 1, "circles": 2 if patient else 1, "charuco": len(DICTIONARIES)}[target.kind]
        self._found, self._missed = False, 0
        self._attempts = [(prepare, way) for way in range(ways) for prepare in preparations]

    def see(self, plane: npt.NDArray[np.generic]) -> Sighting | None:
        """The target in an image [H, W] of any range, to a small part of a pixel, or None."""
        found = self.find(views.stretch(plane))
        if found is None:
            return None
        flat = self.target.points_m[found.numbers, :2].astype(np.float64) / self.target.step_m
        points, sure = refine(plane, found.points_px, flat, self.target)
        enough = sure.sum() >= max(LEAST_POINTS, LEAST_SURE * len(points))
        return Sighting(found.numbers[sure], points[sure]) if enough else None

    def find(self, image: Bytes) -> Sighting | None:
        """The target in an 8-bit image [H, W], roughly, or None."""
        scale = 2 if image.shape[1] < SMALL_PX else 1
        size = (image.shape[1] * scale, image.shape[0] * scale)
        large = image if scale == 1 else np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_CUBIC), np.uint8)
        if views.is_noise(image):
            return None
        hurried = not self._found and self._missed >= PATIENCE
        for attempt in self._attempts[:HURRIED] if hurried else list(self._attempts):
            if found := self._tried(large, *attempt):
                self._found = True
                self._attempts.remove(attempt)
                self._attempts.insert(0, attempt)
                return Sighting(found.numbers, (found.points_px + 0.5) / scale - 0.5)
        self._missed += 1
        return None

    def _tried(self, image: Bytes, prepare: Preparation, way: int) -> Sighting | None:
        found = self._find(prepare(image), way)
        return found if found is not None and _plausible(found, self.target) else None

    def _corners(self, image: Bytes, way: int) -> Sighting | None:
        size = (self.target.columns, self.target.rows)
        seen, corners = cv2.findChessboardCornersSB(image, size, flags=cv2.CALIB_CB_EXHAUSTIVE)
        return _whole(corners) if seen else None

    def _circles(self, image: Bytes, way: int) -> Sighting | None:
        blobs = _blobs(image.size).detect(image)
        count = self.target.columns * self.target.rows
        if not count <= len(blobs) <= MOST_BLOBS * count:  # noise: looking for a grid in it takes minutes
            return None
        flags = cv2.CALIB_CB_ASYMMETRIC_GRID | (0 if way else cv2.CALIB_CB_CLUSTERING)
        points = np.array([blob.pt for blob in blobs], np.float32)[:, None]
        size, settings = (self.target.columns, self.target.rows), cv2.CirclesGridFinderParameters()
        seen, centres = _cv.findCirclesGrid(points, size, flags, None, settings)
        return _whole(centres) if seen else None

    def _charuco(self, image: Bytes, way: int) -> Sighting | None:
        corners, numbers, _, _ = _charuco_detector(self.target, way).detectBoard(image)
        if numbers is None or len(numbers) < LEAST_POINTS:
            return None
        return Sighting(np.asarray(numbers, np.int64).ravel(), np.asarray(corners, np.float64).reshape(-1, 2))


def _whole(points: npt.NDArray[Any]) -> Sighting:
    flat = np.asarray(points, np.float64).reshape(-1, 2)
    return Sighting(np.arange(len(flat)), flat)


@lru_cache(maxsize=8)
def _blobs(pixels: int) -> Any:
    parameters = _cv.SimpleBlobDetector_Params()
    parameters.minArea, parameters.maxArea = 12.0, pixels / 100
    parameters.minDistBetweenBlobs, parameters.thresholdStep = 4.0, 8.0
    parameters.minConvexity, parameters.minInertiaRatio = 0.85, 0.1
    return _cv.SimpleBlobDetector_create(parameters)


@lru_cache(maxsize=8)
def _charuco_detector(target: Target, dictionary: int) -> Any:
    settings = cv2.aruco.DetectorParameters()
    settings.adaptiveThreshWinSizeMax, settings.minMarkerPerimeterRate = 63, 0.02
    settings.perspectiveRemovePixelPerCell = 8
    corners = cv2.aruco.CharucoParameters()
    corners.minMarkers = 1
    return cv2.aruco.CharucoDetector(charuco(target, dictionary), corners, settings)


def _plausible(found: Sighting, target: Target) -> bool:
    """Whether one flat board can look like this: its points lie near where a homography puts them."""
    flat = target.points_m[found.numbers, :2].astype(np.float64) / target.step_m
    matrix, _ = cv2.findHomography(flat, found.points_px, 0)
    if matrix is None:
        return False
    mapped = cv2.perspectiveTransform(flat[:, None], matrix)[:, 0]
    off = np.linalg.norm(mapped - found.points_px, axis=1)
    step = np.sqrt(np.ptp(found.points_px[:, 0]) * np.ptp(found.points_px[:, 1]) / len(flat))
    return bool(step > 3 and off.max() < 0.4 * step)


def others(target: Target) -> Iterator[Target]:
    """Boards that may lie before the camera where the named one is not found: counted otherwise, of another kind."""
    columns, rows, step = target.columns, target.rows, target.step_m
    kinds: tuple[Kind, ...] = ("charuco", "circles")
    for kind in kinds:  # first, as a grid of circles may pass for corners
        for size in dict.fromkeys([(columns, rows), (rows, columns), *COMMON[kind]]):
            if (kind, *size) != (target.kind, columns, rows) and (kind != "circles" or size[1] % 2):
                yield Target(kind, *size, step, 0.75 * step)
    near = [(columns + more, rows + more) for more in (-1, 1, -2, 2) if min(columns, rows) + more >= 3]
    for size in dict.fromkeys([*near, (columns, rows), *COMMON["checkerboard"]]):
        if ("checkerboard", *size) != (target.kind, columns, rows) and size[0] != size[1]:
            yield Target("checkerboard", *size, step)
