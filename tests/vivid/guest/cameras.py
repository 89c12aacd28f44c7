"""What V4l2Camera delivers, with a real driver."""

from __future__ import annotations

import os
import threading
import time

import numpy as np
import numpy.typing as npt
import pytest
from devices import (
    CONTIGUOUS,
    PERIOD_NS,
    SIZE,
    THERMAL,
    VISIBLE,
    WHITE,
    next_frame,
    open_files,
    opened,
    push,
    take,
    thermal,
    visible,
)

from edgefusion.core.errors import MachineError
from edgefusion.core.frames import PixelFormat

# What is captured


@pytest.mark.parametrize("memory", ["auto", "userptr", "mmap", "copy"])
def test_two_cameras_at_once(memory: str) -> None:
    before_ns = time.monotonic_ns()
    with (
        opened(VISIBLE, visible(memory=memory, controls=WHITE | {"timestamp_source": "End of Frame"})) as first,
        opened(THERMAL, thermal(memory=memory, controls=WHITE | {"timestamp_source": "Start of Exposure"})) as second,
    ):
        taken = take(first, 6), take(second, 6)
        white, hot = taken[0][-1].pixels.copy(), taken[1][-1].pixels.copy()
        numbers = [[(frame.sequence, frame.timestamp_ns, frame.clock) for frame in frames] for frames in taken]
        del taken  # pixels that somebody keeps would keep their device open
        for camera in (first, second):
            assert camera.facts["memory"] == ("userptr" if memory == "auto" else memory)
            assert camera.facts["copies"] == (memory == "copy")
        assert first.facts["timestamps"] == "monotonic, end of frame"
        assert second.facts["timestamps"] == "monotonic, start of exposure"
    for camera_numbers in numbers:
        sequences, stamps, clocks = zip(*camera_numbers, strict=True)
        assert list(sequences) == sorted(set(sequences))
        assert list(stamps) == sorted(set(stamps))
        assert before_ns < stamps[0]
        assert stamps[-1] < time.monotonic_ns() + PERIOD_NS  # vivid computes when a frame's end should be
        assert set(clocks) == {"monotonic"}
    assert (white[..., 0] > 230).mean() > 0.99
    assert (white.dtype, white.shape, hot.dtype, hot.shape) == (np.uint8, (180, 320, 2), np.uint16, (180, 320))
    assert np.median(hot) > 60000


def test_a_dmabuf_of_another_device_is_filled() -> None:
    exported: list[int] = []

    def import_from(length: int) -> int:
        return exported.pop()

    with opened(THERMAL, visible(memory="mmap", buffers=4)) as owner:
        exported += owner.export()
        with opened(VISIBLE, visible(memory="dmabuf", controls=WHITE), import_from=import_from) as camera:
            assert camera.facts["memory"] == "dmabuf"
            frames = take(camera, 8)
            assert all((frame.pixels[..., 0] > 230).mean() > 0.99 for frame in frames)
            assert len({frame.pixels.ctypes.data for frame in frames}) > 1
    for fd in exported:
        os.close(fd)


def test_memory_of_our_own_is_filled() -> None:
    mine: list[npt.NDArray[np.uint8]] = []

    def allocate(length: int) -> npt.NDArray[np.uint8]:
        page = 4096
        raw = np.zeros(length + 2 * page, np.uint8)
        start = -raw.ctypes.data % page
        mine.append(raw[start : start + -(-length // page) * page])
        return mine[-1]

    with opened(VISIBLE, visible(memory="userptr", controls=WHITE), allocate=allocate) as camera:
        frame = next_frame(camera)
        assert frame.pixels.ctypes.data in {memory.ctypes.data for memory in mine}
        assert any((memory[: frame.pixels.nbytes : 2] > 230).mean() > 0.99 for memory in mine)


def test_what_the_driver_refuses_is_said_and_the_next_kind_taken() -> None:
    with opened(CONTIGUOUS) as camera:
        assert camera.facts["memory"] == "mmap"
        assert set(camera.facts["refused"]) == {"userptr", "dmabuf"}
        assert all(camera.facts["refused"].values())
        take(camera, 3)
    with (
        pytest.raises(MachineError, match=r'userptr: .*memory = "auto"'),
        opened(CONTIGUOUS, visible(memory="userptr")),
    ):
        pass


@pytest.mark.parametrize("pixel_format", list(PixelFormat))
def test_every_format(pixel_format: PixelFormat) -> None:
    with opened(THERMAL, visible(format=pixel_format, controls=WHITE)) as camera:
        frame = take(camera, 2)[-1]
    assert frame.format is pixel_format
    assert frame.pixels.shape == pixel_format.array_shape(*SIZE)
    if pixel_format.deep:
        swapped = frame.pixels.byteswap() if pixel_format is PixelFormat.Y16_BE else frame.pixels
        assert np.median(swapped) > 60000


def test_swapped_bytes_are_marked_so() -> None:
    with opened(THERMAL, thermal(byte_order="big")) as camera:
        assert camera.facts["format"] == "Y16"
        assert take(camera, 1)[0].format is PixelFormat.Y16_BE


# Buffers


def test_two_buffers_always_stay_with_the_driver() -> None:
    with opened(VISIBLE, visible(buffers=4)) as camera:
        held = [next_frame(camera), next_frame(camera)]
        kept = [frame.pixels.copy() for frame in held]
        assert camera.read(0.5) is None
        assert camera.facts["starved"] > 0
        for frame, copy in zip(held, kept, strict=True):
            np.testing.assert_array_equal(frame.pixels, copy)
        thread = threading.Thread(target=held[0].release)
        thread.start()
        thread.join()
        held[0].release()  # a second time is nothing
        newest = next_frame(camera)
        assert newest.sequence > held[1].sequence
        assert newest.pixels.ctypes.data != held[1].pixels.ctypes.data
        np.testing.assert_array_equal(held[1].pixels, kept[1])


@pytest.mark.parametrize("memory", ["userptr", "mmap", "copy"])
def test_frames_stay_readable_after_close(memory: str) -> None:
    files = open_files()
    with opened(VISIBLE, visible(memory=memory)) as camera:
        frame = next_frame(camera)
        copy = frame.pixels.copy()
    with opened(VISIBLE, visible(memory=memory, controls=WHITE)) as camera:  # and do not keep the device busy
        take(camera, 3)
    np.testing.assert_array_equal(frame.pixels, copy)
    frame.release()
    del frame
    assert open_files() == files


def test_opening_again_leaks_nothing() -> None:
    files = open_files()
    for memory in ("mmap", "userptr") * 3:
        with opened(VISIBLE, visible(memory=memory)) as camera:
            next_frame(camera)  # not given back
    assert open_files() == files


def test_frames_that_the_driver_drops_are_counted() -> None:
    with opened(VISIBLE, visible(controls={"percentage_of_dropped_buffers": 50})) as camera:
        frames = take(camera, 12)
        left_out = frames[-1].sequence - frames[0].sequence - 11
        assert camera.facts["drops"] == left_out > 0
    push(VISIBLE, percentage_of_dropped_buffers=0)


def test_damaged_frames_are_counted_and_not_given() -> None:
    with opened(VISIBLE) as camera:
        take(camera, 1)
        push(VISIBLE, inject_v4l2_buf_flag_error=True)
        take(camera, 5)
        assert camera.facts["damaged"] == 1


def test_no_frame_in_time_is_none() -> None:
    with opened(VISIBLE, visible(fps=1)) as camera:
        take(camera, 1)
        assert camera.read(0.0) is None
