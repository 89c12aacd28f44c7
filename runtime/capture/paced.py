"""What the cameras that are not hardware have in common: buffers, and frames that are due at their time."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from functools import partial
from typing import Any

from edgefusion.core.errors import RunError
from edgefusion.core.frames import Clock, Form, Frame, PixelFormat, Pixels
from runtime.capture.base import SPARE, StreamEndError
from runtime.capture.buffers import Pool, allocate
from runtime.capture.timeline import Seat


class PacedCamera(ABC):
    """A camera that behaves as a driver with so many buffers: what is late is lost, oldest first.

    Frames wait in free buffers until they are read. Where more are due than buffers are free, the oldest are dropped,
    which shows as a gap in the sequence numbers.

    Without a rate nothing is ever late: ``read`` waits until no more frames are out than a reader may hold (all buffers
    but ``SPARE``), so that one that drops what is too much drops nothing. A camera that the other one's frames wait for
    may give one more: what its reader holds may be too old to be of use, and kept until the next frame comes.
    """

    def __init__(self, seat: Seat, buffers: int) -> None:
        self.facts: dict[str, Any] = {}
        self._seat = seat
        self._paced = seat.timeline.rate is not None
        self._buffers = buffers
        self._pool: Pool | None = None
        self._arrays: list[Pixels] = []

    def open(self) -> Form:
        """See ``Camera.open``."""
        form = self._begin()
        timeline = self._seat.timeline
        self._pool = Pool(self._buffers - (0 if self._paced else SPARE - 1), timeline.changed)
        first = self._seat.open(self._pool.taken)
        if self._paced and not first:
            self._skip_to(timeline.now_ns())
        return form

    def read(self, timeout_s: float) -> Frame | None:
        """See ``Camera.read``."""
        pool = self._pool
        if pool is None:
            raise RunError("the camera is not open", remedy="open it first")
        deadline_s = time.monotonic() + timeout_s
        while True:
            self._drop_missed(pool.free)
            due_ns = self._due_ns(0)
            if due_ns is None:
                self._seat.leave()
                raise StreamEndError("the recording is over")
            room = partial(self._may_take, pool, due_ns)
            if not room():
                if not pool.wait(room, deadline_s - time.monotonic()):
                    return None
            elif not self._seat.wait(due_ns, deadline_s):
                return None
            else:
                self._seat.timeline.reach(due_ns)
                return self._next(pool, due_ns)

    def close(self) -> None:
        """See ``Camera.close``."""
        self._pool, self._arrays = None, []
        self._seat.close()
        self._end()

    def _allocate(self, form: Form) -> None:
        """Buffers that ``_take`` fills."""
        self._arrays = allocate(*form, self._buffers)

    def _may_take(self, pool: Pool, due_ns: int) -> bool:
        return pool.free > 1 or (pool.free == 1 and (self._paced or self._seat.waited_for(due_ns)))

    def _next(self, pool: Pool, due_ns: int) -> Frame:
        place = pool.take(due_ns)
        try:
            pixels, form, taken_ns, clock, number = self._take(place.number)
            self._tell_others()
            return Frame(pixels, form, self._seat.timeline.stamp_ns(taken_ns), clock, number, place)
        except BaseException:
            place()
            raise

    def _tell_others(self) -> None:
        if not self._paced and (due_ns := self._due_ns(0)) is not None:
            self._seat.join(due_ns)

    def _drop_missed(self, free: int) -> None:
        """Give up what a driver would have had no buffer for, or what others went past without waiting."""
        timeline = self._seat.timeline
        if not self._paced:
            if not self._seat.present:
                self._skip_to(timeline.now_ns())
            return
        now_ns = timeline.now_ns()
        while (newest_ns := self._due_ns(free)) is not None and newest_ns <= now_ns:
            self._skip()

    def _skip_to(self, own_ns: int) -> None:
        while (due_ns := self._due_ns(0)) is not None and due_ns < own_ns:
            self._skip()

    @abstractmethod
    def _begin(self) -> Form:
        """Get ready to take frames; what they will be."""

    @abstractmethod
    def _due_ns(self, ahead: int) -> int | None:
        """When, in its own time, the frame so many places after the next one is due; None: there is none."""

    @abstractmethod
    def _skip(self) -> None:
        """Leave the next frame out."""

    @abstractmethod
    def _take(self, buffer: int) -> tuple[Pixels, PixelFormat, int, Clock, int]:
        """The next frame: pixels (in that buffer, or its own), format, exposure in its own time, clock, number."""

    def _end(self) -> None:  # noqa: B027 (not every kind has something)
        """Give back what ``_begin`` took."""
