"""From the bytes that a driver delivers to the pixels of a frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edgefusion.core.frames import PixelFormat, Pixels
from edgefusion.core.geometry import Size
from runtime.capture.v4l2.buffers import Bytes, Slot, pages
from runtime.capture.v4l2.formats import Form
from runtime.capture.v4l2.stream import KEPT, Filled, Stream

Release = Callable[[], None]
Counts = dict[str, Any]


class Convert(Protocol):
    """Writes the pixels of an image into an array of a frame's."""

    def __call__(self, data: Bytes, out: Pixels) -> bool:
        """Whether the image was whole."""


def view(memory: Bytes, pixel_format: PixelFormat, size_px: Size) -> Pixels:
    """The pixels at the beginning of some memory, which is not copied."""
    data = memory[: pixel_format.nbytes(*size_px)]
    return data.view(pixel_format.dtype).reshape(pixel_format.array_shape(*size_px))


def empty(form: Form) -> Pixels:
    """A page-aligned array for the pixels of a frame."""
    return view(pages(form.format.nbytes(*form.size_px)), form.format, form.size_px)


def converter(form: Form) -> Convert:
    """What makes frames of this form's images by copying them once: it decodes, or drops the bytes between rows."""
    if form.compressed:
        from runtime.capture.v4l2.jpeg import JpegDecoder

        return JpegDecoder(form.format, form.size_px)
    return _Rows(form)


class _Rows:
    """Copies the pixels of rows."""

    def __init__(self, form: Form) -> None:
        self._rows, self._row, self._stride = form.rows, form.row, max(form.stride, form.row)

    def __call__(self, data: Bytes, out: Pixels) -> bool:
        """Always whole: the length was looked at before."""
        strides = (self._stride, 1)
        rows: npt.NDArray[np.uint8] = np.lib.stride_tricks.as_strided(data, (self._rows, self._row), strides)
        out.view(np.uint8).reshape(self._rows, self._row)[:] = rows
        return True


class Lent:
    """Frames whose pixels are the driver's buffers: nothing is copied."""

    copies = 0

    def __init__(self, stream: Stream, slots: list[Slot], form: Form) -> None:
        self._stream, self._views = stream, [view(slot.memory, form.format, form.size_px) for slot in slots]

    def __call__(self, filled: Filled, counts: Counts) -> tuple[Pixels, Release] | None:
        """Pixels and what gives them back; None if too many are held."""
        give_back = partial(self._stream.give_back, filled.index)
        if self._stream.starved:
            counts["starved"] += 1
            give_back()
            return None
        return self._views[filled.index], give_back


class Copied:
    """Frames whose pixels are copies: each buffer goes back to the driver at once."""

    copies = 1

    def __init__(self, stream: Stream, slots: list[Slot], form: Form) -> None:
        self._stream, self._memory = stream, [slot.memory for slot in slots]
        self._convert, self._free = converter(form), deque(empty(form) for _ in slots[KEPT:])

    def __call__(self, filled: Filled, counts: Counts) -> tuple[Pixels, Release] | None:
        """Pixels and what gives them back; None if too many are held, or the image is damaged."""
        out, whole = self._free.popleft() if self._free else None, False
        try:
            whole = out is not None and self._convert(self._memory[filled.index][: filled.length], out)
        finally:  # also where the image is of another size, which the converter raises
            self._stream.give_back(filled.index)
            if out is not None and not whole:
                self._free.append(out)
        if out is None:
            counts["starved"] += 1
            return None
        if not whole:
            counts["damaged"] += 1
            return None
        return out, partial(self._free.append, out)
