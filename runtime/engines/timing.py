"""How long an engine takes: a loop of our own, the same for every backend."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from runtime.engines.base import Engine

WARM_UP = 20
FEWEST, MOST = 50, 2000
ENOUGH_S = 1.0


@dataclass(frozen=True)
class Timing:
    """Times of one engine, in ms.

    Attributes:
        median: the middle one.
        low: a tenth was faster.
        high: a tenth was slower.
        count: how many were taken.
    """

    median: float
    low: float
    high: float
    count: int


def measure(engine: Engine) -> Timing:
    """Execute again and again for a second, on a picture that is neither constant nor noise, and without copies."""
    rows, columns = engine.x.shape[1:]
    engine.x[:] = np.linspace(0, 1, rows)[:, None] * np.linspace(0.2, 1, columns)
    for _ in range(WARM_UP):
        engine.execute()
    times: list[float] = []
    start = time.perf_counter()
    while len(times) < FEWEST or (len(times) < MOST and time.perf_counter() - start < ENOUGH_S):
        times.append(engine.time_ms())
    low, median, high = np.percentile(times, (10, 50, 90))
    return Timing(round(float(median), 4), round(float(low), 4), round(float(high), 4), len(times))
