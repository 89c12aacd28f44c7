"""Pedestrians and cyclists: jointed figures of capsules, dark clothes and warm skin."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import cos, pi, sin

import numpy as np

from runtime.capture.night_drive.shapes import (
    CAPSULE,
    MAX_POINTS,
    UNOWNED,
    Colour,
    Floats,
    Look,
    Point,
    Shapes,
    Sketch,
)

CLOTHES: tuple[Colour, ...] = (
    (0.030, 0.032, 0.040),
    (0.045, 0.040, 0.035),
    (0.020, 0.025, 0.045),
    (0.060, 0.022, 0.022),
    (0.035, 0.050, 0.035),
    (0.090, 0.085, 0.075),
)
SKIN: tuple[Colour, ...] = ((0.36, 0.22, 0.16), (0.24, 0.14, 0.09), (0.12, 0.07, 0.05))


@dataclass(frozen=True)
class Person:
    """What one person is like, whatever they are doing."""

    height_m: float
    girth: float
    coat: Colour
    trousers: Colour
    skin: Colour
    warmth: float
    long_coat: bool
    bag: bool

    @staticmethod
    def random(rng: np.random.Generator) -> Person:
        """Somebody."""
        coat, trousers = rng.choice(len(CLOTHES)), rng.choice(4)
        return Person(
            height_m=float(rng.uniform(1.56, 1.88)),
            girth=float(rng.uniform(0.92, 1.15)),
            coat=CLOTHES[coat],
            trousers=CLOTHES[trousers],
            skin=SKIN[rng.choice(len(SKIN))],
            warmth=float(rng.normal(0, 1.0)),
            long_coat=bool(rng.random() < 0.3),
            bag=bool(rng.random() < 0.35),
        )


@dataclass(frozen=True)
class Gait:
    """What a figure's limbs are doing: ``phase`` radians into a double step, ``stride`` 0 (standing) to 1."""

    phase: float
    stride: float


@dataclass(frozen=True)
class Stand:
    """Where a figure is: (u, s), turned by ``heading`` (0: away along the road), as object ``owner``."""

    u: float
    s: float
    heading: float
    owner: int = UNOWNED


_Limb = tuple[Point, Point]
_TORSO = 12
_CAPSULES, _TWO_ENDS = np.full(32, CAPSULE, np.int32), np.full(32, 2, np.int32)


def walking(person: Person, gait: Gait, stand: Stand) -> Shapes:
    """A walking or standing figure."""
    return _figure(person, _walk(person, gait), stand)


def riding(person: Person, phase: float, stand: Stand) -> Shapes:
    """The rider of ``bicycle``, its pedals ``phase`` radians round."""
    return _figure(person, _ride(person, phase), stand)


def _walk(person: Person, gait: Gait) -> list[_Limb]:
    """The limbs' ends (lateral, up, forward), in the order of ``_wardrobe``."""
    h, swing = person.height_m, 0.42 * gait.stride
    hip_y = h * (0.53 - 0.012 * gait.stride * abs(sin(gait.phase)))
    legs, arms = [], []
    for side, phase in ((-1, gait.phase), (1, gait.phase + pi)):
        thigh = swing * sin(phase) + 0.03 * side * (1 - gait.stride)
        bend = 0.06 + 0.85 * gait.stride * max(0.0, cos(phase))
        legs.append(_leg((0.055 * h * side, hip_y), (thigh, bend), h))
        arms.append(_arm((0.118 * h * side * person.girth, hip_y + 0.275 * h), (-0.9 * swing * sin(phase), 0.25), h))
    return _assemble(legs, arms, (hip_y, 0.0, 0.03 * gait.stride), h)


def _leg(hip: tuple[float, float], angles: tuple[float, float], h: float) -> tuple[Point, Point, Point, Point]:
    """Hip, knee, ankle and toe, for a thigh swung forward and a knee bent by these radians."""
    (x, y), (thigh, bend) = hip, angles
    knee = (x, y - 0.245 * h * cos(thigh), 0.245 * h * sin(thigh))
    shin = thigh - bend
    ankle = (x, knee[1] - 0.235 * h * cos(shin), knee[2] + 0.235 * h * sin(shin))
    toe = (x * 1.15, ankle[1] - 0.02 * h + 0.08 * h * sin(shin), ankle[2] + 0.09 * h)
    return (x, y, 0.0), knee, ankle, toe


def _arm(shoulder: tuple[float, float], angles: tuple[float, float], h: float) -> tuple[Point, Point, Point]:
    """Shoulder, elbow and hand, for an upper arm swung forward and an elbow bent by these radians."""
    (x, y), (swing, bend) = shoulder, angles
    elbow = (x * 1.22, y - 0.17 * h * cos(swing), 0.17 * h * sin(swing))
    hand = (x * 1.2, elbow[1] - 0.15 * h * cos(swing + bend), elbow[2] + 0.15 * h * sin(swing + bend))
    return (x, y, 0.0), elbow, hand


def _ride(person: Person, phase: float) -> list[_Limb]:
    """The limbs' ends of somebody on a bicycle: saddle at 0.98 m, bent forward, hands on the bars."""
    h, legs, arms = person.height_m, [], []
    for side, turn in ((-1, phase), (1, phase + pi)):
        pedal = (0.1 * side, 0.36 + 0.16 * cos(turn), 0.12 + 0.16 * sin(turn))
        knee = (0.11 * side, 0.5 * (0.98 + pedal[1]) + 0.1, 0.33 + 0.06 * sin(turn))
        legs.append(((0.08 * side, 0.98, -0.1), knee, pedal, (0.1 * side, pedal[1] - 0.03, pedal[2] + 0.14)))
        arms.append(((0.19 * side, 1.42, 0.2), (0.25 * side, 1.2, 0.38), (0.25 * side, 1.05, 0.58)))
    return _assemble(legs, arms, (1.0, -0.1, 0.24), h)


def _assemble(
    legs: list[tuple[Point, Point, Point, Point]],
    arms: list[tuple[Point, Point, Point]],
    spine: tuple[float, float, float],
    h: float,
) -> list[_Limb]:
    """Limbs in the order of ``_wardrobe``; ``spine`` is the hip's height, its forward place and the lean, metres."""
    hip_y, hip_s, lean = spine
    chest: Point = (0.0, hip_y + 0.205 * h, hip_s + lean)
    head: Point = (0.0, hip_y + 0.395 * h, hip_s + lean + 0.02)
    crown: Point = (0.0, head[1] + 0.018 * h, head[2] - 0.012)
    face: Point = (0.0, head[1] - 0.012 * h, head[2] + 0.045)
    hem: Point = (0.0, hip_y - 0.2 * h, hip_s)
    bag: Point = (0.0, hip_y + 0.18 * h, hip_s + lean - 0.15)
    limbs: list[_Limb] = []
    for hip, knee, ankle, toe in legs:
        limbs += [(hip, knee), (knee, ankle), (ankle, toe)]
    for shoulder, elbow, hand in arms:
        limbs += [(shoulder, elbow), (elbow, hand), (hand, hand)]
    torso: _Limb = ((0.0, hip_y, hip_s), chest)
    return [*limbs, torso, (chest, head), (head, head), (crown, crown), (face, face), (chest, hem), (bag, bag)]


@lru_cache(maxsize=256)
def _wardrobe(person: Person) -> tuple[Floats, Floats]:
    """(radius [N, 2], look [N, 12]) of the limbs."""
    g, w, h = person.girth, person.warmth, person.height_m
    coat = Look(person.coat, celsius=15.5 + w, rim_celsius=4.0, grain=1.0)
    trousers = Look(person.trousers, celsius=16.5 + w, rim_celsius=3.5, grain=0.8)
    shoes = Look((0.03, 0.03, 0.03), celsius=13.5)
    skin = Look(person.skin, celsius=31.0 + 0.5 * w, rim_celsius=3.0)
    hair = Look((0.02, 0.015, 0.01), celsius=23.0 + w, rim_celsius=4.0, grain=1.0)
    leg = [((0.085 * g, 0.06 * g), trousers), ((0.06 * g, 0.042 * g), trousers), ((0.045, 0.038), shoes)]
    arm = [((0.06 * g, 0.046 * g), coat), ((0.046 * g, 0.036), coat), ((0.042, 0.042), skin._replace(celsius=28.0 + w))]
    head = [((0.13 * g, 0.14 * g), coat), ((0.06, 0.052), skin), ((0.062 * h, 0.062 * h), skin)]
    head += [((0.058 * h, 0.058 * h), hair), ((0.044 * h, 0.044 * h), skin._replace(celsius=33.5, rim_celsius=2.0))]
    hidden = coat._replace(opacity=0.0, thermal_opacity=0.0)
    hem = [((0.12 * g, 0.19 * g), coat if person.long_coat else hidden)]
    bag = Look((0.03, 0.03, 0.035), celsius=11.5, grain=0.6)
    bag = bag if person.bag else hidden
    rows = [*leg, *leg, *arm, *arm, *head, *hem, ((0.15, 0.15), bag)]
    return np.array([row[0] for row in rows], np.float32), np.array([row[1].row() for row in rows], np.float32)


def _figure(person: Person, limbs: list[_Limb], stand: Stand) -> Shapes:
    """Limbs and looks as shapes where they stand, farthest limb first."""
    radius, look = _wardrobe(person)
    sine, cosine = sin(stand.heading), cos(stand.heading)
    local = np.array(limbs, np.float32)
    points = np.zeros((len(limbs), MAX_POINTS, 3), np.float32)
    points[:, :2, 0] = local[..., 0] * cosine + local[..., 2] * sine + stand.u
    points[:, :2, 1] = local[..., 1]
    points[:, :2, 2] = local[..., 2] * cosine - local[..., 0] * sine + stand.s
    # A chest is wider than deep: its capsule takes the width seen from this side.
    radius = radius.copy()
    radius[_TORSO] *= 1.0 + 0.32 * abs(cosine)
    order = np.argsort(-(points[:, 0, 2] + points[:, 1, 2]), kind="stable")
    count = len(limbs)
    anchor, owner = np.full(count, stand.s, np.float32), np.full(count, stand.owner, np.int32)
    return Shapes(points[order], radius[order], look[order], _CAPSULES[:count], _TWO_ENDS[:count], anchor, owner)


@lru_cache(maxsize=8)
def bicycle(lamp: bool) -> Shapes:
    """A bicycle at the origin, heading along +s, its front lamp lit or not."""
    sketch = Sketch()
    frame = Look((0.05, 0.05, 0.06), celsius=8.0)
    tyre = Look((0.02, 0.02, 0.02), celsius=12.0)
    for hub in (-0.5, 0.55):
        ring = [(0.0, 0.34 + 0.33 * sin(a), hub + 0.33 * cos(a)) for a in np.linspace(0, 2 * pi, 13)]
        for start, end in pairwise(ring):
            sketch.capsule((start, end), (0.022, 0.022), tyre)
    joints: dict[str, Point] = {"rear": (0, 0.34, -0.5), "crank": (0, 0.36, 0.1), "seat": (0, 0.92, -0.12)}
    joints |= {"head": (0, 0.95, 0.42), "front": (0, 0.34, 0.55), "bar": (0, 1.05, 0.48)}
    for pair in ("rear crank", "rear seat", "crank seat", "crank head", "seat head", "head front", "head bar"):
        start, end = (joints[name] for name in pair.split())
        sketch.capsule((start, end), (0.02, 0.02), frame)
    sketch.capsule(((-0.26, 1.05, 0.52), (0.26, 1.05, 0.52)), (0.018, 0.018), frame)
    sketch.capsule(((0, 0.94, -0.22), (0, 0.95, 0.02)), (0.05, 0.03), Look((0.02, 0.02, 0.02), celsius=22.0))
    _bicycle_lamps(sketch, lamp)
    return sketch.done()


def _bicycle_lamps(sketch: Sketch, lamp: bool) -> None:
    if lamp:
        sketch.disc((0, 0.95, 0.6), 0.035, Look(emission=(30, 30, 32), celsius=16.0))
        sketch.glow(((0, 0.95, 0.6), (0, 0.95, 0.6)), 0.35, (0.35, 0.35, 0.4))
    else:
        sketch.disc((0, 0.78, -0.24), 0.03, Look(emission=(7, 0.25, 0.15), celsius=14.0))
        sketch.glow(((0, 0.78, -0.24), (0, 0.78, -0.24)), 0.25, (0.25, 0.01, 0.006))
