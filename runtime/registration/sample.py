"""What the monitor takes of a frame: some phases of the engine's input, so that no camera's buffer is read again."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edgefusion.core.geometry import Matrix, Size, resize_map
from edgefusion.kernels.layout import PHASES, Tensor
from edgefusion.registration import residual
from edgefusion.registration.levels import SMALLEST_PX
from edgefusion.registration.residual import Residual

FINE, FAR = (240, 6), (120, 12)
"""Longest side at which a pair is compared, and how far the map may be off there: 1/40 or 1/10 of the width."""

COARSE_PX = 240
"""From so many tensor positions across, each gives one pixel of a sample; below, four."""

_DIAGONAL = [5 * number for number in range(PHASES)]
_HALVES = [4 * (2 * row + step) + 2 * column + step for row in (0, 1) for column in (0, 1) for step in (0, 1)]


@dataclass(frozen=True)
class Sample:
    """Luma and registered thermal of one pair, reduced.

    Attributes:
        planes: [N, H/4, W/4], the phases named by ``chosen``, 0..1.
        size_px: of the visible image.
        set_up: ``Fusion.set_ups`` then.
        correction: [3, 3] with which thermal was sampled.
        at_s: when.
    """

    planes: Tensor
    size_px: Size
    set_up: int
    correction: Matrix
    at_s: float


def chosen(width_px: int) -> npt.NDArray[np.intp]:
    """Which phases of the tensor of an image of this width a sample takes: 8 or 16 of 32."""
    luma = np.array(_DIAGONAL if width_px >= PHASES * COARSE_PX else _HALVES)
    return np.concatenate([luma, luma + PHASES * PHASES])


def images(planes: Tensor, size_px: Size) -> tuple[Tensor, Tensor]:
    """Luma and thermal [h, w], 0..255, at half or a quarter of the image's size, without the padding."""
    luma, thermal = (_image(planes[: len(planes) // 2]), _image(planes[len(planes) // 2 :]))
    shrink = PHASES * planes.shape[2] // luma.shape[1]
    width, height = (side // shrink for side in size_px)
    return luma[:height, :width], thermal[:height, :width]


def _image(planes: Tensor) -> Tensor:
    if len(planes) == PHASES:
        return np.asarray(planes.mean(axis=0) * 255)
    halves = planes.reshape(2, 2, 2, *planes.shape[1:]).mean(axis=2) * 255
    rows, columns = planes.shape[1:]
    return np.asarray(halves.transpose(2, 0, 3, 1).reshape(2 * rows, 2 * columns))


@dataclass(frozen=True)
class Measurement:
    """How far off one sample was.

    Attributes:
        correction: [3, 3] among visible pixels, on top of what thermal was sampled with.
        uncertainty_px: expected error, in visible pixels.
        doubt: why this is no measurement; empty if it is one.
        cpu_s: what it took.
    """

    correction: Matrix
    uncertainty_px: float
    doubt: str = ""
    cpu_s: float = 0.0


def unfit(size_px: Size) -> Measurement | None:
    """What there is to say of samples of images that are too small; None if they are not."""
    if min(size_px) // 2 >= SMALLEST_PX:
        return None
    return Measurement(np.eye(3), float("inf"), f"an image of {size_px[0]}x{size_px[1]} pixels is too small")


def measure(planes: Tensor, size_px: Size, start: Matrix) -> Measurement:
    """Compare luma and thermal of a sample.

    Args:
        planes: of the sample, of an image that is not ``unfit``.
        size_px: of the visible image.
        start: [3, 3] about which its correction is sought, as far as known.
    """
    pair = images(planes, size_px)
    fine = _compared(pair, size_px, start, *FINE)
    if not fine.doubt or min(pair[0].shape) * FAR[0] / max(pair[0].shape) < SMALLEST_PX:
        return fine
    far = _compared(pair, size_px, start, *FAR)
    return far if far.doubt else _compared(pair, size_px, far.correction, *FINE)


def _compared(pair: tuple[Tensor, Tensor], size_px: Size, start: Matrix, side_px: int, radius_px: int) -> Measurement:
    shrink = min(side_px / max(pair[0].shape), 1.0)
    small = round(pair[0].shape[1] * shrink), round(pair[0].shape[0] * shrink)
    luma, thermal = (np.asarray(cv2.resize(each, small, interpolation=cv2.INTER_AREA), np.float32) for each in pair)
    smaller = resize_map(size_px, small)
    larger = np.linalg.inv(smaller)
    found: Residual = residual(luma, thermal, smaller @ start @ larger, radius_px=radius_px)
    correction = start @ larger @ found.correction @ smaller
    return Measurement(correction / correction[2, 2], found.uncertainty_px * size_px[0] / small[0], found.doubt)
