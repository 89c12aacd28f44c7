"""A live rig: two cameras in their threads, moments out."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Any

from edgefusion.core.rig import Rig
from edgefusion.recordings.pairing import SIDES, Side
from runtime.capture.base import Camera
from runtime.latency import LatencyHistogram
from runtime.report.schema import Since
from runtime.sync.cameras import CameraThread, stop_all
from runtime.sync.exchange import Arrived, Changed, Exchange, unheard
from runtime.sync.moments import Moment

OPEN_S = 10.0
"""Entering waits for both cameras at most so long; what takes longer is not waited for."""


class LiveRig:
    """Moments of two live cameras, as a context manager. One thread takes them; any may give them back.

    A camera that is not there when the rig is entered is waited for like one that is lost later.

    Args:
        settings: the rig.
        cameras: one for each side, not yet open; they are closed at the end.
        stop: set to end the wait for both cameras on entering; None: nothing does.
        wake: notified when there may be a moment. Made with its default, re-entrant lock; several rigs may share it.
        changed: told of each change of a camera's state, and why; called in any thread, must return soon.

    Raises:
        MachineError: on entering: a camera is busy, not permitted, or something its kind needs is missing.
        RigError: on entering: a camera does not offer what rig.toml asks for.
    """

    since: Since = "exposure"

    def __init__(
        self,
        settings: Rig,
        cameras: dict[Side, Camera],
        *,
        wake: threading.Condition,
        stop: threading.Event | None = None,
        changed: Changed = unheard,
    ) -> None:
        self._cameras, self._stop = cameras, stop or threading.Event()
        self._exchange = Exchange(settings, wake=wake, changed=changed)
        self._threads = [
            CameraThread(side, cameras[side], receiver=self._exchange, settings=settings) for side in SIDES
        ]

    def __enter__(self) -> LiveRig:
        try:
            for thread in self._threads:
                thread.start()
            self._exchange.begin(OPEN_S, self._stop)
            self._check()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop both cameras and give up what waits. Returns soon, even if a camera is stuck."""
        self._exchange.close()
        stop_all(self._threads)

    def next(self, timeout_s: float = 0.0) -> Moment | None:
        """The next moment, as soon as there is one; None if there was none in time, or there will be no more.

        Raises:
            EdgeFusionError: a camera that was not open yet on entering cannot be used after all.
        """
        until_s = time.monotonic() + timeout_s
        while True:
            if moment := self._exchange.next():
                return moment
            self._check()
            left_s = until_s - time.monotonic()
            if left_s <= 0 or self._exchange.over:
                return None
            self._exchange.wait(left_s)

    @property
    def ended(self) -> bool:
        """Whether a recording is over and all of it was taken: there will be no more moments."""
        return self._exchange.over

    @property
    def state(self) -> str:
        """Running, ended, starting, or which camera is lost: ``thermal_lost``. A closed shutter is nothing wrong."""
        return self._exchange.state

    @property
    def drops(self) -> dict[str, int]:
        """Frames that no moment had, by camera and cause: ``{"visible late": 3, ...}``; see ``frame_queue.Cause``."""
        return self._exchange.drops

    @property
    def lost(self) -> int:
        """Visible frames that no moment had."""
        return self._exchange.lost

    def skew(self) -> LatencyHistogram:
        """A copy of how far apart the exposures of pairs are."""
        return self._exchange.skew()

    def tell(self, arrived: Arrived) -> None:
        """Whom to tell of each frame, before it is paired; called in the cameras' threads, must return at once."""
        self._exchange.arrived = arrived

    def set_drifted(self, drifted: bool) -> None:
        """The registration drifted beyond its budget, or is good again: moments are marked MISREGISTERED, or not."""
        self._exchange.set_drifted(drifted)

    def wait_s(self) -> float | None:
        """Until ``next`` should be asked although no frame came: a wait ends, or a camera is lost. None: not before."""
        return self._exchange.wait_s()

    def status(self) -> dict[str, Any]:
        """``{"cameras": {"visible": {...}, "thermal": {...}}, "skew_ms": {...}}``, as JSON types.

        Of each camera: its own ``facts`` (kind, memory, copies ...), state and why, format, size_px, fps, frames that
        came, used, held now, drops by cause, missed (never came, by its own numbers), clock_jumps and reconnects.
        """
        status = self._exchange.status()
        status["cameras"] = {side: {**self._cameras[side].facts, **status["cameras"][side]} for side in SIDES}
        return status

    def _check(self) -> None:
        if self._exchange.failure is not None:
            raise self._exchange.failure
