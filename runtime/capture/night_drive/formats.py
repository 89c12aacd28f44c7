"""From RGB bytes and 14-bit counts to the layouts in which cameras deliver them."""

# mypy: disable-error-code="no-untyped-def"
# numba infers the types.

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edgefusion.core.frames import PixelFormat, Pixels
from edgefusion.core.geometry import Size
from runtime.capture.night_drive.project import compiled

Bytes = npt.NDArray[np.uint8]
Counts = npt.NDArray[np.uint16]

AGC_LOW, AGC_HIGH = 7050, 8900
"""The counts that a thermal camera's fixed 8-bit output shows as 0 and 255."""

_ZERO = np.float32(0)
_BYTE, _HALF, _QUARTER = np.float32(1 / 255), np.float32(0.5), np.float32(0.25)


@compiled
def _luma(red, green, blue):
    """BT.601, 16..235."""
    value = np.float32(65.481) * red + np.float32(128.553) * green + np.float32(24.966) * blue
    return np.uint8(value * _BYTE + np.float32(16.5))


@compiled
def _cb(red, green, blue):
    """BT.601, 16..240."""
    value = np.float32(-37.797) * red - np.float32(74.203) * green + np.float32(112) * blue
    return np.uint8(value * _BYTE + np.float32(128.5))


@compiled
def _cr(red, green, blue):
    """BT.601, 16..240."""
    value = np.float32(112) * red - np.float32(93.786) * green - np.float32(18.214) * blue
    return np.uint8(value * _BYTE + np.float32(128.5))


@compiled
def _convert_to_nv12(rgb, height, out):
    """Luma of each pixel, chroma of the mean of each two by two."""
    for y in range(0, height, 2):
        for x in range(0, rgb.shape[1], 2):
            red, green, blue = _ZERO, _ZERO, _ZERO
            for dy in range(2):
                for dx in range(2):
                    r, g, b = rgb[y + dy, x + dx, 0], rgb[y + dy, x + dx, 1], rgb[y + dy, x + dx, 2]
                    out[y + dy, x + dx] = _luma(r, g, b)
                    red, green, blue = red + r * _QUARTER, green + g * _QUARTER, blue + b * _QUARTER
            out[height + y // 2, x] = _cb(red, green, blue)
            out[height + y // 2, x + 1] = _cr(red, green, blue)


@compiled
def _convert_to_packed(rgb, luma_at, out):
    """Luma of each pixel in byte ``luma_at`` of its two, in the other one chroma of the mean of each two in a row."""
    for y in range(rgb.shape[0]):
        for x in range(0, rgb.shape[1], 2):
            red, green, blue = _ZERO, _ZERO, _ZERO
            for dx in range(2):
                r, g, b = rgb[y, x + dx, 0], rgb[y, x + dx, 1], rgb[y, x + dx, 2]
                out[y, x + dx, luma_at] = _luma(r, g, b)
                red, green, blue = red + r * _HALF, green + g * _HALF, blue + b * _HALF
            out[y, x, 1 - luma_at] = _cb(red, green, blue)
            out[y, x + 1, 1 - luma_at] = _cr(red, green, blue)


def _to_nv12(rgb: Bytes, out: Bytes) -> None:
    _convert_to_nv12(rgb, rgb.shape[0], out)


def _to_yuyv(rgb: Bytes, out: Bytes) -> None:
    _convert_to_packed(rgb, 0, out)


def _to_uyvy(rgb: Bytes, out: Bytes) -> None:
    _convert_to_packed(rgb, 1, out)


def _to_luma(rgb: Bytes, out: Bytes) -> None:
    cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY, dst=out)


def _to_grey(counts: Counts, out: Bytes) -> None:
    """The 8 bits of a camera with a fixed AGC."""
    scaled = (counts.astype(np.float32) - AGC_LOW) * (255 / (AGC_HIGH - AGC_LOW))
    np.copyto(out, np.clip(np.rint(scaled), 0, 255), casting="unsafe")


def _to_big_endian(counts: Counts, out: Counts) -> None:
    np.copyto(out, counts)
    out.byteswap(inplace=True)


_CONVERTERS: dict[tuple[PixelFormat, PixelFormat], Callable[[Any, Any], None]] = {
    (PixelFormat.RGB24, PixelFormat.NV12): _to_nv12,
    (PixelFormat.RGB24, PixelFormat.YUYV): _to_yuyv,
    (PixelFormat.RGB24, PixelFormat.UYVY): _to_uyvy,
    (PixelFormat.RGB24, PixelFormat.GREY): _to_luma,
    (PixelFormat.Y16, PixelFormat.Y16_BE): _to_big_endian,
    (PixelFormat.Y16, PixelFormat.GREY): _to_grey,
}
"""YUV is BT.601, limited range; the grey of a visible camera full range."""


def deliver(
    develop: Callable[[Any], None], source: PixelFormat, target: PixelFormat, *, size_px: Size, out: Pixels | None
) -> Pixels:
    """What ``develop`` writes into an array of format ``source``, as ``target``: in ``out``, or in a new array."""
    if out is None:
        out = np.empty(target.array_shape(*size_px), target.dtype)
    if source is target:
        develop(out)
        return out
    raw = np.empty(source.array_shape(*size_px), source.dtype)
    develop(raw)
    _CONVERTERS[source, target](raw, out)
    return out
