"""Where the cameras' threads and the loop meet: one lock around the synchronizer, and what is known of each camera."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgefusion.core.errors import EdgeFusionError, InputError
from edgefusion.core.frames import Form, Frame
from edgefusion.core.rig import Rig
from edgefusion.recordings.pairing import SIDES, Side
from runtime.latency import LatencyHistogram
from runtime.sync.cameras import State
from runtime.sync.frame_queue import Held
from runtime.sync.moments import Moment
from runtime.sync.synchronizer import Synchronizer

LOOK_S = 0.1
"""How often a wait for the cameras looks whether the run is to stop: a signal wakes nobody."""

Changed = Callable[[Side, State, str], None]
"""Told of a change: which camera, what it does now, and why."""

Arrived = Callable[[Side, int, int], None]
"""Told of every frame that came: which camera, the frame's own number, and when (CLOCK_MONOTONIC in ns)."""


def unheard(*news: object) -> None:
    """Nobody wants to know."""


@dataclass
class Known:
    """What the cameras' threads told about one camera.

    Attributes:
        state, why: what it does now, and why if that is not good.
        form: what its frames are, once it was open.
        openings: how often it was opened.
        tried: whether it was, or could not be.
    """

    state: State = "starting"
    why: str = ""
    form: Form | None = None
    openings: int = 0
    tried: bool = False


class Exchange:
    """Takes frames from the cameras' threads, gives moments to the loop. All methods may be called from any thread.

    Frames are released, and changes told, while the lock is not held: a driver may take its time.

    Args:
        settings: the rig.
        wake: its lock (re-entrant) guards everything; notified when there may be a moment.
        changed: told of changes of the cameras' states.

    Attributes:
        known: by camera.
        arrived: told of frames, in the cameras' threads.
        failure: why a camera cannot be used.
    """

    def __init__(self, settings: Rig, *, wake: threading.Condition, changed: Changed) -> None:
        self._wake, self._changed = wake, changed
        self._lost_after_s = settings.policy.lost_after_s
        self._sync = Synchronizer(settings, time.monotonic_ns(), give_back=self._give_back)
        self._changes: list[tuple[Side, State, str]] = []
        self._news = self._closed = False
        self.known: dict[Side, Known] = {side: Known() for side in SIDES}
        self.arrived: Arrived = unheard
        self.failure: Exception | None = None

    def begin(self, timeout_s: float, stop: threading.Event) -> None:
        """Wait until each camera was opened, or could not be, or the time is over, or ``stop`` is set.

        From now on frames are expected.
        """
        until_s = time.monotonic() + timeout_s
        with self._wake:
            while not (self._tried or stop.is_set()) and (left_s := until_s - time.monotonic()) > 0:
                self._wake.wait(min(left_s, LOOK_S))
            self._sync.started_ns = time.monotonic_ns()
        self._settle()

    def next(self) -> Moment | None:
        """The next moment, if one is ready."""
        with self._wake:
            now_ns, self._news = time.monotonic_ns(), False
            moment = self._sync.next(now_ns)
            if moment is None:
                self._watch(now_ns)
        self._settle()
        return moment

    def wait_s(self) -> float | None:
        """Until something changes although no frame comes; None: not before one comes."""
        with self._wake:
            now_ns = time.monotonic_ns()
            waits = [self._sync.lost_at_ns(side) - now_ns for side in SIDES if self._delivers(side)]
            if (wait_ns := self._sync.wait_ns(now_ns)) is not None:
                waits.append(wait_ns)
            return max(min(waits), 0) / 1e9 if waits else None

    def wait(self, timeout_s: float) -> None:
        """Until something came since the last ``next``, or changes by itself, or the time is over."""
        wait_s = self.wait_s()
        with self._wake:
            if not self._news:
                self._wake.wait(timeout_s if wait_s is None else min(timeout_s, wait_s))

    @property
    def over(self) -> bool:
        """Whether there will be no more moments."""
        with self._wake:
            return self._closed or self._sync.ended

    @property
    def state(self) -> str:
        """Running, ended, starting, or which camera is lost: ``thermal_lost``. A closed shutter is nothing wrong."""
        if self.over:
            return "ended"
        for side, known in self.known.items():
            if known.state == "starting":
                return "starting"
            if known.state not in ("live", "frozen"):
                return f"{side}_{'ended' if known.state == 'ended' else 'lost'}"
        return "running"

    @property
    def drops(self) -> dict[str, int]:
        """Frames that no moment had, by camera and cause."""
        with self._wake:
            queues = self._sync.queues.items()
            return {f"{side} {cause}": count for side, queue in queues for cause, count in queue.dropped.items()}

    @property
    def lost(self) -> int:
        """Visible frames that no moment had, though both cameras had begun."""
        return self._sync.queues["visible"].lost

    def skew(self) -> LatencyHistogram:
        """A copy of how far apart the exposures of pairs are."""
        with self._wake:
            return self._sync.skew.sizes.copy()

    def set_drifted(self, drifted: bool) -> None:
        """Whether moments are marked MISREGISTERED."""
        with self._wake:
            self._sync.drifted = drifted

    def status(self) -> dict[str, Any]:
        """Both cameras and the skew of their pairs, as JSON types."""
        with self._wake:
            now_ns = time.monotonic_ns()
            self._watch(now_ns)
            status = {
                "cameras": {side: self._facts(side, now_ns) for side in SIDES},
                "skew_ms": self._sync.skew.summary(),
            }
        self._settle()
        return status

    def close(self) -> None:
        """Give up what waits; what comes from now on is given back at once."""
        with self._wake:
            self._closed = True
            self._sync.close()
            self._tell()
        self._settle()

    def opened(self, side: Side, form: Form) -> None:
        """A camera is open."""
        known = self.known[side]
        with self._wake:
            known.form, known.tried = form, True
            known.openings += 1
            self._tell()

    def take(self, side: Side, frame: Frame) -> None:
        """A frame came."""
        now_ns, realtime_ns = time.monotonic_ns(), time.time_ns()
        self.arrived(side, frame.sequence, now_ns)
        with self._wake:
            if self._closed:
                self._sync.queues[side].refuse(frame, "closed")
            elif self._sync.add(side, frame, now_ns, realtime_ns=realtime_ns) in (None, "overrun"):
                self._enter(side, "frozen" if side == "thermal" and self._sync.frozen else "live", "")
                self._tell()
        self._settle()

    def damaged(self, side: Side, error: InputError) -> None:
        """Something came that is no frame."""
        with self._wake:
            self._sync.damaged(side)
            self.known[side].why = str(error)

    def gone(self, side: Side, error: EdgeFusionError) -> None:
        """A camera is lost, and will be opened again."""
        self._end(side, "reconnecting", str(error), how=self._sync.gone)

    def ended(self, side: Side) -> None:
        """A recording is over."""
        self._end(side, "ended", "", how=self._sync.end)

    def failed(self, side: Side, error: Exception) -> None:
        """A camera cannot be used."""
        self.failure = self.failure or error
        self._end(side, "lost", str(error), how=self._sync.gone)

    def _end(self, side: Side, state: State, why: str, *, how: Callable[[Side], None]) -> None:
        with self._wake:
            how(side)
            self.known[side].tried = True
            self._enter(side, state, why)
            self._tell()
        self._settle()

    def _facts(self, side: Side, now_ns: int) -> dict[str, Any]:
        queue, times, known = self._sync.queues[side], self._sync.times[side], self.known[side]
        return {
            "state": known.state,
            "why": known.why,
            "format": known.form[0].value if known.form else None,
            "size_px": list(known.form[1]) if known.form else None,
            "fps": round(times.fps(now_ns), 2),
            "frames": queue.arrived,
            "used": queue.used,
            "held": queue.alive,
            "drops": dict(queue.dropped),
            "missed": times.missed,
            "clock_jumps": times.jumps,
            "reconnects": max(known.openings - 1, 0),
        }

    @property
    def _tried(self) -> bool:
        """Whether each camera was opened, or could not be, or one cannot be used at all."""
        return self.failure is not None or all(known.tried for known in self.known.values())

    def _delivers(self, side: Side) -> bool:
        """Whether it is open and thought to be well."""
        return self.known[side].form is not None and self.known[side].state in ("starting", "live", "frozen")

    def _watch(self, now_ns: int) -> None:
        """Notice who fell silent. Its own thread cannot: it may be stuck."""
        for side in SIDES:
            if self._delivers(side) and now_ns >= self._sync.lost_at_ns(side):
                self._enter(side, "lost", f"no frame for {self._lost_after_s:g} s")

    def _enter(self, side: Side, state: State, why: str) -> None:
        known = self.known[side]
        if state != known.state or (why and why != known.why):
            self._changes.append((side, state, why))
        known.state, known.why = state, why

    def _tell(self) -> None:
        self._news = True
        self._wake.notify_all()

    def _give_back(self, frames: list[Held]) -> None:
        with self._wake:
            self._sync.returned(frames)
        self._settle()

    def _settle(self) -> None:
        with self._wake:
            freed = self._sync.take_freed()
            changes, self._changes = self._changes, []
        for frame in freed:
            frame.release()
        for side, state, why in changes:
            self._changed(side, state, why)
