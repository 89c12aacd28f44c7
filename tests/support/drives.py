"""Recordings made up frame by frame, without files."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from edgefusion.core.frames import Frame, FramePair, PixelFormat, Pixels
from edgefusion.recordings.options import NamedRecording

SIZE = (64, 48)
NIGHT_LEVEL = 40
Look = Callable[[int], FramePair]


class Drive:
    """A recording of ``length`` pairs, each made when it is asked for."""

    def __init__(self, look: Look, length: int, fps: float | None = 30.0) -> None:
        self._look, self.length, self.fps = look, length, fps

    def __iter__(self) -> Iterator[FramePair]:
        return map(self._look, range(self.length))


def named(look: Look, length: int, *, fps: float | None = 30.0, name: str = "drive") -> NamedRecording:
    return NamedRecording(name, lambda rig=None: Drive(look, length, fps))


def blocks(seed: int, top: int, dtype: type[np.uint8] | type[np.uint16] = np.uint8) -> Pixels:
    """[48, 64] of random squares of 8 pixels below ``top``: no two seeds look alike."""
    squares = np.random.default_rng(seed).integers(0, top, (6, 8))
    return np.kron(squares, np.ones((8, 8), int)).astype(dtype)


def pair_of(visible: Pixels, thermal: Pixels, index: int, name: str = "") -> FramePair:
    """Grey visible and thermal of these pixels, at 30 frames per second."""
    kind = PixelFormat.GREY if thermal.dtype == np.uint8 else PixelFormat.Y16
    time_ns = index * 1_000_000_000 // 30
    return FramePair(
        Frame(visible, PixelFormat.GREY, time_ns, "receive", index),
        Frame(thermal, kind, time_ns, "receive", index),
        name,
    )


def day(index: int) -> FramePair:
    """A new scene each time, by day."""
    return pair_of(blocks(2 * index, 256), blocks(2 * index + 1, 256), index)


def night(index: int) -> FramePair:
    """A new scene each time, at night."""
    return pair_of(blocks(2 * index, NIGHT_LEVEL), blocks(2 * index + 1, 256), index)


def counts(index: int) -> FramePair:
    """A new scene each time, with raw thermal readings that drift upwards."""
    return pair_of(blocks(2 * index, 256), blocks(2 * index + 1, 2000, np.uint16) + np.uint16(7000 + 10 * index), index)
