"""Figures on local means and variances: structural similarity and visual information fidelity.

Both need, in a window around each pixel, the means of f, v, t, f^2, v^2, t^2, f v and f t (fused, visible,
thermal): the eight planes of `products`. They are smoothed one row at a time, which stays in the processor's cache.
"""

# mypy: disable-error-code="no-untyped-def"
# numba infers the types.

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from numba import njit

Planes = npt.NDArray[np.float64]

F, V, T, FF, VV, TT, FV, FT = range(8)

# Sums may be taken in any order, which makes them several lanes wide. NaN and infinity keep their meaning.
_FASTMATH = {"reassoc", "contract", "arcp"}
_compiled = njit(cache=True, error_model="numpy", fastmath=_FASTMATH)
_inlined = njit(error_model="numpy", fastmath=_FASTMATH, inline="always")
# One image against itself must give one and the same variance and covariance, to the last bit.
_exact = njit(cache=True, error_model="numpy")


@_exact
def products(images):
    """Eight planes [8,H,W] of fused, visible, thermal [3,H,W]."""
    planes = np.empty((8, images.shape[1], images.shape[2]))
    for y in range(images.shape[1]):
        for x in range(images.shape[2]):
            f, v, t = images[0, y, x], images[1, y, x], images[2, y, x]
            planes[F, y, x], planes[V, y, x], planes[T, y, x] = f, v, t
            planes[FF, y, x], planes[VV, y, x], planes[TT, y, x] = f * f, v * v, t * t
            planes[FV, y, x], planes[FT, y, x] = f * v, f * t
    return planes


@_compiled
def _weigh(weight, left, right, out):
    for x in range(out.shape[0]):
        out[x] += weight * (left[x] + right[x])


@_compiled
def _smooth_down(plane, top, taps, out):
    """Weigh as many rows as there are taps, from `top` on, into one. The taps are symmetric and odd in number."""
    last = len(taps) - 1
    out[:] = 0.0
    _weigh(taps[last // 2] / 2, plane[top + last // 2], plane[top + last // 2], out)
    for k in range(last // 2):
        _weigh(taps[k], plane[top + k], plane[top + last - k], out)


@_compiled
def _smooth_across(row, taps, out):
    last, width = len(taps) - 1, out.shape[0]
    out[:] = 0.0
    _weigh(taps[last // 2] / 2, row[last // 2 : last // 2 + width], row[last // 2 : last // 2 + width], out)
    for k in range(last // 2):
        _weigh(taps[k], row[k : k + width], row[last - k : last - k + width], out)


@_compiled
def halve(planes, taps):
    """Smooth planes [N,H,W] where the window fits, then keep every second pixel."""
    count, height, width = planes.shape[0], planes.shape[1] - len(taps) + 1, planes.shape[2] - len(taps) + 1
    out = np.empty((count, (height + 1) // 2, (width + 1) // 2))
    row, smooth = np.empty(planes.shape[2]), np.empty(width)
    for plane in range(count):
        for y in range(out.shape[1]):
            _smooth_down(planes[plane], 2 * y, taps, row)
            _smooth_across(row, taps, smooth)
            out[plane, y] = smooth[::2]
    return out


@_exact
def _signal_to_noise(var_s, var_f, covariance):
    """One plus the ratio at one place, as vifp has it, for a noise variance of 2."""
    tiny = 1e-10
    gain = covariance / (var_s + tiny)
    if var_s < tiny or var_f < tiny or gain < 0:
        return 1.0
    return 1 + gain * gain * var_s / (max(var_f - gain * covariance, tiny) + 2)


@_exact
def _row_information(means, sums):
    """Add a row's information to sums [4]: kept of visible, available of visible, then the same of thermal."""
    kept_v, all_v, kept_t, all_t, last = 1.0, 1.0, 1.0, 1.0, means.shape[1] - 1
    for x in range(last + 1):
        f, v, t = means[F, x], means[V, x], means[T, x]
        var_f = max(means[FF, x] - f * f, 0.0)
        var_v, var_t = max(means[VV, x] - v * v, 0.0), max(means[TT, x] - t * t, 0.0)
        kept_v *= _signal_to_noise(var_v, var_f, means[FV, x] - f * v)
        all_v *= 1 + (var_v / 2 if var_v >= 1e-10 else 0.0)
        kept_t *= _signal_to_noise(var_t, var_f, means[FT, x] - f * t)
        all_t *= 1 + (var_t / 2 if var_t >= 1e-10 else 0.0)
        # One logarithm for 32 factors: each is below 1e4, so that their product cannot overflow.
        if x % 32 == 31 or x == last:
            sums[0] += math.log(kept_v)
            sums[1] += math.log(all_v)
            sums[2] += math.log(kept_t)
            sums[3] += math.log(all_t)
            kept_v, all_v, kept_t, all_t = 1.0, 1.0, 1.0, 1.0


@_exact
def information(planes, taps, sums):
    """Add one scale's information to sums [4], in nats: kept and available of visible, then of thermal."""
    height, width = planes.shape[1] - len(taps) + 1, planes.shape[2] - len(taps) + 1
    row, means = np.empty(planes.shape[2]), np.empty((8, width))
    for y in range(height):
        for q in range(8):
            _smooth_down(planes[q], y, taps, row)
            _smooth_across(row, taps, means[q])
        _row_information(means, sums)


def fidelity(planes: Planes) -> float:
    """Vifp(fused, visible) + vifp(fused, thermal) of the planes of images of 41 pixels a side or more."""
    sums = np.zeros(4)
    for side_px in (17, 9, 5, 3):
        offset = np.arange(side_px) - (side_px - 1) / 2
        taps = np.exp(-(offset**2) / (2 * (side_px / 5) ** 2))
        taps /= taps.sum()
        if side_px != 17:
            planes = products(halve(planes[:3], taps))
        information(planes, taps, sums)
    kept_v, all_v, kept_t, all_t = sums.tolist()
    return (kept_v / all_v if all_v > 0 else 1.0) + (kept_t / all_t if all_t > 0 else 1.0)


@_compiled
def _box(columns, out):
    """Mean of seven neighbours, of sums over seven rows."""
    n = out.shape[0]
    a, b, c, d = columns[0:n], columns[1 : n + 1], columns[2 : n + 2], columns[3 : n + 3]
    e, f, g = columns[4 : n + 4], columns[5 : n + 5], columns[6 : n + 6]
    for x in range(n):
        out[x] = (((a[x] + b[x]) + (c[x] + d[x])) + ((e[x] + f[x]) + g[x])) / 49


@_inlined
def _alike(mean_s, mean_f, var_s, var_f, covariance):
    c1, c2, unbiased = (0.01 * 255) ** 2, (0.03 * 255) ** 2, 49 / 48
    above = (2 * mean_s * mean_f + c1) * (2 * unbiased * covariance + c2)
    return above / ((mean_s * mean_s + mean_f * mean_f + c1) * (unbiased * (var_s + var_f) + c2))


@_compiled
def _row_similarity(means):
    total = 0.0
    for x in range(means.shape[1]):
        f, v, t = means[F, x], means[V, x], means[T, x]
        var_f = means[FF, x] - f * f
        total += _alike(v, f, means[VV, x] - v * v, var_f, means[FV, x] - f * v)
        total += _alike(t, f, means[TT, x] - t * t, var_f, means[FT, x] - f * t)
    return total


@_compiled
def similarity(planes):
    """SSIM(fused, visible) + SSIM(fused, thermal), means over the places where a window of 7x7 fits."""
    height, width = planes.shape[1], planes.shape[2]
    columns, means, total = np.zeros((8, width)), np.empty((8, width - 6)), 0.0
    for y in range(height):
        for q in range(8):
            columns[q] += planes[q, y]
            if y >= 7:
                columns[q] -= planes[q, y - 7]
            _box(columns[q], means[q])
        if y >= 6:
            total += _row_similarity(means)
    return total / ((height - 6) * (width - 6))
