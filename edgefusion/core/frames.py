"""Frames and frame pairs: pixels together with what is known about them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, IntFlag
from typing import Literal

import numpy as np
import numpy.typing as npt

from edgefusion.core.errors import InputError
from edgefusion.core.geometry import Size

Clock = Literal["monotonic", "realtime", "receive"]
"""What a timestamp counts on: CLOCK_MONOTONIC, CLOCK_REALTIME, or the moment the frame was received."""

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


class PixelFormat(str, Enum):
    """How a camera lays out its pixels, by V4L2 name.

    ========  =========================================  ==============  ======
    format    array                                      bytes a pixel   dtype
    ========  =========================================  ==============  ======
    RGB24     [H, W, 3]                                  3               uint8
    NV12      [H * 3 / 2, W]: luma, then CbCr at half    1.5             uint8
    YUYV      [H, W, 2]: Y0 Cb Y1 Cr                     2               uint8
    UYVY      [H, W, 2]: Cb Y0 Cr Y1                     2               uint8
    GREY      [H, W]                                     1               uint8
    Y16       [H, W], little-endian                      2               uint16
    Y16_BE    [H, W], bytes swapped                      2               uint16
    ========  =========================================  ==============  ======

    YUV formats are BT.601, limited range, as USB and MIPI cameras deliver them.
    """

    RGB24 = "RGB24"
    NV12 = "NV12"
    YUYV = "YUYV"
    UYVY = "UYVY"
    GREY = "GREY"
    Y16 = "Y16"
    Y16_BE = "Y16_BE"

    def array_shape(self, width: int, height: int) -> tuple[int, ...]:
        """Shape of the array that holds one frame of this format."""
        return {
            PixelFormat.RGB24: (height, width, 3),
            PixelFormat.NV12: (height * 3 // 2, width),
            PixelFormat.YUYV: (height, width, 2),
            PixelFormat.UYVY: (height, width, 2),
            PixelFormat.GREY: (height, width),
            PixelFormat.Y16: (height, width),
            PixelFormat.Y16_BE: (height, width),
        }[self]

    def nbytes(self, width: int, height: int) -> int:
        """Bytes of one frame of this format."""
        return math.prod(self.array_shape(width, height)) * self.dtype.itemsize

    def fits(self, width: int, height: int) -> bool:
        """Whether a frame of this format may have that size: pixels that share their chroma come in twos."""
        across, down = {PixelFormat.NV12: (2, 2), PixelFormat.YUYV: (2, 1), PixelFormat.UYVY: (2, 1)}.get(self, (1, 1))
        return width % across == 0 and height % down == 0

    @property
    def dtype(self) -> np.dtype[np.uint8] | np.dtype[np.uint16]:
        """Element type of the array that holds one frame of this format."""
        return np.dtype(np.uint16) if self.deep else np.dtype(np.uint8)

    @property
    def deep(self) -> bool:
        """Whether a reading has 16 bits, in either byte order."""
        return self in (PixelFormat.Y16, PixelFormat.Y16_BE)


NIGHT_LUMA = 55 / 255
"""A visible frame whose mean luma (0..1) is lower counts as taken at night. MSRS's night pairs are under 0.16, but for
those in glare, its day pairs over 0.27. Glare counts as day: it is the level that sets INT8 ranges, not the hour."""

Light = Literal["day", "night"]
_NAMED = re.compile(r"\d+([DN])$")


def light_of(luma: float, name: str = "") -> Light:
    """Day or night: by a name that ends in digits and D or N, as MSRS has them, else by the mean visible luma, 0..1."""
    if found := _NAMED.search(name):
        return "day" if found[1] == "D" else "night"
    return "night" if luma < NIGHT_LUMA else "day"


Form = tuple[PixelFormat, Size]
"""Format and (width, height) of a camera's frames."""

VISIBLE_FORMATS = (PixelFormat.RGB24, PixelFormat.NV12, PixelFormat.YUYV, PixelFormat.UYVY, PixelFormat.GREY)
THERMAL_FORMATS = (PixelFormat.GREY, PixelFormat.Y16, PixelFormat.Y16_BE)


def _nothing() -> None:
    """The buffer is nobody else's."""


@dataclass(frozen=True)
class Frame:
    """One image from one camera.

    ``pixels`` may be a buffer of the camera's: it holds this frame until ``release`` is called, or, of a recording,
    until the next frame is asked for. Copy it to keep it. Whoever takes a live frame calls ``release`` once, after the
    last read.
    """

    pixels: Pixels
    format: PixelFormat
    timestamp_ns: int
    clock: Clock
    sequence: int
    release: Callable[[], None] = field(default=_nothing, compare=False, repr=False)

    def __post_init__(self) -> None:
        width, height = self.size_px
        expected = self.format.array_shape(width, height)
        if self.pixels.shape != expected or self.pixels.dtype != self.format.dtype:
            raise InputError(
                f"a {self.format.value} frame needs {self.format.dtype} pixels of shape {expected}, "
                f"not {self.pixels.dtype} of {self.pixels.shape}"
            )

    @property
    def size_px(self) -> Size:
        """(width, height) of the image, in pixels."""
        rows, columns = self.pixels.shape[:2]
        return (columns, rows * 2 // 3) if self.format is PixelFormat.NV12 else (columns, rows)

    @property
    def form(self) -> Form:
        """Its format and size."""
        return self.format, self.size_px

    @property
    def readings(self) -> Pixels:
        """``pixels`` as numbers, whatever the order of their bytes. Not for the hot path: swapped ones are a copy."""
        return self.pixels.byteswap() if self.format is PixelFormat.Y16_BE else self.pixels


@dataclass(frozen=True)
class FramePair:
    """A visible and a thermal frame of the same moment.

    ``name`` is what the pair is called in its recording (a file's stem), or empty.
    """

    visible: Frame
    thermal: Frame
    name: str = ""


class Flag(IntFlag):
    """What is unusual about a fused frame. The numbers are part of the ring's layout and never change."""

    STALE = 1
    """Thermal is older than the rig's tolerance allows: the last frame was held, or the shutter was closed."""
    THERMAL_LOST = 2
    """There is no thermal: the visible image passed through."""
    VISIBLE_LOST = 4
    """There is no visible: the thermal image as grey."""
    MISREGISTERED = 8
    """The registration drifted beyond its budget: the visible image passed through."""


REGULAR = Flag(0)
DEGRADED = Flag.THERMAL_LOST | Flag.VISIBLE_LOST | Flag.MISREGISTERED


@dataclass(frozen=True)
class FusedInfo:
    """What travels with a fused frame.

    Attributes:
        frame_id: counts the published frames of a run, from 0.
        timestamp_ns: when the visible frame was exposed (the thermal one where there is no visible), on ``clock``.
        clock: what ``timestamp_ns`` counts on.
        visible_sequence, thermal_sequence: the cameras' own numbers, -1 where there was no such frame.
        thermal_age_ns: exposure of visible minus that of thermal; negative where thermal is the newer one.
        flags: what is unusual.
        name: what the pair is called in its recording, or empty.
    """

    frame_id: int
    timestamp_ns: int
    clock: Clock
    visible_sequence: int
    thermal_sequence: int
    thermal_age_ns: int = 0
    flags: Flag = REGULAR
    name: str = ""

    @property
    def degraded(self) -> bool:
        """Whether this is not a fusion of both cameras."""
        return bool(self.flags & DEGRADED)
