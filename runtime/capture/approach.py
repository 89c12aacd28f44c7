"""An approach to a pedestrian: a piece of the simulated drive in which whoever uses it decides how fast to go."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from edgefusion.core.errors import UsageError
from edgefusion.core.frames import FramePair
from runtime.capture.night_drive import world
from runtime.capture.night_drive.drive import LANE_U, bend_ahead
from runtime.capture.night_drive.stage import LEAD_S, PEDESTRIAN, REACH_M, TOUCH_M, Stage, arrange
from runtime.capture.simulated import Box, Matrix, SimulatedRig

__all__ = ["LEAD_S", "Approach"]

FASTEST_MPS = 20.0
"""Faster, and the pedestrian would begin out of sight."""

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Approach:
    """A vehicle on a free lane of the night drive, and a pedestrian in its way.

    They cross, step out and stop in the lane, or walk along it, in town, between trees or between fields: by the rig's
    seed, so that nine seeds in a row show each manner in each place; so are their clothes, size, speed and side. A
    vehicle that keeps ``speed_mps`` hits them ``LEAD_S`` seconds after the start. Nobody else is on the roadway; cars
    come towards the vehicle. All move by the time alone: braking changes what the vehicle sees of them, no more.

        approach = Approach(SimulatedRig(seed=3, fog=0.5))
        pair = approach.render(time_s, travelled_m)  # brake or not, go on, and render again

    Args:
        rig: the seed, the cameras and the fog.
        speed_mps: at the start, over 0 to 20.
        pedestrian: False for the same without them.

    Raises:
        UsageError: a speed out of range.
    """

    rig: SimulatedRig
    speed_mps: float = 30 / 3.6
    pedestrian: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.speed_mps <= FASTEST_MPS:
            raise UsageError(
                f"an approach at {self.speed_mps:g} m/s", remedy=f"give more than 0, up to {FASTEST_MPS:g} m/s"
            )

    @property
    def zone(self) -> str:
        """What surrounds the road: town, wood or field."""
        return self._stage.zone

    @property
    def manner(self) -> str:
        """What the pedestrian does: crosses, steps out or walks along."""
        return self._stage.walk.manner

    def render(self, time_s: float, travelled_m: float) -> FramePair:
        """What the cameras see.

        Args:
            time_s: since the start; pictures nearer than one frame of the rig share their noise.
            travelled_m: how far the vehicle has come.
        """
        return self.rig.film(
            self._scene(time_s, travelled_m), index=max(round(time_s * self.rig.fps), 0), time_s=time_s
        )

    def boxes(self, time_s: float, travelled_m: float) -> list[Box]:
        """Everything that can be seen, as ``SimulatedRig.boxes``."""
        return self.rig.truth(self._scene(time_s, travelled_m))

    def pedestrian_box(self, time_s: float, travelled_m: float) -> Box | None:
        """The pedestrian's box, None where they cannot be seen."""
        found = [box for box in self.boxes(time_s, travelled_m) if box.identity == PEDESTRIAN]
        return found[0] if found else None

    def gap_m(self, time_s: npt.ArrayLike, travelled_m: npt.ArrayLike) -> Doubles:
        """Distance along the road from the vehicle to the pedestrian, whether or not they are there, in metres."""
        s = self._stage.walk.place(self._stage.start_time_s + np.asarray(time_s, np.float64))[1]
        return np.asarray(s - self._stage.start_s - REACH_M - np.asarray(travelled_m, np.float64))

    def in_path(self, time_s: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Whether the pedestrian, if there is one, is where the vehicle would touch them when it comes."""
        u = self._stage.walk.place(self._stage.start_time_s + np.asarray(time_s, np.float64))[0]
        return np.asarray(np.abs(u - LANE_U) < TOUCH_M)

    def on_road(self, points_px: npt.ArrayLike, travelled_m: float) -> Matrix:
        """[N, 2] metres right of the lane's middle and ahead of the front, of road pixels: the rig's ``on_road``."""
        bend, _ = bend_ahead(self.rig.seed, self._stage.start_s + travelled_m)
        found = self.rig.on_road(points_px, bend)
        return np.asarray(found - (0.0, REACH_M))

    @property
    def _stage(self) -> Stage:
        return _arranged(self.rig.seed, self.speed_mps, self.pedestrian)

    def _scene(self, time_s: float, travelled_m: float) -> world.Scene:
        stage = self._stage
        return world.scene(
            self.rig.seed, stage.start_time_s + time_s, travelled_m=stage.start_s + travelled_m, stage=stage
        )


@lru_cache(maxsize=64)
def _arranged(seed: int, speed_mps: float, shown: bool) -> Stage:
    return arrange(seed, speed_mps, shown=shown)
