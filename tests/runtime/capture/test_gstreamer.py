"""GStreamer cameras with GStreamer itself: test sources, decoders, taps on the buffers that pass."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest
from gst_cameras import LIVE, PATIENCE_S, opened, take
from gst_taps import attach_time, mark_damaged, needs_gstreamer, tap

from edgefusion.core.errors import InputError
from edgefusion.core.frames import PixelFormat
from runtime.capture import gst
from runtime.capture.base import CameraLostError, StreamEndError
from runtime.capture.gstreamer import GStreamerCamera

UNTIMED = "video/x-raw,format=GRAY8,width=160,height=120,framerate=0/1"
ORANGE = "pattern=solid-color foreground-color=0xffc86432"
RGB = np.array([0xC8, 0x64, 0x32])
Y = 16 + RGB @ [65.738, 129.057, 25.064] / 256
Y16 = Y * 257
CB = 128 + RGB @ [-37.945, -74.494, 112.439] / 256
CR = 128 + RGB @ [112.439, -94.154, -18.285] / 256


def drain(camera: GStreamerCamera) -> int:
    """Read until it fails, or nothing comes; how many frames there were."""
    count = 0
    while (frame := camera.read(PATIENCE_S)) is not None:
        frame.release()
        count += 1
    return count


UNWINDERS = """
import ctypes
from runtime.capture import gst
gst.library()
of_all, of_gcc = (ctypes.CDLL(name)._Unwind_RaiseException for name in (None, "libgcc_s.so.1"))
print(*(ctypes.cast(each, ctypes.c_void_p).value for each in (of_all, of_gcc)))
"""


@needs_gstreamer
def test_exceptions_of_other_libraries_are_still_thrown_by_gcc() -> None:
    done = subprocess.run([sys.executable, "-c", UNWINDERS], capture_output=True, text=True, timeout=60, check=True)
    used, meant = done.stdout.split()
    assert used == meant  # and not libunwind's, which GStreamer brings along


@needs_gstreamer
@pytest.mark.parametrize(
    ("pixel_format", "expected"),
    [("RGB24", RGB), ("NV12", Y), ("YUYV", [Y, CB]), ("UYVY", [CB, Y]), ("GREY", Y), ("Y16", Y16), ("Y16_BE", Y16)],
)
def test_every_format_without_a_copy(pixel_format: str, expected: Any) -> None:
    with opened(f"{LIVE} {ORANGE}", pixel_format) as camera:
        frame = take(camera)
        assert frame.format is PixelFormat(pixel_format)
        assert frame.size_px == (160, 120)
        pixels = frame.pixels.byteswap() if frame.format is PixelFormat.Y16_BE else frame.pixels
        tolerance = 2 * 257 if frame.format.deep else 2
        assert np.abs(pixels[60, 40].astype(int) - expected).max() <= tolerance
        if frame.format is PixelFormat.NV12:
            assert np.abs(pixels[150, 40:42].astype(int) - [CB, CR]).max() <= 2
        assert (camera.facts["memory"], camera.facts["copies"]) == ("mapped", 0)
        frame.release()


@needs_gstreamer
def test_y16_whose_bytes_really_come_swapped_is_marked_as_rig_toml_says() -> None:
    big = "video/x-raw,format=GRAY16_BE,width=160,height=120"
    swapped = f"{LIVE} {ORANGE} ! {big} ! capssetter join=false caps=video/x-raw,format=GRAY16_LE"
    with opened(swapped, "Y16", byte_order="big") as camera:
        frame = take(camera)
        assert frame.format is PixelFormat.Y16_BE
        assert np.abs(frame.readings[60, 40].astype(int) - Y16).max() <= 2 * 257
        frame.release()
        assert camera.open() == (PixelFormat.Y16_BE, (160, 120))


@needs_gstreamer
def test_pixels_are_the_bytes_that_the_pipeline_wrote() -> None:
    written: list[int] = []

    def note(buffer: Any) -> None:
        mapped = gst.Mapped(buffer)
        written.append(mapped.bytes.ctypes.data)
        mapped.unmap()

    with opened(f"{LIVE} ! identity name=tap") as camera:
        tap(camera, note)
        for _ in range(6):
            frame = take(camera)
            last = frame.pixels.ctypes.data
            frame.release()
    assert last in written


@needs_gstreamer
@pytest.mark.parametrize(("pixel_format", "width"), [("GREY", 161), ("RGB24", 161), ("NV12", 162), ("YUYV", 161)])
def test_padded_rows_are_copied_once_and_right(pixel_format: str, width: int) -> None:
    with opened(f"{LIVE} pattern=smpte", pixel_format, size_px=(width, 120)) as camera:
        frame = take(camera)
        bars = frame.pixels[:70]
        assert len(np.unique(bars[0].reshape(width, -1), axis=0)) >= 7
        assert (bars == bars[0]).all()  # bars are upright: rows of a wrong stride would lean
        if pixel_format == "NV12":
            chroma = frame.pixels[120:150]
            assert (chroma == chroma[0]).all()
            assert len(np.unique(chroma[0])) >= 7
        assert (camera.facts["memory"], camera.facts["copies"]) == ("copy", 1)
        frame.release()


@needs_gstreamer
def test_memory_may_be_asked_to_be_copied() -> None:
    with opened(LIVE, memory="copy") as camera:
        frame = take(camera)
        assert frame.pixels.flags.writeable
        assert camera.facts["copies"] == 1


@needs_gstreamer
def test_a_frame_keeps_its_pixels_while_others_come_and_after_close() -> None:
    for memory in ("auto", "copy"):
        with opened(f"{LIVE} pattern=snow", memory=memory, fps=100) as camera:
            held = take(camera)
            copy = held.pixels.copy()
            for _ in range(12):
                frame = take(camera)
                assert (frame.pixels != copy).any()
                frame.release()
            camera.close()
            np.testing.assert_array_equal(held.pixels, copy)
            held.release()


@needs_gstreamer
def test_a_live_source_s_times_are_on_the_monotonic_clock() -> None:
    before = time.monotonic_ns()
    with opened(LIVE, fps=50) as camera:
        frames = [take(camera) for _ in range(5)]
        after = time.monotonic_ns()
    moments = [frame.timestamp_ns for frame in frames]
    assert {frame.clock for frame in frames} == {"monotonic"}
    assert before <= moments[0] < moments[-1] <= after
    steps = [
        (later.timestamp_ns - first.timestamp_ns) / (later.sequence - first.sequence)
        for first, later in itertools.pairwise(frames)
    ]
    assert steps == pytest.approx([20e6] * 4)


@needs_gstreamer
def test_buffers_without_a_time_carry_the_moment_they_came() -> None:
    before = time.monotonic_ns()
    with opened(f"fakesrc sizetype=fixed sizemax=19200 format=bytes ! {UNTIMED}") as camera:
        frame = take(camera)
        assert frame.clock == "receive"
        assert before <= frame.timestamp_ns <= time.monotonic_ns()


@needs_gstreamer
@pytest.mark.parametrize(("reference", "epoch_s"), [("timestamp/x-unix", 0), ("timestamp/x-ntp", 2_208_988_800)])
def test_a_sender_s_own_time_counts(reference: str, epoch_s: int) -> None:
    moment = 1_700_000_000_123_456_789
    with opened(f"{LIVE} ! identity name=tap", fps=100) as camera:
        tap(camera, lambda buffer: attach_time(buffer, reference, moment + epoch_s * 10**9))
        for _ in range(50):
            if (frame := take(camera)).clock == "realtime":
                break
        assert (frame.clock, frame.timestamp_ns) == ("realtime", moment)


@needs_gstreamer
def test_a_slow_reader_gets_the_newest_and_sees_the_gap() -> None:
    with opened(LIVE, fps=100, buffers=3) as camera:
        first = take(camera)
        time.sleep(0.3)
        later = [take(camera) for _ in range(2)]
    assert later[1].sequence - first.sequence >= 10


@needs_gstreamer
def test_a_source_that_does_not_count_is_counted() -> None:
    source = "videotestsrc num-buffers=5 ! video/x-raw,format=I420,width=160,height=120,framerate=50/1"
    with opened(f"{source} ! jpegenc ! jpegdec ! videoconvert") as camera:
        assert [take(camera).sequence for _ in range(5)] == list(range(5))


@needs_gstreamer
def test_a_file_is_played_at_its_rate_and_ends() -> None:
    with opened("videotestsrc num-buffers=8", fps=20) as camera:
        start, frames = time.monotonic(), 0
        with pytest.raises(StreamEndError):
            while take(camera):
                frames += 1
        assert frames == 8
        assert time.monotonic() - start >= 6 / 20
        assert not camera.facts["live"]
        with pytest.raises(StreamEndError):
            camera.read(0)
        camera.open()
        assert take(camera).sequence == 0


@needs_gstreamer
def test_a_live_source_that_ends_is_lost() -> None:
    with opened(f"{LIVE} num-buffers=2") as camera, pytest.raises(CameraLostError):
        drain(camera)


@needs_gstreamer
def test_an_element_that_fails_is_a_lost_camera_that_can_be_opened_again() -> None:
    with opened(f"{LIVE} ! identity error-after=4") as camera:
        with pytest.raises(CameraLostError, match="Failed after iterations"):
            drain(camera)
        camera.open()
        take(camera).release()


@needs_gstreamer
def test_pictures_that_change_their_size() -> None:
    change = (
        "concat name=c videotestsrc num-buffers=3 ! video/x-raw,width=160,height=120 ! c. "
        "videotestsrc ! video/x-raw,width=320,height=240 ! c. c."
    )
    with opened(change) as camera, pytest.raises(InputError, match="changed"):
        drain(camera)


@needs_gstreamer
def test_a_damaged_picture_is_no_frame() -> None:
    with opened(f"{LIVE} ! identity name=tap", fps=100) as camera:
        tap(camera, mark_damaged)
        with pytest.raises(InputError, match="damaged"):
            drain(camera)


@needs_gstreamer
def test_a_buffer_too_short_for_its_picture_is_no_frame() -> None:
    short = (
        "fakesrc sizetype=fixed sizemax=1000 format=bytes ! video/x-raw,format=GRAY8,width=160,height=120,framerate=0/1"
    )
    with pytest.raises(InputError, match="incomplete"), opened(short) as camera:
        take(camera)


@needs_gstreamer
def test_read_returns_in_time_and_lets_others_run() -> None:
    ticks = 0
    done = threading.Event()

    def tick() -> None:
        nonlocal ticks
        while not done.wait(0.001):
            ticks += 1

    with opened(f"{LIVE} ! video/x-raw,framerate=1/5") as camera:
        take(camera).release()
        other = threading.Thread(target=tick)
        other.start()
        assert camera.read(0.3) is None
        done.set()
        other.join()
    assert ticks > 30  # it had one turn in each slice of waiting, were the interpreter locked: 6
