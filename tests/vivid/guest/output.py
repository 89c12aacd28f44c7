"""V4l2Sink and list_devices, with a real driver."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from devices import HDMI, PLANAR, SIZE, VISIBLE, opened, path_of, push, take, wait_for

from edgefusion.core import rig
from edgefusion.core.errors import MachineError, RunError
from edgefusion.core.frames import FusedInfo, PixelFormat
from runtime.capture.base import CameraLostError
from runtime.capture.v4l2 import list_devices
from runtime.sinks.v4l2 import V4l2Sink


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


def test_an_output_takes_frames_of_one_size() -> None:
    sink, info = V4l2Sink(path_of(HDMI, "out")), FusedInfo(0, 0, "monotonic", 0, 0)
    sink.write(np.zeros((720, 1280, 3), np.uint8), info, None)
    with pytest.raises(RunError, match="images of different sizes do not fit one device"):
        sink.write(np.zeros((480, 640, 3), np.uint8), info, None)
    sink.close()


def test_a_sink_needs_an_output() -> None:
    with pytest.raises(MachineError, match=r"no output for video.*v4l2loopback"):
        V4l2Sink(path_of(VISIBLE))
    with pytest.raises(CameraLostError):
        V4l2Sink("/dev/video99")
