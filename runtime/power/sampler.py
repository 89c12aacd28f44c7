"""Every meter, read beside the run and integrated between its marks."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from types import TracebackType

from runtime.power.base import Meter
from runtime.power.watch import Watch
from runtime.report import schema

PATIENCE_INTERVALS, PATIENCE_S = 3, 0.5
STOP_S = 2.0


class Sampler(AbstractContextManager["Sampler"]):
    """Reads meters, each in its thread at its sensor's own interval. Closes them in the end.

    Marks are CLOCK_MONOTONIC in ns and may lie up to two seconds in the past, such as the time of the last frame.
    Memory does not grow with time.
    """

    def __init__(self, meters: Sequence[Meter]) -> None:
        """``meters`` may be empty: then nothing is measured."""
        self._watches = [Watch(meter) for meter in meters]

    def __enter__(self) -> Sampler:
        for watch in self._watches:
            watch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for watch in self._watches:
            watch.stop(STOP_S)

    def begin(self, timestamp_ns: int) -> None:
        """Integrate from this mark on; forgets an earlier one."""
        for watch in self._watches:
            watch.begin(timestamp_ns)

    def end(self, timestamp_ns: int) -> list[schema.Meter]:
        """Energy from ``begin`` to this mark, by meter. Waits some intervals at most, for a reading beyond it."""
        ended = [watch.end(timestamp_ns, _patience_s(watch)) for watch in self._watches]
        return [meter for meter in ended if meter is not None]

    def so_far(self, timestamp_ns: int) -> list[schema.Meter]:
        """As ``end``, but it goes on."""
        measured = [watch.so_far(timestamp_ns, _patience_s(watch)) for watch in self._watches]
        return [meter for meter in measured if meter is not None]

    def measure_idle(self, seconds: float, stop: threading.Event) -> None:
        """Wait, and take what is drawn meanwhile as the baseline of everything that ``end`` returns from now on.

        Args:
            seconds: to wait; not at all where nothing is measured.
            stop: ends it early.
        """
        if not self._watches:
            return
        self.begin(time.monotonic_ns())
        stop.wait(seconds)
        now = time.monotonic_ns()
        for watch in self._watches:
            watch.set_idle(now, _patience_s(watch))

    def second(self) -> dict[str, tuple[float, float, float]]:
        """(min, mean, max) in mW by METER/RAIL since the last call; a rail that could not be read is missing."""
        return {name: values for watch in self._watches for name, values in watch.second().items()}


def _patience_s(watch: Watch) -> float:
    return max(PATIENCE_INTERVALS * watch.meter.interval_s, PATIENCE_S)
