"""Known warps of thermal, what an estimate is off by, and other people's ways to estimate it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from clips import clip_reader
from numpy.typing import NDArray
from PIL import Image

from edgefusion.core.errors import InputError
from edgefusion.core.geometry import Matrix, Size, grid
from edgefusion.core.pairs import load_split
from edgefusion.recordings.pairing import SIDES
from edgefusion.registration import Model, estimate

Grey = NDArray[np.uint8]
Thermal = TypeVar("Thermal", NDArray[np.uint8], NDArray[np.uint16])
Pairs = Sequence[tuple[Grey, Grey]]
Points = Callable[[Matrix], Matrix]
"""Where visible pixels lie in thermal."""


@dataclass(frozen=True)
class Warp:
    """What was done to a thermal image: a homography, then a radial term about the image's centre."""

    matrix: Matrix
    lens: float = 0.0

    def points(self, points: Matrix, size_px: Size) -> Matrix:
        mapped = np.column_stack([points, np.ones(len(points))]) @ self.matrix.T
        flat = mapped[:, :2] / mapped[:, 2:]
        centre, half = (np.array(size_px) - 1) / 2, math.hypot(*size_px) / 2
        away = (flat - centre) / half
        return np.asarray(centre + half * away * (1 + self.lens * (away**2).sum(axis=1, keepdims=True)))

    def __call__(self, thermal: Thermal) -> Thermal:
        """The thermal image as it would have been taken; black where the camera would have seen more."""
        size = thermal.shape[1], thermal.shape[0]
        columns, rows = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
        centre, half = (np.array(size) - 1) / 2, math.hypot(*size) / 2
        bent = (np.column_stack([columns.ravel(), rows.ravel()]) - centre) / half
        away = bent.copy()
        for _ in range(40 if self.lens else 0):
            away = bent / (1 + self.lens * (away**2).sum(axis=1, keepdims=True))
        source = np.column_stack([centre + half * away, np.ones(len(away))]) @ np.linalg.inv(self.matrix).T
        x, y = (source[:, axis] / source[:, 2] for axis in (0, 1))
        maps = (each.reshape(thermal.shape).astype(np.float32) for each in (x, y))
        return np.asarray(cv2.remap(thermal, *maps, cv2.INTER_LINEAR), thermal.dtype)


def similarity(seed: int, size_px: Size, *, shift_px: float, turn_deg: float) -> Warp:
    """Any shift up to so far, any turn up to so much, any scale up to 5 %."""
    draw = np.random.default_rng(seed)
    radius, direction = shift_px * math.sqrt(draw.random()), draw.uniform(0, 2 * math.pi)
    centre = (size_px[0] - 1) / 2, (size_px[1] - 1) / 2
    turned = cv2.getRotationMatrix2D(centre, draw.uniform(-turn_deg, turn_deg), 1.05 ** draw.uniform(-1, 1))
    turned[:, 2] += radius * math.cos(direction), radius * math.sin(direction)
    return Warp(np.vstack([turned, [0, 0, 1]]))


def perspective(seed: int, size_px: Size, *, shift_px: float, turn_deg: float) -> Warp:
    """Each corner moved up to so far in any direction, and the whole turned."""
    draw = np.random.default_rng(seed)
    sides = np.array(size_px, float) - 1
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * sides
    radius, direction = shift_px * np.sqrt(draw.random(4)), draw.uniform(0, 2 * math.pi, 4)
    moved = square + (radius * np.stack([np.cos(direction), np.sin(direction)])).T
    tilted = cv2.getPerspectiveTransform(square.astype(np.float32), moved.astype(np.float32))
    turned = cv2.getRotationMatrix2D((sides[0] / 2, sides[1] / 2), draw.uniform(-turn_deg, turn_deg), 1.0)
    matrix = np.vstack([turned, [0, 0, 1]]) @ tilted
    return Warp(matrix / matrix[2, 2])


LENSES = (-0.15, -0.1, -0.05, -0.025, 0.025, 0.05, 0.1, 0.15)


def off_px(found: Points, base: Points, warp: Warp, *, visible: Size, thermal: Size) -> float:
    """Mean displacement on a 9x9 grid between an estimate for warped thermal and the warp after that for unwarped."""
    points = grid(visible)
    return float(np.hypot(*(found(points) - warp.points(base(points), thermal)).T).mean())


@dataclass(frozen=True)
class Answer:
    """Of one method: no points where it refused."""

    points: Points | None
    uncertainty_px: float = math.nan


def ours(pairs: Pairs, *, model: Model = "homography") -> Answer:
    """This project's."""
    try:
        found = estimate(pairs, model=model)
    except InputError:
        return Answer(None)
    return Answer(found.points, found.uncertainty_px)


def _plain(matrix: Matrix) -> Answer:
    return Answer(lambda points: Warp(matrix).points(points, (2, 2)))


def _slopes(image: Grey, shrink: float) -> NDArray[np.float32]:
    small = cv2.resize(image, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA).astype(np.float32)
    smooth = cv2.GaussianBlur(small, (0, 0), 1.5)
    steep = cv2.magnitude(cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1))
    return np.asarray(steep / max(float(steep.max()), 1e-6), np.float32)


def ecc(pairs: Pairs) -> Answer:
    """OpenCV's enhanced correlation of gradient strengths, coarse to fine; of several pairs the median."""
    found = [
        each for visible, thermal in pairs[:: max(len(pairs) // 6, 1)] if (each := _ecc(visible, thermal)) is not None
    ]
    return _plain(np.median(found, axis=0)) if found else Answer(None)


def _ecc(visible: Grey, thermal: Grey) -> Matrix | None:
    matrix = np.eye(3, dtype=np.float32)
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 60, 1e-4)
    for shrink in (0.25, 0.5, 1.0):
        resized = np.array([[1, 1, shrink], [1, 1, shrink], [1 / shrink, 1 / shrink, 1]], np.float32)
        fine = (matrix * resized).astype(np.float32)
        slopes = _slopes(visible, shrink), _slopes(thermal, shrink)
        try:
            _, fine = cv2.findTransformECC(*slopes, fine, cv2.MOTION_HOMOGRAPHY, stop, None, 5)
        except cv2.error:
            return None
        matrix = fine / resized
    return matrix.astype(np.float64)


def sift(pairs: Pairs) -> Answer:
    """SIFT, ratio test, RANSAC; the matches of all pairs together."""
    finder, matcher = cv2.SIFT.create(2000), cv2.BFMatcher()
    left: list[Any] = []
    right: list[Any] = []
    for visible, thermal in pairs:
        (first, ours), (second, theirs) = finder.detectAndCompute(visible, None), finder.detectAndCompute(thermal, None)
        if ours is None or theirs is None:
            continue
        for match in (m for m in matcher.knnMatch(ours, theirs, k=2) if len(m) == 2):
            if match[0].distance < 0.8 * match[1].distance:
                left.append(first[match[0].queryIdx].pt)
                right.append(second[match[0].trainIdx].pt)
    if len(left) < 8:
        return Answer(None)
    matrix, inliers = cv2.findHomography(np.array(left), np.array(right), cv2.RANSAC, 4.0, maxIters=5000)
    return Answer(None) if matrix is None or inliers.sum() < 8 else _plain(matrix)


def load_pairs(data: Path) -> dict[str, tuple[Grey, Grey]]:
    """The validation pairs: luma and thermal."""
    loaded = {}
    for pair in load_split(data, "val"):
        frames = pair.load()
        luma = np.asarray(Image.fromarray(frames.visible.pixels).convert("L"))
        loaded[pair.name] = luma, np.asarray(frames.thermal.pixels, np.uint8)
    return loaded


def load_clip(data: Path, name: str, count: int = 30) -> list[tuple[Grey, Grey]]:
    """So many pairs of a clip, well apart."""
    sides = []
    for kind in SIDES:
        reader = clip_reader(data, name, kind)
        wanted = set(np.linspace(0, reader.length - 1, count).round().astype(int).tolist())
        frames = [frame.pixels for frame in reader if frame.sequence in wanted]
        reader.close()
        sides.append([each if each.ndim == 2 else cv2.cvtColor(each, cv2.COLOR_RGB2GRAY) for each in frames])
    return list(zip(*sides, strict=True))
