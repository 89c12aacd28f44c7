from __future__ import annotations

import itertools
import threading
import time
import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
from scenes import noise_pair

from edgefusion.core.bundle import load_bundle
from edgefusion.core.devices import find_device
from edgefusion.core.errors import RunError
from edgefusion.core.frames import FramePair, PixelFormat
from runtime.fusion import Fusion
from runtime.pipeline import STAGES, WARM_UP_FRAMES, Pipeline
from runtime.sinks.null import NullSink

SIZES = ((96, 64), (48, 32))


class Collector(NullSink):
    """Keeps what it is given, and how it ended."""

    def __init__(self) -> None:
        self.frames: list[np.ndarray] = []
        self.end = ""

    def write(self, rgb, info, inputs) -> None:
        self.frames.append(rgb.copy())

    def close(self) -> None:
        self.end = "closed"

    def abandon(self) -> None:
        self.end = "abandoned"


def make_fusion() -> Fusion:
    return Fusion(load_bundle(), find_device("cpu"), precision="fp32", bits=14)


def pairs(count: int, seed: int = 0) -> list[FramePair]:
    return [noise_pair(PixelFormat.RGB24, PixelFormat.Y16, SIZES, seed + k) for k in range(count)]


def pipeline(sink: NullSink, **options: object) -> Pipeline:
    return Pipeline(make_fusion(), sink, **{"stop": threading.Event(), **options})


def test_every_pair_comes_out_once_and_in_order() -> None:
    sink, given = Collector(), pairs(8)
    statistics = pipeline(sink).run(given)
    fusion = make_fusion()
    assert (statistics.frames, statistics.dropped, sink.end) == (8, 0, "closed")
    for frame, pair in zip(sink.frames, given, strict=True):
        np.testing.assert_array_equal(frame, fusion.fuse(pair))


def test_frames_limits_what_is_taken_from_the_source() -> None:
    source = iter(pairs(9))
    assert pipeline(NullSink()).run(source, 4).frames == 4
    assert len(list(source)) == 5


def test_every_stage_is_timed_and_warm_up_is_left_out() -> None:
    statistics = pipeline(NullSink()).run(pairs(12))
    assert statistics.warm_up_frames == WARM_UP_FRAMES
    assert {name: histogram.count for name, histogram in statistics.stages.items()} == dict.fromkeys(STAGES, 7)
    assert statistics.latency.count == 7
    assert 0 < statistics.warm_up_seconds < statistics.seconds
    assert statistics.fps == pytest.approx(7 / (statistics.seconds - statistics.warm_up_seconds))
    assert statistics.fusion_fps


def test_a_short_run_keeps_every_timing() -> None:
    statistics = pipeline(NullSink()).run(pairs(3))
    assert (statistics.warm_up_frames, statistics.latency.count) == (0, 3)


def test_a_paced_source_is_waited_for() -> None:
    statistics = pipeline(NullSink(), fps=50).run(pairs(10))
    assert statistics.frames + statistics.dropped == 10
    assert statistics.seconds >= 9 / 50


def test_what_comes_late_is_dropped_and_counted() -> None:
    class Slow(Collector):
        def write(self, rgb, info, inputs) -> None:
            super().write(rgb, info, inputs)
            time.sleep(0.05)

    sink = Slow()
    statistics = pipeline(sink, fps=100).run(pairs(30))
    assert statistics.dropped > 0
    assert statistics.frames + statistics.dropped == 30
    assert len(sink.frames) == statistics.frames


def test_latency_of_a_paced_run_counts_from_exposure() -> None:
    def late() -> Iterator[FramePair]:
        for pair in pairs(4):
            time.sleep(0.03)
            yield pair

    statistics = pipeline(NullSink(), fps=20).run(late())
    assert statistics.latency.max_ms is not None
    assert statistics.latency.max_ms < 1000


def test_stop_ends_after_the_frame_in_hand() -> None:
    stop, sink = threading.Event(), Collector()
    statistics = Pipeline(
        make_fusion(), sink, stop=stop, observe=lambda pair, seen: stop.set() if seen.frames == 3 else None
    ).run(itertools.cycle(pairs(2)))
    assert (statistics.frames, statistics.interrupted, sink.end) == (3, True, "closed")


def test_a_failing_source_abandons_the_sink() -> None:
    def failing() -> Iterator[FramePair]:
        yield from pairs(2)
        raise RunError("the camera broke")

    sink = Collector()
    with pytest.raises(RunError, match="the camera broke"):
        pipeline(sink).run(failing())
    assert sink.end == "abandoned"


def test_stills_do_not_inherit_the_thermal_range_of_the_one_before() -> None:
    dark, bright = pairs(2)
    bright.thermal.pixels[:] += 9000
    together, alone = Collector(), Collector()
    pipeline(together, stills=True).run([dark, bright])
    pipeline(alone, stills=True).run([bright])
    np.testing.assert_array_equal(together.frames[1], alone.frames[0])


def test_pictures_of_changing_size_are_fused_one_after_the_other() -> None:
    sink = Collector()
    other = noise_pair(PixelFormat.RGB24, PixelFormat.GREY, ((70, 50), (70, 50)))
    pipeline(sink, stills=True).run([*pairs(1), other, *pairs(1)])
    assert [frame.shape for frame in sink.frames] == [(64, 96, 3), (50, 70, 3), (64, 96, 3)]


def test_the_hot_path_allocates_nothing_once_it_runs() -> None:
    fusion, given = make_fusion(), pairs(4)
    # CPython 3.10 gives a function its cache of opcodes at the 1,024th call: once, and not steady state
    for pair in itertools.islice(itertools.cycle(given), 1100):
        fusion.fuse(pair)
    tracemalloc.start()
    try:
        worst = 0
        for pair in itertools.islice(itertools.cycle(given), 2000):
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            fusion.fuse(pair)
            worst = max(worst, tracemalloc.get_traced_memory()[1] - before)
        growth = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert worst < 4096
    assert growth < 16384


def test_resident_memory_stays_flat() -> None:
    fusion, given = make_fusion(), pairs(4)
    for pair in itertools.islice(itertools.cycle(given), 200):
        fusion.fuse(pair)
    before = resident_bytes()
    for pair in itertools.islice(itertools.cycle(given), 2000):
        fusion.fuse(pair)
    assert resident_bytes() - before < 2_000_000


def resident_bytes() -> int:
    with open("/proc/self/statm") as stream:
        return int(stream.read().split()[1]) * 4096
