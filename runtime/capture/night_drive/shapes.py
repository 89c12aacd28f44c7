"""What the world is drawn with: polygons, capsules, pictures and glows, each with a visible and a thermal look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
Point = tuple[float, float, float]
Colour = tuple[float, float, float]

POLYGON, ONE_SIDED, CAPSULE, PICTURE, GLOW = range(5)
"""Convex polygon; the same, drawn only from outside; two spheres and their hull; upright picture; additive light."""

MAX_POINTS = 8
BLACK: Colour = (0.0, 0.0, 0.0)
UNOWNED = -1


class Look(NamedTuple):
    """How a shape appears to each camera.

    ``rim_celsius`` is how much colder a capsule's edge is than its middle; ``grain`` scales its texture;
    ``retro`` how much of the own head lamps' light it returns, 1 for a matt surface.
    """

    albedo: Colour = (0.1, 0.1, 0.1)
    emission: Colour = BLACK
    celsius: float = 9.0
    rim_celsius: float = 0.0
    grain: float = 0.0
    opacity: float = 1.0
    thermal_opacity: float = 1.0
    retro: float = 1.0

    def row(self) -> tuple[float, ...]:
        """The numbers as the drawing kernels take them (see raster)."""
        return (*self.albedo, *self.emission, *self[2:])


LOOK_COLUMNS = len(Look().row())


@dataclass(frozen=True)
class Shapes:
    """N shapes, one row each.

    Attributes:
        points: [N, 8, 3] (u, y, s); a capsule uses two, a picture three (its lower left, lower right, upper left).
        radius: [N, 2] metres, at a capsule's two ends; a picture's layer.
        look: [N, 12], ``Look.row``.
        kind: [N] and count: [N] of points.
        anchor: [N] the s that decides the drawing order, farthest first.
        owner: [N] the object a shape belongs to, or ``UNOWNED``.
    """

    points: Floats
    radius: Floats
    look: Floats
    kind: Ints
    count: Ints
    anchor: Floats
    owner: Ints

    def placed(self, u: float, s: float, *, heading: float = 0.0, owner: int = UNOWNED) -> Shapes:
        """These shapes turned by ``heading`` (radians, towards +u) and moved to (u, s), as one object."""
        sine, cosine = np.float32(np.sin(heading)), np.float32(np.cos(heading))
        points = self.points + np.array([u, 0, s], np.float32)
        if heading:
            points[..., 0] = self.points[..., 0] * cosine + self.points[..., 2] * sine + np.float32(u)
            points[..., 2] = self.points[..., 2] * cosine - self.points[..., 0] * sine + np.float32(s)
        count = len(self.kind)
        anchor, owners = np.full(count, s, np.float32), np.full(count, owner, np.int32)
        return Shapes(points, self.radius, self.look, self.kind, self.count, anchor, owners)

    def moved(self, s: float) -> Shapes:
        """These shapes moved along the road."""
        points = self.points + np.array([0, 0, s], np.float32)
        return replace(self, points=points, anchor=self.anchor + np.float32(s))

    def ordered(self, order: npt.NDArray[np.intp]) -> Shapes:
        """These shapes in another order."""
        return Shapes(*(getattr(self, field.name)[order] for field in fields(self)))


def merge(parts: Sequence[Shapes]) -> Shapes:
    """All shapes of all parts, farthest first; shapes of equal anchor keep their order."""
    joined = Shapes(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Shapes)))
    return joined.ordered(np.argsort(-joined.anchor, kind="stable"))


class Sketch:
    """Collects shapes one by one; ``anchor`` is where the next ones stand in the drawing order."""

    def __init__(self) -> None:
        self.anchor = 0.0
        self._rows: list[tuple[Sequence[Point], tuple[float, float], Look, int, float]] = []

    def polygon(self, points: Sequence[Point], look: Look, *, inside: Point | None = None) -> None:
        """A flat convex polygon of at most eight points; seen from one side only if ``inside`` is behind it."""
        if inside is not None and _faces(points, inside):
            points = list(reversed(points))
        self._add(points, (0.0, 0.0), look, POLYGON if inside is None else ONE_SIDED)

    def capsule(self, ends: tuple[Point, Point], radii: tuple[float, float], look: Look) -> None:
        """A limb: two spheres and all between."""
        self._add(ends, radii, look, CAPSULE)

    def disc(self, centre: Point, radius: float, look: Look) -> None:
        """A ball."""
        self.capsule((centre, centre), (radius, radius), look)

    def picture(self, foot: tuple[float, float], size: tuple[float, float], layer: int, look: Look) -> None:
        """An upright cut-out (see textures.pictures) standing at (u, s), of (width, height) metres."""
        (u, s), (width, height) = foot, size
        corners = [(u - width / 2, 0.0, s), (u + width / 2, 0.0, s), (u - width / 2, height, s)]
        self._add(corners, (float(layer), 0.0), look, PICTURE)

    def glow(self, ends: tuple[Point, Point], radius: float, emission: Colour) -> None:
        """Light added to what lies behind it, fading to nothing at ``radius``; not seen by the thermal camera."""
        self._add(ends, (radius, radius), Look(BLACK, emission, thermal_opacity=0.0), GLOW)

    def done(self) -> Shapes:
        """What was collected."""
        points = np.zeros((len(self._rows), MAX_POINTS, 3), np.float32)
        for row, (given, *_) in zip(points, self._rows, strict=True):
            row[: len(given)] = given
        return Shapes(
            points=points,
            radius=np.array([row[1] for row in self._rows], np.float32).reshape(-1, 2),
            look=np.array([row[2].row() for row in self._rows], np.float32).reshape(-1, LOOK_COLUMNS),
            kind=np.array([row[3] for row in self._rows], np.int32),
            count=np.array([len(row[0]) for row in self._rows], np.int32),
            anchor=np.array([row[4] for row in self._rows], np.float32),
            owner=np.full(len(self._rows), UNOWNED, np.int32),
        )

    def _add(self, points: Sequence[Point], radii: tuple[float, float], look: Look, kind: int) -> None:
        self._rows.append((points, radii, look, kind, self.anchor))


def _faces(points: Sequence[Point], inside: Point) -> bool:
    corner = np.array(points[:3], np.float64)
    normal = np.cross(corner[1] - corner[0], corner[2] - corner[0])
    return bool(normal @ (corner[0] - np.array(inside)) < 0)
