"""What is judged: grey levels of a pair, made in one way for every entry."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgefusion.core.frames import Frame, FramePair, PixelFormat
from edgefusion.kernels.agc import Agc, AgcSpec

Levels = npt.NDArray[np.float32]
"""[H, W], grey levels 0..255, not rounded."""

Bytes = npt.NDArray[np.uint8]

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of R, G and B in luma, ITU-R BT.601."""

DARK_LEVEL = 55.0
"""Mean luma under which a scene counts as night. MSRS: lit streets lie above 70, unlit ones under 40."""


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
