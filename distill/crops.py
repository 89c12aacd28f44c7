"""Training crops of prepared planes."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from distill.planes import Images
from edgefusion.core.errors import InputError


class Stack(Protocol):
    """Planes [2, H, W] by number."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Images: ...


class CropSampler:
    """Random square crops; batch ``step`` is the same whatever was drawn before it.

    Pairs are drawn evenly, as the sizes of those that were never read are not known. One that is smaller than a crop
    gives its turn to the next.

    Args:
        planes: [2, H, W] each.
        size: side of a crop in pixels, a multiple of four.
        batch: crops per batch.
        seed: of the whole run.
        degraded: put some of them into the night, and cut some of the thermal off.
    """

    def __init__(self, planes: Stack, *, size: int, batch: int, seed: int, degraded: bool = True) -> None:
        self._planes = planes
        self._size, self._batch, self._seed, self._degraded = size, batch, seed, degraded

    def batch(self, step: int) -> npt.NDArray[np.float32]:
        """[N, 2, size, size] for one training step.

        Raises:
            InputError: no pair is as large as a crop, or one cannot be read.
        """
        draw = np.random.default_rng((self._seed, step))
        chosen = draw.integers(len(self._planes), size=self._batch)
        return np.stack([self._crop(self._large(int(index)), draw) for index in chosen])

    def _large(self, first: int) -> Images:
        """The planes of a pair, or of the next that is large enough."""
        for index in range(first, first + len(self._planes)):
            planes = self._planes[index % len(self._planes)]
            if min(planes.shape[1:]) >= self._size:
                return planes
        raise InputError(f"no pair is as large as {self._size} px", remedy="lower --crop-px")

    def _crop(self, image: Images, draw: np.random.Generator) -> npt.NDArray[np.float32]:
        top, left = (int(draw.integers(0, side - self._size + 1)) for side in image.shape[1:])
        crop = image[:, top : top + self._size, left : left + self._size].astype(np.float32)
        turned = _turn(crop, draw)
        return np.ascontiguousarray(_degrade(turned, draw) if self._degraded else turned)


def _turn(crop: npt.NDArray[np.float32], draw: np.random.Generator) -> npt.NDArray[np.float32]:
    crop = crop[:, :, :: draw.choice((-1, 1))]
    return crop.transpose(0, 2, 1) if draw.random() < 0.25 else crop


def _degrade(crop: npt.NDArray[np.float32], draw: np.random.Generator) -> npt.NDArray[np.float32]:
    """Night, other exposures, and thermal that covers only part of the visible image."""
    if draw.random() < 0.3:
        crop[0] = crop[0] ** draw.uniform(0.8, 2.0) * draw.uniform(0.3, 1.0)
    if draw.random() < 0.2:
        crop[1] = crop[1] * draw.uniform(0.5, 1.0)
    if draw.random() < 0.1:
        edge = int(draw.integers(0, crop.shape[2]))
        crop[1, :, :edge] = 0
    return crop
