"""What is judged: grey levels of a pair, made in one way for every entry."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgefusion.core.frames import Frame, FramePair, PixelFormat
from edgefusion.core.geometry import Registration
from edgefusion.kernels.agc import Agc, AgcSpec
from edgefusion.kernels.cpu import Pack, to_rgb
from edgefusion.kernels.layout import HISTOGRAM_BITS, PHASES, shuffle, tensor_size

Levels = npt.NDArray[np.float32]
"""[H, W], grey levels 0..255, not rounded."""

Bytes = npt.NDArray[np.uint8]

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of R, G and B in luma, ITU-R BT.601."""


def luma(rgb: Bytes) -> Levels:
    """Luma [H, W] of an RGB image [H, W, 3]."""
    levels: Levels = rgb.astype(np.float32) @ LUMA
    return levels


def whole(levels: Levels) -> Bytes:
    """Grey levels as bytes, rounded once: what every figure is computed of."""
    return np.rint(np.clip(levels, 0, 255)).astype(np.uint8)


def with_luma(rgb: Bytes, levels: Levels) -> Bytes:
    """The image [H, W, 3] with its luma moved to ``levels`` [H, W], chroma kept, as ``unpack`` merges them."""
    return whole(rgb + (levels - luma(rgb))[..., None])


def thermal_levels(frame: Frame, spec: AgcSpec) -> Bytes:
    """8-bit thermal as it is; 16-bit counts through the gain control, each image by itself."""
    if frame.format is PixelFormat.GREY:
        return frame.pixels.astype(np.uint8)
    low, high = Agc(spec, frame.format).range(frame)
    return whole((frame.pixels.astype(np.float32) - np.float32(low)) * np.float32(255 / (high - low)))


def with_levels(pair: FramePair, rgb: Bytes, thermal: Bytes) -> FramePair:
    """The pair with other pixels, thermal in 8 bits."""
    visible = Frame(rgb, PixelFormat.RGB24, pair.visible.timestamp_ns, "receive", pair.visible.sequence)
    other = Frame(thermal, PixelFormat.GREY, pair.thermal.timestamp_ns, "receive", pair.thermal.sequence)
    return FramePair(visible, other, pair.name)


class SteadyGain:
    """The thermal range of each frame of a clip, by a gain control that remembers the frames before, as the vehicle's.

    Args:
        spec: the gain control.
        pixel_format: of thermal.
        bits: significant bits of a Y16 reading.
    """

    def __init__(self, spec: AgcSpec, pixel_format: PixelFormat, *, bits: int) -> None:
        self._agc, self._counted = Agc(spec, pixel_format), pixel_format.deep
        self._shift = max(bits - HISTOGRAM_BITS, 0)

    def range(self, thermal: Frame) -> tuple[float, float]:
        """The readings that become black and white in the next frame of the clip, which is taken in for those after."""
        found = self._agc.range(thermal)
        if self._counted:
            # As ``Pack`` counts: the last bin holds whatever is higher.
            bins = 1 << HISTOGRAM_BITS
            binned = np.minimum(thermal.readings.reshape(-1) >> self._shift, bins - 1)
            self._agc.update(np.bincount(binned, minlength=bins).astype(np.uint32), 1 << self._shift)
        return found


class RegisteredThermal:
    """Brings thermal over the visible view and to 8 bits, by the vehicle's own ``Pack``; pairs of one size and format.

    Args:
        registration: for these sizes.
        bits: significant bits of a Y16 reading.
    """

    def __init__(self, registration: Registration, *, bits: int) -> None:
        self._registration, self._bits = registration, bits
        self._pack: Pack | None = None
        self._x = np.empty(0, np.float32)

    def __call__(self, pair: FramePair, *, low: float, high: float) -> FramePair:
        """The pair with RGB visible as it is and thermal in 8 bits.

        Args:
            pair: as its cameras delivered it.
            low: the reading that becomes black.
            high: the one that becomes white.
        """
        columns, rows = pair.visible.size_px
        if self._pack is None:
            width, height = tensor_size(pair.visible.size_px)
            self._x = np.empty((2 * PHASES**2, height // PHASES, width // PHASES), np.float32)
            self._pack = Pack(pair.visible.form, pair.thermal.form, registration=self._registration, bits=self._bits)
        self._pack(pair, self._x, low=low, high=high)
        thermal = (shuffle(self._x[PHASES**2 :])[:rows, :columns] * 255 + 0.5).astype(np.uint8)
        visible = pair.visible
        rgb = visible.pixels.astype(np.uint8, copy=False) if visible.format is PixelFormat.RGB24 else to_rgb(visible)
        return with_levels(pair, rgb, thermal)
