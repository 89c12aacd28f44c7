"""Figures on image gradients: spatial frequency, average gradient, edges kept, artefacts.

All loops are written to run several pixels per instruction: no branches, no calls into the maths library (hence
our own exponential and arctangent), and sums that may be taken in any order. NaN and infinity keep their meaning.
"""

# mypy: disable-error-code="no-untyped-def"
# numba infers the types.

from __future__ import annotations

import math

import numpy as np
from numba import njit

_FASTMATH = {"reassoc", "contract", "arcp"}
_compiled = njit(cache=True, error_model="numpy", fastmath=_FASTMATH)
_inlined = njit(error_model="numpy", fastmath=_FASTMATH, inline="always")

_TINY = 1e-300  # keeps 0 / 0 out where the answer is not used


@_compiled
def difference_energies(image):
    """Mean squared difference of neighbours: in a row, and in a column."""
    height, width = image.shape
    across, down = 0.0, 0.0
    for y in range(height):
        for x in range(width - 1):
            across += (image[y, x + 1] - image[y, x]) ** 2
    for y in range(height - 1):
        for x in range(width):
            down += (image[y + 1, x] - image[y, x]) ** 2
    return across / (height * (width - 1)), down / ((height - 1) * width)


@_inlined
def _slope(across, down):
    return math.sqrt((across * across + down * down) * 0.5)


@_compiled
def mean_gradient(image):
    """Mean of sqrt((gx^2 + gy^2) / 2): central differences, one-sided at the border."""
    height, width = image.shape
    total = 0.0
    for y in range(height):
        above, below, row = image[max(y - 1, 0)], image[min(y + 1, height - 1)], image[y]
        step = 0.5 if 0 < y < height - 1 else 1.0
        for x in range(1, width - 1):
            total += _slope((row[x + 1] - row[x - 1]) * 0.5, (below[x] - above[x]) * step)
        total += _slope(row[1] - row[0], (below[0] - above[0]) * step)
        total += _slope(row[width - 1] - row[width - 2], (below[width - 1] - above[width - 1]) * step)
    return total / image.size


@_inlined
def _exp(z):
    """exp(z) for -40 <= z <= 40 as (Taylor series at z / 64)^64; good to 1e-10 where |z| <= 11."""
    z = z * (1 / 64)
    power = 1 + z * (1 + z / 2 * (1 + z / 3 * (1 + z / 4 * (1 + z / 5 * (1 + z / 6 * (1 + z / 7 * (1 + z / 8)))))))
    power *= power
    power *= power
    power *= power
    power *= power
    power *= power
    return power * power


@_inlined
def _acute_angle(opposite, adjacent):
    """atan(opposite / adjacent) of two lengths, 0 to pi/2, good to 1e-10; 0 where both are 0."""
    t = min(opposite, adjacent) / max(max(opposite, adjacent), _TINY)
    # Halve the angle twice: then seven terms of the series are enough.
    t = t / (1 + math.sqrt(1 + t * t))
    t = t / (1 + math.sqrt(1 + t * t))
    u = t * t
    series = 1 + u * (-1 / 3 + u * (1 / 5 + u * (-1 / 7 + u * (1 / 9 + u * (-1 / 11 + u * (1 / 13))))))
    angle = 4 * t * series
    return math.pi / 2 - angle if opposite > adjacent else angle


@_compiled
def _fetch(images, y, mirrored, rows):
    """Rows y - 1, y and y + 1 of images [3,H,W] into rows [3,3,W+2]; outside lie mirrored pixels, or zeros."""
    height, width = images.shape[1], images.shape[2]
    for image in range(3):
        for k in range(3):
            source, target = abs(y + k - 1), rows[image, k]
            source = source if source < height else 2 * height - 2 - source
            target[:] = 0.0
            if mirrored or source == y + k - 1:
                target[1 : width + 1] = images[image, source]
            if mirrored:
                target[0], target[width + 1] = target[2], target[width - 1]


@_inlined
def _sobel(rows, x):
    """Leftward and downward Sobel responses, and strength, at pixel x of the middle one of three framed rows."""
    above, row, below = rows[0], rows[1], rows[2]
    left = above[x] + 2 * row[x] + below[x]
    right = above[x + 2] + 2 * row[x + 2] + below[x + 2]
    gx = left - right
    gy = below[x] + 2 * below[x + 1] + below[x + 2] - above[x] - 2 * above[x + 1] - above[x + 2]
    return gx, gy, math.sqrt(gx * gx + gy * gy)


@_inlined
def _kept_edge(sx, sy, s, fx, fy, f):
    """Share of the source's edge (sx, sy) of strength s > 0 that the fused edge (fx, fy) of strength f keeps."""
    ratio = min(s, f) / max(max(s, f), _TINY)
    ratio = min(f, 3.0) if s == f else ratio  # the evaluator's f, which from 3 on gives the same to 1e-16
    fy = 1.0 if f == 0 else fy
    # Angles are atan(gy / gx) in (-pi/2, pi/2]: the side on which each gradient lies decides the sign.
    side = (sx if sx != 0 else sy) * (fx if fx != 0 else fy)
    adjacent = sx * fx + sy * fy
    apart = _acute_angle(abs(sy * fx - sx * fy), abs(adjacent))
    apart = math.pi - apart if adjacent * side < 0 else apart
    agreement = 1 - apart * (2 / math.pi)
    return 0.9994 * 0.9879 / ((1 + _exp(-15 * (ratio - 0.5))) * (1 + _exp(-22 * (agreement - 0.8))))


@_compiled
def _row_kept(fused, visible, thermal):
    kept, available = 0.0, 0.0
    for x in range(fused.shape[1] - 2):
        fx, fy, f = _sobel(fused, x)
        vx, vy, v = _sobel(visible, x)
        tx, ty, t = _sobel(thermal, x)
        available += v + t
        kept += v * _kept_edge(vx, vy, v, fx, fy, f) + t * _kept_edge(tx, ty, t, fx, fy, f)
    return kept, available


@_compiled
def edges_kept(images):
    """Edge strength kept and edge strength available in fused, visible, thermal [3,H,W]; zeros outside."""
    rows, kept, available = np.empty((3, 3, images.shape[2] + 2)), 0.0, 0.0
    for y in range(images.shape[1]):
        _fetch(images, y, False, rows)
        row_kept, row_available = _row_kept(rows[0], rows[1], rows[2])
        kept, available = kept + row_kept, available + row_available
    return kept, available


@_inlined
def _lost_edge(sx, sy, s, fx, fy, f):
    """Share of a source's edge that the fused edge, the stronger of the two, does not keep."""
    sy = 1.0 if s == 0 else sy
    # | |difference of the angles| - pi/2 | is pi/2 less the acute angle between the edges.
    agreement = 1 - _acute_angle(abs(sy * fx - sx * fy), abs(sx * fx + sy * fy)) * (2 / math.pi)
    by_strength = 1 + _exp(-19 * (min(s / max(f, _TINY), 1.0) - 0.5))
    return 1 - math.sqrt(0.9999 * 0.9995 / (by_strength * (1 + _exp(-22 * (agreement - 0.5)))))


@_compiled
def _row_artefacts(fused, visible, thermal):
    added, available = 0.0, 0.0
    for x in range(fused.shape[1] - 2):
        fx, fy, f = _sobel(fused, x)
        vx, vy, v = _sobel(visible, x)
        tx, ty, t = _sobel(thermal, x)
        f, v, t = f * 0.125, v * 0.125, t * 0.125
        weight_v, weight_t = v * math.sqrt(v) if v >= 2 else 0.001, t * math.sqrt(t) if t >= 2 else 0.001
        available += weight_v + weight_t
        lost = weight_v * _lost_edge(vx, vy, v, fx, fy, f) + weight_t * _lost_edge(tx, ty, t, fx, fy, f)
        added += lost if f > max(v, t) else 0.0
    return added, available


@_compiled
def artefacts(images):
    """Weight of the artefacts and of all edges in fused, visible, thermal [3,H,W]; mirrored pixels outside."""
    rows, added, available = np.empty((3, 3, images.shape[2] + 2)), 0.0, 0.0
    for y in range(images.shape[1]):
        _fetch(images, y, True, rows)
        row_added, row_available = _row_artefacts(rows[0], rows[1], rows[2])
        added, available = added + row_added, available + row_available
    return added, available
