"""A camera for tests of what watches cameras: its address says how it behaves.

``scripted:fps=50,late_ms=3,swapped=1,high=20000,flat=1,skip=1,clock=realtime,size=64x48,format=GREY,lost=1,busy=1,mute=1,slow=2``
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from edgefusion.core import rig
from edgefusion.core.errors import MachineError, RigError
from edgefusion.core.frames import Form, Frame, PixelFormat
from edgefusion.core.geometry import parse_size
from edgefusion.recordings.pairing import Side
from runtime.capture.base import CameraLostError

KIND = "rigcams:ScriptedCamera"
OPTIONS = {
    "fps", "late_ms", "swapped", "high", "flat", "skip", "clock", "size", "format", "lost", "busy", "mute", "shift_s",
    "slow",
}  # fmt: skip


class ScriptedCamera:
    """Frames at a steady rate, exposed at multiples of its period, so that two of one rate are in step."""

    opened = 0
    """How many are open now."""

    def __init__(self, address: str, settings: rig.Camera, side: Side) -> None:
        options = dict(part.split("=") for part in address.split(",") if "=" in part)
        if unknown := set(options) - OPTIONS:
            raise RigError(f"{side}.device: no option {unknown.pop()!r}")
        self.facts: dict[str, Any] = {"kind": "scripted", "memory": "copy", "copies": 1}
        self._options, self._settings = options, settings
        self._number = 0

    def open(self) -> Form:
        if "busy" in self._options:
            raise MachineError("it is busy", where="scripted", remedy="close what uses it")
        time.sleep(float(self._options.get("slow", 0)))
        type(self).opened += 1
        self._due_ns = time.monotonic_ns()
        return self._form

    def read(self, timeout_s: float) -> Frame | None:
        period_ns = round(1e9 / float(self._options.get("fps", 50)))
        self._number += 1 + ("skip" in self._options and self._number == 2)
        if "lost" in self._options and self._number > 3:
            raise CameraLostError("unplugged", where="scripted")
        if "mute" in self._options:
            time.sleep(timeout_s)
            return None
        self._due_ns = (self._due_ns // period_ns + 1) * period_ns
        late_ns = round(float(self._options.get("late_ms", 0)) * 1e6)
        time.sleep(max(0, self._due_ns + late_ns - time.monotonic_ns()) / 1e9)
        realtime = self._options.get("clock") == "realtime"
        offset_ns = time.time_ns() - time.monotonic_ns() if realtime else 0
        stamp_ns = self._due_ns + offset_ns + round(float(self._options.get("shift_s", 0)) * 1e9)
        return Frame(self._pixels(), self._form[0], stamp_ns, "realtime" if realtime else "monotonic", self._number)

    def close(self) -> None:
        if "busy" not in self._options:
            type(self).opened -= 1

    @property
    def _form(self) -> Form:
        size = self._options.get("size")
        return PixelFormat(self._options.get("format", self._settings.format.value)), (
            parse_size(size) if size else self._settings.size_px
        )

    def _pixels(self) -> Any:
        pixel_format, (width, height) = self._form
        shape = pixel_format.array_shape(width, height)
        if "flat" in self._options:
            return np.full(shape, 7, pixel_format.dtype)
        high = float(self._options.get("high", 200))
        slope = (high * np.sin(np.linspace(0, np.pi / 2, width))).astype(pixel_format.dtype)
        pixels = np.broadcast_to(slope[None, :, None] if len(shape) == 3 else slope[None], shape).copy()
        return pixels.byteswap() if "swapped" in self._options else pixels
