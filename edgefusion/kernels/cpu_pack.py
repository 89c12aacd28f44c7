"""The kernel that packs, compiled for the CPU from ``kernels.pixels``.

It walks the image in bands of four rows, one row of the pixel-unshuffled tensor each, and holds one image
row at a time in a small scratch array per thread, so that every input byte is read once and every output
byte written once.
"""

# mypy: disable-error-code="no-untyped-def"
# numba infers the types.

from __future__ import annotations

import numpy as np
from numba import prange

from edgefusion.kernels import pixels
from edgefusion.kernels.cpu_jit import compiled, freed, pixel, threaded
from edgefusion.kernels.layout import NV12, RGB24, THERMAL, UNSEEN, UYVY, VISIBLE, YUYV

_FRACTION = np.float32(1 / 256)
_LOW_BYTES, _BYTE = np.uint32(0x00FF00FF), np.uint32(8)

_luma_from_rgb = pixel(pixels.luma_from_rgb)
_luma_from_yuv = pixel(pixels.luma_from_yuv)
_luma_from_grey = pixel(pixels.luma_from_grey)
_normalise = pixel(pixels.normalise)
_interpolate = pixel(pixels.interpolate)
_swap_bytes = pixel(pixels.swap_bytes)


@compiled
def _load_visible(visible, code, y, width, row):
    """Luma of image row ``y`` into ``row``."""
    if code == RGB24:
        line = visible[3 * width * y : 3 * width * (y + 1)]
        for x in range(width):
            row[x] = _luma_from_rgb(line[3 * x], line[3 * x + 1], line[3 * x + 2])
    elif code == NV12:
        line = visible[width * y : width * (y + 1)]
        for x in range(width):
            row[x] = _luma_from_yuv(line[x])
    elif code in (YUYV, UYVY):
        first = 1 if code == UYVY else 0
        line = visible[2 * width * y + first : 2 * width * (y + 1)]
        for x in range(width):
            row[x] = _luma_from_yuv(line[2 * x])
    else:
        line = visible[width * y : width * (y + 1)]
        for x in range(width):
            row[x] = _luma_from_grey(line[x])


@compiled
def _load_thermal(thermal, swapped, y, width, low, scale, row):
    """Thermal row ``y``, normalised, into ``row``: the registered case, pixel for pixel."""
    line = thermal[width * y : width * (y + 1)]
    if swapped:
        for x in range(width):
            row[x] = _normalise(_swap_bytes(line[x]), low, scale)
    else:
        for x in range(width):
            row[x] = _normalise(line[x], low, scale)


@compiled
def _kept(u, v, ahead, columns, rows):
    """A thermal point as the table keeps it: index of the top-left neighbour, and 8-bit fractions."""
    last_x, last_y = columns - 1, rows - 1
    px, py = min(max(u, 0.0), last_x), min(max(v, 0.0), last_y)
    left, top = min(int(px), columns - 2), min(int(py), rows - 2)
    right, down = min(int((px - left) * 256 + 0.5), 255), min(int((py - top) * 256 + 0.5), 255)
    seen = ahead and abs(u - px) <= 0.5 and abs(v - py) <= 0.5
    return (0 if seen else UNSEEN) | (top * columns + left), right << 8 | down


@freed
def locate(h, columns, rows, at, fraction):
    """Where each visible pixel falls in the thermal image, by a homography."""
    for y in range(at.shape[0]):
        for x in range(at.shape[1]):
            w = h[2, 0] * x + h[2, 1] * y + h[2, 2]
            u, v = (h[0, 0] * x + h[0, 1] * y + h[0, 2]) / w, (h[1, 0] * x + h[1, 1] * y + h[1, 2]) / w
            at[y, x], fraction[y, x] = _kept(u, v, w > 0, columns, rows)


@compiled
def _among(place, last):
    """A place among nodes: the node before it, and how far it is from there to the next."""
    first = min(max(int(place), 0), last - 1)
    return first, place - first


@compiled
def _line(nodes, place, line):
    """Displacements [2, C] along a row at this place among the nodes' rows."""
    row, part = _among(place, nodes.shape[0] - 1)
    for column in range(line.shape[1]):
        for axis in range(2):
            line[axis, column] = nodes[row, column, axis] * (1 - part) + nodes[row + 1, column, axis] * part


@freed
def locate_bent(h, nodes, place, columns, rows, at, fraction):
    """Where each visible pixel falls in the thermal image, by a homography and the bend added to it."""
    width, last = at.shape[1], nodes.shape[1] - 1
    first, part = np.empty(width, np.int64), np.empty(width, np.float64)
    line, bend = np.empty((2, nodes.shape[1]), np.float64), np.empty((2, width), np.float64)
    for x in range(width):
        first[x], part[x] = _among(place[0, 0] * x + place[0, 2], last)
    for y in range(at.shape[0]):
        _line(nodes, place[1, 1] * y + place[1, 2], line)
        for x in range(width):
            bend[0, x] = line[0, first[x]] * (1 - part[x]) + line[0, first[x] + 1] * part[x]
            bend[1, x] = line[1, first[x]] * (1 - part[x]) + line[1, first[x] + 1] * part[x]
        for x in range(width):
            w = h[2, 0] * x + h[2, 1] * y + h[2, 2]
            u = (h[0, 0] * x + h[0, 1] * y + h[0, 2]) / w + bend[0, x]
            v = (h[1, 0] * x + h[1, 1] * y + h[1, 2]) / w + bend[1, x]
            at[y, x], fraction[y, x] = _kept(u, v, w > 0, columns, rows)


@compiled
def _fetch(neighbours, columns, at, above, below):
    """The two neighbours above and the two below, fetched as one number each."""
    pitch = np.uint64(columns)
    for x in range(at.size):
        i = np.uint64(at[x] & ~UNSEEN)
        above[x] = neighbours[i]
        below[x] = neighbours[i + pitch]


@compiled
def _swap_both(numbers):
    """Exchange the bytes of both 16-bit readings in each number."""
    for x in range(numbers.size):
        numbers[x] = (numbers[x] & _LOW_BYTES) << _BYTE | (numbers[x] >> _BYTE) & _LOW_BYTES


@compiled
def _blend(above, below, bits, at, fraction, low, scale, row):
    """Interpolated and normalised; 0 outside the thermal image."""
    shift, mask = np.uint32(bits), np.uint32((1 << bits) - 1)
    for x in range(at.size):
        count = _interpolate(
            np.float32(np.int32(above[x] & mask)),
            np.float32(np.int32(above[x] >> shift)),
            np.float32(np.int32(below[x] & mask)),
            np.float32(np.int32(below[x] >> shift)),
            np.float32(np.int32(fraction[x] >> 8)) * _FRACTION,
            np.float32(np.int32(fraction[x] & 255)) * _FRACTION,
        )
        row[x] = _normalise(count, low, scale) * np.float32(np.int32(~at[x] >> np.uint32(31)))


@compiled
def _scatter(row, width, k, band, x):
    """Deal a row of pixels to its four phases, reflecting it at the right edge up to the tensor's width."""
    first, second, third, fourth = x[k, band], x[k + 1, band], x[k + 2, band], x[k + 3, band]
    for i in range(width, 4 * first.size):
        row[i] = row[max(2 * width - 2 - i, 0)]
    for i in range(first.size):
        first[i] = row[4 * i]
        second[i] = row[4 * i + 1]
        third[i] = row[4 * i + 2]
        fourth[i] = row[4 * i + 3]


@compiled
def _count(thermal, swapped, histogram, shift):
    """Count readings into a histogram of ``reading >> shift``."""
    histogram[:] = 0
    last = histogram.size - 1
    if swapped:
        for reading in thermal:
            histogram[min(np.int64(_swap_bytes(reading)) >> shift, last)] += 1
    else:
        for reading in thermal:
            histogram[min(np.int64(reading) >> shift, last)] += 1


@threaded
def pack(
    parts,
    visible,
    code,
    width,
    height,
    thermal,
    swapped,
    neighbours,
    columns,
    at,
    fraction,
    low,
    scale,
    floats,
    integers,
    histograms,
    shift,
    x,
):
    """Both parts of the tensor, or one, and the histogram of the thermal part."""
    workers = floats.shape[0]
    bands = x.shape[1]
    for worker in prange(workers):
        row, warped, above, below = floats[worker, 0], floats[worker, 1], integers[worker, 0], integers[worker, 1]
        for band in range(worker * bands // workers, (worker + 1) * bands // workers):
            for dy in range(4):
                y = 4 * band + dy
                if y >= height:
                    y = max(2 * height - 2 - y, 0)
                if parts & VISIBLE:
                    _load_visible(visible, code, y, width, row)
                    _scatter(row, width, 4 * dy, band, x)
                if parts & THERMAL:
                    if neighbours.size == 0:
                        _load_thermal(thermal, swapped, y, width, low, scale, warped)
                    else:
                        _fetch(neighbours, columns, at[y], above, below)
                        if swapped:
                            _swap_both(above)
                            _swap_both(below)
                        _blend(above, below, 8 * thermal.itemsize, at[y], fraction[y], low, scale, warped)
                    _scatter(warped, width, 16 + 4 * dy, band, x)
        if parts & THERMAL and histograms.shape[1] > 0:
            part = thermal[worker * thermal.size // workers : (worker + 1) * thermal.size // workers]
            _count(part, swapped, histograms[worker], shift)
