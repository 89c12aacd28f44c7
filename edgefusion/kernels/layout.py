"""What every packing kernel agrees on: the tensor's layout, and the formats as numbers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgefusion.core.errors import InputError
from edgefusion.core.frames import Form, Frame, PixelFormat
from edgefusion.core.geometry import Size

PHASES = 4
"""Side of the square of pixels that one tensor position holds."""

HISTOGRAM_BITS = 14
"""The thermal histogram has ``2 ** HISTOGRAM_BITS`` bins."""

Tensor = npt.NDArray[np.float32]

RGB24, NV12, YUYV, UYVY, GREY = range(5)
CODES = {
    PixelFormat.RGB24: RGB24,
    PixelFormat.NV12: NV12,
    PixelFormat.YUYV: YUYV,
    PixelFormat.UYVY: UYVY,
    PixelFormat.GREY: GREY,
}
"""Visible formats as the kernels tell them apart."""

VISIBLE, THERMAL = 1, 2
"""Parts of the tensor, to be written together or alone."""

UNSEEN = np.uint32(1 << 31)
"""Marks, in the sampling table, a visible pixel that the thermal camera does not see."""


def tensor_size(size_px: Size) -> Size:
    """The image size, padded up to a multiple of four."""
    return (-(-size_px[0] // PHASES) * PHASES, -(-size_px[1] // PHASES) * PHASES)


def shuffle(phases: Tensor) -> Tensor:
    """[H, W] image of its 16 phases [16, H/4, W/4], padding included. For pictures, not for the hot path."""
    rows, columns = phases.shape[1:]
    image: Tensor = phases.reshape(PHASES, PHASES, rows, columns).transpose(2, 0, 3, 1)
    return np.reshape(image, (PHASES * rows, PHASES * columns))


def check_form(frame: Frame, expected: Form) -> None:
    """Raises InputError if the frame is not of the form that the ones before it had."""
    if frame.form != expected:
        width, height = frame.size_px
        raise InputError(
            f"frame {frame.sequence} is {frame.format.value} {width}x{height}, "
            f"the ones before it were {expected[0].value} {expected[1][0]}x{expected[1][1]}"
        )
