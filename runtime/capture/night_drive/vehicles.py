"""Cars: bodies of flat panels, lamps that glare, and the heat of tyres, engine and exhaust."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import cos, pi, sin
from typing import Literal

from runtime.capture.night_drive.shapes import Colour, Look, Point, Shapes, Sketch

State = Literal["moving", "braking", "parked"]

PAINTS: tuple[Colour, ...] = (
    (0.020, 0.022, 0.026),
    (0.16, 0.16, 0.165),
    (0.10, 0.013, 0.013),
    (0.018, 0.035, 0.09),
    (0.36, 0.36, 0.35),
    (0.05, 0.055, 0.06),
)
TAIL_POWER: dict[State, float] = {"moving": 2.2, "braking": 8.0, "parked": 0.0}
"""Radiance of the tail lamps."""

COLD = 3.0
"""What a roof under the night sky looks like to the thermal camera, in degrees Celsius."""


@dataclass(frozen=True)
class Car:
    """What one car is like: its paint (an index), its size beside a small hatchback's, and what it is doing."""

    paint: int = 0
    width: float = 1.0
    height: float = 1.0
    length: float = 1.0
    state: State = "moving"

    @property
    def warm(self) -> bool:
        """Whether its engine runs."""
        return self.state != "parked"


@lru_cache(maxsize=64)
def car(model: Car) -> Shapes:
    """The car at the origin, nose towards +s."""
    sketch = Sketch()
    _shadow(sketch, model)
    _wheels(sketch, model)
    _body(sketch, model)
    _cabin(sketch, model)
    _rear(sketch, model)
    _front(sketch, model)
    shapes = sketch.done()
    shapes.points[...] *= (model.width, model.height, model.length)
    return shapes


def _panel(model: Car, celsius: float, *, shade: float = 1.0) -> Look:
    red, green, blue = PAINTS[model.paint]
    grain = 0.7 if model.warm else 0.4
    return Look((red * shade, green * shade, blue * shade), celsius=celsius, grain=grain, retro=0.8)


def _shadow(sketch: Sketch, model: Car) -> None:
    """The dark below the car; below a warm one the road is warm."""
    for grow, opacity in ((1.25, 0.35), (1.08, 0.5), (0.95, 0.75)):
        ring = [(1.0 * grow * cos(a), 0.0, 2.15 * grow * sin(a)) for a in (pi / 8 + k * pi / 4 for k in range(8))]
        look = Look((0.004, 0.004, 0.004), celsius=16.0 if model.warm else 11.0, opacity=opacity,
                    thermal_opacity=0.35)  # fmt: skip
        sketch.polygon(ring, look)


def _wheels(sketch: Sketch, model: Car) -> None:
    tyre = Look((0.012, 0.012, 0.012), celsius=26.0 if model.warm else 8.0, grain=0.5)
    rim = Look((0.10, 0.10, 0.11), celsius=31.0 if model.warm else 7.0)
    for s in (-1.28, 1.3):
        for side in (-1, 1):
            inner, outer = side * 0.62, side * 0.84
            for edge in (s - 0.28, s + 0.28):
                strip: list[Point] = [(inner, 0.0, edge), (outer, 0.0, edge), (outer, 0.35, edge), (inner, 0.35, edge)]
                sketch.polygon(strip, tyre, inside=(side * 0.7, 0.3, s))
            for radius, look in ((0.315, tyre), (0.2, rim)):
                x = side * (0.885 + 0.002 / radius)
                ring = [(x, 0.315 + radius * sin(a), s + radius * cos(a)) for a in (k * pi / 4 for k in range(8))]
                sketch.polygon(ring, look, inside=(0.0, 0.3, s))


def _body(sketch: Sketch, model: Car) -> None:
    centre = (0.0, 0.6, 0.0)
    for side in (-1, 1):
        x = 0.875 * side
        low = [(x, 0.2, -1.98), (x, 0.2, 2.0), (x, 0.5, 2.1), (x, 0.74, 2.02)]
        sketch.polygon([*low, (x, 0.93, 0.95), (x, 0.96, -1.9), (x, 0.86, -2.08), (x, 0.4, -2.1)],
                       _panel(model, 9.5 if model.warm else 7.0), inside=centre)  # fmt: skip
    hood: list[Point] = [(-0.84, 0.93, 0.9), (0.84, 0.93, 0.9), (0.8, 0.76, 2.04), (-0.8, 0.76, 2.04)]
    sketch.polygon(hood, _panel(model, 19.0 if model.warm else COLD, shade=1.2), inside=centre)
    deck: list[Point] = [(-0.84, 0.95, -1.6), (0.84, 0.95, -1.6), (0.8, 0.94, -2.06), (-0.8, 0.94, -2.06)]
    sketch.polygon(deck, _panel(model, COLD + 3, shade=1.2), inside=centre)


def _cabin(sketch: Sketch, model: Car) -> None:
    inside = (0.0, 1.1, -0.5)
    glass = Look((0.006, 0.007, 0.009), celsius=13.5 if model.warm else 5.0, rim_celsius=0.0, grain=0.25)
    roof = _panel(model, COLD if model.warm else 1.5, shade=1.2)
    pillar = _panel(model, 9.0 if model.warm else 6.0)
    a, b, c, d = (0.84, 0.94, -1.98), (0.66, 1.44, -1.5), (0.64, 1.45, 0.05), (0.82, 0.93, 0.98)
    for side in (-1, 1):
        corners = [(side * x, y, s) for x, y, s in (a, b, c, d)]
        sketch.polygon(corners, pillar, inside=inside)
        pane = [(-1.75, 1.0), (-1.4, 1.37), (0.0, 1.38), (0.72, 1.0)]
        points = [(side * (0.845 - 0.36 * (y - 0.94)), y, s) for s, y in pane]
        sketch.polygon(points, glass, inside=inside)
    for low, high, out in ((a, b, -0.01), (d, c, 0.01)):
        sketch.polygon(_across(low, high, (0.0, 1.0), 0.0), pillar, inside=inside)
        sketch.polygon(_across(low, high, (0.1, 0.9), out), glass, inside=inside)
    sketch.polygon([(-b[0], *b[1:]), b, c, (-c[0], *c[1:])], roof, inside=inside)


def _across(low: Point, high: Point, part: tuple[float, float], out: float) -> list[Point]:
    """The band between two edges of the cabin, from ``part`` to ``part`` of the way up, ``out`` metres proud of it."""
    ends = [tuple(p + t * (q - p) for p, q in zip(low, high, strict=True)) for t in part]
    inset = 1.0 if part == (0.0, 1.0) else 0.91
    (x0, y0, s0), (x1, y1, s1) = ends
    return [(-x0 * inset, y0, s0 + out), (x0 * inset, y0, s0 + out),
            (x1 * inset, y1, s1 + out), (-x1 * inset, y1, s1 + out)]  # fmt: skip


def _end(s: float) -> list[Point]:
    """The outline of a car's end."""
    return [(-0.83, 0.2, s), (0.83, 0.2, s), (0.88, 0.42, s), (0.88, 0.78, s), (0.82, 0.94, s),
            (-0.82, 0.94, s), (-0.88, 0.78, s), (-0.88, 0.42, s)]  # fmt: skip


def _box(x: tuple[float, float], y: tuple[float, float], s: float) -> list[Point]:
    return [(x[0], y[0], s), (x[1], y[0], s), (x[1], y[1], s), (x[0], y[1], s)]


def _rear(sketch: Sketch, model: Car) -> None:
    inside = (0.0, 0.6, 0.0)
    sketch.polygon(_end(-2.1), _panel(model, 11.0 if model.warm else 7.0), inside=inside)
    bumper = Look((0.02, 0.02, 0.02), celsius=15.0 if model.warm else 7.0, grain=0.5)
    sketch.polygon(_box((-0.84, 0.84), (0.2, 0.44), -2.12), bumper, inside=inside)
    plate = Look((0.30, 0.30, 0.27), celsius=9.0, emission=(0.05, 0.05, 0.045) if model.warm else (0, 0, 0), retro=1.6)
    sketch.polygon(_box((-0.26, 0.26), (0.55, 0.66), -2.115), plate, inside=inside)
    _tail_lamps(sketch, model)
    if model.warm:
        sketch.capsule(((0.52, 0.27, -2.14), (0.44, 0.27, -2.14)), (0.05, 0.05), Look((0.05, 0.05, 0.05), celsius=58.0))
        sketch.disc((0.48, 0.3, -2.16), 0.16, Look(celsius=21.0, rim_celsius=3, opacity=0, thermal_opacity=0.5))


def _tail_lamps(sketch: Sketch, model: Car) -> None:
    power = TAIL_POWER[model.state]
    lamp = Look((0.12, 0.012, 0.010), emission=(power, power * 0.045, power * 0.02), celsius=12.0, retro=1.5)
    for side in (-1, 1):
        edges = sorted((side * 0.58, side * 0.85))
        sketch.polygon(_box((edges[0], edges[1]), (0.70, 0.86), -2.12), lamp, inside=(0.0, 0.6, 0.0))
    if model.state == "braking":
        sketch.polygon(_box((-0.2, 0.2), (1.40, 1.43), -1.55), lamp, inside=(0.0, 1.3, 0.0))


def _front(sketch: Sketch, model: Car) -> None:
    inside = (0.0, 0.6, 0.0)
    sketch.polygon(_end(2.11), _panel(model, 15.0 if model.warm else 7.0), inside=inside)
    grille = Look((0.01, 0.01, 0.01), celsius=36.0 if model.warm else 7.0, grain=2.0)
    sketch.polygon(_box((-0.5, 0.5), (0.52, 0.7), 2.12), grille, inside=inside)
    sketch.polygon(_box((-0.62, 0.62), (0.3, 0.44), 2.12), grille._replace(celsius=grille.celsius - 5), inside=inside)
    sketch.polygon(_box((-0.26, 0.26), (0.44, 0.53), 2.125), Look((0.3, 0.3, 0.28), celsius=9.0), inside=inside)
    for side in (-1, 1):
        edges = sorted((side * 0.55, side * 0.83))
        lens = Look((0.15, 0.15, 0.16), celsius=20.0 if model.warm else 6.0)
        sketch.polygon(_box((edges[0], edges[1]), (0.6, 0.74), 2.125), lens, inside=inside)


@lru_cache(maxsize=4)
def tail_glow(state: State) -> Shapes:
    """The glare of a car's tail lamps, for the place of a car that drives ahead."""
    sketch, power = Sketch(), TAIL_POWER[state]
    for side in (-1, 1):
        lamp = (side * 0.72, 0.78, -2.15)
        sketch.glow((lamp, lamp), 0.75, (0.14 * power, 0.007 * power, 0.003 * power))
    return sketch.done()


@lru_cache(maxsize=1)
def head_lamps() -> Shapes:
    """The lit head lamps of a car that comes towards the camera, for the place of the car itself."""
    sketch = Sketch()
    for side in (-1, 1):
        lamp = (side * 0.69, 0.67, 2.16)
        sketch.glow((lamp, lamp), 2.0, (0.55, 0.58, 0.66))
        sketch.glow((lamp, lamp), 0.55, (5.0, 5.1, 5.3))
        sketch.disc(lamp, 0.075, Look(emission=(90, 93, 98), celsius=26.0))
    return sketch.done()
