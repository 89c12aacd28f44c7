"""``Pack`` and ``Unpack`` for the CPU. Nothing is allocated after construction."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import get_num_threads

from edgefusion.core.errors import InputError
from edgefusion.core.frames import THERMAL_FORMATS, VISIBLE_FORMATS, Form, Frame, FramePair, PixelFormat, Pixels
from edgefusion.core.geometry import Registration, Size
from edgefusion.kernels import cpu_pack
from edgefusion.kernels.cpu_unpack import unpack
from edgefusion.kernels.layout import (
    CODES,
    HISTOGRAM_BITS,
    PHASES,
    THERMAL,
    VISIBLE,
    Tensor,
    check_form,
    tensor_size,
)

Table = npt.NDArray[np.unsignedinteger[Any]]
SamplingTable = tuple[Table, Table]
"""What ``sampling_table`` makes."""

_NO_BYTES = np.zeros(0, np.uint8)


class Pack:
    """Turns frame pairs of one size and format into the student's input tensor.

    Args:
        visible: format and (width, height) of the visible frames.
        thermal: format and (width, height) of the thermal frames.
        registration: for these sizes.
        bits: significant bits of a Y16 reading.
    """

    def __init__(self, visible: Form, thermal: Form, *, registration: Registration, bits: int = 16) -> None:
        check_packable(visible, thermal)
        self.visible, self.thermal = visible, thermal
        self.register(sampling_table(visible[1], thermal[1], registration))
        width, _ = tensor_size(visible[1])
        workers = get_num_threads()
        self._shift = max(bits - HISTOGRAM_BITS, 0)
        self._floats = np.empty((workers, 2, width), np.float32)
        self._integers = np.empty((workers, 2, width), np.uint32)
        self._histograms = np.zeros((workers, 2**HISTOGRAM_BITS if thermal[0].deep else 0), np.uint32)
        self._histogram = np.zeros(self._histograms.shape[1], np.uint32)
        self._no_thermal = np.zeros(0, thermal[0].dtype)

    def __call__(self, pair: FramePair, x: Tensor, *, low: float, high: float) -> None:
        """Write the tensor of a pair.

        Args:
            pair: frames of the sizes and formats given at construction.
            x: [32, H/4, W/4], written: 16 visible luma phases, then 16 thermal phases, in 0..1.
            low: the thermal reading that becomes 0.
            high: the thermal reading that becomes 1.

        Raises:
            InputError: frames of another form.
        """
        check_form(pair.visible, self.visible)
        check_form(pair.thermal, self.thermal)
        self._run(VISIBLE | THERMAL, pair.visible.pixels, pair.thermal.pixels, x, low=low, high=high)

    def pack_visible(self, visible: Frame, x: Tensor) -> None:
        """Write the luma phases ``x[:16]`` alone."""
        check_form(visible, self.visible)
        self._run(VISIBLE, visible.pixels, self._no_thermal, x)

    def pack_thermal(self, thermal: Frame, x: Tensor, *, low: float, high: float) -> None:
        """Write the thermal phases ``x[16:]`` alone."""
        check_form(thermal, self.thermal)
        self._run(THERMAL, _NO_BYTES, thermal.pixels, x, low=low, high=high)

    def register(self, table: SamplingTable) -> None:
        """From the next frame on thermal is sampled by another table of ``sampling_table``, for the same sizes."""
        self._at, self._fraction = table

    def histogram(self) -> tuple[npt.NDArray[np.uint32], int]:
        """Histogram of the last Y16 thermal frame, and how many counts wide each bin is; empty for GREY."""
        self._histogram[:] = self._histograms[0]
        for part in self._histograms[1:]:  # one by one: NumPy's sum over an axis may allocate a buffer each time
            np.add(self._histogram, part, out=self._histogram)
        return self._histogram, 1 << self._shift

    def _run(self, parts: int, visible: Pixels, thermal: Pixels, x: Tensor, *, low: float = 0, high: float = 1) -> None:
        readings = thermal.reshape(-1)
        cpu_pack.pack(
            parts,
            visible.reshape(-1),
            CODES[self.visible[0]],
            *self.visible[1],
            readings,
            self.thermal[0] is PixelFormat.Y16_BE,
            _neighbours(readings, max(readings.size - 1, 0) if self._at.size else 0),
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


class Unpack:
    """Turns the student's output and the visible frame it came from into an RGB image.

    Args:
        visible: format and (width, height) of the visible frames.
    """

    def __init__(self, visible: Form) -> None:
        self.visible = visible
        self._scratch = np.empty((get_num_threads(), tensor_size(visible[1])[0]), np.float32)

    def __call__(self, y: Tensor, visible: Frame, rgb: Pixels) -> None:
        """Write the fused image.

        Args:
            y: [16, H/4, W/4], fused luma phases in 0..1.
            visible: the visible frame, whose chroma is kept.
            rgb: [H, W, 3] uint8, written.

        Raises:
            InputError: a frame of another form than the ones before it.
        """
        check_form(visible, self.visible)
        width, height = self.visible[1]
        unpack(y, visible.pixels.reshape(-1), CODES[self.visible[0]], width, height, self._scratch, rgb.reshape(-1))

    def grey(self, phases: Tensor, rgb: Pixels) -> None:
        """Write 16 phases [16, H/4, W/4] in 0..1 as a grey image ``rgb`` [H, W, 3], without the padding."""
        width, height = self.visible[1]
        unpack(phases, _NO_BYTES, CODES[PixelFormat.GREY], width, height, self._scratch, rgb.reshape(-1))


def to_rgb(visible: Frame) -> npt.NDArray[np.uint8]:
    """[H, W, 3] uint8: a visible frame as it is, whatever its format. For pictures, not for the hot path."""
    width, height = visible.size_px
    padded = tensor_size((width, height))
    x = np.empty((16, padded[1] // PHASES, padded[0] // PHASES), np.float32)
    Pack(visible.form, (PixelFormat.GREY, (2, 2)), registration=Registration(np.eye(3))).pack_visible(visible, x)
    rgb = np.empty((height, width, 3), np.uint8)
    Unpack(visible.form)(x, visible, rgb)
    return rgb


def check_packable(visible: Form, thermal: Form) -> None:
    """Raises InputError if no kernel packs frames of these forms together."""
    if visible[0] not in VISIBLE_FORMATS or thermal[0] not in THERMAL_FORMATS:
        raise InputError(f"no kernel packs {visible[0].value} visible with {thermal[0].value} thermal")
    if min(thermal[1]) < 2:
        raise InputError(f"a thermal image of {thermal[1][0]}x{thermal[1][1]} pixels is too small")


def sampling_table(visible: Size, thermal: Size, registration: Registration) -> SamplingTable:
    """Where each visible pixel falls in the thermal image, ``at`` [H, W] uint32 and ``fraction`` [H, W] uint16.

    Empty where the two images show the same view, pixel for pixel.
    """
    rows = 0 if registration.is_identity and visible == thermal else visible[1]
    at, fraction = np.empty((rows, visible[0]), np.uint32), np.empty((rows, visible[0]), np.uint16)
    bend = registration.bend
    if bend is None:
        cpu_pack.locate(registration.matrix, *thermal, at, fraction)
    else:
        cpu_pack.locate_bent(registration.matrix, bend.nodes, bend.place, *thermal, at, fraction)
    return at, fraction


def _neighbours(thermal: npt.NDArray[Any], count: int) -> Table:
    """Each reading with its right neighbour as one unsigned number, as a view (both targets are little-endian)."""
    wide = np.uint16 if thermal.itemsize == 1 else np.uint32
    view: Table = np.ndarray((count,), wide, thermal, strides=(thermal.itemsize,))
    return view
