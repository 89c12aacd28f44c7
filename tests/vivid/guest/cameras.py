"""What runs inside the virtual machine: V4l2Camera, V4l2Sink and list_devices with a real driver, vivid.

``tests/vivid/test_cameras.py`` boots the machine and shows each of these as a test of its own. Software emulation is
10 to 20 times slower than the host: images are small, and no time is measured.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edgefusion.core import rig
from edgefusion.core.errors import InputError, MachineError, RigError
from edgefusion.core.frames import Frame, FusedInfo, PixelFormat
from runtime.capture.base import CameraLostError
from runtime.capture.v4l2 import V4l2Camera, formats, list_devices
from runtime.capture.v4l2.controls import set_controls
from runtime.capture.v4l2.node import Node
from runtime.sinks.v4l2 import V4l2Sink

SIZE = (320, 180)
PERIOD_NS = 20_000_000
VISIBLE, THERMAL, HDMI, CONTIGUOUS, PLANAR = range(5)
"""The devices, as ``test_cameras.py`` asks for them: two webcams, one with HDMI in and out, one whose driver wants
physically contiguous memory, one whose images have several planes."""
DRIVER = Path("/sys/bus/platform/drivers/vivid")
WHITE = {"test_pattern": "100% White", "osd_text_mode": "none"}


def path_of(device: int, kind: str = "cap") -> str:
    """The node of a device; numbers change when it comes back."""
    for entry in Path("/sys/class/video4linux").iterdir():
        if (entry / "name").read_text().strip() == f"vivid-{device:03}-vid-{kind}":
            return f"/dev/{entry.name}"
    raise LookupError(f"no device {device}")


def visible(**settings: Any) -> rig.Camera:
    return rig.Camera(**{"size_px": SIZE, "format": "YUYV", "fps": 50, **settings})


def thermal(**settings: Any) -> rig.ThermalCamera:
    return rig.ThermalCamera(**{"size_px": SIZE, "format": "Y16", "fps": 50, **settings})


@contextmanager
def opened(device: int = VISIBLE, settings: rig.Camera | None = None, **sources: Any) -> Iterator[V4l2Camera]:
    camera = V4l2Camera(path_of(device), settings or visible(), "visible", **sources)
    camera.open()
    try:
        yield camera
    finally:
        camera.close()


def next_frame(camera: V4l2Camera, timeout_s: float = 10) -> Frame:
    frame = camera.read(timeout_s)
    assert frame is not None, "no frame came"
    return frame


def take(camera: V4l2Camera, count: int) -> list[Frame]:
    """Frames, each given back before the next is read."""
    frames = []
    for _ in range(count):
        frames.append(next_frame(camera))
        frames[-1].release()
    return frames


def push(device: int, **controls: bool | int | str) -> None:
    """Set controls from outside, as v4l2-ctl does while somebody captures."""
    node = Node(path_of(device))
    try:
        set_controls(node, controls, "test")
    finally:
        node.close()


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def lost(camera: V4l2Camera) -> None:
    """Read until the camera is found to be gone."""
    with pytest.raises(CameraLostError):
        while frame := camera.read(10):
            frame.release()


# What is captured


@pytest.mark.parametrize("memory", ["auto", "userptr", "mmap", "copy"])
def test_two_cameras_at_once(memory: str) -> None:
    before_ns = time.monotonic_ns()
    with (
        opened(VISIBLE, visible(memory=memory, controls=WHITE)) as first,
        opened(THERMAL, thermal(memory=memory, controls=WHITE)) as second,
    ):
        pairs = list(zip(take(first, 6), take(second, 6), strict=True))
        for camera in (first, second):
            assert camera.facts["memory"] == ("userptr" if memory == "auto" else memory)
            assert camera.facts["copies"] == (memory == "copy")
            assert camera.facts["timestamps"] == "monotonic, end of frame"
    for frames in zip(*pairs, strict=True):
        assert [frame.sequence for frame in frames] == sorted({frame.sequence for frame in frames})
        stamps = [frame.timestamp_ns for frame in frames]
        assert stamps == sorted(set(stamps))
        assert before_ns < stamps[0]
        assert stamps[-1] < time.monotonic_ns() + PERIOD_NS  # vivid computes when a frame's end should be
        assert {frame.clock for frame in frames} == {"monotonic"}
    white, hot = pairs[-1]
    assert (white.pixels[..., 0] > 230).mean() > 0.99
    assert (white.format, white.size_px, hot.format, hot.size_px) == (PixelFormat.YUYV, SIZE, PixelFormat.Y16, SIZE)
    assert np.median(hot.pixels) > 60000


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


# What goes wrong


def test_disconnected_in_mid_run_and_back() -> None:
    with opened(VISIBLE) as camera, opened(THERMAL, thermal()) as other:
        kept = next_frame(camera).pixels.copy()
        push(VISIBLE, disconnect=True)
        lost(camera)
        take(other, 2)  # is not disturbed
        camera.close()
        reopen(camera)
        assert take(camera, 2)[0].pixels.shape == kept.shape


def reopen(camera: V4l2Camera, patience_s: float = 20) -> None:
    """As the synchronizer does it: again and again."""
    end = time.monotonic() + patience_s
    while True:
        try:
            camera.open()
            return
        except CameraLostError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def test_a_fatal_error_of_the_driver_needs_it_opened_again() -> None:
    with opened(VISIBLE) as camera:
        take(camera, 1)
        push(VISIBLE, inject_fatal_streaming_error=True)
        lost(camera)
        with pytest.raises(CameraLostError):
            camera.read(0)
        camera.open()
        take(camera, 2)


def test_both_unplugged_and_plugged_in_again() -> None:
    paths = path_of(VISIBLE), path_of(THERMAL)
    cameras = [V4l2Camera(paths[0], visible(), "visible"), V4l2Camera(paths[1], thermal(), "thermal")]
    for camera in cameras:
        camera.open()
        take(camera, 2)
    held = next_frame(cameras[0])
    copy = held.pixels.copy()
    threading.Thread(target=(DRIVER / "unbind").write_text, args=("vivid.0",)).start()
    for camera in cameras:
        lost(camera)
    held.release()  # too late, and harmless
    for camera in cameras:
        camera.close()
    np.testing.assert_array_equal(held.pixels, copy)
    wait_for(lambda: not Path(paths[0]).exists())
    with pytest.raises(CameraLostError, match="not there"):
        cameras[0].open()
    del held
    (DRIVER / "bind").write_text("vivid.0")
    for camera in cameras:
        reopen(camera)
        first, second = take(camera, 2)
        assert first.sequence < second.sequence
        camera.close()


def wait_for(condition: Callable[[], bool], patience_s: float = 20) -> None:
    end = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.05)


def test_images_that_change_are_an_error() -> None:
    with opened(HDMI, rig.Camera(size_px=(1280, 720), format="GREY")) as camera:
        take(camera, 1)
        push(HDMI, dv_timings_signal_mode="No Signal")
        with pytest.raises(InputError, match="changed while it ran"):
            while frame := camera.read(10):
                frame.release()
    push(HDMI, dv_timings_signal_mode="Current DV Timings")


def test_a_busy_camera() -> None:
    with opened(), pytest.raises(MachineError, match=r"busy.*fuser -v /dev/video"), opened():
        pass


def test_no_permission_names_the_group() -> None:
    import grp

    path = path_of(THERMAL)
    os.chown(path, 0, grp.getgrnam("video").gr_gid)
    os.chmod(path, 0o660)
    said = as_nobody(lambda: str(V4l2Camera(path, thermal(), "thermal").open()))
    assert "not permitted: it is for the group video; sudo usermod -aG video nobody" in said
    os.chmod(path, 0o600)
    assert "sudo chgrp video" in as_nobody(lambda: str(V4l2Camera(path, thermal(), "thermal").open()))
    seen = as_nobody(lambda: str([device.problem for device in list_devices() if device.path == path]))
    assert "not permitted" in seen


def as_nobody(call: Callable[[], str]) -> str:
    """What a call says, or raises, in a process of another user."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        try:
            text = call()
        except BaseException as error:
            text = str(error)
        os.write(writing, text.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as said:
        text = said.read()
    os.waitpid(child, 0)
    return text


def test_what_the_camera_does_not_offer_is_said_with_what_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    for settings, said in (
        (visible(size_px=(333, 222)), "visible.size_px: it gives 320x180 for 333x222 in YUYV; it offers YUYV, UYVY"),
        (visible(fps=77), "visible.fps: it gives 60 for 77 in YUYV; at this size it offers 1, 2, 4, 5, 10"),
    ):
        with pytest.raises(RigError) as caught, opened(VISIBLE, settings):
            pass
        assert said in str(caught.value)
    monkeypatch.setitem(formats.CODES, PixelFormat.GREY, formats.fourcc("XYZ9"))
    with pytest.raises(RigError, match=r"visible.format: it does not give GREY; it offers YUYV.* in 320x180, 640x360"):
        opened(VISIBLE, visible(format="GREY")).__enter__()


@pytest.mark.parametrize(
    ("path", "error", "said"),
    [
        ("/dev/video99", CameraLostError, "it is not there; there are /dev/video"),
        ("/dev/null", RigError, "not a video device; there are /dev/video"),
        ("output", RigError, "does not capture video"),
        ("planar", RigError, "several planes.*gstreamer"),
    ],
)
def test_not_a_camera(path: str, error: type[Exception], said: str) -> None:
    names = {"output": (HDMI, "out"), "planar": (PLANAR, "cap")}
    with pytest.raises(error, match=said):
        V4l2Camera(path_of(*names[path]) if path in names else path, visible(), "visible").open()


# Controls


def test_controls_by_their_names() -> None:
    controls = {
        "test_pattern": "100% black",  # in any case
        "osd_text_mode": 2,
        "integer_menu": 8,
        "integer_64_bits": 1 << 40,
        "boolean": False,
        "button": True,
        "brightness": 128,
    }
    with opened(VISIBLE, visible(controls=controls)) as camera:
        assert (take(camera, 2)[-1].pixels[..., 0] == 16).mean() > 0.99


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("exposure", 3, "visible.controls.exposure: it has no such control; it has .*brightness, .*test_pattern"),
        ("brightness", 999, "999 is not one of its values; it takes 0 to 255"),
        ("brightness", "bright", "'bright' is not a number; it takes 0 to 255"),
        ("boolean", 7, "neither true nor false"),
        ("test_pattern", "purple", "'purple' is not in its menu; it has 75% Colorbar, "),
        ("integer_menu", 4, "4 is not in its menu; it has 2, 3, 5, 8, 13"),
    ],
)
def test_controls_that_are_wrong(name: str, value: bool | int | str, said: str) -> None:
    with pytest.raises(RigError, match=said), opened(VISIBLE, visible(controls={name: value})):
        pass


# The list of devices, and the sink


def test_every_camera_is_listed() -> None:
    found = {device.path: device for device in list_devices()}
    assert path_of(HDMI, "out") not in found
    assert "several planes" in found[path_of(PLANAR)].problem
    path, name, offers, problem = found[path_of(VISIBLE)]
    assert (path, name, problem) == (path_of(VISIBLE), "vivid", "")
    assert {offer.name for offer in offers} == {each.value for each in PixelFormat}
    assert all(SIZE in offer.sizes for offer in offers)


def test_what_is_written_to_an_output_comes_out() -> None:
    """Its HDMI output is looped to its HDMI input."""
    image = np.random.default_rng(1).integers(0, 256, (720, 1280, 3), np.uint8)
    sink = V4l2Sink(path_of(HDMI, "out"))
    stop = threading.Event()

    def show() -> None:
        while not stop.is_set():
            sink.write(image, FusedInfo(0, 0, "monotonic", 0, 0), None)

    push(HDMI, loop_video=True, osd_text_mode="none")
    thread = threading.Thread(target=show)
    thread.start()
    try:
        with opened(HDMI, rig.Camera(size_px=(1280, 720), format="RGB24")) as camera:
            wait_for(lambda: np.array_equal(take(camera, 1)[0].pixels, image))
    finally:
        stop.set()
        thread.join()
        sink.close()
        push(HDMI, loop_video=False)
    sink.abandon()  # a second end is nothing


def test_a_sink_needs_an_output() -> None:
    with pytest.raises(MachineError, match=r"no output for video.*v4l2loopback"):
        V4l2Sink(path_of(VISIBLE))
    with pytest.raises(CameraLostError):
        V4l2Sink("/dev/video99")
