"""Large arrays that each thread keeps: fresh ones would cost more in page faults than what is drawn in them."""

from __future__ import annotations

import threading
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

_kept = threading.local()


def canvas(name: str, size_px: tuple[int, int], channels: int) -> Floats:
    """[H, W, channels] of this thread's, with whatever was last drawn in it. One size is kept for each name."""
    shape = (size_px[1], size_px[0], channels)
    found: Floats | None = getattr(_kept, name, None)
    if found is None or found.shape != shape:
        found = np.zeros(shape, np.float32)
        setattr(_kept, name, found)
    return found


def blank(name: str, size_px: tuple[int, int], channels: int) -> Floats:
    """A canvas nothing is drawn in yet: dark, and its last channel, the share of light from behind, one."""
    image = canvas(name, size_px, channels)
    np.copyto(image, _dark(size_px, channels))
    return image


@lru_cache(maxsize=8)
def _dark(size_px: tuple[int, int], channels: int) -> Floats:
    image = np.zeros((size_px[1], size_px[0], channels), np.float32)
    image[:, :, -1] = 1
    return image
