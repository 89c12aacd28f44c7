"""Frames that no one should calibrate on: frozen cameras, and pictures without anything in them."""

from __future__ import annotations

import numpy as np

from calibrate.frames.packed import Packed
from edgefusion.core.frames import Pixels


class Screen:
    """Looks at the frames of one recording, in order.

    A thermal camera repeats a picture for about half a second while its shutter is closed for a flat-field correction
    (FFC): visible goes on, thermal does not, and the two no longer belong together. A live sensor never gives the same
    picture twice, for its noise, so that equal bytes are enough to know.

    Args:
        stills: pictures are unrelated: equal ones are near-duplicates, not a frozen camera.
    """

    def __init__(self, *, stills: bool) -> None:
        self._stills = stills
        self._before: tuple[Pixels, Pixels] | None = None

    def fault(self, frame: Packed) -> str:
        """Why the frame is of no use, or nothing."""
        pair, before = frame.pair, self._before
        now = pair.visible.pixels.copy(), pair.thermal.pixels.copy()
        self._before = now
        if frame.x[:16].min() == frame.x[:16].max():
            return "constant visible"
        if now[1].min() == now[1].max():
            return "constant thermal"
        if self._stills or before is None:
            return ""
        if np.array_equal(now[1], before[1]):
            return "stale thermal"
        return "stale visible" if np.array_equal(now[0], before[0]) else ""
