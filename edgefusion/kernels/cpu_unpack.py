"""The kernel that unpacks, compiled for the CPU from ``kernels.pixels``; row by row, as ``cpu_pack``."""

# mypy: disable-error-code="no-untyped-def"
# numba infers the types.

from __future__ import annotations

import numpy as np
from numba import prange

from edgefusion.kernels import pixels
from edgefusion.kernels.cpu_jit import compiled, pixel, threaded
from edgefusion.kernels.layout import NV12, RGB24, UYVY, YUYV

_WHITE = pixels.WHITE

_luma_from_rgb = pixel(pixels.luma_from_rgb)
_to_byte = pixel(pixels.to_byte)
_red_from_yuv = pixel(pixels.red_from_yuv)
_green_from_yuv = pixel(pixels.green_from_yuv)
_blue_from_yuv = pixel(pixels.blue_from_yuv)


@compiled
def _gather(first, second, third, fourth, row):
    """A row of pixels of its four phases."""
    for i in range(first.size):
        row[4 * i] = first[i]
        row[4 * i + 1] = second[i]
        row[4 * i + 2] = third[i]
        row[4 * i + 3] = fourth[i]


@compiled
def _merge_rgb24(line, row, out):
    """Adding the change of luma to R, G and B keeps Cb and Cr exactly."""
    for x in range(out.size // 3):
        i = 3 * x
        change = (row[x] - _luma_from_rgb(line[i], line[i + 1], line[i + 2])) * _WHITE
        out[i] = _to_byte(np.float32(line[i]) + change)
        out[i + 1] = _to_byte(np.float32(line[i + 1]) + change)
        out[i + 2] = _to_byte(np.float32(line[i + 2]) + change)


@compiled
def _merge_chroma(chroma, pitch, blue, red, row, out):
    """Luma with chroma that two neighbours share: Cb at ``pitch * pair + blue``, Cr at ``+ red``."""
    for pair in range(out.size // 6):
        cb, cr = chroma[pitch * pair + blue], chroma[pitch * pair + red]
        left, right, i = row[2 * pair], row[2 * pair + 1], 6 * pair
        out[i] = _to_byte(_red_from_yuv(left, cr))
        out[i + 1] = _to_byte(_green_from_yuv(left, cb, cr))
        out[i + 2] = _to_byte(_blue_from_yuv(left, cb))
        out[i + 3] = _to_byte(_red_from_yuv(right, cr))
        out[i + 4] = _to_byte(_green_from_yuv(right, cb, cr))
        out[i + 5] = _to_byte(_blue_from_yuv(right, cb))


@compiled
def _merge_grey(row, out):
    """Luma alone."""
    for x in range(out.size // 3):
        grey = _to_byte(row[x] * _WHITE)
        out[3 * x] = grey
        out[3 * x + 1] = grey
        out[3 * x + 2] = grey


@threaded
def unpack(y, visible, code, width, height, scratch, rgb):
    """Each row of the image in turn: its luma back in order, the visible chroma of the same row to it."""
    workers = scratch.shape[0]
    for worker in prange(workers):
        row = scratch[worker]
        for line in range(worker * height // workers, (worker + 1) * height // workers):
            band, k = line // 4, 4 * (line % 4)
            _gather(y[k, band], y[k + 1, band], y[k + 2, band], y[k + 3, band], row)
            out = rgb[3 * width * line : 3 * width * (line + 1)]
            if code == RGB24:
                _merge_rgb24(visible[3 * width * line : 3 * width * (line + 1)], row, out)
            elif code == NV12:
                start = width * (height + line // 2)
                _merge_chroma(visible[start : start + width], 2, 0, 1, row, out)
            elif code == YUYV:
                _merge_chroma(visible[2 * width * line : 2 * width * (line + 1)], 4, 1, 3, row, out)
            elif code == UYVY:
                _merge_chroma(visible[2 * width * line : 2 * width * (line + 1)], 4, 0, 2, row, out)
            else:
                _merge_grey(row, out)
