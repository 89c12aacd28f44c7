from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from lanes import Run, make_fusion, pairs
from scenes import noise_pair

from edgefusion.core.errors import RunError
from edgefusion.core.frames import FramePair, PixelFormat
from edgefusion.recordings.images import read_visible
from edgefusion.recordings.video import VideoReader
from runtime.pipeline.outputs import DEPTH
from runtime.pipeline.statistics import STAGES, WARM_UP_FRAMES
from runtime.pipeline.stream import PairStream
from runtime.sync.moments import Moment


def test_every_pair_comes_out_once_and_in_order() -> None:
    run, fusion = Run(given := pairs(8)), make_fusion()
    statistics = run.go()
    assert (statistics.frames, run.lane.dropped, run.lane.state) == (8, {}, "ended")
    for frame, pair in zip(run.images, given, strict=True):
        np.testing.assert_array_equal(frame, fusion.fuse(pair))


def test_frames_limits_what_is_taken_from_the_source() -> None:
    source = iter(pairs(9))
    assert Run(source, frames=4).go().frames == 4
    assert len(list(source)) == 5


def test_every_stage_is_timed_and_warm_up_is_left_out() -> None:
    statistics = Run(pairs(12)).go()
    assert statistics.warm_up_frames == WARM_UP_FRAMES
    assert {name: histogram.count for name, histogram in statistics.stages.items()} == dict.fromkeys(STAGES, 7)
    assert statistics.latency.count == 7
    assert 0 < statistics.warm_up_seconds < statistics.seconds
    assert statistics.fps == pytest.approx(7 / (statistics.seconds - statistics.warm_up_seconds))


def test_a_short_run_keeps_every_timing() -> None:
    statistics = Run(pairs(3)).go()
    assert (statistics.warm_up_frames, statistics.latency.count) == (0, 3)


def test_a_paced_source_is_waited_for() -> None:
    run = Run(pairs(10), fps=50)
    statistics = run.go()
    assert statistics.frames + sum(run.lane.dropped.values()) == 10
    assert statistics.seconds >= 9 / 50


def test_what_comes_late_is_dropped_and_counted() -> None:
    run = Run(pairs(30), fps=100, on_frame=lambda run: time.sleep(0.05))
    statistics = run.go()
    assert run.lane.dropped["late"] > 0
    assert statistics.frames + run.lane.dropped["late"] == 30
    assert len(run.images) == statistics.frames


def test_latency_of_a_paced_run_counts_from_exposure() -> None:
    def late() -> Iterator[FramePair]:
        for pair in pairs(4):
            time.sleep(0.03)
            yield pair

    statistics = Run(late(), fps=20).go()
    assert statistics.latency.max_ms is not None
    assert statistics.latency.max_ms < 1000


def test_a_deadline_that_is_missed_is_counted() -> None:
    late, soon = Run(pairs(9), deadline_ms=1e-3).go(), Run(pairs(9), deadline_ms=1e6).go()
    assert late.deadlines.misses == late.deadlines.longest_streak == 9 - WARM_UP_FRAMES
    assert soon.deadlines.misses == 0


def test_a_frame_that_was_dropped_missed_its_deadline() -> None:
    run = Run(pairs(30), fps=100, deadline_ms=1e6, on_frame=lambda run: time.sleep(0.05))
    run.go()
    assert 0 < run.lane.snapshot().deadline_misses <= run.lane.dropped["late"]


def test_a_duration_counts_from_the_end_of_warm_up() -> None:
    run = Run(itertools.cycle(pairs(2)), on_frame=lambda run: time.sleep(0.005), duration_s=0.15, warm_up_s=0.1)
    statistics = run.go()
    assert statistics.warm_up_frames >= WARM_UP_FRAMES
    assert statistics.warm_up_seconds >= 0.1
    assert statistics.counted_s >= 0.15
    assert (run.lane.ended, run.stop.is_set()) == (True, False)
    assert statistics.latency.count == statistics.frames - statistics.warm_up_frames


class Lost(PairStream):
    """Gives its pairs, and then nothing for a time, like a camera that is lost."""

    def next(self, timeout_s: float = 0.0) -> Moment | None:
        moment = super().next(timeout_s)
        if moment is None:
            self.ended = self.turns_left == 0
            self.turns_left -= 1
            time.sleep(0.02)
        return moment

    turns_left = 10


def test_time_in_which_no_frame_comes_lowers_the_rate() -> None:
    run = Run(Lost(pairs(12), stop=threading.Event()))
    statistics = run.go()
    snapshot = run.lane.snapshot()
    assert snapshot.seconds == statistics.counted_s >= 0.2
    assert statistics.fps == pytest.approx(7 / snapshot.seconds)
    assert snapshot.last_ns is not None
    assert time.monotonic_ns() - snapshot.last_ns >= 0.2e9


def test_stop_ends_after_the_frame_in_hand() -> None:
    def third(run: Run) -> None:
        if run.lane.statistics.frames == 3:
            run.stop.set()

    run = Run(itertools.cycle(pairs(2)), on_frame=third)
    assert (run.go().frames, run.lane.ended) == (3, False)


def test_a_failing_source_leaves_the_video_of_what_was_written(tmp_path: Path) -> None:
    def failing() -> Iterator[FramePair]:
        yield from pairs(20)
        raise RunError("the camera broke")

    with pytest.raises(RunError, match="the camera broke"):
        Run(failing(), outputs=(str(tmp_path / "out.mp4"),)).go()
    assert list(tmp_path.iterdir()) == [tmp_path / "out.mp4"]
    video = VideoReader(tmp_path / "out.mp4", "visible")
    assert 20 - DEPTH <= video.length == sum(1 for _ in video) <= 20


def test_a_video_ends_before_frames_of_another_size_and_is_whole(tmp_path: Path) -> None:
    other = noise_pair(PixelFormat.RGB24, PixelFormat.GREY, ((70, 50), (70, 50)))
    path = tmp_path / "out.mp4"
    with pytest.raises(RunError, match=f"{path}: images of different sizes do not fit one video, which ends before"):
        Run([*pairs(3), other, *pairs(9)], outputs=(str(path),)).go()
    assert len(list(VideoReader(path, "visible"))) == 3
    assert list(tmp_path.iterdir()) == [path]


def test_a_recording_waits_for_its_outputs_and_loses_nothing(tmp_path: Path) -> None:
    run = Run(pairs(40), outputs=(str(tmp_path / "pictures"),))
    run.go()
    written = sorted((tmp_path / "pictures").iterdir())
    assert len(written) == 40
    for path, image in zip(written, run.images, strict=True):
        np.testing.assert_array_equal(read_visible(path), image)


def test_stills_do_not_inherit_the_thermal_range_of_the_one_before() -> None:
    dark, bright = pairs(2)
    bright.thermal.pixels[:] += 9000
    together, alone = Run([dark, bright], stills=True), Run([bright], stills=True)
    together.go()
    alone.go()
    np.testing.assert_array_equal(together.images[1], alone.images[0])


def test_pictures_of_changing_size_are_fused_one_after_the_other() -> None:
    other = noise_pair(PixelFormat.RGB24, PixelFormat.GREY, ((70, 50), (70, 50)))
    run = Run([*pairs(1), other, *pairs(1)], stills=True)
    run.go()
    assert [frame.shape for frame in run.images] == [(64, 96, 3), (50, 70, 3), (64, 96, 3)]
