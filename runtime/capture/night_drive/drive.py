"""The road and the drive along it, hashed from the seed and the number of a block, so that the road never ends."""

from __future__ import annotations

from functools import lru_cache
from math import pi, sin

import numpy as np
import numpy.typing as npt

from runtime.capture.night_drive import scenery
from runtime.capture.night_drive.scenery import Block, Zone

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

SPEED_MPS = 10.0
"""Mean speed of the vehicle; it breathes by 1.5 m/s either way."""

LANE_U = 1.75
CAMERA_HEIGHT_M, CAMERA_PITCH = 1.35, 0.034
"""Above the road; nose down, radians."""

BLOCKS_AHEAD = 5
BEND_STEP_M, BEND_STEPS = 1.0, 256

ZONE, BLOCK, PEOPLE, ONCOMING, PARKED, DRIVE, STAGE = range(7)
"""What is hashed: each topic has dice of its own."""


def dice(seed: int, topic: int, number: int) -> np.random.Generator:
    """Of one topic and one block, or one thing of its kind."""
    return np.random.default_rng([seed, topic, number + 1024])


def identity(topic: int, number: int, place: int = 0) -> int:
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
def zone_of(seed: int, number: int) -> Zone:
    """What surrounds a block: stretches of 120 m of town, wood or field."""
    zones: tuple[Zone, ...] = ("town", "wood", "field")
    return zones[dice(seed, ZONE, number // 3).choice(3, p=[0.55, 0.3, 0.15])]


@lru_cache(maxsize=64)
def block(seed: int, number: int) -> Block:
    """The standing scenery of a block."""
    zone = zone_of(seed, number)
    return scenery.build(zone, dice(seed, BLOCK, number), opening=zone_of(seed, number - 1) != zone)


@lru_cache(maxsize=16)
def _curve(seed: int) -> tuple[Doubles, Doubles, Doubles]:
    """Amplitude, wave number and phase of the road's two waves."""
    rng = dice(seed, DRIVE, 0)
    waves = 2 * pi / np.array([rng.uniform(380, 480), rng.uniform(150, 190)])
    return np.array([rng.uniform(4, 8), 0.9]), waves, rng.uniform(0, 2 * pi, 2)


def bend_ahead(seed: int, s: float) -> tuple[Floats, float]:
    """How far the road has moved right ahead of ``s``, seen along the road's direction there, and that direction."""
    size, wave, phase = _curve(seed)
    ahead = BEND_STEP_M * np.arange(BEND_STEPS)[:, None]
    here = wave * s + phase
    slope = float((size * wave * np.cos(here)).sum())
    offsets = (size * (np.sin(here + wave * ahead) - np.sin(here))).sum(axis=1) - slope * ahead[:, 0]
    return offsets.astype(np.float32), slope
