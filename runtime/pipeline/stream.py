"""Recordings and the simulated drive as moments: pairs that exist already, one after the other, paced or not."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import Any

from edgefusion.core.frames import REGULAR, Form, FramePair
from runtime.report.schema import Since
from runtime.sync.moments import Moment


class Pacer:
    """Lets pair ``index`` pass at its exposure time, as a camera would deliver it.

    Args:
        fps: the camera's rate.
        stop: set to end every wait at once.
    """

    def __init__(self, fps: float, stop: threading.Event) -> None:
        self._period_ns = round(1e9 / fps)
        self._stop = stop
        self._start_ns: int | None = None

    def admit(self, index: int) -> int | None:
        """Wait until the pair is due; its exposure time in ns, or None if the one after it is due already."""
        now_ns = time.monotonic_ns()
        if self._start_ns is None:
            self._start_ns = now_ns
        due_ns = self._start_ns + index * self._period_ns
        if now_ns >= due_ns + self._period_ns:
            return None
        if now_ns < due_ns:
            self._stop.wait((due_ns - now_ns) / 1e9)
        return due_ns


class PairStream:
    """Frame pairs of a source, as fast as they are asked for or paced like a camera.

    Args:
        pairs: in order.
        stop: set to end every wait.
        frames: so many are taken; None for all.
        fps: pace like a camera of this rate and drop what comes late.
        apart_ns: what the rig adds to the timestamps of visible frames, minus what it adds to those of thermal ones.

    Attributes:
        ended: nothing more will come.
        drops: pairs that came late, by cause.
        since: what latency counts from: exposure, as of a camera, where it is paced.
    """

    def __init__(
        self,
        pairs: Iterable[FramePair],
        *,
        stop: threading.Event,
        frames: int | None = None,
        fps: float | None = None,
        apart_ns: int = 0,
    ) -> None:
        self._pairs, self._left, self._number = iter(pairs), frames, 0
        self._apart_ns = apart_ns
        self._first: FramePair | None = None
        self._pacer = Pacer(fps, stop) if fps else None
        self.since: Since = "receive" if fps is None else "exposure"
        self.ended = False
        self.drops: dict[str, int] = {}

    def __enter__(self) -> PairStream:
        return self

    def __exit__(self, *reason: object) -> None:
        """There is nothing to stop."""

    def next(self, timeout_s: float = 0.0) -> Moment | None:
        """The next pair; None where it came too late, or there are no more (``ended``). Waits as long as it must."""
        pair = self._take() if self._left is None or self._number < self._left else None
        if pair is None:
            self.ended = True
            return None
        self._number += 1
        due_ns = self._pacer.admit(self._number - 1) if self._pacer else time.monotonic_ns()
        if due_ns is None:
            self.drops["late"] = self.drops.get("late", 0) + 1
            return None
        age_ns = pair.visible.timestamp_ns - pair.thermal.timestamp_ns + self._apart_ns
        return Moment(pair.visible, pair.thermal, REGULAR, due_ns, thermal_age_ns=age_ns, name=pair.name)

    @property
    def lost(self) -> int:
        """Pairs that came late."""
        return sum(self.drops.values())

    @property
    def state(self) -> str:
        """Running, until it has ended."""
        return "ended" if self.ended else "running"

    def forms(self) -> tuple[Form, Form] | None:
        """What the first pair is, before it is taken; None if there is none."""
        self._first = self._take()
        if self._first is None:
            return None
        return self._first.visible.form, self._first.thermal.form

    def wait_s(self) -> float | None:
        """A pair can be had at once."""
        return 0.0

    def status(self) -> dict[str, Any]:
        """There are no cameras."""
        return {}

    def set_drifted(self, drifted: bool) -> None:
        """A recording is fused as it is."""

    def skew(self) -> None:
        """There are no cameras."""

    def _take(self) -> FramePair | None:
        first, self._first = self._first, None
        return first or next(self._pairs, None)
