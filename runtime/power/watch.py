"""One meter, the thread that reads it, and what its readings add up to."""

from __future__ import annotations

import copy
import threading
import time
from collections import deque
from collections.abc import Iterator

from runtime.power.base import Meter, Reading
from runtime.power.integral import GAP_INTERVALS, SUM, Integral, Track
from runtime.power.rails import Layout
from runtime.report import schema

LAG_NS = 2_000_000_000
"""A mark may lie so far in the past: readings wait this long before they are added up."""
LEAST_COVERAGE = 0.99
"""What covers less of the time is remarked upon."""


class Watch:
    """Reads one meter at its own interval, in a thread of its own: a meter that hangs holds up nobody else.

    Attributes:
        meter: it.
        idle_mw: the baseline by rail, once it is measured; ``integral.SUM`` is the sum's.
    """

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        self.idle_mw: dict[str, float] = {}
        self._changed = threading.Condition()
        self._waiting: deque[tuple[Reading, float]] = deque()
        self._integral: Integral | None = None
        self._second: dict[str, tuple[float, float, float, int]] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"power-{meter.name}", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self, patience_s: float) -> None:
        """Stop reading and close the meter; one that hangs keeps its (daemon) thread."""
        self._stopping.set()
        self._thread.join(patience_s)
        if not self._thread.is_alive():
            self.meter.close()

    def begin(self, timestamp_ns: int) -> None:
        """Integrate from here on."""
        with self._changed:
            wanted = self.meter.layout.total_rails
            self._integral = Integral(timestamp_ns, averages=self.meter.averages, wanted=wanted)

    def end(self, timestamp_ns: int, patience_s: float) -> schema.Meter | None:
        """What was measured since ``begin``, as soon as a reading lies beyond this mark; None without a ``begin``."""
        with self._changed:
            measured, self._integral = self.so_far(timestamp_ns, patience_s), None
            return measured

    def so_far(self, timestamp_ns: int, patience_s: float) -> schema.Meter | None:
        """The same, and it goes on."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest_ns() >= timestamp_ns, patience_s)
            integral = copy.deepcopy(self._integral)
            if integral is None:
                return None
            for reading, interval_s in self._waiting:
                integral.add(reading, interval_s, timestamp_ns)
            return self._summary(integral, timestamp_ns - integral.begin_ns)

    def set_idle(self, timestamp_ns: int, patience_s: float) -> None:
        """Take what was measured since ``begin`` as the baseline."""
        measured = self.end(timestamp_ns, patience_s)
        if measured is not None:
            self.idle_mw = {rail.name: rail.mean_mw for rail in measured.rails}
            if measured.joules is not None and measured.total is None:
                self.idle_mw[SUM] = sum(self.idle_mw[rail] for rail in measured.summed)

    def second(self) -> dict[str, tuple[float, float, float]]:
        """(min, mean, max) in mW by METER/RAIL since the last call."""
        with self._changed:
            seen, self._second = self._second, {}
        return {f"{self.meter.name}/{rail}": (low, total / n, high) for rail, (low, total, high, n) in seen.items()}

    def _run(self) -> None:
        while not self._stopping.is_set():
            due = time.monotonic() + self.meter.interval_s
            self._take(self.meter.read())
            self._stopping.wait(max(due - time.monotonic(), 0.0))

    def _take(self, reading: Reading) -> None:
        summed = self.meter.layout.summed
        seen = reading.mw
        if summed and all(rail in reading.mw for rail in summed):
            reading = Reading(reading.timestamp_ns, reading.mw | {SUM: sum(reading.mw[rail] for rail in summed)})
        with self._changed:
            for rail, mw in seen.items():
                low, total, high, n = self._second.get(rail, (mw, 0.0, mw, 0))
                self._second[rail] = min(low, mw), total + mw, max(high, mw), n + 1
            self._waiting.append((reading, self.meter.interval_s))
            while self._waiting[0][0].timestamp_ns < reading.timestamp_ns - LAG_NS:
                old, interval_s = self._waiting.popleft()
                if self._integral:
                    self._integral.add(old, interval_s)
            self._changed.notify_all()

    def _newest_ns(self) -> int:
        return self._waiting[-1][0].timestamp_ns if self._waiting else 0

    def _summary(self, integral: Integral, span_ns: int) -> schema.Meter:
        layout, tracks = self.meter.layout, integral.tracks
        whole = layout.total or SUM
        main = tracks.get(whole)
        return schema.Meter(
            name=self.meter.name,
            scope=layout.scope,
            total=layout.total,
            summed=list(layout.summed),
            interval_ms=self.meter.interval_s * 1e3,
            samples=integral.samples,
            missed=integral.missed,
            coverage=_coverage(tracks, layout, span_ns),
            joules=main.mj / 1e3 if main else None,
            idle_mw=self.idle_mw.get(whole),
            rails=[self._rail(name, track) for name, track in tracks.items() if name != SUM],
            remarks=[*self.meter.remarks.all(), *_lacks(integral, self.meter.interval_s, span_ns)],
        )

    def _rail(self, name: str, track: Track) -> schema.Rail:
        return schema.Rail(
            name=name,
            joules=track.mj / 1e3,
            mean_mw=track.mean_mw,
            min_mw=track.least,
            max_mw=track.most,
            idle_mw=self.idle_mw.get(name),
        )


def _coverage(tracks: dict[str, Track], layout: Layout, span_ns: int) -> float:
    """Of the whole; of the best covered rail where no rail is the whole and nothing may be added up."""
    wanted = [layout.total or SUM] if layout.total_rails else list(tracks)
    covered = max((tracks[name].covered_ns for name in wanted if name in tracks), default=0)
    return min(covered / span_ns, 1.0) if span_ns > 0 else 0.0


def _lacks(integral: Integral, interval_s: float, span_ns: int) -> Iterator[str]:
    """Rails that came late, and those that were not measured all the time."""
    for rail, first_ns in integral.first_seen_ns.items():
        late_s = (first_ns - integral.begin_ns) / 1e9
        if rail != SUM and late_s > GAP_INTERVALS * interval_s:
            yield f"{rail} appeared {late_s:.1f} s after the start"
    for rail, track in integral.tracks.items():
        part = track.covered_ns / span_ns
        if rail != SUM and part < LEAST_COVERAGE:
            yield f"{rail} was measured {part:.0%} of the time"
