"""``pack`` and ``unpack`` in plain NumPy and double precision, as the format tables of the standards give them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgefusion.core.frames import PixelFormat, Pixels

Array = npt.NDArray[np.float64]


def luma_and_chroma(pixels: Pixels, pixel_format: PixelFormat) -> tuple[Array, Array, Array]:
    """[H, W] luma in 0..1, Cb and Cr in -0.5..0.5 (BT.601)."""
    values = pixels.astype(np.float64)
    if pixel_format is PixelFormat.RGB24:
        red, green, blue = (values[..., k] / 255 for k in range(3))
        luma = 0.299 * red + 0.587 * green + 0.114 * blue
        return luma, (blue - luma) / 1.772, (red - luma) / 1.402
    if pixel_format is PixelFormat.GREY:
        return values / 255, np.zeros_like(values), np.zeros_like(values)
    if pixel_format is PixelFormat.NV12:
        height = len(values) * 2 // 3
        luma, pairs = values[:height], values[height:].reshape(height // 2, -1, 2)
        cb, cr = (pairs[..., k].repeat(2, axis=0).repeat(2, axis=1) for k in range(2))
    else:
        place = 1 if pixel_format is PixelFormat.UYVY else 0
        luma = values[..., place]
        cb, cr = (values[:, start::2, 1 - place].repeat(2, axis=1) for start in range(2))
    return np.clip((luma - 16) / 219, 0, 1), (cb - 128) / 224, (cr - 128) / 224


def readings(pixels: Pixels, pixel_format: PixelFormat) -> Array:
    """[H, W] thermal readings."""
    if pixel_format is not PixelFormat.Y16_BE:
        return pixels.astype(np.float64)
    first, second = np.moveaxis(pixels.view(np.uint8).reshape(*pixels.shape, 2).astype(np.float64), -1, 0)
    return 256 * first + second


def warp(
    thermal: Array, registration: Array, size: tuple[int, int], bend: Array | None = None
) -> tuple[Array, npt.NDArray[np.bool_]]:
    """[H, W] bilinear samples of thermal at every visible pixel, and whether the point is inside the image.

    Args:
        thermal: [h, w].
        registration: [3, 3].
        size: of the visible image.
        bend: [H * W, 2] thermal pixels to add.
    """
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    u, v, w = np.einsum("ij,jhw->ihw", registration, np.stack([x, y, np.ones_like(x)]).astype(np.float64))
    u, v = u / w, v / w
    if bend is not None:
        u, v = u + bend[:, 0].reshape(u.shape), v + bend[:, 1].reshape(v.shape)
    rows, columns = thermal.shape
    inside = (u >= -0.5) & (u <= columns - 0.5) & (v >= -0.5) & (v <= rows - 0.5)
    u, v = np.clip(u, 0, columns - 1), np.clip(v, 0, rows - 1)
    left, top = np.minimum(u.astype(int), columns - 2), np.minimum(v.astype(int), rows - 2)
    right, down = u - left, v - top
    above = thermal[top, left] * (1 - right) + thermal[top, left + 1] * right
    below = thermal[top + 1, left] * (1 - right) + thermal[top + 1, left + 1] * right
    return above * (1 - down) + below * down, inside


def unshuffle(image: Array) -> Array:
    """[16, H/4, W/4] phases of an image that is padded to multiples of four by reflection."""
    height, width = image.shape
    padded = np.pad(image, ((0, -height % 4), (0, -width % 4)), "reflect")
    rows, columns = padded.shape[0] // 4, padded.shape[1] // 4
    return padded.reshape(rows, 4, columns, 4).transpose(1, 3, 0, 2).reshape(16, rows, columns)


def shuffle(phases: Array) -> Array:
    """The inverse of ``unshuffle``."""
    rows, columns = phases.shape[1:]
    return phases.reshape(4, 4, rows, columns).transpose(2, 0, 3, 1).reshape(4 * rows, 4 * columns)


def rgb(luma: Array, cb: Array, cr: Array) -> Array:
    """[H, W, 3] in 0..255, not rounded."""
    red, blue = luma + 1.402 * cr, luma + 1.772 * cb
    green = (luma - 0.299 * red - 0.114 * blue) / 0.587
    return np.clip(np.stack([red, green, blue], axis=-1), 0, 1) * 255
