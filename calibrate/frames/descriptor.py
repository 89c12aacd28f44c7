"""A frame in a hundred numbers: what a choice of unlike frames compares.

All of it is measured on the packed tensor, thus on what the student will see, at a quarter of the resolution. The
numbers are what moves a network's activations: how bright and how contrasted each modality is, how much of the visible
picture is lost in black or white, motion (blur, and scenes of traffic), and where in the picture light and heat are.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from edgefusion.core.calibration import Tensor

Descriptor = npt.NDArray[np.float32]

SCENE_PX = (8, 6)
"""(width, height) of the thumbnails that stand for the scene: what is where, not its detail."""

MOTION_PX = (32, 24)
"""Of those that motion is measured on: fine enough to see a walker, coarse enough to average out noise."""

NEAR_BLACK, SATURATED = 0.06, 0.94
"""Luma at and beyond which a pixel shows nothing: 15 and 240 of 255."""

CELLS = SCENE_PX[0] * SCENE_PX[1]
GROUPS = {
    "illumination": slice(0, 4),
    "thermal contrast": slice(4, 6),
    "motion": slice(6, 8),
    "visible scene": slice(8, 8 + CELLS),
    "thermal scene": slice(8 + CELLS, 8 + 2 * CELLS),
}
"""Parts of a descriptor: mean, spread, share near black and saturated of luma; mean and spread of thermal; mean change
of luma and thermal since the frame before; the two thumbnails. Everything is in 0..1."""

LUMA, THERMAL_CONTRAST = 0, 5
MOTION, SCENE = GROUPS["motion"], slice(GROUPS["visible scene"].start, GROUPS["thermal scene"].stop)


def quarters(x: Tensor) -> tuple[Tensor, Tensor]:
    """Luma and thermal [H/4, W/4] of a tensor [32, H/4, W/4]: each the mean of its 16 phases."""
    return x[:16].mean(0), x[16:].mean(0)


class Describer:
    """Describes the frames of one recording, in order.

    Args:
        stills: pictures are unrelated: there is no motion.
    """

    def __init__(self, *, stills: bool) -> None:
        self._stills = stills
        self._before: tuple[Tensor, ...] | None = None

    def describe(self, x: Tensor) -> Descriptor:
        """Descriptor [104] of the next frame, given as [32, H/4, W/4]; the first one is taken to be at rest."""
        luma, thermal = quarters(x)
        lost = [(luma <= NEAR_BLACK).mean(), (luma >= SATURATED).mean()]
        levels = [luma.mean(), luma.std(), *lost, thermal.mean(), thermal.std()]
        scenes = [_shrunk(plane, SCENE_PX).reshape(-1) for plane in (luma, thermal)]
        return np.concatenate([levels, self._motion(luma, thermal), *scenes]).astype(np.float32)

    def _motion(self, *planes: Tensor) -> list[float]:
        now = tuple(_shrunk(plane, MOTION_PX) for plane in planes)
        before, self._before = self._before, now
        if self._stills or before is None:
            return [0.0, 0.0]
        return [float(np.abs(one - other).mean()) for one, other in zip(now, before, strict=True)]


def _shrunk(plane: Tensor, size_px: tuple[int, int]) -> Tensor:
    return np.asarray(cv2.resize(plane, size_px, interpolation=cv2.INTER_AREA), np.float32)
