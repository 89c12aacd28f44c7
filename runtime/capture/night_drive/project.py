"""Shapes to the image plane: what a pinhole camera makes of each, before any pixel is touched."""

# mypy: disable-error-code="no-untyped-def"
# numba infers the types.

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from runtime.capture.night_drive.shapes import CAPSULE, GLOW, ONE_SIDED, PICTURE, Shapes

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]

NEAR_M = np.float32(0.8)
"""Shapes that reach nearer than this are left out whole: they lie beside the field of view."""

_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)

compiled: Any = njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
inlined: Any = njit(inline="always", error_model="numpy", fastmath=True)
"""For what is called per pixel: passing arrays to a compiled function costs more than the pixel."""


@dataclass(frozen=True, eq=False)
class View:
    """A camera in the vehicle: pixel = ``matrix`` (X, Y down from the camera, Z), up to scale.

    Attributes:
        matrix: [3, 3] float32, and ``inverse``, from a pixel (x, y, 1) to a ray.
        size_px: (width, height).
        focal_px: for the size of balls.
        u, height_m: where the cameras are, across and above the road.
    """

    matrix: Floats
    inverse: Floats
    size_px: tuple[int, int]
    focal_px: float
    u: float
    height_m: float


@dataclass(frozen=True)
class Flat:
    """N shapes in one camera's image.

    Attributes:
        form: [N, 24]: a polygon's edges (nx, ny, c), distance outside nx x + ny y + c; a capsule's
            (x0, y0, r0, x1, y1, r1); a picture's map from pixel to (across, up) 0..1, two rows of three.
        box: [N, 4] int, pixels x0 <= x < x1 and y0 <= y < y1 to look at; empty where it is out of sight.
        outline: [N, 4] exact x0, y0, x1, y1, unclipped.
        plane: [N, 3]: 1 / depth = plane . (x, y, 1).
        place: [N, 5]: X and Z of its middle, how squarely it faces the camera (0..1), pixels a metre, u.
    """

    form: Floats
    box: Ints
    outline: Floats
    plane: Floats
    place: Floats


def flatten(shapes: Shapes, view: View, bend: Floats) -> Flat:
    """Project shapes into a view; ``bend`` is ``Scene.bend``."""
    count = len(shapes.kind)
    flat = Flat(
        np.empty((count, 24), np.float32),
        np.zeros((count, 4), np.int32),
        np.zeros((count, 4), np.float32),
        np.empty((count, 3), np.float32),
        np.zeros((count, 5), np.float32),
    )
    camera = (view.matrix, view.inverse, view.size_px[0], view.size_px[1], np.float32(view.focal_px))
    ego = (np.float32(view.u), np.float32(view.height_m))
    given = (shapes.points, shapes.radius, shapes.kind, shapes.count)
    _flatten(given, camera, ego, bend, (flat.form, flat.box, flat.outline, flat.plane, flat.place))
    return flat


@compiled
def _flatten(shapes, camera, ego, bend, out):
    points, radius, kind, count = shapes
    local, screen = np.empty((8, 3), np.float32), np.empty((8, 3), np.float32)
    for i in range(len(kind)):
        if not _to_camera(points[i], count[i], camera[0], ego, bend, local, screen):
            continue
        _middle(points[i], local, count[i], screen, camera[4], out[4][i])
        if kind[i] == CAPSULE or kind[i] == GLOW:
            _capsule(screen, radius[i], camera[4], out[0][i], out[2][i], out[3][i])
        elif kind[i] == PICTURE:
            _picture(screen, out[0][i], out[2][i], out[3][i])
        elif not _polygon(local, screen, count[i], kind[i], camera[1], (out[0][i], out[2][i], out[3][i], out[4][i])):
            continue
        _clip(out[2][i], camera[2], camera[3], out[1][i])


@compiled
def _to_camera(points, count, matrix, ego, bend, local, screen):
    """Points in the vehicle's frame (X, Y down, Z) and in the image (x, y, depth); false if some are too near."""
    for k in range(count):
        z = points[k, 2]
        if not NEAR_M < z < np.float32(len(bend) - 2):
            return False
        cell = int(z)
        shift = bend[cell] + (z - np.float32(cell)) * (bend[cell + 1] - bend[cell])
        local[k, 0], local[k, 1], local[k, 2] = points[k, 0] - ego[0] + shift, ego[1] - points[k, 1], z
        for row in range(3):
            screen[k, row] = matrix[row, 0] * local[k, 0] + matrix[row, 1] * local[k, 1] + matrix[row, 2] * local[k, 2]
        if screen[k, 2] < NEAR_M:
            return False
        screen[k, 0] /= screen[k, 2]
        screen[k, 1] /= screen[k, 2]
    return True


@compiled
def _middle(points, local, count, screen, focal, place):
    x, z, depth, u = _ZERO, _ZERO, _ZERO, _ZERO
    for k in range(count):
        x += local[k, 0]
        u += points[k, 0]
        z += local[k, 2]
        depth += screen[k, 2]
    place[0], place[1], place[2] = x / count, z / count, _ONE
    place[3], place[4] = focal * count / depth, u / count


@compiled
def _capsule(screen, radius, focal, form, outline, plane):
    outline[0], outline[1], outline[2], outline[3] = 1e9, 1e9, -1e9, -1e9
    for end in range(2):
        reach = radius[end] * focal / screen[end, 2]
        form[3 * end], form[3 * end + 1], form[3 * end + 2] = screen[end, 0], screen[end, 1], reach
        outline[0] = min(outline[0], screen[end, 0] - reach)
        outline[1] = min(outline[1], screen[end, 1] - reach)
        outline[2] = max(outline[2], screen[end, 0] + reach)
        outline[3] = max(outline[3], screen[end, 1] + reach)
    plane[0], plane[1], plane[2] = 0, 0, _HALF / screen[0, 2] + _HALF / screen[1, 2]


@compiled
def _bounds(screen, count, outline):
    outline[0], outline[1], outline[2], outline[3] = 1e9, 1e9, -1e9, -1e9
    for k in range(count):
        outline[0], outline[2] = min(outline[0], screen[k, 0]), max(outline[2], screen[k, 0])
        outline[1], outline[3] = min(outline[1], screen[k, 1]), max(outline[3], screen[k, 1])


@compiled
def _picture(screen, form, outline, plane):
    """The affine map from a pixel to (across, up); the fourth corner completes the parallelogram."""
    ax, ay = screen[1, 0] - screen[0, 0], screen[1, 1] - screen[0, 1]
    bx, by = screen[2, 0] - screen[0, 0], screen[2, 1] - screen[0, 1]
    area = ax * by - ay * bx
    form[0], form[1] = by / area, -bx / area
    form[3], form[4] = -ay / area, ax / area
    form[2] = -(form[0] * screen[0, 0] + form[1] * screen[0, 1])
    form[5] = -(form[3] * screen[0, 0] + form[4] * screen[0, 1])
    screen[3, 0], screen[3, 1] = screen[1, 0] + bx, screen[1, 1] + by
    _bounds(screen, 4, outline)
    plane[0], plane[1], plane[2] = 0, 0, _ONE / screen[0, 2]


@compiled
def _polygon(local, screen, count, kind, inverse, out):
    """A polygon's edges and plane; false if its inside, or its edge, is turned to the camera."""
    form, outline, plane, place = out
    ax, ay, az = local[1, 0] - local[0, 0], local[0, 1] - local[1, 1], local[1, 2] - local[0, 2]
    bx, by, bz = local[2, 0] - local[0, 0], local[0, 1] - local[2, 1], local[2, 2] - local[0, 2]
    nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    distance = nx * local[0, 0] - ny * local[0, 1] + nz * local[0, 2]
    length = np.sqrt(nx * nx + ny * ny + nz * nz)
    reach = np.sqrt(local[0, 0] ** 2 + local[0, 1] ** 2 + local[0, 2] ** 2)
    if (kind == ONE_SIDED and distance >= 0) or abs(distance) < np.float32(1e-4) * length * reach:
        return False
    place[2] = abs(distance) / (length * reach)
    for column in range(3):
        plane[column] = (nx * inverse[0, column] - ny * inverse[1, column] + nz * inverse[2, column]) / distance
    _edges(screen, count, form)
    _bounds(screen, count, outline)
    return True


@compiled
def _edges(screen, count, form):
    area = np.float32(0)
    for k in range(count):
        n = k + 1 if k + 1 < count else 0
        area += screen[k, 0] * screen[n, 1] - screen[n, 0] * screen[k, 1]
    turn = _ONE if area > 0 else -_ONE
    for k in range(count):
        n = k + 1 if k + 1 < count else 0
        dx, dy = screen[n, 0] - screen[k, 0], screen[n, 1] - screen[k, 1]
        length = max(np.sqrt(dx * dx + dy * dy), np.float32(1e-6))
        form[3 * k], form[3 * k + 1] = turn * dy / length, -turn * dx / length
        form[3 * k + 2] = -(form[3 * k] * screen[k, 0] + form[3 * k + 1] * screen[k, 1])


@compiled
def _clip(outline, width, height, box):
    if outline[0] > width or outline[1] > height or outline[2] < -1 or outline[3] < -1:
        return
    box[0], box[1] = max(0, int(np.floor(outline[0] - _HALF))), max(0, int(np.floor(outline[1] - _HALF)))
    box[2], box[3] = min(width, int(np.ceil(outline[2] + 1.5))), min(height, int(np.ceil(outline[3] + 1.5)))
