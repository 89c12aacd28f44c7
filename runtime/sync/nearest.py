"""Which thermal frame belongs to a visible one, and how long to wait for a nearer one."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.sync.frame_queue import FrameQueue, Held
from runtime.sync.timeline import Timeline

MOST_WAIT_NS = 100_000_000
"""A thermal frame that would come later after the visible one is not waited for."""

GAIN_NS = 1_000_000
"""A frame must be nearer by so much to be preferred to one that is there, or left to the next visible frame."""


@dataclass(frozen=True)
class Nearest:
    """The rule of pairing, over both cameras' frames; decides nothing, changes nothing.

    A thermal frame belongs to a visible one if they are within the tolerance, no unused thermal frame is nearer, and
    the next visible frame, waiting or expected, is not nearer to it.
    """

    tolerance_ns: int
    visible: FrameQueue
    thermal: FrameQueue
    visible_time: Timeline
    thermal_time: Timeline

    def fresh(self, visible: Held) -> Held | None:
        """The unused thermal frame that belongs to this visible one, as far as they have come."""
        best, best_ns = None, self.tolerance_ns
        for thermal in self.thermal.waiting:
            apart_ns = abs(thermal.exposure_ns - visible.exposure_ns)
            if apart_ns <= best_ns and self._belongs(thermal.exposure_ns, visible):
                best, best_ns = thermal, apart_ns - 1
        return best

    def older(self, visible: Held) -> Held | None:
        """The newest thermal frame, used or not, that is not newer than this visible one by more than the tolerance."""
        limit_ns = visible.exposure_ns
        waiting = [thermal for thermal in self.thermal.waiting if thermal.exposure_ns <= limit_ns]
        last = self.thermal.last
        if waiting or last is None or last.exposure_ns > limit_ns + self.tolerance_ns:
            return waiting[-1] if waiting else None
        return last

    def wanted(self, thermal: Held) -> bool:
        """Whether a visible frame that waits might get this thermal one."""
        waiting = self.visible.waiting
        return bool(waiting) and thermal.exposure_ns >= waiting[0].exposure_ns - self.tolerance_ns

    def wait_until_ns(self, visible: Held, now_ns: int) -> int:
        """When to stop waiting for a thermal frame nearer to this visible one; 0: there will be none."""
        newest_ns, wanted_ns = self.thermal_time.newest_ns, visible.exposure_ns
        if newest_ns is None or newest_ns >= wanted_ns:
            return 0
        expected_ns = self.thermal_time.expected_ns(wanted_ns, now_ns)
        if expected_ns is None or not self._belongs(expected_ns, visible):
            return 0
        best = self.fresh(visible)
        enough_ns = abs(best.exposure_ns - wanted_ns) - GAIN_NS if best else self.tolerance_ns
        if abs(expected_ns - wanted_ns) > enough_ns:
            return 0
        if expected_ns + self.thermal_time.soonest_ns > visible.arrived_ns + MOST_WAIT_NS:
            return 0
        return min(expected_ns + self.thermal_time.due_ns, self._room_until_ns(visible))

    def _belongs(self, thermal_ns: int, visible: Held) -> bool:
        apart_ns = thermal_ns - visible.exposure_ns
        return apart_ns <= GAIN_NS or apart_ns <= abs(self._next_ns(visible) - thermal_ns) + GAIN_NS

    def _next_ns(self, visible: Held) -> int:
        """Exposure of the visible frame after this one, which waits or is expected."""
        later = (held.exposure_ns for held in self.visible.waiting if held.exposure_ns > visible.exposure_ns)
        return next(later, visible.exposure_ns + self.visible_time.period_ns)

    def _room_until_ns(self, visible: Held) -> int:
        """Until when a visible frame can wait at most. The oldest makes room before the next one comes without any."""
        until_ns, arrived_ns = visible.arrived_ns + MOST_WAIT_NS, self.visible_time.arrived_ns
        if not self.visible.full or arrived_ns is None or visible is not self.visible.waiting[0]:
            return until_ns
        return min(until_ns, arrived_ns + self.visible_time.period_ns * 7 // 8)
