"""A camera's buffers in ordinary memory: each is filled again only after its frame was released."""

from __future__ import annotations

import mmap
import threading
from collections import deque

import numpy as np

from edgefusion.core.frames import PixelFormat, Pixels
from edgefusion.core.geometry import Size


class Pool:
    """So many places for frames that nobody has released yet.

    Args:
        count: how many.
    """

    def __init__(self, count: int) -> None:
        self._free = deque(range(count))
        self._changed = threading.Condition()

    @property
    def free(self) -> int:
        """How many can be taken."""
        return len(self._free)

    def take(self) -> Place:
        """The one that has been free for longest.

        Raises:
            IndexError: none is free.
        """
        return Place(self, self._free.popleft())

    def wait(self, timeout_s: float) -> bool:
        """Wait until one is free; whether one is."""
        with self._changed:
            return self._changed.wait_for(lambda: bool(self._free), timeout_s)

    def give(self, number: int) -> None:
        """Take a place back, from any thread."""
        with self._changed:
            self._free.append(number)
            self._changed.notify_all()


class Place:
    """One taken place; call it to give it back, once: later calls do nothing."""

    __slots__ = ("_pool", "number")

    def __init__(self, pool: Pool, number: int) -> None:
        self._pool: Pool | None = pool
        self.number = number

    def __call__(self) -> None:
        """Give it back."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.give(self.number)


def allocate(pixel_format: PixelFormat, size_px: Size, count: int) -> list[Pixels]:
    """Arrays for frames of a format, each on pages of its own, so that they can be mapped into a GPU."""
    shape, dtype = pixel_format.array_shape(*size_px), pixel_format.dtype
    used = int(np.prod(shape)) * dtype.itemsize
    stride = -(-used // mmap.PAGESIZE) * mmap.PAGESIZE
    memory = mmap.mmap(-1, stride * count, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return [np.ndarray(shape, dtype, memory, number * stride) for number in range(count)]
