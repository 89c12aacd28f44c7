"""Subscribing to a ring."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

from edgefusion.core.errors import RingLostError, RingTimeoutError
from edgefusion.ring import futex, layout
from edgefusion.ring.attachment import Attachment
from edgefusion.ring.frame import RingFrame

_LOOK_S = 0.2
"""How often a waiting reader looks whether the writer still lives, or has ended the ring."""
_ATTACH_S = 0.05
"""How often one looks for a writer that is to come."""
_ENDED, _DIED = "ended it", "died"


def subscribe(
    name: str, *, timeout_s: float | None = 5.0, reconnect: bool = True, every: bool = False, lease: bool = True
) -> Subscription:
    """Read the fused frames that ``edgefusion run --output ring:NAME`` publishes.

    ::

        with edgefusion.subscribe("front") as frames:
            for frame in frames:
                detect(frame.rgb)

    Args:
        name: of the ring.
        timeout_s: longest wait for a frame; None: for ever.
        reconnect: wait for the next writer when one ends or dies, also for the first.
        every: each frame that is still there, oldest first, rather than the newest one.
        lease: frames are views of the writer's memory. Otherwise they are copies, and permission to read is enough.

    Raises:
        UsageError: not a name for a ring.
        RingTimeoutError: with ``reconnect``, there was no such ring in time.
        RingLostError: without, there is none now.
        MachineError: not permitted, or the ring has as many readers as it can.
        InputError: a ring of another version of edgefusion.
    """
    return Subscription(name, timeout_s=timeout_s, reconnect=reconnect, every=every, lease=lease)


class Subscription(Iterator[RingFrame]):
    """The frames of a ring, as they come: an iterator and a context manager. See ``subscribe``.

    Attributes:
        received: frames given to the caller.
        missed: frames that were published and gone before the caller asked.
    """

    def __init__(self, name: str, *, timeout_s: float | None, reconnect: bool, every: bool, lease: bool) -> None:
        self.name = name
        self.received = 0
        self.missed = 0
        self._timeout_s = timeout_s
        self._reconnect = reconnect
        self._every = every
        self._lease = lease
        self._ring: Attachment | None = None
        self._last = 0
        self._over = f"there is no ring {name}"
        self._closed = False
        deadline = self._deadline()
        while self._ring is None:
            self._attach(deadline)

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Stop reading. Frames that are still held stay as they are."""
        self._closed = True
        self._detach()

    def __next__(self) -> RingFrame:
        """The next frame, waiting for it.

        Raises:
            StopIteration: closed; or, without ``reconnect``, the writer ended the ring.
            RingTimeoutError: nothing came in time. It may be asked again.
            RingLostError: without ``reconnect``, the writer died.
        """
        deadline = self._deadline()
        while not self._closed:
            if self._ring is None:
                self._attach(deadline)
            elif frame := self._next_of(self._ring, deadline):
                return frame
        raise StopIteration

    def _next_of(self, ring: Attachment, deadline: float) -> RingFrame | None:
        """The next frame of this ring; None after a while without one, or where the ring is over."""
        awake = ring.word(layout.WAKE)
        if frame := self._take(ring):
            return frame
        if over := self._over_of(ring):
            if frame := self._take(ring):  # published between the two looks
                return frame
            self._end(over)
        elif time.monotonic() >= deadline:
            raise RingTimeoutError(f"ring {self.name} brought no frame in {self._timeout_s:g} s")
        else:
            left = min(_LOOK_S, deadline - time.monotonic())
            futex.wait(ring.wake_address, awake, timeout_s=max(0.0, left))
        return None

    def _take(self, ring: Attachment) -> RingFrame | None:
        """The frame that is due, if it is there. Where the writer overtakes there is a newer one."""
        while True:
            number, slot = ring.oldest_after(self._last) if self._every else ring.newest()
            if number <= self._last:
                return None
            if frame := ring.take(number, slot):
                self.missed += number - self._last - 1 if self._last else 0
                self.received += 1
                self._last = number
                ring.count(received=self.received, missed=self.missed)
                return frame

    def _over_of(self, ring: Attachment) -> str:
        """How a ring ended, empty while it goes on. What it published is still there."""
        if ring.word(layout.STATE) == layout.ENDED:
            return _ENDED
        return "" if ring.lives() else _DIED

    def _end(self, over: str) -> None:
        self._detach()
        self._over = f"the writer of ring {self.name} {over}"
        if self._reconnect:
            return
        if over == _DIED:
            raise RingLostError(self._over)
        self._closed = True

    def _attach(self, deadline: float) -> None:
        """Open the ring, if a writer is there; else wait a little.

        Raises:
            RingTimeoutError: there was none until the deadline.
            RingLostError: there is none, and no reconnecting.
        """
        try:
            ring = Attachment(self.name, lease=self._lease)
        except RingLostError as error:
            self._wait_for_writer(deadline, error)
            return
        if ring.lives():
            self._ring, self._last = ring, 0
            return
        ring.close()  # left behind by a writer that died
        self._wait_for_writer(deadline, RingLostError(f"the writer of ring {self.name} {_DIED}"))

    def _wait_for_writer(self, deadline: float, error: RingLostError) -> None:
        if not self._reconnect:
            raise error
        left = deadline - time.monotonic()
        if left <= 0:
            what = f"{self._over}, and no writer came in {self._timeout_s:g} s"
            raise RingTimeoutError(what, where=error.where, remedy=error.remedy) from error
        time.sleep(min(_ATTACH_S, left))

    def _detach(self) -> None:
        if self._ring is not None:
            self._ring.close()
            self._ring = None

    def _deadline(self) -> float:
        return math.inf if self._timeout_s is None else time.monotonic() + self._timeout_s
