"""Recordings as the student's input: packed by the code of the vehicle, every frame in turn.

Every frame is packed, wanted or not: the gain control of raw thermal readings follows the stream, so that a frame's
tensor depends on the frames before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from edgefusion.core.calibration import Tensor
from edgefusion.core.errors import InputError
from edgefusion.core.frames import FramePair
from edgefusion.core.geometry import Size
from edgefusion.core.rig import registered
from edgefusion.kernels.agc import AgcSpec
from edgefusion.kernels.inputs import InputPacker, RegistrationFor
from edgefusion.kernels.layout import tensor_size
from edgefusion.recordings.recording import Recording


@dataclass(frozen=True)
class Packing:
    """How frames become tensors.

    Attributes:
        agc: the bundle's gain control.
        registration: the rig's.
        bits: significant bits of a Y16 reading.
    """

    agc: AgcSpec = AgcSpec()  # noqa: RUF009 - frozen
    registration: RegistrationFor = registered
    bits: int = 16


@dataclass(frozen=True)
class Packed:
    """A frame pair with its tensor ``x`` [32, H/4, W/4] and the readings that became 0 and 1 in it."""

    sequence: int
    pair: FramePair
    x: Tensor
    agc_range: tuple[float, float]

    @property
    def size_px(self) -> Size:
        """(width, height) of the visible frame."""
        return self.pair.visible.size_px


def packed(recording: Recording, packing: Packing) -> Iterator[Packed]:
    """Each pair of a recording, packed as ``edgefusion run`` packs it; ``x`` is a new array each time.

    Raises:
        RecordingError: a frame that cannot be read.
        InputError: a format or size that cannot be packed.
    """
    packer = InputPacker(packing.agc, registration=packing.registration, bits=packing.bits)
    for sequence, pair in enumerate(recording):
        packer.fit(pair)
        if recording.fps is None:
            packer.forget()
        width, height = tensor_size(pair.visible.size_px)
        x = np.empty((32, height // 4, width // 4), np.float32)
        agc_range = packer.pack(pair, x)
        yield Packed(sequence, pair, x, agc_range)


class OneSize:
    """Holds frames to the size of the first.

    Args:
        first: told of that size; may refuse it.

    Attributes:
        size_px: (width, height) of the visible frames, (0, 0) before the first.
    """

    def __init__(self, first: Callable[[Size], None]) -> None:
        self.size_px: Size = (0, 0)
        self._first = first

    def check(self, frame: Packed, where: str) -> None:
        """Raises InputError if the frame is of another size than those before it."""
        if self.size_px == (0, 0):
            self.size_px = frame.size_px
            self._first(self.size_px)
        if frame.size_px != self.size_px:
            sizes = ["x".join(map(str, size)) for size in (frame.size_px, self.size_px)]
            raise InputError(
                f"frame {frame.pair.name or frame.sequence} is {sizes[0]} and those before it are {sizes[1]}",
                where=where,
                remedy="a calibration set is of one size: calibrate each size by itself",
            )
