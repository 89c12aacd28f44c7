"""Who is where: the drive as a function of a seed and a time, and the light that falls on the road.

Everything is hashed from the seed and the number of a block of road, so the road never ends and any moment can be
drawn without those before it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from math import floor, pi, sin

import numpy as np
import numpy.typing as npt

from runtime.capture.night_drive import people, scenery, vehicles
from runtime.capture.night_drive.light import MAP_DEPTHS, MAP_STEP_M, MAP_WIDTHS
from runtime.capture.night_drive.scenery import BLOCK_M, Block, Light, Zone
from runtime.capture.night_drive.shapes import Shapes, Sketch, merge

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

SPEED_MPS = 10.0
"""Mean speed of the vehicle; it breathes by 1.5 m/s either way."""

LANE_U = 1.75
CAMERA_HEIGHT_M, CAMERA_PITCH = 1.35, 0.034
"""Above the road; nose down, radians."""

BLOCKS_AHEAD = 5
SIGHT_M = 140.0
"""People and cars farther off are not drawn."""

BEND_STEP_M, BEND_STEPS = 1.0, 256
ONCOMING_EVERY_M, ONCOMING_MPS = 85.0, 10.5
_ZONE, _BLOCK, _PEOPLE, _ONCOMING, _PARKED, _DRIVE = range(6)


@dataclass(frozen=True)
class Actor:
    """Something with a box: its class name and where it is, u across the road and Z ahead of the cameras.

    ``identity`` is its own throughout the drive.
    """

    identity: int
    label: str
    u: float
    z: float


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


def _dice(seed: int, topic: int, number: int) -> np.random.Generator:
    return np.random.default_rng([seed, topic, number + 1024])


def _identity(topic: int, number: int, place: int = 0) -> int:
    """A number of its own for whatever has place 0 to 31 in a block, or comes as that number of its kind."""
    return ((number + 1024) * 8 + topic) * 32 + place


def travelled(seed: int, time_s: float) -> float:
    """How far the vehicle has come, in metres."""
    phase = 2.4 * seed
    return SPEED_MPS * time_s + 7.5 * (sin(0.2 * time_s + phase) - sin(phase))


def arrival(seed: int, s: float) -> float:
    """When the vehicle comes to ``s``, in seconds: the inverse of ``travelled``."""
    time_s = s / SPEED_MPS
    for _ in range(12):  # each step shrinks the error to 0.15 of it
        time_s += (s - travelled(seed, time_s)) / SPEED_MPS
    return time_s


@lru_cache(maxsize=256)
def _zone(seed: int, number: int) -> Zone:
    """What surrounds a block: stretches of 120 m of town, wood or field."""
    zones: tuple[Zone, ...] = ("town", "wood", "field")
    return zones[_dice(seed, _ZONE, number // 3).choice(3, p=[0.55, 0.3, 0.15])]


@lru_cache(maxsize=64)
def block(seed: int, number: int) -> Block:
    """The standing scenery of a block."""
    zone = _zone(seed, number)
    return scenery.build(zone, _dice(seed, _BLOCK, number), opening=_zone(seed, number - 1) != zone)


@lru_cache(maxsize=16)
def _curve(seed: int) -> tuple[Doubles, Doubles, Doubles]:
    """Amplitude, wave number and phase of the road's two waves."""
    rng = _dice(seed, _DRIVE, 0)
    waves = 2 * pi / np.array([rng.uniform(380, 480), rng.uniform(150, 190)])
    return np.array([rng.uniform(4, 8), 0.9]), waves, rng.uniform(0, 2 * pi, 2)


def _bend(seed: int, s: float) -> tuple[Floats, float]:
    """How far the road has moved right ahead of ``s``, seen along the road's direction there, and that direction."""
    size, wave, phase = _curve(seed)
    ahead = BEND_STEP_M * np.arange(BEND_STEPS)[:, None]
    here = wave * s + phase
    slope = float((size * wave * np.cos(here)).sum())
    offsets = (size * (np.sin(here + wave * ahead) - np.sin(here))).sum(axis=1) - slope * ahead[:, 0]
    return offsets.astype(np.float32), slope


def scene(seed: int, time_s: float) -> Scene:
    """The drive at a time."""
    s = travelled(seed, time_s)
    first = floor(s / BLOCK_M)
    parts, lights, blocks = _standing(seed, s, first)
    cast = _Cast(s)
    _add_people(cast, seed, time_s, first)
    _add_traffic(cast, seed, time_s, first)
    bend, yaw = _bend(seed, s)
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


class _Cast:
    """Collects what moves, in the vehicle's frame."""

    def __init__(self, s: float) -> None:
        self.s = s
        self.parts: list[Shapes] = []
        self.actors: list[Actor] = []
        self.lights: list[Light] = []

    def sees(self, s: float) -> bool:
        """Whether something at ``s`` is worth drawing."""
        return 1.5 < s - self.s < SIGHT_M

    def add(self, identity: int, label: str, shapes: Shapes, u: float, s: float, heading: float = 0.0) -> None:
        """Something with a box, drawn at the origin so far."""
        self.parts.append(shapes.placed(u, s - self.s, heading=heading, owner=len(self.actors)))
        self.actors.append(Actor(identity, label, u, s - self.s))

    def stand(self, identity: int, u: float, s: float, heading: float) -> people.Stand:
        """The place of the person who is added next."""
        self.actors.append(Actor(identity, "person", u, s - self.s))
        return people.Stand(u, s - self.s, heading, len(self.actors) - 1)


@dataclass(frozen=True)
class _Role:
    """What somebody does: where they are at ``time_s``, and how they move (m/s)."""

    person: people.Person
    u: float
    s: float
    u_speed: float
    s_speed: float
    heading: float
    time_s: float
    phase: float
    bicycle: bool = False


@lru_cache(maxsize=64)
def _roles(seed: int, number: int) -> tuple[_Role, ...]:
    """The people of a block."""
    rng, zone = _dice(seed, _PEOPLE, number), _zone(seed, number)
    roles = []
    for _ in range(int(rng.integers(2, 5))):
        roles.append(_bystander(rng, seed, number, zone))
    if rng.random() < 0.30:
        roles.append(replace(roles[0], person=people.Person.random(rng), u=roles[0].u + 0.65, phase=roles[0].phase + 2))
    here = block(seed, number)
    if rng.random() < 0.6 and (zone != "town" or here.crossing_s >= 0):
        crosser = _crosser(rng, seed, number, here)
        roles += [crosser] if _free_to_cross(seed, crosser) else []
    if rng.random() < 0.22:
        roles.append(_cyclist(rng, seed, number))
    return tuple(roles)


def _bystander(rng: np.random.Generator, seed: int, number: int, zone: Zone) -> _Role:
    """Somebody beside the road, walking along it or waiting."""
    side = 1 if rng.random() < 0.6 else -1
    inner, outer = (6.7, 9.2) if zone == "town" else (4.7, 6.4)
    ahead = rng.random() < 0.5
    speed = float(rng.uniform(1.0, 1.6)) * (1 if ahead else -1) if rng.random() < 0.65 else 0.0
    heading = (0.0 if ahead else pi) if speed else float(rng.uniform(0, 2 * pi))
    u, s = side * float(rng.uniform(inner, outer)), number * BLOCK_M + float(rng.uniform(0, BLOCK_M))
    return _Role(people.Person.random(rng), u, s, 0.0, speed, heading, arrival(seed, s), float(rng.uniform(0, 6)))


def _crosser(rng: np.random.Generator, seed: int, number: int, here: Block) -> _Role:
    """Somebody who crosses and is out of the way in time: leaves the vehicle's lane when it is still 9 m off."""
    direction = 1 if rng.random() < 0.5 else -1
    s = number * BLOCK_M + (here.crossing_s + 1.75 if here.crossing_s >= 0 else float(rng.uniform(5, 35)))
    speed = float(rng.uniform(1.3, 1.7)) * direction
    lane_end = 4.4 if direction > 0 else -0.6
    time_s = arrival(seed, s - 9.0 - float(rng.uniform(0, 6)))
    person, phase = people.Person.random(rng), float(rng.uniform(0, 6))
    return _Role(person, lane_end, s, speed, 0.0, direction * pi / 2, time_s, phase)


def _cyclist(rng: np.random.Generator, seed: int, number: int) -> _Role:
    """Somebody on a bicycle at the road's edge, ahead or oncoming."""
    ahead = rng.random() < 0.6
    u, speed, heading = (3.75, 4.5, 0.0) if ahead else (-3.75, -4.5, pi)
    s, person, phase = number * BLOCK_M, people.Person.random(rng), float(rng.uniform(0, 6))
    return _Role(person, u, s, 0.0, speed, heading, arrival(seed, s), phase, bicycle=True)


def _free_to_cross(seed: int, role: _Role) -> bool:
    """Whether no car drives where and when somebody crosses (four seconds before the vehicle comes)."""
    if _gap(seed, role.time_s - 4) < 60:
        return False
    for number in range(floor(role.s / ONCOMING_EVERY_M) - 1, floor(role.s / ONCOMING_EVERY_M) + 3):
        meet = _oncoming_meets(seed, number)
        passes = arrival(seed, meet) + (meet - role.s) / ONCOMING_MPS
        if -7.0 < passes - role.time_s < 1.5:
            return False
    return True


def _add_people(cast: _Cast, seed: int, time_s: float, first: int) -> None:
    for number in range(first - 1, first + BLOCKS_AHEAD):
        for place, role in enumerate(_roles(seed, number)):
            # Two each: a bicycle has one of its own.
            _add_person(cast, _identity(_PEOPLE, number, 2 * place), role, time_s - role.time_s)


def _add_person(cast: _Cast, identity: int, role: _Role, since_s: float) -> None:
    """Somebody, ``since_s`` seconds after their moment; before -12 s they wait to begin."""
    moving = float(np.clip(since_s, -12.0, 12.0))
    u, s = role.u + role.u_speed * moving, role.s + role.s_speed * moving
    if role.u_speed:
        u = float(np.clip(u, -7.4, 7.4))
    if not cast.sees(s):
        return
    if role.bicycle:
        cast.add(identity + 1, "bicycle", people.bicycle(role.heading != 0.0), u, s, role.heading)
        cast.parts.append(people.riding(role.person, 9.0 * since_s, cast.stand(identity, u, s, role.heading)))
        return
    speed = abs(role.u_speed + role.s_speed) if abs(u) < 7.4 or not role.u_speed else 0.0
    gait = people.Gait(role.phase + 4.2 * speed * since_s, min(speed / 1.3, 1.15))
    cast.parts.append(people.walking(role.person, gait, cast.stand(identity, u, s, role.heading)))


@lru_cache(maxsize=64)
def _oncoming_meets(seed: int, number: int) -> float:
    """Where the vehicle meets oncoming car ``number``."""
    return number * ONCOMING_EVERY_M + float(_dice(seed, _ONCOMING, number).uniform(0, 45))


@lru_cache(maxsize=256)
def _car(seed: int, topic: int, number: int, state: vehicles.State) -> vehicles.Car:
    rng = _dice(seed, topic, number + 5000)
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
    return float(_dice(seed, _DRIVE, 1).uniform(0, 2 * pi))


def _gap(seed: int, time_s: float) -> float:
    """Distance to the car ahead, which comes near and leaves again every 36 s."""
    near = 0.5 + 0.5 * sin(2 * pi * time_s / 36 + _gap_phase(seed))
    return 26.0 + 150.0 * (1 - near) ** 2


def _add_traffic(cast: _Cast, seed: int, time_s: float, first: int) -> None:
    _add_ahead(cast, seed, time_s)
    for number in range(floor(cast.s / ONCOMING_EVERY_M) - 1, floor(cast.s / ONCOMING_EVERY_M) + 3):
        meet = _oncoming_meets(seed, number)
        s = meet - ONCOMING_MPS * (time_s - arrival(seed, meet))
        _add_oncoming(cast, _identity(_ONCOMING, number), _car(seed, _ONCOMING, number, "moving"), s)
    for number in range(first - 1, first + BLOCKS_AHEAD):
        for place, u, s, model in _parked(seed, number):
            if cast.sees(s):
                cast.add(_identity(_PARKED, number, place), "car", vehicles.car(model), u, s)


def _add_ahead(cast: _Cast, seed: int, time_s: float) -> None:
    gap = _gap(seed, time_s)
    if gap > SIGHT_M:
        return
    braking = _gap(seed, time_s + 0.5) < gap and gap < 60
    model = _car(seed, _DRIVE, 0, "braking" if braking else "moving")
    cast.add(_identity(_DRIVE, 0), "car", vehicles.car(model), LANE_U, cast.s + gap)
    cast.parts.append(vehicles.tail_glow(model.state).placed(LANE_U, gap))
    cast.lights.append(Light(LANE_U, 0.7, gap + 8, (1.6, 1.6, 1.6)))
    cast.lights.append(Light(LANE_U, 0.8, gap - 3.0, (0.25, 0.012, 0.006)))
    cast.parts.append(_streaks(((-0.7, 0.8), (0.7, 0.8)), (0.40, 0.02, 0.01)).placed(LANE_U, gap - 2.2))


def _add_oncoming(cast: _Cast, identity: int, model: vehicles.Car, s: float) -> None:
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
    rng, found = _dice(seed, _PARKED, number), []
    crossing = block(seed, number).crossing_s
    for slot in range(6 if _zone(seed, number) == "town" else 0):
        for side in (-1, 1):
            s = 3.5 + 6.6 * slot + float(rng.uniform(-0.5, 0.5))
            if rng.random() < 0.32 and (crossing < 0 or abs(s - crossing - 1.7) > 6):
                place = slot * 2 + (side > 0)
                model = _car(seed, _PARKED, number * 16 + place, "parked")
                found.append((place, side * 5.15, number * BLOCK_M + s, model))
    return tuple(found)


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
