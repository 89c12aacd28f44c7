"""Memory that frames are copied into, because their cameras want their own back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgefusion.core.frames import Frame, Pixels


class Buffers:
    """Memory for frames of one camera, used again and again; what no longer fits a frame is let go.

    Copied by one thread, released by another: append and pop of a list are each one step.
    """

    def __init__(self) -> None:
        self._free: list[Pixels] = []

    def copy(self, frame: Frame) -> Frame:
        """The frame in memory of ours, which its ``release`` gives back; the frame itself is not released."""
        pixels = self._take(frame.pixels)
        np.copyto(pixels, frame.pixels, casting="no")
        return replace(frame, pixels=pixels, release=lambda: self._free.append(pixels))

    def _take(self, like: Pixels) -> Pixels:
        while self._free:
            pixels = self._free.pop()
            if (pixels.shape, pixels.dtype) == (like.shape, like.dtype):
                return pixels
        return np.empty_like(like, order="C", subok=False)
