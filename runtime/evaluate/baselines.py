"""Fusing without a network: what any student has to beat, in grey levels."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import cv2
import numpy as np

from runtime.evaluate.views import Levels

PYRAMID_LEVELS = 4

Rule = Callable[[Levels, Levels], Levels]
"""(visible luma, thermal) -> fused, [H, W] each."""


def _mean(visible: Levels, thermal: Levels) -> Levels:
    # In 0..1, as networks compute: there float noise decides ties between two whole levels. Of bytes, half of all means
    # are ties, and rounding them to even levels would cost entropy that no real fuser loses.
    white = np.float32(255)
    return np.asarray((visible / white + thermal / white) / 2 * white, np.float32)


def laplacian(visible: Levels, thermal: Levels) -> Levels:
    """Of each Laplacian coefficient the one of larger magnitude, over the mean of the coarsest levels.

    Source: Burt and Adelson, "Merging images through pattern decomposition", SPIE 575 (1985); four levels, fewer where
    an image is under 32 pixels.
    """
    levels = min(PYRAMID_LEVELS, max(min(visible.shape).bit_length() - 2, 0))
    details = []
    for _ in range(levels):
        (visible, first), (thermal, second) = _split(visible), _split(thermal)
        details.append(np.where(np.abs(first) >= np.abs(second), first, second))
    fused = _mean(visible, thermal)
    for detail in reversed(details):
        fused = _enlarged(fused, detail.shape) + detail
    return np.asarray(np.clip(fused, 0, 255), np.float32)


def _split(image: Levels) -> tuple[Levels, Levels]:
    small = cast(Levels, cv2.pyrDown(image))
    return small, image - _enlarged(small, image.shape)


def _enlarged(image: Levels, shape: tuple[int, ...]) -> Levels:
    return cast(Levels, cv2.pyrUp(image, dstsize=shape[::-1]))


BASELINES: dict[str, Rule] = {
    "visible": lambda visible, thermal: visible,
    "thermal": lambda visible, thermal: thermal,
    "mean": _mean,
    "max": np.maximum,
    "laplacian": laplacian,
}
"""Name -> rule."""
