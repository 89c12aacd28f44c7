"""How far apart the exposures of pairs are."""

from __future__ import annotations

from runtime.latency import LatencyHistogram


class Skew:
    """Differences of exposure, visible minus thermal, of pairs within the tolerance."""

    def __init__(self) -> None:
        self._sizes = LatencyHistogram()
        self._sum_ns = 0

    def add(self, skew_ns: int) -> None:
        """Count one pair."""
        self._sizes.add(abs(skew_ns))
        self._sum_ns += skew_ns

    def summary(self) -> dict[str, float | None]:
        """p50, p99 and max of the size, and the mean with its sign, in ms; None if there was no pair."""
        count = self._sizes.count
        mean = round(self._sum_ns / count / 1e6, 4) if count else None
        return {**self._sizes.summary(50, 99), "max": self._sizes.max_ms, "mean": mean}
