"""Time for cameras that are not hardware: both of a simulated rig or of a recording share one.

Their own time begins at 0 with the drive or the recording. A timeline maps it onto CLOCK_MONOTONIC and says when a
frame is due: at its time (``rate`` 1), faster or slower, or, without a rate, as soon as it is asked for. Without a rate
time passes as fast as frames are taken: a frame was exposed when the first camera took it or a later one, so that
timestamps are never ahead of the clock, and what is timed by them works as ever. And the cameras go side by side:
none takes a frame more than ``AHEAD_NS`` later than the next one of another, so that what reads them finds frames that
belong together. A camera from which nobody reads for ``PATIENCE_S`` is not waited for.
"""

from __future__ import annotations

import threading
import time
import weakref
from bisect import bisect_left
from collections.abc import Hashable, Mapping

AHEAD_NS = 100_000_000
"""Enough for the next frame to be there when one is paired."""

PATIENCE_S = 1.0

MOST_KNOTS = 256
"""Moments that are remembered, of a timeline without a rate."""

_shared: weakref.WeakValueDictionary[Hashable, Timeline] = weakref.WeakValueDictionary()
_sharing = threading.Lock()


class Timeline:
    """The time of one drive or recording in this process; it lasts as long as one of its cameras.

    Args:
        rate: own time per real time; None: frames are due when they are asked for.

    Attributes:
        changed: notified of everything that a waiting camera may wait for.
    """

    def __init__(self, rate: float | None) -> None:
        self.rate = rate
        self.changed = threading.Condition()
        self.seats: weakref.WeakSet[Seat] = weakref.WeakSet()
        self._origin_ns = 0
        self._loop_ns: int | None = None
        self._knots = _Knots()

    @classmethod
    def shared(cls, key: Hashable, rate: float | None) -> Timeline:
        """The one timeline of all cameras with an equal key and rate that exist now."""
        with _sharing:
            found = _shared.get((key, rate))
            if found is None:
                found = _shared[key, rate] = cls(rate)
            return found

    @property
    def running(self) -> bool:
        """Whether a camera of it is open."""
        with self.changed:
            return any(seat.opened for seat in self.seats)

    def begin(self) -> None:
        """Let time 0 be now."""
        with self.changed:
            self._origin_ns, self._knots = time.monotonic_ns(), _Knots()

    def due_ns(self, own_ns: int) -> int:
        """CLOCK_MONOTONIC at a time of its own, of a timeline with a rate."""
        return self._origin_ns + round(own_ns / (self.rate or 1.0))

    def reach(self, own_ns: int) -> None:
        """A frame that was due at ``own_ns`` is taken now."""
        if self.rate is None:
            with self.changed:
                self._knots.add(own_ns, time.monotonic_ns())

    def stamp_ns(self, own_ns: int) -> int:
        """CLOCK_MONOTONIC of an exposure of a frame that was taken, the same for every camera."""
        if self.rate is not None:
            return self.due_ns(own_ns)
        with self.changed:
            return self._knots.at(own_ns)

    def now_ns(self) -> int:
        """Its own time now: without a rate, that of the camera farthest ahead."""
        if self.rate is None:
            with self.changed:
                return max((seat.next_ns for seat in self.seats if seat.present), default=0)
        return round((time.monotonic_ns() - self._origin_ns) * self.rate)

    def loop_ns(self, frames: int) -> int:
        """How long so many frames of the fastest camera last, as it was when this was first asked."""
        with self.changed:
            if self._loop_ns is None:
                self._loop_ns = round(frames * 1e9 / max(seat.fps for seat in self.seats))
            return self._loop_ns


class _Knots:
    """Pairs of own time and CLOCK_MONOTONIC, both increasing, and what lies between them."""

    def __init__(self) -> None:
        self._own: list[int] = []
        self._real: list[int] = []

    def add(self, own_ns: int, real_ns: int) -> None:
        """Append one, unless it is not the latest."""
        if self._own and own_ns <= self._own[-1]:
            return
        self._real.append(max(real_ns, self._real[-1] + 1) if self._real else real_ns)
        self._own.append(own_ns)
        if len(self._own) > MOST_KNOTS:
            del self._own[: MOST_KNOTS // 2], self._real[: MOST_KNOTS // 2]

    def at(self, own_ns: int) -> int:
        """CLOCK_MONOTONIC at ``own_ns``: between two knots in proportion, before and after all of them as at rate 1."""
        right = bisect_left(self._own, own_ns)
        nearest = min(right, len(self._own) - 1)
        if own_ns == self._own[nearest] or right in (0, len(self._own)):
            return self._real[nearest] + own_ns - self._own[nearest]
        (own_0, own_1), (real_0, real_1) = self._own[right - 1 : right + 1], self._real[right - 1 : right + 1]
        return real_0 + (own_ns - own_0) * (real_1 - real_0) // (own_1 - own_0)


class Seat:
    """One camera's place on a timeline.

    Attributes:
        opened: whether the camera is open.
        next_ns: its own time of the frame that it takes next.
        present: whether others wait for it where there is no rate.
        taken: when its frames that nobody has released yet were due, by any key.
    """

    def __init__(self, timeline: Timeline, fps: float = 1.0) -> None:
        self.timeline = timeline
        self.fps = fps
        self.opened = False
        self.next_ns = 0
        self.taken: Mapping[int, int] = {}
        self._new = True
        self._patient_until_s: float | None = None
        with timeline.changed:
            self.present = not timeline.running
            timeline.seats.add(self)

    def open(self, taken: Mapping[int, int]) -> bool:
        """The camera is open; whether for the first time. Time begins with the first one, again if all were closed."""
        first, self._new, self.taken = self._new, False, taken
        with self.timeline.changed:
            if first and not self.timeline.running:
                self.timeline.begin()
            self.opened = True
        return first

    def close(self) -> None:
        """The camera is closed."""
        self.opened = False
        self.leave()

    def leave(self) -> None:
        """Nobody waits for this camera any more; it comes back with its next frame."""
        with self.timeline.changed:
            self.present = False
            self.timeline.changed.notify_all()

    def join(self, next_ns: int) -> None:
        """It takes frames, the next at ``next_ns``."""
        with self.timeline.changed:
            self.next_ns, self.present = next_ns, True
            self.timeline.changed.notify_all()

    def waited_for(self, due_ns: int) -> bool:
        """Whether all frames that some other camera has given and not got back are as late as this one, or later."""
        with self.timeline.changed:
            others = [seat.taken for seat in self.timeline.seats if seat is not self and seat.present]
            return any(taken and min(taken.values()) >= due_ns for taken in others)

    def wait(self, due_ns: int, deadline_s: float) -> bool:
        """Wait until a frame is due, or until ``time.monotonic()`` is ``deadline_s``; whether it is due."""
        if self.timeline.rate is None:
            return self._wait_for_others(due_ns, deadline_s)
        due_s = self.timeline.due_ns(due_ns) / 1e9
        _sleep_until(min(due_s, deadline_s))
        return due_s <= time.monotonic()

    def _wait_for_others(self, due_ns: int, deadline_s: float) -> bool:
        self.join(due_ns)
        with self.timeline.changed:
            while behind := self._behind(due_ns):
                now_s = time.monotonic()
                # Kept from call to call: a reader may ask more often than that.
                self._patient_until_s = self._patient_until_s or now_s + PATIENCE_S
                if now_s >= self._patient_until_s:
                    for seat in behind:
                        seat.present = False
                elif now_s >= deadline_s:
                    return False
                else:
                    self.timeline.changed.wait(min(self._patient_until_s, deadline_s) - now_s)
            self._patient_until_s = None
        return True

    def _behind(self, due_ns: int) -> list[Seat]:
        return [seat for seat in self.timeline.seats if seat.present and seat.next_ns + AHEAD_NS < due_ns]


def _sleep_until(moment_s: float) -> None:
    while (left_s := moment_s - time.monotonic()) > 0:
        time.sleep(left_s)
