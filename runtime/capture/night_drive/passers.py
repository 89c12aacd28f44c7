"""The people along the road: who walks, waits, crosses or cycles, and where they are at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from math import floor, pi

import numpy as np

from runtime.capture.night_drive import people
from runtime.capture.night_drive.cast import Cast
from runtime.capture.night_drive.drive import BLOCKS_AHEAD, PEOPLE, arrival, block, dice, identity, zone_of
from runtime.capture.night_drive.scenery import BLOCK_M, Block, Zone
from runtime.capture.night_drive.traffic import ONCOMING_EVERY_M, ONCOMING_MPS, gap_ahead, oncoming_meets


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

    @property
    def on_roadway(self) -> bool:
        """Whether they cross it or cycle on it."""
        return self.bicycle or self.u_speed != 0


@lru_cache(maxsize=64)
def _roles(seed: int, number: int) -> tuple[_Role, ...]:
    """The people of a block."""
    rng, zone = dice(seed, PEOPLE, number), zone_of(seed, number)
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
    if gap_ahead(seed, role.time_s - 4) < 60:
        return False
    for number in range(floor(role.s / ONCOMING_EVERY_M) - 1, floor(role.s / ONCOMING_EVERY_M) + 3):
        meet = oncoming_meets(seed, number)
        passes = arrival(seed, meet) + (meet - role.s) / ONCOMING_MPS
        if -7.0 < passes - role.time_s < 1.5:
            return False
    return True


def add_people(cast: Cast, seed: int, time_s: float, first: int, *, roadway: bool = True) -> None:
    """Everybody near block ``first``, or only those who stay off the ``roadway``."""
    for number in range(first - 1, first + BLOCKS_AHEAD):
        for place, role in enumerate(_roles(seed, number)):
            if roadway or not role.on_roadway:
                # Two numbers each: a bicycle has one of its own.
                _add_person(cast, identity(PEOPLE, number, 2 * place), role, time_s - role.time_s)


def _add_person(cast: Cast, identity: int, role: _Role, since_s: float) -> None:
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
