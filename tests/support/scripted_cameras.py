"""Cameras that do what a test says: they end, fall silent, are lost, and come back."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgefusion.core import rig
from edgefusion.core.errors import InputError, MachineError
from edgefusion.core.frames import Form, Frame
from edgefusion.core.geometry import Size
from edgefusion.recordings.pairing import Side
from runtime.capture.base import CameraLostError, StreamEndError

KIND = "scripted"
CLASS = "scripted_cameras:ScriptedCamera"


@dataclass(frozen=True)
class Script:
    """What a camera does, as ``device = "scripted:frames=50,lost_at=10"`` says it. Numbers count its frames.

    Attributes:
        frames: then the recording it plays is over; without end by default.
        fps: so fast they come.
        lost_at: it is lost once so many came.
        absent: so many attempts to open it again fail.
        silent_at: nothing more comes after so many, until it is opened again.
        stuck_at: the read after so many never returns.
        damaged_at: that one is no picture.
        open: "busy" or "absent": it cannot even be opened once.
    """

    frames: int = 10**9
    fps: float = 200.0
    lost_at: int = -1
    absent: int = 0
    silent_at: int = -1
    stuck_at: int = -1
    damaged_at: int = -1
    open: str = ""


def script(address: str) -> Script:
    """What an address says."""
    kinds = {field: type(value) for field, value in vars(Script()).items()}
    pairs = (part.partition("=") for part in address.split(",") if part)
    return Script(**{name: kinds[name](value) for name, _, value in pairs})


class ScriptedCamera:
    """Frame ``n`` holds ``n`` (visible) or 1000 + ``n`` (thermal); its one buffer is spoiled when it is given back."""

    def __init__(self, address: str, settings: rig.Camera, side: Side) -> None:
        self._script, self._settings, self._side = script(address), settings, side
        self._number = self._opened = 0
        self._held = self._live = False
        self._next_s = 0.0
        self.facts: dict[str, Any] = {"kind": KIND, "memory": "copy", "copies": 1}

    def open(self) -> Form:
        assert not self._live
        self._opened += 1
        if self._script.open == "busy":
            raise MachineError("busy", where=self._side, remedy="close what uses it")
        if self._script.open == "absent" or 1 < self._opened <= 1 + self._script.absent:
            raise CameraLostError("not there", where=self._side)
        self._live, self._next_s = True, time.monotonic()
        shape = self._settings.format.array_shape(*self._settings.size_px)
        self._buffer = np.zeros(shape, self._settings.format.dtype)
        return self._settings.format, self._settings.size_px

    def read(self, timeout_s: float) -> Frame | None:
        assert self._live
        assert not self._held, "a frame was kept"
        if self._number == self._script.silent_at and self._opened == 1:
            time.sleep(timeout_s)
            return None
        if self._number == self._script.stuck_at:
            threading.Event().wait()
        if self._number == self._script.lost_at and self._opened == 1:
            raise CameraLostError("unplugged")
        if self._number >= self._script.frames:
            raise StreamEndError("over")
        self._next_s += 1 / self._script.fps
        time.sleep(max(0.0, self._next_s - time.monotonic()))
        return self._frame()

    def close(self) -> None:
        self._live = False

    def _frame(self) -> Frame:
        number, self._number = self._number, self._number + 1
        if number == self._script.damaged_at:
            raise InputError("half a picture")
        self._buffer[:] = number % 256 if self._side == "visible" else 1000 + number
        self._held = True
        now_ns = time.monotonic_ns() - 2_000_000
        return Frame(self._buffer, self._settings.format, now_ns, "monotonic", number, release=self._release)

    def _release(self) -> None:
        assert self._held, "given back twice"
        self._held = False
        self._buffer[:] = 255


def scripted_rig(path: Path, visible: str = "", thermal: str = "", *, size: Size = (64, 48), policy: str = "") -> Path:
    """A rig.toml of two scripted cameras, written to ``path``."""
    path.write_text(f"""
name = "front"
registration = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
[visible]
size_px = {list(size)}
format = "YUYV"
device = "scripted:{visible}"
[thermal]
size_px = {list(size)}
format = "Y16"
device = "scripted:{thermal}"
[policy]
{policy}
""")
    return path
