"""The kernels that pack, compiled for a GPU from ``kernels.pixels``.

A camera's buffer is mapped into the GPU and not cached there, so each byte of it is read once, by neighbouring threads,
in words. ``stage`` takes the thermal readings into the GPU's own memory and counts them, since ``pack`` looks at each
several times. A thread of ``pack`` makes four neighbouring pixels of a row: one position of four phases.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator,no-any-return,attr-defined"
# numba infers the types.

from __future__ import annotations

import numpy as np
from numba import cuda

from edgefusion.kernels import pixels
from edgefusion.kernels.cuda_jit import BYTE, BYTE_BITS, ROW_WORDS, byte_at, fetch_bytes, kernel, pixel
from edgefusion.kernels.layout import GREY, RGB24, THERMAL, UNSEEN, UYVY, VISIBLE, YUYV

DEEP, DEEP_SWAPPED, SHALLOW = range(3)
"""Thermal formats: Y16, Y16 with its bytes swapped, GREY."""

_FRACTION = np.float32(1 / 256)
_HALF, _HALF_BITS, _LOW_BYTES = np.uint32(0xFFFF), np.uint32(16), np.uint32(0x00FF00FF)

_luma_from_rgb = pixel(pixels.luma_from_rgb)
_luma_from_yuv = pixel(pixels.luma_from_yuv)
_luma_from_grey = pixel(pixels.luma_from_grey)
_normalise = pixel(pixels.normalise)
_interpolate = pixel(pixels.interpolate)


@cuda.jit(device=True)
def _keep(readings, index, reading, histogram, shift):
    """One reading into the GPU's memory and, where there is a histogram, into that."""
    if index < readings.size:
        readings[index] = np.uint16(reading)
        if histogram.size > 0:
            cuda.atomic.add(histogram, min(np.int32(reading) >> shift, histogram.size - 1), np.uint32(1))


@kernel
def stage(words, kind, readings, histogram, shift):
    """Thermal readings, widened to 16 bits and in order, and their histogram; a thread takes one word."""
    index = cuda.grid(1)
    if index >= words.size:
        return
    word = words[index]
    if kind == SHALLOW:
        for k in range(4):
            _keep(readings, 4 * index + k, (word >> np.uint32(8 * k)) & BYTE, histogram, shift)
        return
    if kind == DEEP_SWAPPED:
        word = (word & _LOW_BYTES) << BYTE_BITS | (word >> BYTE_BITS) & _LOW_BYTES
    _keep(readings, 2 * index, word & _HALF, histogram, shift)
    _keep(readings, 2 * index + 1, word >> _HALF_BITS, histogram, shift)


@kernel
def take(histogram, out):
    """Hand the histogram out, and begin a new one."""
    for index in range(cuda.grid(1), histogram.size, cuda.gridsize(1)):
        out[index] = histogram[index]
        histogram[index] = np.uint32(0)


@cuda.jit(device=True)
def _luma(code, scratch, place):
    """Of the pixel whose first byte is at ``place``."""
    if code == RGB24:
        return _luma_from_rgb(byte_at(scratch, place), byte_at(scratch, place + 1), byte_at(scratch, place + 2))
    if code == GREY:
        return _luma_from_grey(byte_at(scratch, place))
    return _luma_from_yuv(byte_at(scratch, place + 1 if code == UYVY else place))


@cuda.jit(device=True)
def _sample(readings, columns, at, fraction, low, scale):
    """Interpolated and normalised; 0 outside the thermal image."""
    if at & UNSEEN:
        return np.float32(0)
    first = np.int32(at)
    count = _interpolate(
        np.float32(readings[first]),
        np.float32(readings[first + 1]),
        np.float32(readings[first + columns]),
        np.float32(readings[first + columns + 1]),
        np.float32(np.int32(fraction) >> 8) * _FRACTION,
        np.float32(np.int32(fraction) & 255) * _FRACTION,
    )
    return _normalise(count, low, scale)


@kernel
def pack(parts, words, code, width, height, readings, columns, at, fraction, low, scale, x):
    """Both parts of the tensor, or one: a block for a stretch of an image row."""
    scratch = cuda.shared.array(ROW_WORDS, np.uint32)
    band, dy, quad = cuda.blockIdx.y >> 2, cuda.blockIdx.y & 3, cuda.grid(1)
    y = cuda.blockIdx.y
    if y >= height:
        y = max(2 * height - 2 - y, 0)
    if parts & VISIBLE:
        step = 3 if code == RGB24 else 2 if code in (YUYV, UYVY) else 1
        # one position more on the left: the right edge of the image reflects
        begin = max(4 * (cuda.blockIdx.x * cuda.blockDim.x - 1), 0)
        end = min(4 * (cuda.blockIdx.x + 1) * cuda.blockDim.x, width)
        first = fetch_bytes(words, step * (width * y + begin), step * (width * y + end), scratch)
        if quad < x.shape[2]:
            for dx in range(4):
                column = 4 * quad + dx
                if column >= width:
                    column = max(2 * width - 2 - column, 0)
                x[4 * dy + dx, band, quad] = _luma(code, scratch, first + step * (column - begin))
    if parts & THERMAL and quad < x.shape[2]:
        for dx in range(4):
            column = 4 * quad + dx
            if column >= width:
                column = max(2 * width - 2 - column, 0)
            if at.size > 0:
                value = _sample(readings, columns, at[y, column], fraction[y, column], low, scale)
            else:
                value = _normalise(readings[width * y + column], low, scale)
            x[16 + 4 * dy + dx, band, quad] = value
