"""Power from a counter of energy: the mean between two readings of it, which loses nothing however late they come."""

from __future__ import annotations


class Counter:
    """A counter of energy that begins again at some value."""

    def __init__(self, range_mj: float | None = None) -> None:
        """``range_mj``: the value after which it begins again; None if it never does."""
        self._range_mj = range_mj
        self._before: tuple[int, float] | None = None

    def mean_mw(self, timestamp_ns: int, mj: float) -> float | None:
        """Mean power since the last call; None at the first, and where the counter was reset."""
        before, self._before = self._before, (timestamp_ns, mj)
        if before is None or timestamp_ns <= before[0]:
            return None
        used_mj = mj - before[1]
        if used_mj < 0:
            if self._range_mj is None:
                return None
            used_mj += self._range_mj
        return used_mj / (timestamp_ns - before[0]) * 1e9
