"""The cars: one ahead, those that come towards the vehicle, and those parked along a street."""

from __future__ import annotations

from functools import lru_cache
from math import floor, pi, sin

from runtime.capture.night_drive import vehicles
from runtime.capture.night_drive.cast import SIGHT_M, Cast
from runtime.capture.night_drive.drive import (
    BLOCKS_AHEAD,
    DRIVE,
    LANE_U,
    ONCOMING,
    PARKED,
    arrival,
    block,
    dice,
    identity,
    zone_of,
)
from runtime.capture.night_drive.scenery import BLOCK_M, Light
from runtime.capture.night_drive.shapes import Shapes, Sketch
from runtime.capture.night_drive.stage import Stage

ONCOMING_EVERY_M, ONCOMING_MPS = 85.0, 10.5


@lru_cache(maxsize=64)
def oncoming_meets(seed: int, number: int) -> float:
    """Where the vehicle meets oncoming car ``number``."""
    return number * ONCOMING_EVERY_M + float(dice(seed, ONCOMING, number).uniform(0, 45))


@lru_cache(maxsize=256)
def _car(seed: int, topic: int, number: int, state: vehicles.State) -> vehicles.Car:
    rng = dice(seed, topic, number + 5000)
    tall = rng.random() < 0.3
    return vehicles.Car(
        paint=int(rng.integers(len(vehicles.PAINTS))),
        width=1.06 if tall else 1.0,
        height=1.22 if tall else float(rng.choice([0.96, 1.0, 1.04])),
        length=1.08 if tall else 1.0,
        state=state,
    )


@lru_cache(maxsize=16)
def _gap_phase(seed: int) -> float:
    return float(dice(seed, DRIVE, 1).uniform(0, 2 * pi))


def gap_ahead(seed: int, time_s: float) -> float:
    """Distance to the car ahead, which comes near and leaves again every 36 s."""
    near = 0.5 + 0.5 * sin(2 * pi * time_s / 36 + _gap_phase(seed))
    return 26.0 + 150.0 * (1 - near) ** 2


def add_traffic(cast: Cast, seed: int, time_s: float, first: int, *, stage: Stage | None = None) -> None:
    """Every car near block ``first``; on a stage none ahead and none where the pedestrian goes."""
    if stage is None:
        _add_ahead(cast, seed, time_s)
    for number in range(floor(cast.s / ONCOMING_EVERY_M) - 1, floor(cast.s / ONCOMING_EVERY_M) + 3):
        meet = oncoming_meets(seed, number)
        s = meet - ONCOMING_MPS * (time_s - arrival(seed, meet))
        if stage and stage.walk.blocks_oncoming(time_s + (s - stage.walk.s) / ONCOMING_MPS):
            continue
        _add_oncoming(cast, identity(ONCOMING, number), _car(seed, ONCOMING, number, "moving"), s)
    for number in range(first - 1, first + BLOCKS_AHEAD):
        for place, u, s, model in _parked(seed, number):
            if cast.sees(s) and not (stage and stage.walk.needs_kerb(s)):
                cast.add(identity(PARKED, number, place), "car", vehicles.car(model), u, s)


def _add_ahead(cast: Cast, seed: int, time_s: float) -> None:
    gap = gap_ahead(seed, time_s)
    if gap > SIGHT_M:
        return
    braking = gap_ahead(seed, time_s + 0.5) < gap and gap < 60
    model = _car(seed, DRIVE, 0, "braking" if braking else "moving")
    cast.add(identity(DRIVE, 0), "car", vehicles.car(model), LANE_U, cast.s + gap)
    cast.parts.append(vehicles.tail_glow(model.state).placed(LANE_U, gap))
    cast.lights.append(Light(LANE_U, 0.7, gap + 8, (1.6, 1.6, 1.6)))
    cast.lights.append(Light(LANE_U, 0.8, gap - 3.0, (0.25, 0.012, 0.006)))
    cast.parts.append(_streaks(((-0.7, 0.8), (0.7, 0.8)), (0.40, 0.02, 0.01)).placed(LANE_U, gap - 2.2))


def _add_oncoming(cast: Cast, identity: int, model: vehicles.Car, s: float) -> None:
    z = s - cast.s
    if not cast.sees(s):
        return
    cast.parts.append(_streaks(((-0.69, 0.67), (0.69, 0.67)), (1.0, 1.03, 1.1)).placed(-LANE_U, z - 2.3))
    cast.add(identity, "car", vehicles.car(model), -LANE_U, s, pi)
    cast.parts.append(vehicles.head_lamps().placed(-LANE_U, z, heading=pi))
    cast.lights.append(Light(-LANE_U + 0.3, 0.7, z - 7, (1.7, 1.75, 1.9)))
    cast.lights.append(Light(-LANE_U + 0.5, 0.9, z - 14, (1.2, 1.25, 1.35)))


@lru_cache(maxsize=64)
def _streaks(lamps: tuple[tuple[float, float], ...], colour: tuple[float, float, float]) -> Shapes:
    """Reflections of lamps at (u, height) in the damp road: mirrored, and smeared towards the camera."""
    sketch = Sketch()
    for u, height in lamps:
        for reach, share in ((1.6, 0.5), (3.4, 0.35), (6.0, 0.15)):
            emission = (colour[0] * share, colour[1] * share, colour[2] * share)
            sketch.glow(((u, -0.15, 0), (u, -height * reach, 0)), 0.20 + 0.05 * reach, emission)
    return sketch.done()


@lru_cache(maxsize=64)
def _parked(seed: int, number: int) -> tuple[tuple[int, float, float, vehicles.Car], ...]:
    """(place, u, s, car) of the cars parked along a block of town."""
    rng, found = dice(seed, PARKED, number), []
    crossing = block(seed, number).crossing_s
    for slot in range(6 if zone_of(seed, number) == "town" else 0):
        for side in (-1, 1):
            s = 3.5 + 6.6 * slot + float(rng.uniform(-0.5, 0.5))
            if rng.random() < 0.32 and (crossing < 0 or abs(s - crossing - 1.7) > 6):
                place = slot * 2 + (side > 0)
                model = _car(seed, PARKED, number * 16 + place, "parked")
                found.append((place, side * 5.15, number * BLOCK_M + s, model))
    return tuple(found)
