"""Cameras for tests: settings of little ones, and reading them until something comes."""

from __future__ import annotations

import time
from typing import Any

from edgefusion.core.frames import Frame, PixelFormat
from edgefusion.core.rig import Camera, ThermalCamera
from runtime.capture import base
from runtime.capture.simulated_camera import SimulatedCamera

VISIBLE_PX, THERMAL_PX = (64, 48), (40, 32)


def visible_settings(**given: Any) -> Camera:
    return Camera(**{"size_px": VISIBLE_PX, "format": PixelFormat.RGB24, **given})


def thermal_settings(**given: Any) -> ThermalCamera:
    return ThermalCamera(**{"size_px": THERMAL_PX, "format": PixelFormat.Y16, **given})


def visible_camera(address: str = "pace=0", **given: Any) -> SimulatedCamera:
    return SimulatedCamera(address, visible_settings(**given), "visible")


def thermal_camera(address: str = "pace=0", **given: Any) -> SimulatedCamera:
    return SimulatedCamera(address, thermal_settings(**given), "thermal")


def next_frame(camera: base.Camera, timeout_s: float = 20.0) -> Frame:
    """The next frame; None only if there is none for very long."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        if frame := camera.read(0.2):
            return frame
    raise TimeoutError("no frame")


def taken(camera: base.Camera, count: int) -> list[Frame]:
    """So many frames, each released at once: only what is known about them may be looked at."""
    frames = []
    for _ in range(count):
        frames.append(next_frame(camera))
        frames[-1].release()
    return frames
