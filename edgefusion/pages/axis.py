"""An axis of a chart, and round numbers along it."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Axis:
    """Values to pixels, in equal steps or, with ``log``, in equal ratios."""

    low: float
    high: float
    start_px: float
    end_px: float
    log: bool = False

    def at(self, value: float) -> float:
        """Pixel of a value, clipped to the axis."""
        low, high, value = (self._scaled(one) for one in (self.low, self.high, min(max(value, self.low), self.high)))
        share = (value - low) / (high - low) if high > low else 0.0
        return round(self.start_px + share * (self.end_px - self.start_px), 1)

    def _scaled(self, value: float) -> float:
        return math.log(value) if self.log else value

    def ticks(self, most: int = 6) -> list[float]:
        """Round values along the axis."""
        return log_steps(self.low, self.high) if self.log else steps(self.low, self.high, most=most)


def steps(low: float, high: float, *, most: int = 6) -> list[float]:
    """Round numbers from ``low`` to ``high`` in equal steps of 1, 2, 2.5 or 5 times a power of ten."""
    span = high - low
    if span <= 0:
        return [low]
    rough = span / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def log_steps(low: float, high: float, *, fewest: int = 5) -> list[float]:
    """Round numbers between two positive ones for an axis of equal ratios: powers of ten, and more if few."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 2, 5), (1, 2, 3, 5, 7), tuple(range(1, 10))):
        found = [factor * 10.0**power for power in powers for factor in factors]
        inside = [value for value in found if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]
        if len(inside) >= fewest:
            return inside
    return [value for value in steps(low, high) if value > 0] or [low]
