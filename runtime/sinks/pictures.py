"""Frames as encoded pictures. OpenCV encodes them, because it lets the loop run meanwhile."""

from __future__ import annotations

from typing import Any, Literal

import cv2
import numpy as np

from edgefusion.core.errors import RunError
from edgefusion.core.frames import Frame, PixelFormat, Pixels
from runtime.sinks import Rgb

Codec = Literal["jpeg", "png"]
QUALITY = 95

_SUFFIXES: dict[Codec, tuple[str, list[int]]] = {
    "jpeg": (".jpg", [cv2.IMWRITE_JPEG_QUALITY, QUALITY]),
    "png": (".png", [cv2.IMWRITE_PNG_COMPRESSION, 1]),
}
_TO_BGR = {
    PixelFormat.RGB24: cv2.COLOR_RGB2BGR,
    PixelFormat.NV12: cv2.COLOR_YUV2BGR_NV12,
    PixelFormat.YUYV: cv2.COLOR_YUV2BGR_YUY2,
    PixelFormat.UYVY: cv2.COLOR_YUV2BGR_UYVY,
}

DARK, BRIGHT = 1, 99
"""Percentiles of thermal readings that are shown as black and as white."""


def encode(rgb: Rgb, codec: Codec) -> bytes:
    """A picture of [H, W, 3] RGB: JPEG of quality 95, or PNG.

    Raises:
        RunError: the codec does not take such a size.
    """
    return _encode(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), codec)


def look(frame: Frame) -> bytes:
    """A JPEG to look at: colours as they are, 16-bit readings from their first to their 99th percentile."""
    if conversion := _TO_BGR.get(frame.format):
        return _encode(cv2.cvtColor(np.ascontiguousarray(frame.pixels), conversion), "jpeg")
    return _encode(_stretched(frame.readings) if frame.format.deep else frame.pixels, "jpeg")


def _stretched(readings: Pixels) -> Rgb:
    low, high = (float(level) for level in np.percentile(readings[::4, ::4], (DARK, BRIGHT)))
    scale = 255 / max(high - low, 1.0)
    stretched: Rgb = np.clip((readings.astype(np.float32) - low) * scale, 0, 255).astype(np.uint8)
    return stretched


def _encode(bgr: Any, codec: Codec) -> bytes:
    suffix, options = _SUFFIXES[codec]
    try:
        encoded, data = cv2.imencode(suffix, bgr, options)
    except cv2.error as error:
        raise RunError(f"an image of {bgr.shape[1]}x{bgr.shape[0]} does not go into {codec} ({error.err})") from error
    if not encoded:
        raise RunError(f"an image of {bgr.shape[1]}x{bgr.shape[0]} does not go into {codec}")
    return bytes(data)
