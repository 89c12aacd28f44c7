"""The frames of one camera that are held: counted, limited, given back exactly once."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from edgefusion.core.frames import Frame
from runtime.capture.base import SPARE

Cause = Literal["late", "overrun", "unpaired", "starting", "frozen", "duplicate", "clock", "damaged", "closed"]
"""Why a frame was dropped.

=========  =====================================================================================
cause      what happened
=========  =====================================================================================
late       the loop was busy until a newer frame was ready (drop the oldest, never queue)
overrun    all buffers that may be held were, and it was still waiting or there was no room for it
unpaired   no visible frame was nearest to this thermal one (surplus rate, or visible was lost)
starting   it came before the other camera's first frame
frozen     thermal showed the same picture for longer than ``hold_s``
duplicate  it had the timestamp of the frame before
clock      its timestamp ran backwards or ahead
damaged    the camera could not make a frame of what came
closed     it still waited when the rig was closed
=========  =====================================================================================
"""


class Held:
    """A frame that is waiting, or in use by one or more moments, or both.

    Attributes:
        frame: the camera's frame.
        exposure_ns: when it was exposed, on CLOCK_MONOTONIC.
        seen_ns: when its picture was first seen: earlier than ``exposure_ns`` if the picture is frozen.
        arrived_ns: when it came.
        ready_ns: since when nothing is waited for any more, of a visible frame; None: something is.
        used: whether a moment had it.
    """

    __slots__ = ("_holders", "_queue", "arrived_ns", "exposure_ns", "frame", "ready_ns", "seen_ns", "used")

    def __init__(self, queue: FrameQueue, frame: Frame, *, exposure_ns: int, seen_ns: int, arrived_ns: int) -> None:
        self._queue, self._holders = queue, 1
        self.frame, self.exposure_ns, self.seen_ns, self.arrived_ns = frame, exposure_ns, seen_ns, arrived_ns
        self.ready_ns: int | None = None
        self.used = False

    @property
    def frozen(self) -> bool:
        """Whether it shows a picture that was seen before."""
        return self.seen_ns != self.exposure_ns

    @property
    def shared(self) -> bool:
        """Whether somebody else holds it besides the one who asks."""
        return self._holders > 1

    def hold(self) -> Held:
        """One more holds it."""
        self._holders += 1
        return self

    def let_go(self) -> None:
        """One less holds it; the last one frees it."""
        self._holders -= 1
        if not self._holders:
            self._queue.alive -= 1
            self._queue.freed.append(self.frame)


class FrameQueue:
    """The held frames of one camera and their book-keeping: ``arrived`` = ``used`` + dropped + waiting.

    Args:
        buffers: what its driver has; ``SPARE`` of them are never held.
        freed: where frames go that nobody holds any more; whoever owns the list releases them.

    Attributes:
        waiting: not used yet, oldest first.
        last: the one used last, kept to serve again.
        alive: how many are held in all, those in use by moments among them.
        arrived, used: frames that came; frames that were part of a moment, each counted once.
        dropped: frames by cause.
        lost: how many of these came when the other camera had begun.
    """

    def __init__(self, *, buffers: int, freed: list[Frame]) -> None:
        self.capacity, self.freed = buffers - SPARE, freed
        self.waiting: list[Held] = []
        self.last: Held | None = None
        self.alive = self.arrived = self.used = self.lost = 0
        self.dropped: Counter[Cause] = Counter()

    @property
    def full(self) -> bool:
        """Whether one more frame would leave the driver too few."""
        return self.alive >= self.capacity

    def refuse(self, frame: Frame | None, cause: Cause) -> None:
        """A frame that came is dropped at once; None: it never became a frame."""
        self.arrived += 1
        self._count(cause)
        if frame is not None:
            self.freed.append(frame)

    def append(self, frame: Frame, *, exposure_ns: int, seen_ns: int, now_ns: int) -> None:
        """A frame that came waits."""
        self.arrived += 1
        self.alive += 1
        self.waiting.append(Held(self, frame, exposure_ns=exposure_ns, seen_ns=seen_ns, arrived_ns=now_ns))

    def drop_oldest(self, cause: Cause) -> None:
        """The oldest that waits is given up."""
        self._count(cause)
        self.waiting.pop(0).let_go()

    def drop_before(self, exposure_ns: int, cause: Cause) -> None:
        """What waits and is older is given up."""
        while self.waiting and self.waiting[0].exposure_ns < exposure_ns:
            self.drop_oldest(cause)

    def take(self, held: Held) -> Held:
        """It is used: waits no longer, and is held by who takes it."""
        if not held.used:
            self.waiting.remove(held)
            held.used = True
            self.used += 1
            return held
        return held.hold()

    def keep(self, held: Held | None) -> None:
        """Remember the one used last in place of the one before; None: forget it."""
        if held is not self.last:
            before, self.last = self.last, held.hold() if held else None
            if before:
                before.let_go()

    def close(self) -> None:
        """Give up all but what moments have."""
        while self.waiting:
            self.drop_oldest("closed")
        self.keep(None)

    def _count(self, cause: Cause) -> None:
        self.dropped[cause] += 1
        self.lost += cause != "starting"
