"""The kernel that unpacks, compiled for a GPU from ``kernels.pixels``.

The visible buffer is read and the image written as ``cuda_pack`` reads: once, by neighbouring threads.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator,no-any-return,attr-defined"
# numba infers the types.

from __future__ import annotations

import numpy as np
from numba import cuda

from edgefusion.kernels import pixels
from edgefusion.kernels.cuda_jit import ROW_WORDS, THREADS, byte_at, fetch_bytes, kernel, pixel
from edgefusion.kernels.layout import GREY, NV12, RGB24, UYVY

_WHITE = pixels.WHITE
_BLOCK_BYTES = 12 * THREADS

_luma_from_rgb = pixel(pixels.luma_from_rgb)
_to_byte = pixel(pixels.to_byte)
_red_from_yuv = pixel(pixels.red_from_yuv)
_green_from_yuv = pixel(pixels.green_from_yuv)
_blue_from_yuv = pixel(pixels.blue_from_yuv)


@cuda.jit(device=True)
def _merge_rgb24(scratch, place, luma, out, start):
    """Adding the change of luma to R, G and B keeps Cb and Cr exactly."""
    red, green, blue = byte_at(scratch, place), byte_at(scratch, place + 1), byte_at(scratch, place + 2)
    change = (luma - _luma_from_rgb(red, green, blue)) * _WHITE
    out[start] = _to_byte(np.float32(red) + change)
    out[start + 1] = _to_byte(np.float32(green) + change)
    out[start + 2] = _to_byte(np.float32(blue) + change)


@cuda.jit(device=True)
def _merge_chroma(cb, cr, luma, out, start):
    """Luma with the chroma of a YUV format."""
    out[start] = _to_byte(_red_from_yuv(luma, cr))
    out[start + 1] = _to_byte(_green_from_yuv(luma, cb, cr))
    out[start + 2] = _to_byte(_blue_from_yuv(luma, cb))


@cuda.jit(device=True)
def _merge(code, scratch, place, luma, out, start):
    """A pixel of any format but GREY; ``place``: its first byte, or that of its pair's chroma."""
    if code == RGB24:
        _merge_rgb24(scratch, place, luma, out, start)
    elif code == NV12:
        _merge_chroma(byte_at(scratch, place), byte_at(scratch, place + 1), luma, out, start)
    else:
        blue = place if code == UYVY else place + 1
        _merge_chroma(byte_at(scratch, blue), byte_at(scratch, blue + 2), luma, out, start)


@kernel
def unpack(y, words, code, width, height, rgb):
    """The image [H * W * 3]: a block for a stretch of an image row."""
    scratch = cuda.shared.array(ROW_WORDS, np.uint32)
    out = cuda.shared.array(_BLOCK_BYTES, np.uint8)
    line, quad = cuda.blockIdx.y, cuda.grid(1)
    begin = 4 * cuda.blockIdx.x * cuda.blockDim.x
    end = min(begin + 4 * cuda.blockDim.x, width)
    step = 3 if code == RGB24 else 1 if code == NV12 else 2
    row = width * (height + (line >> 1)) if code == NV12 else step * width * line
    first = 0
    if code != GREY:
        first = fetch_bytes(words, row + step * begin, row + step * end, scratch)
    for dx in range(4):
        column = 4 * quad + dx
        if column < width:
            luma = np.float32(y[4 * (line & 3) + dx, line >> 2, quad])
            start = 3 * (column - begin)
            if code == GREY:
                grey = _to_byte(luma * _WHITE)
                out[start] = grey
                out[start + 1] = grey
                out[start + 2] = grey
            else:
                pair = 0 if code == RGB24 else column & 1
                _merge(code, scratch, first + step * (column - pair - begin), luma, out, start)
    cuda.syncthreads()
    for index in range(cuda.threadIdx.x, 3 * (end - begin), cuda.blockDim.x):
        rgb[3 * (width * line + begin) + index] = out[index]
