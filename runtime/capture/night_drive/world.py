"""One moment of a drive: who is where, and the light that falls on the road.

Everything is hashed from the seed and the number of a block of road: any moment can be drawn without those before it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import floor

import numpy as np
import numpy.typing as npt

from runtime.capture.night_drive import scenery
from runtime.capture.night_drive.cast import Actor, Cast
from runtime.capture.night_drive.drive import BLOCKS_AHEAD, bend_ahead, block, travelled
from runtime.capture.night_drive.light import MAP_DEPTHS, MAP_STEP_M, MAP_WIDTHS
from runtime.capture.night_drive.passers import add_people
from runtime.capture.night_drive.scenery import BLOCK_M, Light
from runtime.capture.night_drive.shapes import Shapes, merge
from runtime.capture.night_drive.stage import Stage
from runtime.capture.night_drive.traffic import add_traffic

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Scene:
    """One moment of the drive, in the vehicle's frame along the road (s = 0 at the cameras).

    Attributes:
        shapes: everything that stands or moves, farthest first; ``owner`` indexes ``actors``.
        actors: pedestrians, riders, bicycles and cars.
        lamps: [160, 40, 3] light of lamps on the ground (see light.MAP_STEP_M).
        bend: [256] how far the road has moved right, Z = 0, 1, 2 ... m ahead.
        blocks: [8, 3] of the block the vehicle is in and those ahead: half width of the asphalt, whether it is town,
            where its zebra crossing begins (negative: none).
        offset_m: how far into its block the vehicle is.
        travelled_m: s of the vehicle from the drive's start.
        yaw: the road's direction, radians.
    """

    shapes: Shapes
    actors: tuple[Actor, ...]
    lamps: Floats
    bend: Floats
    blocks: Floats
    offset_m: float
    travelled_m: float
    yaw: float


def scene(seed: int, time_s: float, *, travelled_m: float | None = None, stage: Stage | None = None) -> Scene:
    """The drive at a time.

    Everybody else moves by the time alone. They expect the vehicle of the drive, at about 10 m/s: one that comes later
    is in nobody's way, one that comes earlier may meet somebody who crosses, unless there is a stage.

    Args:
        seed: which drive.
        time_s: of the drive.
        travelled_m: where the vehicle is, by default where the drive's own speed has brought it.
        stage: what to arrange for a pedestrian in the vehicle's lane.
    """
    s = travelled(seed, time_s) if travelled_m is None else travelled_m
    first = floor(s / BLOCK_M)
    parts, lights, blocks = _standing(seed, s, first)
    cast = Cast(s)
    add_people(cast, seed, time_s, first, roadway=stage is None)
    if stage:
        stage.add_pedestrian(cast, time_s)
    add_traffic(cast, seed, time_s, first, stage=stage)
    bend, yaw = bend_ahead(seed, s)
    return Scene(
        shapes=merge([*parts, *cast.parts]),
        actors=tuple(cast.actors),
        lamps=_light_map([*lights, *cast.lights]),
        bend=bend,
        blocks=blocks,
        offset_m=s - first * BLOCK_M,
        travelled_m=s,
        yaw=yaw,
    )


def _standing(seed: int, s: float, first: int) -> tuple[list[Shapes], list[Light], Floats]:
    parts, lights = [], []
    blocks = np.zeros((8, 3), np.float32)
    for k in range(BLOCKS_AHEAD + 1):
        ahead, here = (first + k) * BLOCK_M - s, block(seed, first + k)
        parts.append(here.shapes.moved(ahead))
        lights += [replace(light, s=light.s + ahead) for light in here.lights]
        blocks[k] = scenery.ROAD_HALF_M[here.zone], here.zone == "town", here.crossing_s
    blocks[BLOCKS_AHEAD + 1 :] = blocks[BLOCKS_AHEAD]
    return parts, lights, blocks


def _light_map(lights: list[Light]) -> Floats:
    """[160, 40, 3] light on flat ground: the sum over lamps of intensity * height / distance^3."""
    z = (MAP_STEP_M * np.arange(MAP_DEPTHS, dtype=np.float32))[:, None]
    u = (MAP_STEP_M * (np.arange(MAP_WIDTHS, dtype=np.float32) - MAP_WIDTHS / 2))[None, :]
    total = np.zeros((MAP_DEPTHS, MAP_WIDTHS, 3), np.float32)
    for light in lights:
        near, far = int(np.clip(light.s - 30, 0, MAP_DEPTHS)), int(np.clip(light.s + 30, 0, MAP_DEPTHS))
        square = (u - light.u) ** 2 + (z[near:far] - light.s) ** 2 + light.y**2
        total[near:far] += (light.y / (square * np.sqrt(square)))[..., None] * np.array(light.colour, np.float32)
    return total
