"""Two cameras, one stream of moments: pairs by exposure time. No threads and no clock of its own; time is passed in."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from edgefusion.core.frames import REGULAR, Flag, Frame
from edgefusion.core.rig import Rig
from edgefusion.recordings.pairing import Side
from runtime.sync.frame_queue import Cause, FrameQueue, Held
from runtime.sync.frozen import FrozenPicture
from runtime.sync.moments import Moment
from runtime.sync.nearest import Nearest
from runtime.sync.skew import Skew
from runtime.sync.timeline import Timeline

LATE_NS = 25_000_000
"""A frame that has waited so long for the loop, not for its partner, gives way to a newer one that is ready too."""


class Synchronizer:
    """Decides, oldest visible frame first, which frames make a moment.

    Every visible frame becomes a moment with the thermal frame that belongs to it (see ``Nearest``). Where there is
    none, the newest thermal frame before it serves up to ``hold_s``, marked stale; then the visible frame goes alone,
    marked THERMAL_LOST. A thermal frame that may still come is waited for as long as its camera's period and usual
    delay say that it can. What is dropped is counted (see ``frame_queue.Cause``): of each camera, frames that came =
    used + dropped + waiting.

    Args:
        settings: the rig.
        now_ns: CLOCK_MONOTONIC.
        give_back: what a moment's ``release`` calls with its frames: ``returned``, or something that calls it. What
            it is called with is emptied by ``returned``, so that a second call does nothing.

    Attributes:
        queues, times: the frames and the exposure times of each camera.
        started_ns: since when frames are expected, CLOCK_MONOTONIC.
        skew: differences of exposure of the pairs within the tolerance.
        drifted: the registration drifted: moments are marked MISREGISTERED.
        frozen: whether the last thermal frame showed the same picture for long.
    """

    def __init__(self, settings: Rig, now_ns: int, *, give_back: Callable[[list[Held]], None] | None = None) -> None:
        self._policy, self.started_ns = settings.policy, now_ns
        self._hold_ns = int(settings.thermal.hold_s * 1e9)
        self._lost_after_ns = int(settings.policy.lost_after_s * 1e9)
        self._give_back = give_back or self.returned
        self._freed: list[Frame] = []
        self._visible = FrameQueue(buffers=settings.visible.buffers, freed=self._freed)
        self._thermal = FrameQueue(buffers=settings.thermal.buffers, freed=self._freed)
        self.queues: dict[Side, FrameQueue] = {"visible": self._visible, "thermal": self._thermal}
        self.times: dict[Side, Timeline] = {
            "visible": Timeline(settings.visible.time_offset_ns, fps=settings.visible.fps),
            "thermal": Timeline(settings.thermal.time_offset_ns, fps=settings.thermal.fps),
        }
        tolerance_ns = int(settings.tolerance_ms * 1e6)
        self._nearest = Nearest(
            tolerance_ns, self._visible, self._thermal, self.times["visible"], self.times["thermal"]
        )
        self._frozen_picture = FrozenPicture()
        self._gone: set[Side] = set()
        self._over: set[Side] = set()
        self._published_ns: int | None = None
        self.skew = Skew()
        self.drifted = False
        self.frozen = False

    def add(self, side: Side, frame: Frame, now_ns: int, *, realtime_ns: int) -> Cause | None:
        """Take a frame that arrived just now; why it was dropped at once, if it was.

        Args:
            side: of which camera.
            frame: what came; it is in ``take_freed`` when it is not needed any more.
            now_ns: CLOCK_MONOTONIC on its arrival.
            realtime_ns: CLOCK_REALTIME then.
        """
        queue, placed = self.queues[side], self.times[side].place(frame, now_ns, realtime_ns)
        self._gone.discard(side)
        if isinstance(placed, str):
            queue.refuse(frame, placed)
            return placed
        seen_ns = self._seen_ns(frame, placed) if side == "thermal" else placed
        self._make_room(queue, now_ns)
        if queue.full:
            queue.refuse(frame, "overrun")
            return "overrun"
        queue.append(frame, exposure_ns=placed, seen_ns=seen_ns, now_ns=now_ns)
        for visible in self._visible.waiting:
            self._ready(visible, now_ns)
        return None

    def damaged(self, side: Side) -> None:
        """Count a frame that the camera could not deliver."""
        self.queues[side].refuse(None, "damaged")

    def gone(self, side: Side) -> None:
        """A camera is gone, until its next frame: nothing is expected of it."""
        self._gone.add(side)

    def end(self, side: Side) -> None:
        """A recording is over: nothing more comes from this side."""
        self._over.add(side)

    @property
    def ended(self) -> bool:
        """Whether there will be no more moments: visible is over, and nothing of it waits."""
        return "visible" in self._over and not self._visible.waiting

    def lost(self, side: Side, now_ns: int) -> bool:
        """Whether a camera is gone, over, or was silent for ``lost_after_s``."""
        return side in self._gone or side in self._over or now_ns >= self.lost_at_ns(side)

    def lost_at_ns(self, side: Side) -> int:
        """When a camera counts as lost unless a frame of it comes."""
        arrived_ns = self.times[side].arrived_ns
        return (self.started_ns if arrived_ns is None else arrived_ns) + self._lost_after_ns

    def next(self, now_ns: int) -> Moment | None:
        """The next moment, or None if none is ready now."""
        while self._visible.waiting:
            visible = self._visible.waiting[0]
            if not self._ready(visible, now_ns):
                return None
            if cause := self._superfluous(visible, now_ns):
                self._visible.drop_oldest(cause)
                continue
            if moment := self._with_visible(visible, now_ns):
                return moment
        if self._policy.visible_lost == "thermal" and self._thermal.waiting and self.lost("visible", now_ns):
            return self._thermal_alone(now_ns)
        return None

    def wait_ns(self, now_ns: int) -> int | None:
        """Until there may be a moment although no frame comes; None: not before one comes."""
        if self._visible.waiting:
            oldest = self._visible.waiting[0]
            return 0 if self._ready(oldest, now_ns) else self._wait_until_ns(oldest, now_ns) - now_ns
        if self._policy.visible_lost == "thermal" and self._thermal.waiting:
            return 0 if self.lost("visible", now_ns) else self.lost_at_ns("visible") - now_ns
        return None

    def returned(self, frames: list[Held]) -> None:
        """A moment's frames are not used any more; the list is emptied."""
        while frames:
            frames.pop().let_go()

    def take_freed(self) -> list[Frame]:
        """Frames that nobody needs any more: to be released by the caller, now, once."""
        freed, self._freed[:] = list(self._freed), []
        return freed

    def close(self) -> None:
        """Give up what waits. Moments that are out are still given back."""
        for queue in self.queues.values():
            queue.close()

    def _seen_ns(self, frame: Frame, exposure_ns: int) -> int:
        seen_ns = self._frozen_picture.first_seen_ns(frame.pixels, exposure_ns)
        self.frozen = seen_ns != exposure_ns
        return seen_ns

    def _make_room(self, queue: FrameQueue, now_ns: int) -> None:
        """For one more frame: what served before goes first, then the oldest that waits."""
        if queue.full and queue.last and not queue.last.shared and queue.waiting:
            queue.keep(None)
        while queue.full and queue.waiting:
            queue.drop_oldest(self._overflow(queue, now_ns))
        if queue.full and queue.last and not queue.last.shared:
            queue.keep(None)

    def _overflow(self, queue: FrameQueue, now_ns: int) -> Cause:
        """Why the oldest frame that waits must go."""
        if queue is self._thermal and not self._visible.arrived:
            return "starting"
        if queue is self._thermal:
            return "overrun" if self._nearest.wanted(queue.waiting[0]) else "unpaired"
        if self._starting(now_ns):
            return "starting"
        return "late" if self._ready(queue.waiting[0], now_ns) else "overrun"

    def _starting(self, now_ns: int) -> bool:
        """Whether no thermal frame was used yet, and it is early enough to hope for one."""
        hopeless = self._over | self._gone
        return not self._thermal.used and "thermal" not in hopeless and now_ns < self.started_ns + self._lost_after_ns

    def _ready(self, visible: Held, now_ns: int) -> bool:
        """Whether this visible frame waits for nothing any more; once so, always so."""
        if visible.ready_ns is None and self._wait_until_ns(visible, now_ns) <= now_ns:
            visible.ready_ns = now_ns
        return visible.ready_ns is not None

    def _wait_until_ns(self, visible: Held, now_ns: int) -> int:
        """When this visible frame is ready, whatever comes; 0: it is already."""
        if "thermal" in self._gone or "thermal" in self._over:
            return 0
        if self.times["thermal"].newest_ns is None:
            return self.started_ns + self._lost_after_ns
        return self._nearest.wait_until_ns(visible, now_ns)

    def _superfluous(self, visible: Held, now_ns: int) -> Cause | None:
        """Why the oldest visible frame, which is ready, is not published."""
        if self._published_ns is not None and visible.exposure_ns <= self._published_ns:
            return "late"
        second = self._visible.waiting[1] if len(self._visible.waiting) > 1 else None
        if second is None or now_ns - (visible.ready_ns or now_ns) < LATE_NS or not self._ready(second, now_ns):
            return None
        return "starting" if self._starting(now_ns) else "late"

    def _with_visible(self, visible: Held, now_ns: int) -> Moment | None:
        """A moment of this visible frame, the oldest; None if it was dropped, since thermal only just begins."""
        fresh = self._nearest.fresh(visible)
        thermal = fresh or self._nearest.older(visible)
        if thermal is None and self._starting(now_ns):
            self._visible.drop_oldest("starting")
            return None
        age_ns = visible.exposure_ns - thermal.seen_ns if thermal else 0
        self._drop_passed(visible, thermal)
        if thermal is None or self._too_old(thermal, age_ns, fresh is not None):
            self._forget(thermal)
            return self._moment(visible, None, Flag.THERMAL_LOST, 0)
        stale = fresh is None or thermal.frozen
        if not stale:
            self.skew.add(age_ns)
        return self._moment(visible, thermal, Flag.STALE if stale else REGULAR, age_ns)

    def _drop_passed(self, visible: Held, thermal: Held | None) -> None:
        """No later visible frame is nearest to thermal frames before this one."""
        passed = [held.exposure_ns for held in self._thermal.waiting if held.exposure_ns <= visible.exposure_ns]
        self._thermal.drop_before(max([*passed, thermal.exposure_ns if thermal else 0]), "unpaired")

    def _too_old(self, thermal: Held, age_ns: int, fresh: bool) -> bool:
        return age_ns > self._hold_ns and (thermal.frozen or not fresh)

    def _forget(self, thermal: Held | None) -> None:
        """A thermal frame that is too old serves no more."""
        if thermal is not None and not thermal.used:
            self._thermal.drop_oldest("frozen" if thermal.frozen else "unpaired")
        self._thermal.keep(None)

    def _thermal_alone(self, now_ns: int) -> Moment | None:
        """A moment of the oldest thermal frame that is of use, newer than all that was published."""
        while self._thermal.waiting:
            thermal = self._thermal.waiting[0]
            age_ns = thermal.exposure_ns - thermal.seen_ns
            if self._published_ns is not None and thermal.exposure_ns <= self._published_ns:
                self._thermal.drop_oldest("unpaired")
            elif len(self._thermal.waiting) > 1 and now_ns - thermal.arrived_ns > LATE_NS:
                self._thermal.drop_oldest("late")
            elif age_ns > self._hold_ns:
                self._thermal.drop_oldest("frozen")
            else:
                stale = Flag.STALE if age_ns else REGULAR
                return self._moment(None, thermal, Flag.VISIBLE_LOST | stale, age_ns)
        return None

    def _moment(self, visible: Held | None, thermal: Held | None, flags: Flag, age_ns: int) -> Moment:
        held = []
        if thermal:
            held.append(self._thermal.take(thermal))
            self._thermal.keep(thermal)
        if visible:
            held.append(self._visible.take(visible))
        if self.drifted and visible and thermal:
            flags |= Flag.MISREGISTERED
        first = visible or thermal
        self._published_ns = first.exposure_ns if first else None
        return Moment(
            visible.frame if visible else None,
            thermal.frame if thermal else None,
            flags,
            exposure_ns=self._published_ns or 0,
            thermal_age_ns=age_ns,
            give_back=partial(self._give_back, held),
        )
