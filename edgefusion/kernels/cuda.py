"""``Pack`` and ``Unpack`` for a GPU, and for numba's simulator of one. Nothing is allocated after construction.

Images are given as what their buffers hold, little-endian words [ceil(bytes / 4)] uint32 in memory that the GPU
reaches, because that is how it reads them best. Whatever numba takes as a device array will do for any array here.

Every call only enqueues work on the stream.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numba import cuda

from edgefusion.core.frames import Form, PixelFormat
from edgefusion.core.geometry import Registration
from edgefusion.kernels import cuda_pack, cuda_unpack
from edgefusion.kernels.cpu import SamplingTable, check_packable, sampling_table
from edgefusion.kernels.cuda_jit import THREADS
from edgefusion.kernels.layout import CODES, HISTOGRAM_BITS, PHASES, THERMAL, VISIBLE, tensor_size

DeviceArray = Any
"""A device array of numba's, or what has ``__cuda_array_interface__``."""

_KINDS = {
    PixelFormat.GREY: cuda_pack.SHALLOW,
    PixelFormat.Y16: cuda_pack.DEEP,
    PixelFormat.Y16_BE: cuda_pack.DEEP_SWAPPED,
}

_TAKERS = 8
"""Blocks that hand a histogram out."""


class Pack:
    """Turns frame pairs of one size and format into the student's input tensor.

    Args:
        visible: format and (width, height) of the visible frames.
        thermal: format and (width, height) of the thermal frames.
        registration: for these sizes.
        bits: significant bits of a Y16 reading.
        stream: a stream of numba's; 0 is the default stream.

    Attributes:
        bin_width: how many counts wide each bin of the histogram is.
        bins: of the histogram; 0 for GREY.
    """

    def __init__(
        self, visible: Form, thermal: Form, *, registration: Registration, bits: int = 16, stream: Any = 0
    ) -> None:
        check_packable(visible, thermal)
        shift = max(bits - HISTOGRAM_BITS, 0)
        self.bin_width, self.bins = 1 << shift, 2**HISTOGRAM_BITS if thermal[0].deep else 0
        self._stream = stream
        self._hold(sampling_table(visible[1], thermal[1], registration))
        self._readings = cuda.to_device(np.zeros(thermal[1][0] * thermal[1][1], np.uint16), stream=stream)
        self._histogram = cuda.to_device(np.zeros(self.bins, np.uint32), stream=stream)
        width, height = tensor_size(visible[1])
        self._stage = _on(stream, cuda_pack.stage, _blocks(_word_count(thermal)))
        self._take = _on(stream, cuda_pack.take, _TAKERS)
        self._pack = _on(stream, cuda_pack.pack, (_blocks(width // PHASES), height))
        self._kind, self._shift = np.int32(_KINDS[thermal[0]]), np.int32(shift)
        self._shape = np.int32(CODES[visible[0]]), np.int32(visible[1][0]), np.int32(visible[1][1])
        self._columns = np.int32(thermal[1][0])
        self._no_words = cuda.to_device(np.zeros(1, np.uint32), stream=stream)

    def __call__(self, visible: DeviceArray, thermal: DeviceArray, x: DeviceArray, *, low: float, high: float) -> None:
        """Write the tensor of a pair.

        Args:
            visible: words of the visible frame.
            thermal: words of the thermal frame.
            x: [32, H/4, W/4] float16 or float32, written: 16 visible luma phases, then 16 thermal phases, in 0..1.
            low: the thermal reading that becomes 0.
            high: the thermal reading that becomes 1.
        """
        self._stage(thermal, self._kind, self._readings, self._histogram, self._shift)
        self._run(VISIBLE | THERMAL, visible, x, low=low, high=high)

    def pack_visible(self, visible: DeviceArray, x: DeviceArray) -> None:
        """Write the luma phases ``x[:16]`` alone."""
        self._run(VISIBLE, visible, x)

    def pack_thermal(self, thermal: DeviceArray, x: DeviceArray, *, low: float, high: float) -> None:
        """Write the thermal phases ``x[16:]`` alone."""
        self._stage(thermal, self._kind, self._readings, self._histogram, self._shift)
        self._run(THERMAL, self._no_words, x, low=low, high=high)

    def register(self, table: SamplingTable) -> None:
        """From the next frame on thermal is sampled by another table of ``sampling_table``, for the same sizes.

        Copied to the GPU in the stream's order: what was enqueued before still reads the old one.
        """
        if self._at.shape == table[0].shape:  # in place: to free memory would wait for the whole GPU
            for held, part in zip((self._at, self._fraction), table, strict=True):
                held.copy_to_device(part, stream=self._stream)
        else:
            self._hold(table)

    def _hold(self, table: SamplingTable) -> None:
        self._at, self._fraction = (cuda.to_device(part, stream=self._stream) for part in table)

    def take_histogram(self, out: DeviceArray) -> None:
        """Write the histogram of the thermal frames packed since the last call into ``out`` [bins] uint32."""
        if self.bins:
            self._take(self._histogram, out)

    def _run(self, parts: int, visible: DeviceArray, x: DeviceArray, *, low: float = 0, high: float = 1) -> None:
        scale = np.float32(1 / max(high - low, 1e-6))
        table = self._readings, self._columns, self._at, self._fraction
        self._pack(np.int32(parts), visible, *self._shape, *table, np.float32(low), scale, x)


class Unpack:
    """Turns the student's output and the visible frame it came from into an RGB image.

    Args:
        visible: format and (width, height) of the visible frames.
        stream: a stream of numba's; 0 is the default stream.
    """

    def __init__(self, visible: Form, *, stream: Any = 0) -> None:
        width, height = visible[1]
        self._unpack = _on(stream, cuda_unpack.unpack, (_blocks(tensor_size(visible[1])[0] // PHASES), height))
        self._code, self._grey = np.int32(CODES[visible[0]]), np.int32(CODES[PixelFormat.GREY])
        self._size = np.int32(width), np.int32(height)
        self._no_words = cuda.to_device(np.zeros(1, np.uint32), stream=stream)

    def __call__(self, y: DeviceArray, visible: DeviceArray, rgb: DeviceArray) -> None:
        """Write the fused image.

        Args:
            y: [16, H/4, W/4] float16 or float32, fused luma phases in 0..1.
            visible: words of the visible frame, whose chroma is kept.
            rgb: [H * W * 3] uint8, written.
        """
        self._unpack(y, visible, self._code, *self._size, rgb)

    def grey(self, phases: DeviceArray, rgb: DeviceArray) -> None:
        """Write 16 phases [16, H/4, W/4] in 0..1 as a grey image ``rgb`` [H * W * 3], without the padding."""
        self._unpack(phases, self._no_words, self._grey, *self._size, rgb)


def _word_count(form: Form) -> int:
    """4-byte words that a frame of this form takes."""
    pixel_format, size = form
    return -(-pixel_format.nbytes(*size) // 4)


def _blocks(threads: int) -> int:
    return -(-threads // THREADS)


def _on(stream: Any, kernel: Any, grid: int | tuple[int, int]) -> Any:
    """The kernel to be called, on a stream, with so many blocks."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Grid size")  # a small image has few blocks, and numba warns of that
        return kernel[grid, THREADS, stream]
