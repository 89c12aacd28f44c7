"""What a trace costs: the same loop with and without it, in turns. Paired, within one run; `make bench` prints it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import numpy as np
import pytest

from edgefusion.core.bundle import load_bundle
from edgefusion.core.devices import find_device
from edgefusion.core.frames import FramePair
from runtime.capture.simulated import SimulatedRig
from runtime.fusion import open_fusion
from runtime.pipeline.lane import Lane
from runtime.pipeline.outputs import Outputs
from runtime.pipeline.stream import PairStream
from runtime.pipeline.turn import Turn, untimed
from runtime.trace import Trace

pytestmark = [pytest.mark.slow, pytest.mark.speed]
ROUNDS, FRAMES = 40, 60


def lane_of(pairs: Iterator[FramePair]) -> Lane:
    fusion = open_fusion(load_bundle(), find_device("cpu"), precision="int8", bits=14)
    outputs = Outputs([], fps=30, live=False, failed=lambda to, error: None)
    return Lane("bench", PairStream(pairs, stop=threading.Event()), fusion, outputs)


def seconds_of(lane: Lane) -> float:
    begin = time.perf_counter()
    for _ in range(FRAMES):
        lane.turn(0.0)
    return time.perf_counter() - begin


def noted(lane: Lane) -> list[Turn]:
    turns: list[Turn] = []
    lane._timed = turns.append
    seconds_of(lane)
    lane._timed = untimed
    return turns


def processor_us(path: Path, turns: list[Turn]) -> float:
    """Processor time of a frame's trace, of both threads: it can only take so much from the loop."""
    with Trace(path) as trace:
        timed = trace.rig("bench", since="receive").timed
        begin = time.process_time()
        for turn in islice(cycle(turns), 20_000):
            timed(turn)
    return (time.process_time() - begin) / 20_000 * 1e6


def test_a_trace_costs_less_than_one_percent(tmp_path: Path) -> None:
    rig = SimulatedRig(seed=1)
    lane = lane_of(islice(cycle([rig.render(index) for index in range(8)]), (2 * ROUNDS + 2) * FRAMES))
    seconds_of(lane)
    cost_us = processor_us(tmp_path / "alone.json", noted(lane))
    pairs = []
    with Trace(tmp_path / "trace.json") as trace:
        traced = trace.rig("bench", since="receive").timed
        for number in range(ROUNDS):
            times = {}
            for timed in (traced, untimed) if number % 2 else (untimed, traced):
                lane._timed = timed
                times[timed] = seconds_of(lane)
            pairs.append((times[traced], times[untimed]))
    lane.outputs.close()
    size = (tmp_path / "trace.json").stat().st_size / (ROUNDS * FRAMES)
    frame_us = median(without for _, without in pairs) / FRAMES * 1e6
    ratios = np.array([with_it / without for with_it, without in pairs])
    draws = np.random.default_rng(0).choice(ratios, (1000, ROUNDS))
    low, high = np.percentile(np.median(draws, axis=1), [2.5, 97.5])
    print(f"\na trace takes {cost_us:.1f} us of {frame_us:.0f} us ({cost_us / frame_us:.2%}), {size:.0f} bytes a frame")
    print(f"with and without in turns: {median(ratios) - 1:+.2%} (95 %: {low - 1:+.2%} to {high - 1:+.2%})")
    assert cost_us < 0.01 * frame_us
