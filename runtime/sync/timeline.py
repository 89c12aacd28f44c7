"""When a camera's frames were exposed, on the one axis all cameras share, and when its next frame is due."""

from __future__ import annotations

import statistics
from collections import deque

from edgefusion.core.frames import Frame
from runtime.sync.frame_queue import Cause

JUMP_NS = 25_000_000
"""A frame that comes so much sooner than it was exposed has a clock that jumped ahead."""

FIRST_FPS = 30.0
"""What a camera's rate is taken for until two of its frames have come, if its settings do not say it."""

RECENT = 15
"""Frames over which period and delay are taken."""

SPARE_NS = 2_000_000
"""A frame may come so much later than any of late, or an eighth of a period, and is still waited for."""

RATE_NS = 2_000_000_000
"""Frames per second are those of so long."""


class Timeline:
    """The exposure times of one camera, on CLOCK_MONOTONIC and strictly increasing.

    A clock has jumped when two frames in a row misfit in the same way: they run backwards, or come before they were
    exposed. Then the clock is shifted such that frames come after their usual delay again: pairing goes on, only as
    exact as that delay is steady. A jump ahead by less than the usual delay and ``JUMP_NS`` goes unseen (it could be
    a backlog that is over), and so does one back by less than a frame (it could be one that came late).

    Args:
        offset_ns: added to the camera's timestamps (``time_offset_ns`` of rig.toml).
        fps: the rate it was asked for, if any.

    Attributes:
        newest_ns, arrived_ns: exposure and arrival of the last frame that fitted, or None.
        period_ns: between two frames, the median of the last few.
        delay_ns: usual time from exposure to arrival.
        jumps, missed: times the clock jumped; frames that the camera's own numbers say never came.
    """

    def __init__(self, offset_ns: int, *, fps: float | None = None) -> None:
        self._offset_ns, self._shift_ns = offset_ns, 0
        self._gaps: deque[int] = deque(maxlen=RECENT)
        self._delays: deque[int] = deque(maxlen=RECENT)
        self._arrivals: deque[int] = deque(maxlen=4 * RECENT)
        self._least_ns = self.delay_ns = 0
        self._misfit_ns: int | None = None
        self._sequence: int | None = None
        self.newest_ns: int | None = None
        self.arrived_ns: int | None = None
        self.period_ns = int(1e9 / (fps or FIRST_FPS))
        self.jumps = self.missed = 0

    def place(self, frame: Frame, now_ns: int, realtime_ns: int) -> int | Cause:
        """When a frame that arrived just now was exposed, or why that cannot be.

        Args:
            frame: what came.
            now_ns: CLOCK_MONOTONIC on its arrival.
            realtime_ns: CLOCK_REALTIME then.
        """
        self._count_missed(frame.sequence)
        exposure_ns = monotonic_ns(frame, now_ns, realtime_ns) + self._offset_ns + self._shift_ns
        if self.newest_ns is None:
            self._least_ns = now_ns - exposure_ns + self._offset_ns
        elif exposure_ns == self.newest_ns:
            return "duplicate"
        elif exposure_ns < self.newest_ns or self._comes_too_soon(exposure_ns, now_ns):
            if not self._jumped(now_ns - exposure_ns):
                return "clock"
            exposure_ns = max(now_ns - self.delay_ns, self.newest_ns + 1)
        self._learn(exposure_ns, now_ns)
        return exposure_ns

    @property
    def due_ns(self) -> int:
        """From the exposure of a frame until it should have come, if it comes at all."""
        spare_ns = max(SPARE_NS, self.period_ns // (8 if self._gaps else 2))
        return min(max(self._delays, default=0), self.delay_ns + self.period_ns) + spare_ns

    @property
    def soonest_ns(self) -> int:
        """From exposure to arrival, the least of late."""
        return min(self._delays, default=0)

    def fps(self, now_ns: int) -> float:
        """Frames per second that came lately."""
        recent = [arrived_ns for arrived_ns in self._arrivals if arrived_ns > now_ns - RATE_NS]
        return (len(recent) - 1) * 1e9 / max(recent[-1] - recent[0], 1) if len(recent) > 1 else 0.0

    def expected_ns(self, wanted_ns: int, now_ns: int) -> int | None:
        """Exposure of the frame nearest to ``wanted_ns`` that may still come; None if the camera fell silent."""
        if self.newest_ns is None or self.arrived_ns is None:
            return None
        if now_ns > self.arrived_ns + 3 * self.period_ns + self.due_ns - self.delay_ns:
            return None
        nearest = round((wanted_ns - self.newest_ns) / self.period_ns)
        overdue = -((self.newest_ns + self.due_ns - now_ns) // self.period_ns)
        return self.newest_ns + max(1, nearest, overdue) * self.period_ns

    def _comes_too_soon(self, exposure_ns: int, now_ns: int) -> bool:
        """Before it was exposed, and sooner than any frame before. A clock of its own may always be ahead of ours."""
        return now_ns - exposure_ns + self._offset_ns < min(self._least_ns, 0) - JUMP_NS

    def _jumped(self, delay_ns: int) -> bool:
        """Whether this is the second misfit of one kind; the clock is shifted then."""
        alike = self._misfit_ns is not None and abs(delay_ns - self._misfit_ns) < JUMP_NS
        self._misfit_ns = delay_ns
        if alike:
            self._shift_ns += delay_ns - self.delay_ns
            self.jumps += 1
        return alike

    def _learn(self, exposure_ns: int, now_ns: int) -> None:
        self._misfit_ns = None
        self._delays.append(now_ns - exposure_ns)
        self.delay_ns = statistics.median_low(self._delays)
        self._least_ns = min(self._least_ns, now_ns - exposure_ns + self._offset_ns)
        if self.newest_ns is not None:
            self._gaps.append(exposure_ns - self.newest_ns)
            self.period_ns = statistics.median_low(self._gaps)
        self.newest_ns, self.arrived_ns = exposure_ns, now_ns
        self._arrivals.append(now_ns)

    def _count_missed(self, sequence: int) -> None:
        """A camera that starts anew counts from 0 again: only gaps count."""
        if self._sequence is not None and sequence > self._sequence:
            self.missed += sequence - self._sequence - 1
        self._sequence = sequence


def monotonic_ns(frame: Frame, now_ns: int, realtime_ns: int) -> int:
    """The frame's timestamp on CLOCK_MONOTONIC. The moment of receipt may be on either clock: the nearer one.

    Args:
        frame: what came.
        now_ns: CLOCK_MONOTONIC now, near that moment.
        realtime_ns: CLOCK_REALTIME then.
    """
    stamp_ns = frame.timestamp_ns
    on_realtime = frame.clock == "realtime" or (
        frame.clock == "receive" and abs(stamp_ns - realtime_ns) < abs(stamp_ns - now_ns)
    )
    return stamp_ns + now_ns - realtime_ns if on_realtime else stamp_ns
