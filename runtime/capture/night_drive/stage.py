"""A pedestrian in the vehicle's lane: where on the drive, who, and how they come to be in the way."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from math import floor, inf, pi
from typing import Literal

import numpy as np
import numpy.typing as npt

from runtime.capture.night_drive import people
from runtime.capture.night_drive.cast import Cast
from runtime.capture.night_drive.drive import LANE_U, STAGE, arrival, block, dice, identity, zone_of
from runtime.capture.night_drive.scenery import BLOCK_M, ROAD_HALF_M, Zone

Doubles = npt.NDArray[np.float64]
Manner = Literal["crosses", "steps out", "walks along"]

PEDESTRIAN = identity(STAGE, 0)
"""The identity of the pedestrian on every stage."""

LEAD_S = 4.5
"""From the start of an approach until a vehicle that never brakes hits the pedestrian."""

REACH_M = 1.6
"""From the cameras to the vehicle's front, 1.4 m, and from there to the middle of somebody who touches it."""

TOUCH_M = 1.1
"""Half the width of a vehicle, 0.9 m, and of a person."""

ZONES: tuple[Zone, ...] = ("town", "wood", "field")
MANNERS: tuple[Manner, ...] = ("crosses", "steps out", "walks along")
"""Taken in turn, so that nine seeds show each manner in each zone."""

_STRETCH = 3
"""Blocks of one zone."""


@dataclass(frozen=True)
class Walk:
    """A pedestrian's way: straight on, at a constant speed, between two times of the drive; else they stand.

    Attributes:
        person: who.
        manner: how they come to be in the lane.
        u, s: where they are at ``time_s``, in metres.
        u_speed, s_speed: m/s across and along the road.
        heading: 0 away along the road.
        time_s: when a vehicle that never brakes would hit them.
        begin_s, end_s: when they begin to walk, and stop.
        phase: of their gait.
    """

    person: people.Person
    manner: Manner
    u: float
    s: float
    u_speed: float
    s_speed: float
    heading: float
    time_s: float
    begin_s: float
    end_s: float
    phase: float

    def place(self, time_s: npt.ArrayLike) -> tuple[Doubles, Doubles]:
        """(u, s) at times of the drive, in metres."""
        moved = np.clip(np.asarray(time_s, np.float64), self.begin_s, self.end_s) - np.clip(
            self.time_s, self.begin_s, self.end_s
        )
        return self.u + self.u_speed * moved, self.s + self.s_speed * moved

    def gait(self, time_s: float) -> people.Gait:
        """What their limbs do at a time of the drive."""
        speed = abs(self.u_speed + self.s_speed)
        moved = min(max(time_s, self.begin_s), self.end_s) - self.time_s
        walks = self.begin_s < time_s < self.end_s
        return people.Gait(self.phase + 4.2 * speed * moved, min(speed / 1.3, 1.15) if walks else 0.0)

    def blocks_oncoming(self, time_s: float) -> bool:
        """Whether a car that passes at this time would have to pass through them."""
        u = self.place([time_s - 1.2, time_s + 1.2])[0]
        return bool(u.min() < 0.6 and u.max() > -4.2)

    def needs_kerb(self, s: float) -> bool:
        """Whether a car parked at ``s`` would stand in their way or hide them."""
        return self.u_speed != 0 and -12 < s - self.s < 4.5


@dataclass(frozen=True)
class Stage:
    """What is arranged for an approach; nobody else is on the roadway, and no car ahead.

    Attributes:
        walk: the pedestrian's.
        shown: whether they are there at all.
        zone: what surrounds them.
        start_s: s of the vehicle when the approach begins, and ``start_time_s`` the time of the drive.
    """

    walk: Walk
    shown: bool
    zone: Zone
    start_s: float
    start_time_s: float

    def add_pedestrian(self, cast: Cast, time_s: float) -> None:
        """Put them where they are at a time of the drive."""
        u, s = (float(each) for each in self.walk.place(time_s))
        if self.shown and cast.sees(s):
            stand = cast.stand(PEDESTRIAN, u, s, self.walk.heading)
            cast.parts.append(people.walking(self.walk.person, self.walk.gait(time_s), stand))


def arrange(seed: int, speed_mps: float, *, shown: bool = True) -> Stage:
    """The stage of a seed, for a vehicle that comes at ``speed_mps``."""
    rng = dice(seed, STAGE, 0)
    zone, manner = ZONES[seed % 3], MANNERS[seed // 3 % 3]
    s = _somewhere(seed, rng, zone, manner)
    start_s = s - REACH_M - speed_mps * LEAD_S
    start_time_s = arrival(seed, start_s)
    return Stage(_walk(rng, zone, manner, (s, start_time_s + LEAD_S)), shown, zone, start_s, start_time_s)


def _somewhere(seed: int, rng: np.random.Generator, zone: Zone, manner: Manner) -> float:
    """Metres along the drive: in the far half of the first stretch of a zone, on its zebra crossing if they cross."""
    stretch = next(number for number in count(1) if zone_of(seed, _STRETCH * number) == zone)
    s = BLOCK_M * _STRETCH * stretch + float(rng.uniform(75, 110))
    number = floor(s / BLOCK_M)
    zebra_s = block(seed, number).crossing_s
    return BLOCK_M * number + zebra_s + 1.75 if manner == "crosses" and zebra_s >= 0 else s


def _walk(rng: np.random.Generator, zone: Zone, manner: Manner, hit: tuple[float, float]) -> Walk:
    """``hit`` is (s, time of the drive). Euro NCAP's and UN R152's dummies go 5 km/h, 1.4 m/s, and so do most of these.

    Who crosses is hit past the middle of the lane, so that they were in it for a while.
    """
    person, phase, speed = people.Person.random(rng), float(rng.uniform(0, 6)), float(rng.uniform(1.1, 1.5))
    direction, kerb = (1 if rng.random() < 0.5 else -1), ROAD_HALF_M[zone] + 0.3
    aside, (s, time_s) = float(rng.uniform(-0.5, 0.5)), hit
    u = LANE_U + (direction * abs(aside) if manner == "crosses" else aside)
    if manner == "walks along":
        heading = 0.0 if direction > 0 else pi
        return Walk(person, manner, u, s, 0.0, direction * speed, heading, time_s, -inf, inf, phase)
    arrives_s = time_s - float(rng.uniform(1.5, 2.5)) if manner == "steps out" else time_s
    begin_s = arrives_s - (u + direction * kerb) * direction / speed
    end_s = arrives_s if manner == "steps out" else arrives_s + (kerb - direction * u) / speed
    return Walk(person, manner, u, s, direction * speed, 0.0, direction * pi / 2, time_s, begin_s, end_s, phase)
