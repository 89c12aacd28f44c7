"""How far apart the exposures of pairs are."""

from __future__ import annotations

from runtime.latency import LatencyHistogram


class Skew:
    """Differences of exposure, visible minus thermal, of pairs within the tolerance.

    Attributes:
        sizes: without their sign.
    """

    def __init__(self) -> None:
        self.sizes = LatencyHistogram()
        self._sum_ns = 0

    def add(self, skew_ns: int) -> None:
        """Count one pair."""
        self.sizes.add(abs(skew_ns))
        self._sum_ns += skew_ns

    def summary(self) -> dict[str, float | None]:
        """p50, p99 and max of the size, and the mean with its sign, in ms; None if there was no pair."""
        count = self.sizes.count
        mean = round(self._sum_ns / count / 1e6, 4) if count else None
        return {**self.sizes.summary(50, 99), "max": self.sizes.max_ms, "mean": mean}
