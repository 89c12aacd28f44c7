"""The maths of one pixel, written once.

Plain functions on scalars that call no other: ``kernels.cpu_pack`` and ``kernels.cpu_unpack`` compile them with
numba for the CPU, and they compile for a GPU as they are. Therefore every constant is a ``np.float32`` and every
byte is widened before arithmetic: no 64-bit float arises anywhere.

Colour is ITU-R BT.601. RGB is full range; YUV from cameras is limited range (luma 16..235, chroma 16..240).
Luma handed to and from the student is full range, 0..1.
"""

# mypy: disable-error-code="no-untyped-def"
# numba infers the types.

from __future__ import annotations

import numpy as np

KR, KG, KB = np.float32(0.299), np.float32(0.587), np.float32(0.114)
RGB_SCALE = np.float32(1 / 255)
WHITE = np.float32(255)
LUMA_BLACK, LUMA_SCALE = np.float32(16), np.float32(1 / 219)
CHROMA_ZERO = np.float32(128)
RED_FROM_CR, GREEN_FROM_CB = np.float32(1.402 * 255 / 224), np.float32(-0.344136 * 255 / 224)
GREEN_FROM_CR, BLUE_FROM_CB = np.float32(-0.714136 * 255 / 224), np.float32(1.772 * 255 / 224)
LOW_BYTE, BYTE = np.int32(255), np.int32(8)
ZERO, HALF, ONE = np.float32(0), np.float32(0.5), np.float32(1)


def luma_from_rgb(red, green, blue):
    """Luma 0..1 of an RGB pixel of bytes."""
    return (KR * np.float32(red) + KG * np.float32(green) + KB * np.float32(blue)) * RGB_SCALE


def luma_from_yuv(luma):
    """Luma 0..1 of a limited-range luma byte."""
    return min(max((np.float32(luma) - LUMA_BLACK) * LUMA_SCALE, ZERO), ONE)


def luma_from_grey(grey):
    """Luma 0..1 of a full-range grey byte."""
    return np.float32(grey) * RGB_SCALE


def normalise(count, low, scale):
    """A thermal reading in 0..1: (count - low) * scale, limited."""
    return min(max((np.float32(count) - low) * scale, ZERO), ONE)


def interpolate(top_left, top_right, bottom_left, bottom_right, right, down):
    """Bilinear mean of four neighbours; ``right`` and ``down`` in 0..1 are the fractions."""
    top = top_left + right * (top_right - top_left)
    bottom = bottom_left + right * (bottom_right - bottom_left)
    return top + down * (bottom - top)


def to_byte(value):
    """Round 0..255 to the nearest byte, limited."""
    return np.uint8(np.int32(min(max(value, ZERO), WHITE) + HALF))


def red_from_yuv(luma, cr):
    """Red 0..255, not yet limited, of full-range luma 0..1 and a limited-range Cr byte."""
    return luma * WHITE + RED_FROM_CR * (np.float32(cr) - CHROMA_ZERO)


def green_from_yuv(luma, cb, cr):
    """Green 0..255, not yet limited, of full-range luma 0..1 and limited-range chroma bytes."""
    chroma = GREEN_FROM_CB * (np.float32(cb) - CHROMA_ZERO) + GREEN_FROM_CR * (np.float32(cr) - CHROMA_ZERO)
    return luma * WHITE + chroma


def blue_from_yuv(luma, cb):
    """Blue 0..255, not yet limited, of full-range luma 0..1 and a limited-range Cb byte."""
    return luma * WHITE + BLUE_FROM_CB * (np.float32(cb) - CHROMA_ZERO)


def swap_bytes(reading):
    """A 16-bit reading with its two bytes exchanged."""
    return np.int32((np.int32(reading) & LOW_BYTE) << BYTE | np.int32(reading) >> BYTE)
