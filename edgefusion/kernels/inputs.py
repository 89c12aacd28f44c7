"""Frame pairs as the student's input: one gain control and the pack kernel, as on the vehicle, in every room."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from edgefusion.core.frames import FramePair, PixelFormat
from edgefusion.core.geometry import Matrix, Size
from edgefusion.core.rig import registered
from edgefusion.kernels.agc import Agc, AgcSpec
from edgefusion.kernels.cpu import Pack, tensor_size

Registration = Callable[[Size, Size], Matrix]
"""(visible size, thermal size) -> [3, 3] registration for frames of these sizes."""

Form = tuple[tuple[PixelFormat, Size], tuple[PixelFormat, Size]]
"""Format and size of the visible and of the thermal frame."""


class InputPacker:
    """Packs the frame pairs of one rig, in order; the thermal range follows the stream.

    Args:
        spec: the bundle's gain control.
        registration: the rig's; by default both images show the same view.
        bits: significant bits of a Y16 thermal reading.
    """

    def __init__(self, spec: AgcSpec, *, registration: Registration = registered, bits: int = 16) -> None:
        self._spec, self._registration, self._bits = spec, registration, bits
        self._form: Form | None = None

    def fit(self, pair: FramePair) -> bool:
        """Set the kernels up for pairs of this one's sizes and formats; whether that changed anything."""
        visible, thermal = ((frame.format, frame.size_px) for frame in (pair.visible, pair.thermal))
        if (visible, thermal) == self._form:
            return False
        matrix = self._registration(visible[1], thermal[1])
        self._pack = Pack(visible, thermal, registration=matrix, bits=self._bits)
        self._agc = Agc(self._spec, thermal[0])
        self._form = (visible, thermal)
        return True

    def forget(self) -> None:
        """The next pair is not of the same scene: the thermal range starts anew."""
        if self._form:
            self._agc.reset()

    def pack(self, pair: FramePair, x: npt.NDArray[np.float32]) -> tuple[float, float]:
        """Write a pair, for which ``fit`` was called, into ``x`` [32, H/4, W/4]; the range (low, high) it was given."""
        low, high = self._agc.range(pair.thermal)
        self._pack(pair, x, low=low, high=high)
        if pair.thermal.format is PixelFormat.Y16:
            self._agc.update(*self._pack.histogram())
        return low, high

    def input(self, pair: FramePair) -> npt.NDArray[np.float32]:
        """A new ``x`` [32, H/4, W/4] of a pair of any form, H and W padded to multiples of four."""
        self.fit(pair)
        width, height = tensor_size(pair.visible.size_px)
        x = np.empty((32, height // 4, width // 4), np.float32)
        self.pack(pair, x)
        return x
