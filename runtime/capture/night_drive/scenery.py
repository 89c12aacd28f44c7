"""What stands still along the road: houses, trees, lamp posts, marker posts and signs."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import cos, pi, sin
from typing import Literal

import numpy as np

from runtime.capture.night_drive import textures
from runtime.capture.night_drive.shapes import Colour, Look, Point, Shapes, Sketch

Zone = Literal["town", "wood", "field"]

BLOCK_M = 40.0
"""Length of a block, the unit the road is made of."""

ROAD_HALF_M = {"town": 6.2, "wood": 4.3, "field": 4.3}
"""From the centre line to the edge of the asphalt."""

SODIUM: Colour = (1.0, 0.56, 0.20)
LED: Colour = (0.95, 0.92, 0.80)
WINDOW_LIGHTS: tuple[Colour, ...] = ((1.0, 0.62, 0.26), (1.0, 0.74, 0.42), (0.85, 0.9, 1.0), (0.35, 0.55, 1.0))


@dataclass(frozen=True)
class Light:
    """A lamp that lights its surroundings: where, and its intensity as a colour."""

    u: float
    y: float
    s: float
    colour: Colour


@dataclass
class Block:
    """One block of road: 40 m, with (0, 0, 0) at the middle of its near end."""

    zone: Zone
    shapes: Shapes
    lights: list[Light] = field(default_factory=list)
    crossing_s: float = -1.0
    """Where a zebra crossing begins, 3.5 m long; negative without one."""


def build(zone: Zone, rng: np.random.Generator, *, opening: bool) -> Block:
    """A block's standing scenery. ``opening`` closes the walls at its near end: the block before has none."""
    sketch, lights = Sketch(), list[Light]()
    crossing_s = float(rng.uniform(14, 26)) if zone == "town" and rng.random() < 0.5 else -1.0
    if zone == "town":
        _town(sketch, lights, rng, opening)
    else:
        _country(sketch, rng, zone)
    if crossing_s >= 0:
        _crossing_signs(sketch, crossing_s)
    return Block(zone, sketch.done(), lights, crossing_s)


def _town(sketch: Sketch, lights: list[Light], rng: np.random.Generator, opening: bool) -> None:
    colour = SODIUM if rng.random() < 0.6 else LED
    for side in (-1, 1):
        _street(sketch, lights, rng, side, opening)
        s = 11.0 if side > 0 else 31.0
        _lamp_post(sketch, lights, (side * 6.7, s), colour if rng.random() < 0.65 else None)
        for s in rng.uniform(2, 38, rng.integers(0, 2)):
            _tree(sketch, rng, (side * 8.6, float(s)), (3.2, 5.5))


def _street(sketch: Sketch, lights: list[Light], rng: np.random.Generator, side: int, opening: bool) -> None:
    """A row of houses on one side, with gaps."""
    s = float(rng.uniform(0, 3)) if opening else 0.0
    while s < BLOCK_M - 7:
        length = float(min(rng.uniform(8, 15), BLOCK_M - s))
        if rng.random() < 0.86:
            _house(sketch, lights, rng, (side, s, length))
        s += length + float(rng.choice([0.0, 0.6, 4.0], p=[0.45, 0.3, 0.25]))


def _house(sketch: Sketch, lights: list[Light], rng: np.random.Generator, plot: tuple[int, float, float]) -> None:
    """A house on (side, s, length)."""
    side, s, length = plot
    u, storeys = side * float(rng.uniform(10.2, 11.6)), int(rng.integers(2, 5))
    height = 3.0 * storeys + 0.8
    tint = rng.uniform(0.6, 1.2) * np.array([0.15, 0.125, 0.10]) * rng.uniform(0.85, 1.15, 3)
    warm = float(rng.normal(8.8, 1.0))
    wall = Look((float(tint[0]), float(tint[1]), float(tint[2])), celsius=warm, grain=1.0)
    _walls(sketch, wall, (u, side * 11.0, height), (s, length), pitched=bool(rng.random() < 0.6))
    _windows(sketch, rng, (u - side * 0.04, s, length), storeys, warm)
    if rng.random() < 0.22:
        _shop(sketch, lights, rng, (u, side, s, length))


def _walls(
    sketch: Sketch, wall: Look, profile: tuple[float, float, float], along: tuple[float, float], *, pitched: bool
) -> None:
    """Front wall, gable and roof; ``profile`` is (u of the front, depth behind it, height)."""
    (u, depth, height), (s, length) = profile, along
    ridge = height + (3.2 if pitched else 0.3)
    roof = Look((0.035, 0.03, 0.03), celsius=1.5, grain=1.0)
    pieces = max(1, round(length / 5))
    for k in range(pieces):
        near, far = s + length * k / pieces, s + length * (k + 1) / pieces
        sketch.anchor = far
        sketch.polygon([(u, 0, near), (u, 0, far), (u, height, far), (u, height, near)], wall)
        sketch.polygon([(u, height, near), (u, height, far),
                        (u + depth / 2, ridge, far), (u + depth / 2, ridge, near)], roof)  # fmt: skip
    sketch.anchor = s
    gable: list[Point] = [(u, 0, s), (u + depth, 0, s), (u + depth, height, s)]
    gable += [(u + depth / 2, ridge, s)] if pitched else []
    dim: Colour = (wall.albedo[0] * 0.85, wall.albedo[1] * 0.85, wall.albedo[2] * 0.85)
    sketch.polygon([*gable, (u, height, s)], wall._replace(albedo=dim))
    if pitched:
        chimney = u + depth * 0.4
        sketch.polygon([(chimney, ridge - 0.9, s + 1), (chimney + 0.7 * np.sign(depth), ridge - 0.9, s + 1),
                        (chimney + 0.7 * np.sign(depth), ridge + 1.0, s + 1), (chimney, ridge + 1.0, s + 1)],
                       wall._replace(celsius=17.0))  # fmt: skip


def _windows(
    sketch: Sketch, rng: np.random.Generator, wall: tuple[float, float, float], storeys: int, warm: float
) -> None:
    """Windows of two panes each on the front wall (u, s, length)."""
    u, s, length = wall
    columns = max(2, int(length / 2.9))
    pitch = length / columns
    for storey in range(storeys):
        for column in range(columns):
            middle, y = s + pitch * (column + 0.5), 1.0 + 3.0 * storey
            sketch.anchor = s + pitch * (column + 1) - 0.01
            lit = rng.random() < 0.27
            colour = WINDOW_LIGHTS[rng.choice(4, p=[0.45, 0.35, 0.15, 0.05])]
            power = float(rng.uniform(0.12, 0.75)) if lit else 0.0
            look = Look((0.01, 0.012, 0.015), (colour[0] * power, colour[1] * power, colour[2] * power),
                        celsius=warm + (3.2 if lit else float(rng.uniform(-0.5, 2.0))))  # fmt: skip
            for pane in (-0.52, 0.04):
                near, far = middle + pane, middle + pane + 0.48
                sketch.polygon([(u, y, near), (u, y, far), (u, y + 1.45, far), (u, y + 1.45, near)], look)


def _shop(
    sketch: Sketch, lights: list[Light], rng: np.random.Generator, place: tuple[float, int, float, float]
) -> None:
    """A lit shop window in the front wall (u, side, s, length) and its glow on the pavement."""
    u, side, s, length = place
    near, far, x = s + 0.8, s + length - 0.8, u - side * 0.06
    tint = WINDOW_LIGHTS[rng.choice(3)]
    look = Look((0.02, 0.02, 0.02), (tint[0] * 0.9, tint[1] * 0.9, tint[2] * 0.9), celsius=14.5, grain=0.8)
    sketch.anchor = far - 0.02
    sketch.polygon([(x, 0.5, near), (x, 0.5, far), (x, 2.5, far), (x, 2.5, near)], look)
    lights.append(Light(u - side * 1.5, 2.2, (near + far) / 2, (4 * tint[0], 4 * tint[1], 4 * tint[2])))


def _lamp_post(sketch: Sketch, lights: list[Light], foot: tuple[float, float], colour: Colour | None) -> None:
    """A street lamp, lit if it has a colour."""
    (u, s), side = foot, float(np.sign(foot[0]))
    steel, head_u = Look((0.10, 0.10, 0.10), celsius=7.5), u - side * 2.0
    sketch.anchor = s
    sketch.capsule(((u, 0, s), (u, 7.6, s)), (0.10, 0.06), steel)
    sketch.capsule(((u, 7.6, s), (head_u, 8.1, s)), (0.05, 0.04), steel)
    lamp = [(head_u - 0.35, 8.02, s), (head_u + 0.35, 8.02, s), (head_u + 0.3, 8.16, s), (head_u - 0.3, 8.16, s)]
    if colour is None:
        sketch.polygon(lamp, steel)
        return
    sketch.polygon(lamp, Look(emission=(22 * colour[0], 22 * colour[1], 22 * colour[2]), celsius=22.0))
    glow: Point = (head_u, 8.0, s)
    sketch.glow((glow, glow), 2.8, (0.5 * colour[0], 0.5 * colour[1], 0.5 * colour[2]))
    lights.append(Light(head_u, 8.0, s, (60 * colour[0], 60 * colour[1], 60 * colour[2])))


def _country(sketch: Sketch, rng: np.random.Generator, zone: Zone) -> None:
    spacing = 7.5 if zone == "wood" else 26.0
    for side in (-1, 1):
        for s in np.arange(rng.uniform(0, spacing), BLOCK_M, spacing):
            u = side * float(rng.uniform(8.5, 14.0))
            _tree(sketch, rng, (u, float(s + rng.uniform(-1.5, 1.5))), (5.0, 10.5))
        for s in rng.uniform(0, BLOCK_M, rng.integers(1, 4)):
            sketch.anchor = float(s)
            size = float(rng.uniform(1.6, 3.4))
            foot = (side * float(rng.uniform(7.5, 10)), float(s))
            sketch.picture(foot, (size * 1.3, size), textures.BUSH, _leaf(rng))
        for s in (8.0, 28.0):
            _marker_post(sketch, (side * 5.3, s), side)
    if rng.random() < 0.4:
        _speed_sign(sketch, (5.6, float(rng.uniform(5, 35))))


def _leaf(rng: np.random.Generator) -> Look:
    red, green, blue = rng.uniform(0.7, 1.3) * np.array([0.040, 0.052, 0.024])
    return Look((float(red), float(green), float(blue)), celsius=float(rng.uniform(5.5, 7.5)), grain=1.4)


def _tree(sketch: Sketch, rng: np.random.Generator, foot: tuple[float, float], heights: tuple[float, float]) -> None:
    height = float(rng.uniform(*heights))
    sketch.anchor = foot[1]
    sketch.picture(foot, (height, height), int(rng.integers(0, textures.BUSH)), _leaf(rng))


def _marker_post(sketch: Sketch, foot: tuple[float, float], side: int) -> None:
    """A marker post with its reflector, white on the left and orange on the right as one drives."""
    u, s = foot
    sketch.anchor = s
    sketch.capsule(((u, 0, s), (u, 0.98, s)), (0.06, 0.055), Look((0.5, 0.5, 0.5), celsius=6.5))
    sketch.capsule(((u, 0.74, s), (u, 0.90, s)), (0.062, 0.062), Look((0.02, 0.02, 0.02), celsius=6.5))
    colour = (0.9, 0.85, 0.8) if side < 0 else (0.95, 0.45, 0.08)
    sketch.capsule(((u, 0.79, s), (u, 0.85, s)), (0.035, 0.035), Look(colour, celsius=6.5, retro=26.0))


def _speed_sign(sketch: Sketch, foot: tuple[float, float]) -> None:
    u, s = foot
    sketch.anchor = s
    sketch.capsule(((u, 0, s), (u, 2.2, s)), (0.035, 0.035), Look((0.2, 0.2, 0.2), celsius=7.0))
    for radius, colour in ((0.36, (0.75, 0.05, 0.04)), (0.28, (0.85, 0.85, 0.82))):
        for turn in (0.0, pi / 8):  # two octagons make it round enough
            ring = [(u + radius * cos(a), 2.3 + radius * sin(a), s) for a in (turn + k * pi / 4 for k in range(8))]
            sketch.polygon(ring, Look(colour, celsius=4.0, retro=7.0))
    dark = Look((0.02, 0.02, 0.02), celsius=5.0)
    for x in (-0.1, 0.1):
        sketch.capsule(((u + x, 2.2, s), (u + x, 2.4, s)), (0.035, 0.035), dark)


def _crossing_signs(sketch: Sketch, crossing_s: float) -> None:
    """The blue square with its white triangle on both sides of a zebra crossing."""
    for u in (-6.5, 6.5):
        s = crossing_s + 1.7
        sketch.anchor = s
        sketch.capsule(((u, 0, s), (u, 2.1, s)), (0.035, 0.035), Look((0.2, 0.2, 0.2), celsius=7.0))
        board: list[Point] = [(u - 0.32, 2.05, s), (u + 0.32, 2.05, s), (u + 0.32, 2.69, s), (u - 0.32, 2.69, s)]
        sketch.polygon(board, Look((0.02, 0.10, 0.55), celsius=4.0, retro=6.0))
        sketch.polygon(
            [(u - 0.24, 2.13, s), (u + 0.24, 2.13, s), (u, 2.6, s)], Look((0.8,) * 3, celsius=4.5, retro=6.0)
        )
