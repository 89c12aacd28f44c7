"""Draws power that is known: writes a curve into a rail's files, and prints what it wrote and when.

    python power_curve.py FILE SECONDS PERIOD_S

FILE is curr*_input (mA). Each line of output: CLOCK_MONOTONIC in ns and mA from then on. What is written has a fixed
width, so that a reader never meets half of a number.
"""

from __future__ import annotations

import itertools
import math
import os
import signal
import subprocess
import sys
import time
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path

STEP_S = 0.004


def main(path: str, seconds: str, period_s: str) -> None:
    """A sine between 400 and 2000 mA."""
    file = os.open(path, os.O_WRONLY)
    stopped: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: stopped.append(number))
    start = time.monotonic()
    print("begun", flush=True)
    while not stopped and (passed_s := time.monotonic() - start) < float(seconds):
        milliamperes = round(1200 + 800 * math.sin(2 * math.pi * passed_s / float(period_s)))
        before = time.monotonic_ns()
        os.pwrite(file, f"{milliamperes:05d}\n".encode(), 0)
        print((before + time.monotonic_ns()) // 2, milliamperes)
        time.sleep(STEP_S)


@dataclass(frozen=True)
class Curve:
    """What was written: steps."""

    timestamps_ns: list[int]
    milliamperes: list[int]

    def joules(self, begin_ns: int, end_ns: int, millivolts: int) -> float:
        """Between two times."""
        first = bisect_right(self.timestamps_ns, begin_ns) - 1
        last = bisect_right(self.timestamps_ns, end_ns) - 1
        edges = [begin_ns, *self.timestamps_ns[first + 1 : last + 1], end_ns]
        levels = self.milliamperes[first : last + 1]
        spans = [(b - a) / 1e9 for a, b in itertools.pairwise(edges)]
        return sum(span * level for span, level in zip(spans, levels, strict=True)) * millivolts / 1e6


class Load:
    """The second process that draws it."""

    def __init__(self, path: Path, seconds: float, *, period_s: float = 1.3) -> None:
        words = [sys.executable, __file__, str(path), str(seconds), str(period_s)]
        self._process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self._process.stdout.readline()  # it has begun

    def stop(self) -> None:
        """Draw no more."""
        self._process.send_signal(signal.SIGINT)

    def curve(self) -> Curve:
        """Waits for its end."""
        output, _ = self._process.communicate()
        pairs = [line.split() for line in output.splitlines()]
        return Curve([int(stamp) for stamp, _ in pairs], [int(level) for _, level in pairs])


if __name__ == "__main__":
    main(*sys.argv[1:])
