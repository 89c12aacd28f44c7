"""Energy of the rails of one meter between two marks, in constant memory."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from runtime.power.base import Reading

GAP_INTERVALS = 3
"""Readings further apart than so many intervals are a gap: nobody knows what was drawn in it."""
SUM = ""
"""The name under which the sum of rails is added up like a rail."""


@dataclass
class Track:
    """One rail: energy in mJ (mW x s), and how long readings that are close enough together span."""

    mj: float = 0.0
    covered_ns: int = 0
    least: float = math.inf
    most: float = -math.inf

    def add(self, mw: tuple[float, float], span_ns: int) -> None:
        """A trapezoid."""
        self.mj += (mw[0] + mw[1]) / 2 * span_ns / 1e9
        self.covered_ns += span_ns
        self.least = min(self.least, *mw)
        self.most = max(self.most, *mw)

    @property
    def mean_mw(self) -> float:
        """Over the time that is covered."""
        return self.mj / self.covered_ns * 1e9


class Integral:
    """Takes readings in order, and integrates what lies between its marks; the edges are interpolated.

    Attributes:
        tracks: by rail, those that have been covered for a time.
        samples, missed: readings inside; those that should have been, or lack a rail that is wanted or once was there.
        first_seen_ns: of each rail.
    """

    def __init__(self, begin_ns: int, *, averages: bool, wanted: Collection[str] = ()) -> None:
        """``averages``: readings are means since the one before, so that there are no gaps; ``wanted``: the total's."""
        self.begin_ns = begin_ns
        self.tracks: dict[str, Track] = {}
        self.samples = self.missed = 0
        self.first_seen_ns: dict[str, int] = {}
        self._averages, self._wanted = averages, wanted
        self._last: dict[str, tuple[int, float]] = {}
        self._newest_ns: int | None = None

    def add(self, reading: Reading, interval_s: float, end_ns: int | None = None) -> None:
        """One more reading; what lies after ``end_ns`` does not count."""
        now = reading.timestamp_ns
        if self.begin_ns <= now and (end_ns is None or now <= end_ns):
            self.samples += bool(reading.mw)
            self.missed += self._missed(reading, interval_s)
        longest = math.inf if self._averages else GAP_INTERVALS * interval_s * 1e9
        for rail, mw in reading.mw.items():
            before = self._last.get(rail)
            if before is not None and now - before[0] <= longest:
                self._add(rail, before, (now, mw), end_ns)
            self.first_seen_ns.setdefault(rail, now)
            self._last[rail] = now, mw
        self._newest_ns = now

    def _missed(self, reading: Reading, interval_s: float) -> int:
        """Readings that should have been since the last one, and this one if a rail that was there is not in it.

        One of the total's is looked for from the start, as soon as the meter says anything.
        """
        late = round((reading.timestamp_ns - (self._newest_ns or reading.timestamp_ns)) / (interval_s * 1e9)) - 1
        looked_for = {*self._last, *(self._wanted if reading.mw else ())} - {SUM}
        return max(late, 0) + (not looked_for <= reading.mw.keys())

    def _add(self, rail: str, a: tuple[int, float], b: tuple[int, float], end_ns: int | None) -> None:
        start, end = max(a[0], self.begin_ns), b[0] if end_ns is None else min(b[0], end_ns)
        if start >= end:
            return
        slope = 0.0 if self._averages else (b[1] - a[1]) / (b[0] - a[0])
        edges = b[1] - slope * (b[0] - start), b[1] - slope * (b[0] - end)
        self.tracks.setdefault(rail, Track()).add(edges, end - start)
