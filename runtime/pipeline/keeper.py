"""The keeper: a thread beside the loop that shows what it does, and notices when it no longer does anything."""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from edgefusion.core.errors import RunError
from runtime import log, systemd
from runtime.pipeline.lane import Lane

PERIOD_S = 1.0


def end_process() -> None:
    """The loop hangs in a call that cannot be interrupted: leave without it, with the exit code of a failed run."""
    sys.stderr.flush()
    os._exit(RunError.exit_code)


class Keeper:
    """Once a second: the status into every ring's header and to systemd; the watchdog.

    A loop that has not turned for ``watchdog_s`` is stuck: that is logged with every thread's stack, and systemd hears
    no more of it. After as long again the outputs are finished, and the process ends with exit code 5. A lane that
    prepares is not stuck: an engine that was never finished would be begun anew by each process to come.

    Args:
        lanes: of the loop.
        facts: of the whole run, which every status carries: device, engine ...
        watchdog_s: without a turn for so long, the loop is stuck; None where a turn may take any time.
        end: ends the process.
    """

    def __init__(
        self,
        lanes: Sequence[Lane],
        facts: dict[str, Any],
        *,
        watchdog_s: float | None,
        period_s: float = PERIOD_S,
        end: Callable[[], None] = end_process,
    ) -> None:
        self._lanes, self._facts, self._end = lanes, facts, end
        self._watchdog_ns = None if watchdog_s is None else round(watchdog_s * 1e9)
        self._period_s = period_s
        self._turned_ns = 0
        self._states = {lane.name: ("starting", time.time_ns()) for lane in lanes}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="keeper", daemon=True)

    def __enter__(self) -> Keeper:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        systemd.notify("STOPPING=1")
        self._over.set()
        self._thread.join()

    def turned(self) -> None:
        """The loop turned. Before the first turn nothing counts as stuck: an engine may be built then."""
        self._turned_ns = time.monotonic_ns()

    def _keep(self) -> None:
        systemd.notify("READY=1")
        while not self._over.wait(self._period_s):
            if any(lane.preparing for lane in self._lanes):
                self.turned()
            idle = self._idle()
            for lane in self._lanes:
                self._show(lane, stuck=idle > 1)
            if idle <= 1:
                systemd.notify("WATCHDOG=1", f"STATUS={self._line()}")
            elif idle > 2:
                self._give_up()

    def _idle(self) -> float:
        """Time since the last turn, in parts of what is allowed."""
        if self._watchdog_ns is None or not self._turned_ns:
            return 0.0
        return (time.monotonic_ns() - self._turned_ns) / self._watchdog_ns

    def _show(self, lane: Lane, *, stuck: bool) -> None:
        state = "stuck" if stuck else lane.state
        before, since_ns = self._states[lane.name]
        if state != before:
            since_ns = time.time_ns()
            self._states[lane.name] = state, since_ns
            if self._watchdog_ns is not None:  # a recording's states are no news
                log.event("run", rig=lane.name, state=state)
            if stuck:
                faulthandler.dump_traceback(all_threads=True)
        status = {"state": state, "since_ns": since_ns, "at_ns": time.time_ns(), **self._facts, **lane.status()}
        lane.outputs.set_status(status)

    def _line(self) -> str:
        return ", ".join(
            f"{lane.name}: {lane.state}, {lane.statistics.frames} frames, {lane.statistics.fps:.1f} per second"
            for lane in self._lanes
        )

    def _give_up(self) -> None:
        log.event("run", state="given up", why="the loop is stuck")
        try:
            for lane in self._lanes:
                self._close(lane)
        finally:
            self._end()

    def _close(self, lane: Lane) -> None:
        try:
            lane.outputs.close()
        except Exception as error:  # a sink may fail with anything; the other lanes' files are finished all the same
            log.event("output", rig=lane.name, state="failed", why=str(error))
