"""vivid's devices inside the virtual machine, and what the tests there do with them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edgefusion.core import rig
from edgefusion.core.frames import Frame
from runtime.capture.base import CameraLostError
from runtime.capture.v4l2 import V4l2Camera
from runtime.capture.v4l2.controls import set_controls
from runtime.capture.v4l2.node import Node

SIZE = (320, 180)
PERIOD_NS = 20_000_000
VISIBLE, THERMAL, HDMI, CONTIGUOUS, PLANAR = range(5)
"""The devices, as ``tests/vivid/test_cameras.py`` asks for them: two webcams, one with HDMI in and out, one whose
driver wants physically contiguous memory, one whose images have several planes."""
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


def wait_for(condition: Callable[[], bool], patience_s: float = 20) -> None:
    end = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.05)
