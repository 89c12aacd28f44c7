"""Small simulated rigs whose cameras misbehave on order, run by the loop itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from lanes import Run, make_fusion

from edgefusion.core import rig
from edgefusion.core.frames import Flag, PixelFormat
from edgefusion.recordings.pairing import Side
from runtime.capture.faults import Fault, FaultyCamera
from runtime.capture.simulated_camera import SimulatedCamera
from runtime.sync.live import LiveRig

VISIBLE_PX, THERMAL_PX = (64, 48), (40, 32)


def settings(
    fps: float = 60.0, thermal_fps: float | None = None, hold_s: float = 0.2, buffers: int = 8, **policy: Any
) -> rig.Rig:
    visible = rig.Camera(size_px=VISIBLE_PX, format=PixelFormat.RGB24, fps=fps, buffers=buffers)
    thermal = rig.ThermalCamera(
        size_px=THERMAL_PX, format=PixelFormat.Y16, bits=14, fps=thermal_fps or fps, buffers=buffers, hold_s=hold_s
    )
    registration = ((0.6, 0.0, 1.0), (0.0, 0.6, 1.0), (0.0, 0.0, 1.0))
    policy = {"lost_after_s": 0.4, "reconnect_s": 0.5, **policy}
    return rig.Rig(visible=visible, thermal=thermal, registration=registration, policy=rig.Policy(**policy))


class Live(Run):
    """A run of a simulated rig; ``faults`` happen to its cameras. It ends after so many published frames or by time.

    Attributes:
        moments: flags, and whether there was a visible and a thermal frame, of each published frame.
        changes: of the cameras' states.
    """

    def __init__(
        self,
        faults: dict[Side, Sequence[Fault]] | None = None,
        *,
        until: Callable[[Live], bool],
        seconds: float = 60.0,
        given: rig.Rig | None = None,
        seed: int = 1,
        **options: Any,
    ) -> None:
        self.settings = given or settings()
        self.until, self.seconds, self.changes = until, seconds, []
        self.flags: list[Flag] = []
        self.visibles: list[Any] = []
        wake = threading.Condition()
        address = f"seed={seed},prerender=12"
        self.cameras: dict[Side, FaultyCamera] = {
            "visible": FaultyCamera(
                SimulatedCamera(address, self.settings.visible, "visible"), *(faults or {}).get("visible", ())
            ),
            "thermal": FaultyCamera(
                SimulatedCamera(address, self.settings.thermal, "thermal"), *(faults or {}).get("thermal", ())
            ),
        }
        self.rig = LiveRig(
            self.settings, dict(self.cameras), wake=wake, changed=lambda *change: self.changes.append(change)
        )
        fusion = options.pop("fusion", None) or make_fusion(self.settings.registration_for)
        super().__init__(self.rig, live=True, fusion=fusion, **options)
        self.wake = wake
        fusion.warm_up((PixelFormat.RGB24, VISIBLE_PX), (PixelFormat.Y16, THERMAL_PX))

    def _keep(self, moment: Any, slot: Any, statistics: Any) -> None:
        self.flags.append(moment.flags)
        self.visibles.append(None if moment.visible is None else moment.visible.pixels.copy())
        super()._keep(moment, slot, statistics)
        if self.until(self):
            self.stop.set()

    def go(self) -> Any:
        timer = threading.Timer(self.seconds, self.stop.set)
        timer.start()
        try:
            with self.rig:
                return super().go()
        finally:
            timer.cancel()

    def accounted(self) -> None:
        """Every frame that a camera gave was used or dropped by a cause that is counted, and given back."""
        for side, camera in self.rig.status()["cameras"].items():
            dropped = sum(camera["drops"].values())
            assert camera["frames"] == camera["used"] + dropped, (side, camera)
            damaged = camera["drops"].get("damaged", 0)  # what came was no frame
            assert self.cameras[side].frames_out + damaged == camera["frames"], (side, camera)
            assert camera["held"] == 0, (side, camera)
