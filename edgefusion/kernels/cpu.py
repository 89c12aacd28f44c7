"""``Pack`` and ``Unpack`` for the CPU: numba around ``kernels.pixels``.

Both walk the image in bands of four rows, one row of the pixel-unshuffled tensor each, and hold one image
row at a time in a small scratch array per thread, so that every input byte is read once and every output
byte written once. Nothing is allocated after construction.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import get_num_threads, njit, prange

from edgefusion.core.errors import InputError
from edgefusion.core.frames import THERMAL_FORMATS, VISIBLE_FORMATS, Frame, FramePair, PixelFormat, Pixels
from edgefusion.core.geometry import Matrix, Size, is_identity
from edgefusion.kernels import pixels

PHASES = 4
"""Side of the square of pixels that one tensor position holds."""

HISTOGRAM_BITS = 14
"""The thermal histogram has ``2 ** HISTOGRAM_BITS`` bins."""

Tensor = npt.NDArray[np.float32]

_RGB24, _NV12, _YUYV, _GREY = range(4)
_CODES = {PixelFormat.RGB24: _RGB24, PixelFormat.NV12: _NV12, PixelFormat.YUYV: _YUYV, PixelFormat.GREY: _GREY}
_WHITE = pixels.WHITE
_UNSEEN = np.uint32(1 << 31)
"""Marks, in the sampling table, a visible pixel that the thermal camera does not see."""
_FRACTION = np.float32(1 / 256)


def _pixel(function: Any) -> Any:
    return njit(function, inline="always")


_compiled = njit(cache=True, error_model="numpy")


_luma_from_rgb = _pixel(pixels.luma_from_rgb)
_luma_from_yuv = _pixel(pixels.luma_from_yuv)
_luma_from_grey = _pixel(pixels.luma_from_grey)
_normalise = _pixel(pixels.normalise)
_interpolate = _pixel(pixels.interpolate)
_to_byte = _pixel(pixels.to_byte)
_red_from_yuv = _pixel(pixels.red_from_yuv)
_green_from_yuv = _pixel(pixels.green_from_yuv)
_blue_from_yuv = _pixel(pixels.blue_from_yuv)


def tensor_size(size_px: Size) -> Size:
    """The image size, padded up to a multiple of four."""
    return (-(-size_px[0] // PHASES) * PHASES, -(-size_px[1] // PHASES) * PHASES)


def shuffle(phases: Tensor) -> Tensor:
    """[H, W] image of its 16 phases [16, H/4, W/4], padding included. For pictures, not for the hot path."""
    rows, columns = phases.shape[1:]
    image: Tensor = phases.reshape(PHASES, PHASES, rows, columns).transpose(2, 0, 3, 1)
    return np.reshape(image, (PHASES * rows, PHASES * columns))


@_compiled
def _load_visible(visible, code, y, width, row):  # type: ignore[no-untyped-def]
    """Luma of image row ``y`` into ``row``."""
    if code == _RGB24:
        line = visible[3 * width * y : 3 * width * (y + 1)]
        for x in range(width):
            row[x] = _luma_from_rgb(line[3 * x], line[3 * x + 1], line[3 * x + 2])
    elif code == _NV12:
        line = visible[width * y : width * (y + 1)]
        for x in range(width):
            row[x] = _luma_from_yuv(line[x])
    elif code == _YUYV:
        line = visible[2 * width * y : 2 * width * (y + 1)]
        for x in range(width):
            row[x] = _luma_from_yuv(line[2 * x])
    else:
        line = visible[width * y : width * (y + 1)]
        for x in range(width):
            row[x] = _luma_from_grey(line[x])


@_compiled
def _load_thermal(thermal, y, width, low, scale, row):  # type: ignore[no-untyped-def]
    """Thermal row ``y``, normalised, into ``row``: the registered case, pixel for pixel."""
    line = thermal[width * y : width * (y + 1)]
    for x in range(width):
        row[x] = _normalise(line[x], low, scale)


@_compiled
def _locate(h, columns, rows, at, fraction):  # type: ignore[no-untyped-def]
    """Where each visible pixel falls in the thermal image: index of the top-left neighbour, and 8-bit fractions."""
    last_x, last_y = columns - 1, rows - 1
    for y in range(at.shape[0]):
        for x in range(at.shape[1]):
            w = h[2, 0] * x + h[2, 1] * y + h[2, 2]
            u, v = (h[0, 0] * x + h[0, 1] * y + h[0, 2]) / w, (h[1, 0] * x + h[1, 1] * y + h[1, 2]) / w
            px, py = min(max(u, 0.0), last_x), min(max(v, 0.0), last_y)
            left, top = min(int(px), columns - 2), min(int(py), rows - 2)
            right, down = min(int((px - left) * 256 + 0.5), 255), min(int((py - top) * 256 + 0.5), 255)
            seen = w > 0 and abs(u - px) <= 0.5 and abs(v - py) <= 0.5
            at[y, x] = (0 if seen else _UNSEEN) | (top * columns + left)
            fraction[y, x] = right << 8 | down


@_compiled
def _fetch(neighbours, columns, at, above, below):  # type: ignore[no-untyped-def]
    """The two neighbours above and the two below, fetched as one number each."""
    pitch = np.uint64(columns)
    for x in range(at.size):
        i = np.uint64(at[x] & ~_UNSEEN)
        above[x] = neighbours[i]
        below[x] = neighbours[i + pitch]


@_compiled
def _blend(above, below, bits, at, fraction, low, scale, row):  # type: ignore[no-untyped-def]
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


@_compiled
def _scatter(row, width, first, second, third, fourth):  # type: ignore[no-untyped-def]
    """Deal a row of pixels to its four phases, reflecting it at the right edge up to the tensor's width."""
    for x in range(width, 4 * first.size):
        row[x] = row[max(2 * width - 2 - x, 0)]
    for i in range(first.size):
        first[i] = row[4 * i]
        second[i] = row[4 * i + 1]
        third[i] = row[4 * i + 2]
        fourth[i] = row[4 * i + 3]


@_compiled
def _count(thermal, histogram, shift):  # type: ignore[no-untyped-def]
    """Add readings to a histogram of ``reading >> shift``."""
    for reading in thermal:
        histogram[min(np.int64(reading) >> shift, histogram.size - 1)] += 1


@njit(cache=True, parallel=True, error_model="numpy")
def _pack(  # type: ignore[no-untyped-def]
    visible,
    code,
    width,
    height,
    thermal,
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
    workers = floats.shape[0]
    bands = x.shape[1]
    for worker in prange(workers):
        row, warped, above, below = floats[worker, 0], floats[worker, 1], integers[worker, 0], integers[worker, 1]
        for band in range(worker * bands // workers, (worker + 1) * bands // workers):
            for dy in range(4):
                y = 4 * band + dy
                if y >= height:
                    y = max(2 * height - 2 - y, 0)
                _load_visible(visible, code, y, width, row)
                if neighbours.size == 0:
                    _load_thermal(thermal, y, width, low, scale, warped)
                else:
                    _fetch(neighbours, columns, at[y], above, below)
                    _blend(above, below, 8 * thermal.itemsize, at[y], fraction[y], low, scale, warped)
                k = 4 * dy
                _scatter(row, width, x[k, band], x[k + 1, band], x[k + 2, band], x[k + 3, band])
                k += 16
                _scatter(warped, width, x[k, band], x[k + 1, band], x[k + 2, band], x[k + 3, band])
        if histograms.shape[1] > 0:
            histograms[worker, :] = 0
            part = thermal[worker * thermal.size // workers : (worker + 1) * thermal.size // workers]
            _count(part, histograms[worker], shift)


@_compiled
def _gather(first, second, third, fourth, row):  # type: ignore[no-untyped-def]
    for i in range(first.size):
        row[4 * i] = first[i]
        row[4 * i + 1] = second[i]
        row[4 * i + 2] = third[i]
        row[4 * i + 3] = fourth[i]


@_compiled
def _merge_rgb24(line, row, out):  # type: ignore[no-untyped-def]
    """Adding the change of luma to R, G and B keeps Cb and Cr exactly."""
    for x in range(out.size // 3):
        i = 3 * x
        change = (row[x] - _luma_from_rgb(line[i], line[i + 1], line[i + 2])) * _WHITE
        out[i] = _to_byte(np.float32(line[i]) + change)
        out[i + 1] = _to_byte(np.float32(line[i + 1]) + change)
        out[i + 2] = _to_byte(np.float32(line[i + 2]) + change)


@_compiled
def _merge_chroma(chroma, pitch, blue, red, row, out):  # type: ignore[no-untyped-def]
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


@_compiled
def _merge_grey(row, out):  # type: ignore[no-untyped-def]
    for x in range(out.size // 3):
        grey = _to_byte(row[x] * _WHITE)
        out[3 * x] = grey
        out[3 * x + 1] = grey
        out[3 * x + 2] = grey


@njit(cache=True, parallel=True, error_model="numpy")
def _unpack(y, visible, code, width, height, scratch, rgb):  # type: ignore[no-untyped-def]
    workers = scratch.shape[0]
    for worker in prange(workers):
        row = scratch[worker]
        for line in range(worker * height // workers, (worker + 1) * height // workers):
            band, k = line // 4, 4 * (line % 4)
            _gather(y[k, band], y[k + 1, band], y[k + 2, band], y[k + 3, band], row)
            out = rgb[3 * width * line : 3 * width * (line + 1)]
            if code == _RGB24:
                _merge_rgb24(visible[3 * width * line : 3 * width * (line + 1)], row, out)
            elif code == _NV12:
                start = width * (height + line // 2)
                _merge_chroma(visible[start : start + width], 2, 0, 1, row, out)
            elif code == _YUYV:
                _merge_chroma(visible[2 * width * line : 2 * width * (line + 1)], 4, 1, 3, row, out)
            else:
                _merge_grey(row, out)


class Pack:
    """Turns frame pairs of one size and format into the student's input tensor.

    Args:
        visible: format and (width, height) of the visible frames.
        thermal: format and (width, height) of the thermal frames.
        registration: [3, 3], visible pixel -> thermal point, in these sizes.
        bits: significant bits of a Y16 thermal reading.

    Raises:
        InputError: a format that is not a visible or a thermal one, or a thermal image under 2 x 2.
    """

    def __init__(
        self,
        visible: tuple[PixelFormat, Size],
        thermal: tuple[PixelFormat, Size],
        *,
        registration: Matrix,
        bits: int = 16,
    ) -> None:
        if visible[0] not in VISIBLE_FORMATS or thermal[0] not in THERMAL_FORMATS:
            raise InputError(f"no kernel packs {visible[0].value} visible with {thermal[0].value} thermal")
        if min(thermal[1]) < 2:
            raise InputError(f"a thermal image of {thermal[1][0]}x{thermal[1][1]} pixels is too small")
        self.visible, self.thermal = visible, thermal
        self._registered = is_identity(registration) and visible[1] == thermal[1]
        rows = 0 if self._registered else visible[1][1]
        self._at, self._fraction = (
            np.empty((rows, visible[1][0]), np.uint32),
            np.empty((rows, visible[1][0]), np.uint16),
        )
        _locate(registration, *thermal[1], self._at, self._fraction)
        width, _ = tensor_size(visible[1])
        workers = get_num_threads()
        counted = thermal[0] is PixelFormat.Y16
        self._shift = max(bits - HISTOGRAM_BITS, 0)
        self._floats = np.empty((workers, 2, width), np.float32)
        self._integers = np.empty((workers, 2, width), np.uint32)
        self._histograms = np.zeros((workers, 2**HISTOGRAM_BITS if counted else 0), np.uint32)
        self._histogram = np.zeros(self._histograms.shape[1], np.uint32)

    def __call__(self, pair: FramePair, x: Tensor, *, low: float, high: float) -> None:
        """Write the tensor of a pair.

        Args:
            pair: frames of the sizes and formats given at construction.
            x: [32, H/4, W/4], written: 16 visible luma phases, then 16 thermal phases, in 0..1.
            low: the thermal reading that becomes 0.
            high: the thermal reading that becomes 1.
        """
        for frame, expected in ((pair.visible, self.visible), (pair.thermal, self.thermal)):
            if (frame.format, frame.size_px) != expected:
                raise _changed(frame, expected)
        thermal = pair.thermal.pixels.reshape(-1)
        _pack(
            pair.visible.pixels.reshape(-1),
            _CODES[self.visible[0]],
            *self.visible[1],
            thermal,
            _neighbours(thermal, 0 if self._registered else thermal.size - 1),
            self.thermal[1][0],
            self._at,
            self._fraction,
            np.float32(low),
            np.float32(1 / max(high - low, 1e-6)),
            self._floats,
            self._integers,
            self._histograms,
            self._shift,
            x,
        )

    def histogram(self) -> tuple[npt.NDArray[np.uint32], int]:
        """Histogram of the last Y16 thermal frame, and how many counts wide each bin is; empty for GREY."""
        self._histogram[:] = self._histograms[0]
        for part in self._histograms[1:]:  # one by one: NumPy's sum over an axis may allocate a buffer each time
            np.add(self._histogram, part, out=self._histogram)
        return self._histogram, 1 << self._shift


class Unpack:
    """Turns the student's output and the visible frame it came from into an RGB image.

    Args:
        visible: format and (width, height) of the visible frames.
    """

    def __init__(self, visible: tuple[PixelFormat, Size]) -> None:
        self.visible = visible
        self._scratch = np.empty((get_num_threads(), tensor_size(visible[1])[0]), np.float32)

    def __call__(self, y: Tensor, visible: Frame, rgb: Pixels) -> None:
        """Write the fused image.

        Args:
            y: [16, H/4, W/4], fused luma phases in 0..1.
            visible: the visible frame, whose chroma is kept.
            rgb: [H, W, 3] uint8, written.
        """
        if (visible.format, visible.size_px) != self.visible:
            raise _changed(visible, self.visible)
        width, height = self.visible[1]
        _unpack(y, visible.pixels.reshape(-1), _CODES[self.visible[0]], width, height, self._scratch, rgb.reshape(-1))


def to_rgb(visible: Frame) -> npt.NDArray[np.uint8]:
    """[H, W, 3] uint8: a visible frame as it is, whatever its format. For pictures, not for the hot path."""
    width, height = visible.size_px
    padded = tensor_size((width, height))
    x = np.empty((32, padded[1] // PHASES, padded[0] // PHASES), np.float32)
    blank = Frame(np.zeros((2, 2), np.uint8), PixelFormat.GREY, 0, visible.clock, 0)
    form = (visible.format, visible.size_px)
    pack = Pack(form, (PixelFormat.GREY, (2, 2)), registration=np.eye(3))
    pack(FramePair(visible, blank), x, low=0, high=1)
    rgb = np.empty((height, width, 3), np.uint8)
    Unpack(form)(x[:16], visible, rgb)
    return rgb


def _neighbours(thermal: Pixels, count: int) -> npt.NDArray[np.unsignedinteger[Any]]:
    """Each reading with its right neighbour as one unsigned number, as a view (both targets are little-endian)."""
    wide = np.uint16 if thermal.itemsize == 1 else np.uint32
    view: npt.NDArray[np.unsignedinteger[Any]] = np.ndarray((count,), wide, thermal, strides=(thermal.itemsize,))
    return view


def _changed(frame: Frame, expected: tuple[PixelFormat, Size]) -> InputError:
    width, height = frame.size_px
    return InputError(
        f"frame {frame.sequence} is {frame.format.value} {width}x{height}, "
        f"the ones before it were {expected[0].value} {expected[1][0]}x{expected[1][1]}"
    )
