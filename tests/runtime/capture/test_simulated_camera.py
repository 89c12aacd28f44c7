"""The simulated rig as two live cameras: one scene, one clock, buffers that are given back."""

from __future__ import annotations

import gc
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import cv2
import numpy as np
import pytest
from cameras import THERMAL_PX, VISIBLE_PX, next_frame, taken, thermal_camera, thermal_settings, visible_camera
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefusion.core.errors import RigError, RunError
from edgefusion.core.frames import THERMAL_FORMATS, VISIBLE_FORMATS, Frame, PixelFormat
from runtime.capture.base import Camera, open_camera
from runtime.capture.simulated import SimulatedRig
from runtime.capture.simulated_camera import SimulatedCamera


@contextmanager
def opened(camera: SimulatedCamera) -> Iterator[SimulatedCamera]:
    camera.open()
    with closing(camera):
        yield camera


def test_the_two_cameras_of_a_rig_show_one_scene() -> None:
    rig = SimulatedRig(seed=3, fog=0.2, visible_size_px=VISIBLE_PX, thermal_size_px=THERMAL_PX)
    address = "seed=3,fog=0.2,pace=0,visible=64x48"
    visible, thermal = visible_camera(address), thermal_camera(address)
    with opened(visible), opened(thermal):
        for index in range(4):
            pair, frames = rig.render(index), (next_frame(visible), next_frame(thermal))
            assert frames[0].timestamp_ns == frames[1].timestamp_ns
            assert np.array_equal(frames[0].pixels, pair.visible.pixels)
            assert np.array_equal(frames[1].pixels, pair.thermal.pixels)
            for frame in frames:
                frame.release()


def test_open_camera_knows_it() -> None:
    settings = thermal_settings(device="simulated:seed=2,pace=0")
    camera = open_camera("thermal", settings)
    assert camera.open() == (PixelFormat.Y16, THERMAL_PX)
    assert {"kind", "memory", "copies", "rate"} <= set(camera.facts)
    camera.close()


def test_at_unequal_rates_they_still_agree_on_time_and_scene() -> None:
    visible, thermal = visible_camera(fps=30), thermal_camera(fps=10)
    with opened(visible), opened(thermal):
        times = {each.timestamp_ns for each in interleaved(visible, thermal, 31, 11)}
        assert len(times) == 31  # every thermal frame has a visible one of the same moment


def interleaved(visible: Camera, thermal: Camera, *counts: int) -> list[Frame]:
    """Frames of both, each read by a thread of its own."""
    found: list[Frame] = []
    threads = [
        threading.Thread(target=lambda camera=camera, count=count: found.extend(taken(camera, count)))
        for camera, count in zip((visible, thermal), counts, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == sum(counts)
    return found


def test_without_pace_neither_runs_away_from_the_other() -> None:
    visible, thermal = visible_camera("pace=0,prerender=4"), thermal_camera("pace=0,prerender=4")
    with opened(visible), opened(thermal):
        for _ in range(20):
            frame = visible.read(0)
            if frame is None:
                break
            frame.release()
        assert frame is None
        assert next_frame(thermal).sequence == 0


def test_without_pace_time_passes_as_fast_as_frames_are_taken_and_is_never_ahead() -> None:
    visible, thermal = visible_camera("pace=0,prerender=4", fps=1), thermal_camera("pace=0,prerender=4", fps=0.25)
    with opened(visible), opened(thermal):
        began_ns = time.monotonic_ns()
        both = interleaved(visible, thermal, 41, 11)
        assert all(frame.timestamp_ns <= time.monotonic_ns() for frame in both)
        first, last = both[0].timestamp_ns, max(frame.timestamp_ns for frame in both)
    assert began_ns <= first
    assert last - first < 20e9  # of the 40 s that the drive went on
    for kind in (PixelFormat.RGB24, PixelFormat.Y16):
        steps = np.diff([frame.timestamp_ns for frame in both if frame.format is kind])
        assert (steps > 0).all()


def test_without_pace_a_reader_that_holds_what_it_may_gets_no_more() -> None:
    with opened(visible_camera("pace=0,prerender=4", buffers=4)) as camera:
        held = [next_frame(camera) for _ in range(2)]
        assert camera.read(0.01) is None
        held[0].release()
        assert next_frame(camera).sequence == 2


def test_without_pace_a_camera_that_the_other_ones_frames_wait_for_gives_one_more() -> None:
    visible, thermal = (make("pace=0,prerender=4", buffers=4) for make in (visible_camera, thermal_camera))
    with opened(visible), opened(thermal):
        kept = [next_frame(thermal) for _ in range(2)]
        early = [next_frame(visible) for _ in range(2)]
        assert thermal.read(0.01) is None
        for frame in early:
            frame.release()
        late = [next_frame(visible) for _ in range(2)]
        assert next_frame(thermal).sequence == late[0].sequence == kept[-1].sequence + 1
        assert thermal.read(0.01) is None


def test_a_camera_nobody_reads_does_not_hold_the_other_up() -> None:
    visible, thermal = visible_camera("pace=0,prerender=4"), thermal_camera("pace=0,prerender=4")
    with opened(visible), opened(thermal):
        assert [frame.sequence for frame in taken(visible, 30)] == list(range(30))
        assert next_frame(thermal).sequence >= 29  # and it comes back where the other one is


def test_a_camera_that_is_closed_is_not_waited_for_and_comes_back_in_time() -> None:
    visible, thermal = visible_camera("pace=0,prerender=4"), thermal_camera("pace=0,prerender=4")
    with opened(visible):
        thermal.open()
        next_frame(thermal).release()
        thermal.close()
        last = taken(visible, 40)[-1]
        thermal.open()
        assert abs(next_frame(thermal).timestamp_ns - last.timestamp_ns) < 200_000_000
        thermal.close()


def test_paced_frames_come_at_their_time_and_not_before() -> None:
    with opened(visible_camera("prerender=5", fps=50)) as camera:
        for before, after in zip(frames := taken(camera, 10), frames[1:], strict=False):
            assert after.timestamp_ns - before.timestamp_ns == 20_000_000 * (after.sequence - before.sequence)
        frame = next_frame(camera)
        assert frame.timestamp_ns <= time.monotonic_ns()
        assert frame.clock == "monotonic"


def test_paced_cameras_share_a_clock_whenever_they_are_opened() -> None:
    visible, thermal = visible_camera("prerender=4", fps=40), thermal_camera("prerender=4", fps=40)
    with opened(visible):
        first = next_frame(visible)
        time.sleep(0.2)
        with opened(thermal):
            second = next_frame(thermal)
            steps = (second.timestamp_ns - first.timestamp_ns) / 25e6
            assert steps == second.sequence - first.sequence
        with opened(thermal):
            later = time.monotonic_ns() - 25_000_000
            assert next_frame(thermal).timestamp_ns >= later - 500_000_000  # not where it stopped, but now


def test_a_buffer_is_used_again_only_after_its_release() -> None:
    with opened(visible_camera(buffers=5)) as camera:
        held = [next_frame(camera) for _ in range(3)]
        before = [frame.pixels.copy() for frame in held]
        assert camera.read(0.01) is None
        assert all(np.array_equal(frame.pixels, pixels) for frame, pixels in zip(held, before, strict=True))
        for _ in range(3):
            held.pop(1).release()
            held.append(next_frame(camera))
            assert not any(np.shares_memory(held[-1].pixels, frame.pixels) for frame in held[:-1])
        assert np.array_equal(held[0].pixels, before[0])
        held[0].release()
        next_frame(camera)
        held[0].release()  # a second time gives nobody else's buffer away
        assert camera.read(0.01) is None


@settings(max_examples=25, deadline=None)
@given(st.lists(st.one_of(st.just("read"), st.integers(0, 4)), max_size=40), st.integers(2, 4))
def test_in_whatever_order_frames_are_released_none_changes_before(turns: list[str | int], buffers: int) -> None:
    with opened(visible_camera(buffers=buffers + 2, size_px=(32, 32))) as camera:
        held: list[tuple[Frame, Any]] = []
        last = -1
        for turn in turns:
            if isinstance(turn, int):
                if turn < len(held):
                    held.pop(turn)[0].release()
            elif frame := camera.read(0):
                held.append((frame, frame.pixels.copy()))
                assert frame.sequence == last + 1
                last = frame.sequence
            else:
                assert len(held) == buffers
            assert all(np.array_equal(frame.pixels, pixels) for frame, pixels in held)


def test_a_waiting_read_wakes_when_a_buffer_is_released_by_another_thread() -> None:
    with opened(visible_camera(buffers=5)) as camera:
        held = [next_frame(camera) for _ in range(3)]
        timer = threading.Timer(0.05, held[0].release)
        timer.start()
        assert camera.read(20) is not None
        timer.join()


def test_paced_frames_that_find_no_buffer_are_lost_and_counted_by_their_numbers() -> None:
    with opened(visible_camera("prerender=4", fps=100, buffers=3)) as camera:
        held = [next_frame(camera) for _ in range(3)]
        time.sleep(0.1)
        assert camera.read(0) is None
        for frame in held:
            frame.release()
        assert next_frame(camera).sequence >= held[-1].sequence + 8


def test_a_late_reader_gets_the_newest_frames_that_buffers_kept() -> None:
    with opened(visible_camera("prerender=4", fps=100, buffers=3)) as camera:
        next_frame(camera).release()
        time.sleep(0.2)
        before_ns = time.monotonic_ns()
        frame = next_frame(camera)
        assert before_ns - frame.timestamp_ns < 30_000_000 + (time.monotonic_ns() - before_ns)
        assert frame.sequence > 10


def test_pixels_stay_readable_after_close() -> None:
    camera = visible_camera()
    with opened(camera):
        frame = next_frame(camera)
        before = frame.pixels.copy()
    del camera
    gc.collect()
    assert np.array_equal(frame.pixels, before)
    frame.release()


def test_reading_a_closed_camera_says_so() -> None:
    with pytest.raises(RunError, match="not open"):
        visible_camera().read(0)


def test_prerendered_frames_cost_no_memory_and_no_copy() -> None:
    with opened(visible_camera("pace=0,prerender=6", size_px=(320, 240))) as camera:
        known = []
        for _ in range(6):
            known.append(frame := next_frame(camera))
            frame.release()
        tracemalloc.start()
        for turn in range(3000):
            frame = next_frame(camera)
            assert frame.pixels is known[(6 + turn) % 6].pixels
            frame.release()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 60_000  # a frame has 230,400 bytes


def test_prerendered_pictures_show_the_same_as_drawn_ones_and_begin_again() -> None:
    with opened(thermal_camera("seed=5,pace=0,prerender=3")) as camera:
        rig = SimulatedRig(seed=5, thermal_size_px=THERMAL_PX)
        for index in range(7):
            frame = next_frame(camera)
            assert np.array_equal(frame.pixels, rig.render(index % 3).thermal.pixels)
            frame.release()


def test_prerendered_pictures_of_unequal_rates_last_equally_long() -> None:
    visible, thermal = visible_camera("pace=0,prerender=30", fps=30), thermal_camera("pace=0,prerender=30", fps=9)
    with opened(visible), opened(thermal):
        both = interleaved(visible, thermal, 91, 28)
    arrays = [{id(f.pixels) for f in both if f.format is kind} for kind in (PixelFormat.RGB24, PixelFormat.Y16)]
    assert [len(each) for each in arrays] == [30, 9]


@pytest.mark.parametrize("kind", VISIBLE_FORMATS)
def test_visible_formats_show_one_picture(kind: PixelFormat) -> None:
    rgb = SimulatedRig(visible_size_px=(128, 96)).render(0).visible.pixels
    with opened(visible_camera(size_px=(128, 96), format=kind)) as camera:
        frame = next_frame(camera)
    codes = {"NV12": cv2.COLOR_YUV2RGB_NV12, "YUYV": cv2.COLOR_YUV2RGB_YUYV, "UYVY": cv2.COLOR_YUV2RGB_UYVY,
             "GREY": cv2.COLOR_GRAY2RGB}  # fmt: skip
    back = cv2.cvtColor(frame.pixels, codes[kind.value]) if kind.value in codes else frame.pixels
    assert frame.format is kind
    grey = [cv2.cvtColor(each, cv2.COLOR_RGB2GRAY).astype(np.float32) for each in (rgb, back)]
    assert np.abs(grey[0] - grey[1]).mean() < 1.5
    if kind is not PixelFormat.GREY:
        means = [cv2.resize(each, (64, 48), interpolation=cv2.INTER_AREA).astype(np.float32) for each in (rgb, back)]
        assert np.abs(means[0] - means[1]).mean() < 1.5


@pytest.mark.parametrize("kind", THERMAL_FORMATS)
def test_thermal_formats_show_one_picture(kind: PixelFormat) -> None:
    counts = SimulatedRig(thermal_size_px=THERMAL_PX).render(0).thermal.pixels
    with opened(thermal_camera(format=kind)) as camera:
        frame = next_frame(camera)
    assert frame.format is kind
    shown = frame.pixels.byteswap() if kind is PixelFormat.Y16_BE else frame.pixels
    if kind is PixelFormat.GREY:
        assert np.corrcoef(counts.ravel(), shown.ravel())[0, 1] > 0.99
    else:
        assert np.array_equal(shown, counts)


def test_a_thermal_camera_of_the_wrong_byte_order_is_one() -> None:
    camera = thermal_camera(byte_order="big")
    assert camera.open() == (PixelFormat.Y16_BE, THERMAL_PX)
    camera.close()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("seed=-1", "seed is a whole number from 0"),
        ("seed=x", "visible.device: seed=x"),
        ("fog=1.5", "0 .clear. to 1"),
        ("sed=1", "no option 'sed'; one of seed"),
        ("seed", "'seed' is no option; write name=value"),
        ("seed=1,seed=2", "given twice"),
        ("visible=640", "visible is WxH"),
        ("visible=640x480", "visible.size_px is 64x48"),
        ("pace=2", "pace is 1, or 0"),
    ],
)
def test_malformed_options_say_what_is_possible(address: str, said: str) -> None:
    with pytest.raises(RigError, match=said):
        visible_camera(address)


def test_settings_that_the_rig_cannot_have_are_named() -> None:
    with pytest.raises(RigError, match="visible_size_px: YUYV of an odd size"):
        visible_camera(size_px=(65, 48), format=PixelFormat.YUYV)
    with pytest.raises(RigError, match="thermal_size_px: a size of"):
        thermal_camera(size_px=(16, 16))
    with pytest.raises(RigError, match="thermal_format"):
        thermal_camera(format=PixelFormat.RGB24)
