"""Noticing that a thermal camera repeats a picture while its shutter is closed (flat-field correction)."""

from __future__ import annotations

import numpy as np

from edgefusion.core.frames import Pixels

LEAST_NS = 100_000_000
"""The same picture for longer is frozen. Not sooner: a 9 Hz sensor may send each picture three times at 27 Hz."""

ROWS, COLUMNS = 48, 64


class FrozenPicture:
    """Compares a sparse grid of each picture with the one before. A live sensor always has noise."""

    def __init__(self) -> None:
        self._grid: Pixels | None = None
        self._since_ns = 0

    def first_seen_ns(self, pixels: Pixels, exposure_ns: int) -> int:
        """When this picture was first seen, if it is frozen; else its own exposure."""
        grid = pixels[:: max(pixels.shape[0] // ROWS, 1), :: max(pixels.shape[1] // COLUMNS, 1)]
        if self._grid is None or not np.array_equal(grid, self._grid):
            self._grid, self._since_ns = grid.copy(), exposure_ns
        return self._since_ns if exposure_ns - self._since_ns > LEAST_NS else exposure_ns
