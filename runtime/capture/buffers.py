"""A camera's buffers in ordinary memory: each is filled again only after its frame was released."""

from __future__ import annotations

import mmap
import threading
from collections import deque
from collections.abc import Callable

import numpy as np

from edgefusion.core.frames import PixelFormat, Pixels
from edgefusion.core.geometry import Size


class Pool:
    """So many places for frames that nobody has released yet.

    Args:
        count: how many.
        changed: notified when one is given back.

    Attributes:
        taken: when the frame in each taken place was due, by number.
    """

    def __init__(self, count: int, changed: threading.Condition) -> None:
        self._free = deque(range(count))
        self._changed = changed
        self.taken: dict[int, int] = {}

    @property
    def free(self) -> int:
        """How many can be taken."""
        return len(self._free)

    def take(self, due_ns: int) -> Place:
        """The one that has been free for longest, for a frame that was due then.

        Raises:
            IndexError: none is free.
        """
        with self._changed:
            number = self._free.popleft()
            self.taken[number] = due_ns
        return Place(self, number)

    def wait(self, enough: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until ``enough`` says so, which is asked whenever one is given back; what it said last."""
        with self._changed:
            return self._changed.wait_for(enough, timeout_s)

    def give(self, number: int) -> None:
        """Take a place back, from any thread."""
        with self._changed:
            del self.taken[number]
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
    stride = -(-pixel_format.nbytes(*size_px) // mmap.PAGESIZE) * mmap.PAGESIZE
    memory = mmap.mmap(-1, stride * count, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return [np.ndarray(shape, dtype, memory, number * stride) for number in range(count)]
