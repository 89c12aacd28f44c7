"""Calibration boards as two cameras would see them: full camera models, blur, noise, heat of either contrast, Y16."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from calibrate.rig.target import Target, charuco
from edgefusion.core.frames import Frame, FramePair, PixelFormat
from edgefusion.recordings.images import write_png

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Pose = tuple[Doubles, Doubles]
"""Rotation vector and translation (m) from the board to the visible camera."""

FINER = 2
"""Rays a pixel, each way."""

DOT_SHARE = 0.45
"""Radius of a circle against the step of its grid."""


@dataclass(frozen=True)
class CameraModel:
    """A camera with a lens: [3, 3] matrix and (k1, k2, p1, p2, k3)."""

    size_px: tuple[int, int]
    focal_px: float
    centre_px: tuple[float, float]
    distortion: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0, 0.0)

    @property
    def matrix(self) -> Doubles:
        return np.array([[self.focal_px, 0, self.centre_px[0]], [0, self.focal_px, self.centre_px[1]], [0, 0, 1]])


@dataclass(frozen=True)
class BoardRig:
    """Two cameras; rotation (degrees about x, y, z) and translation (m) take a visible camera's point to thermal's."""

    visible: CameraModel = CameraModel((640, 480), 520.0, (322.0, 236.5), (-0.12, 0.05, 0.0004, -0.0003, 0.0))
    thermal: CameraModel = CameraModel((320, 256), 285.0, (157.0, 130.0), (-0.25, 0.09, -0.0005, 0.0006, 0.0))
    turn_deg: tuple[float, float, float] = (0.9, -1.3, 0.7)
    translation_m: tuple[float, float, float] = (-0.062, 0.011, 0.006)

    @property
    def rotation(self) -> Doubles:
        return np.asarray(cv2.Rodrigues(np.radians(self.turn_deg))[0])


@dataclass(frozen=True)
class Look:
    """What the sensors do to the picture.

    Attributes:
        inverted: white squares are the warm ones.
        counts: difference of a warm and a cold square, in Y16 counts; noise is in the same.
        pose: what was done to thermal images afterwards: "", "mirrored", "turned" or "quarter".
        visible_blur_px: index of a frame, and its blur.
    """

    visible_noise: float = 2.0
    blur_px: float = 0.6
    inverted: bool = False
    counts: float = 240.0
    thermal_noise: float = 6.0
    deep: bool = True
    pose: str = ""
    visible_blur_px: tuple[tuple[int, float], ...] = ()


@lru_cache(maxsize=16)
def board_picture(target: Target) -> tuple[Floats, float, tuple[float, float]]:
    """[h, w] reflectance 0..1, its pixels a metre, and (x, y) of the target's origin in it, in metres."""
    per_m = 24 / target.step_m if target.kind != "circles" else 16 / target.step_m
    side, margin = per_m * target.step_m, 1.0
    if target.kind == "charuco":
        size = (round(side * target.columns), round(side * target.rows))
        inner = np.asarray(charuco(target, 0).generateImage(size)).astype(np.float32) / 255
    elif target.kind == "checkerboard":
        row, column = np.mgrid[: target.rows + 1, : target.columns + 1]
        inner = np.kron((row + column) % 2, np.ones((round(side), round(side)))).astype(np.float32)
        margin = 0.5
    else:
        inner, margin = _dots(target, side), 0.5
    edge = round(margin * side)
    picture = np.pad(inner, edge, constant_values=1.0)
    skip = {"charuco": 0.0, "checkerboard": target.step_m, "circles": 1.5 * target.step_m}[target.kind]
    origin = edge / per_m + skip
    return cv2.GaussianBlur(picture, (0, 0), 0.8), per_m, (origin, origin)


def _dots(target: Target, side: float) -> Floats:
    points = target.points_m[:, :2] / target.step_m
    width, height = (int((points[:, axis].max() + 3) * side) for axis in (0, 1))
    inner = np.ones((height, width), np.float32)
    for x, y in (points + 1.5) * side - 0.5:
        fine = [round(16 * value) for value in (x, y)]
        cv2.circle(inner, (fine[0], fine[1]), round(16 * DOT_SHARE * side), 0.0, -1, cv2.LINE_8, 4)
    return inner


@lru_cache(maxsize=8)
def _rays(camera: CameraModel) -> tuple[Floats, Floats]:
    """Undistorted (x, y) of each ray, ``FINER`` a pixel each way."""
    width, height = camera.size_px
    y, x = np.mgrid[: height * FINER, : width * FINER].astype(np.float64)
    across = ((x + 0.5) / FINER - 0.5 - camera.centre_px[0]) / camera.focal_px
    down = ((y + 0.5) / FINER - 0.5 - camera.centre_px[1]) / camera.focal_px
    k1, k2, p1, p2, k3 = camera.distortion
    x, y = across, down
    for _ in range(20):
        squared = x * x + y * y
        radial = 1 + squared * (k1 + squared * (k2 + squared * k3))
        pull = 2 * p1 * x * y + p2 * (squared + 2 * x * x), p1 * (squared + 2 * y * y) + 2 * p2 * x * y
        x, y = (across - pull[0]) / radial, (down - pull[1]) / radial
    return x.astype(np.float32), y.astype(np.float32)


def see(camera: CameraModel, target: Target, rotation: Doubles, translation: Doubles) -> tuple[Floats, Floats]:
    """Reflectance of the board [h, w] and how much of each pixel it fills, 0..1."""
    picture, per_m, origin = board_picture(target)
    to_camera = np.column_stack([rotation[:, 0], rotation[:, 1], translation])
    inverse = np.linalg.inv(to_camera)
    x, y = _rays(camera)
    u, v, w = (np.float32(row[0]) * x + np.float32(row[1]) * y + np.float32(row[2]) for row in inverse)
    across, down = (
        (part / w + at) * np.float32(per_m) - np.float32(0.5) for part, at in ((u, origin[0]), (v, origin[1]))
    )
    shown = cv2.remap(picture, across, down, cv2.INTER_LINEAR, borderValue=-1.0)
    filled = (shown >= 0).astype(np.float32)
    size = camera.size_px
    return (
        cv2.resize(np.maximum(shown, 0), size, interpolation=cv2.INTER_AREA),
        cv2.resize(filled, size, interpolation=cv2.INTER_AREA),
    )


def _clutter(size: tuple[int, int], seed: int) -> Floats:
    draw = np.random.default_rng(seed)
    rough = draw.random((9, 12)).astype(np.float32)
    return cv2.resize(rough, size, interpolation=cv2.INTER_CUBIC)


def shoot(rig: BoardRig, target: Target, pose: Pose, *, index: int = 0, look: Look | None = None) -> FramePair:
    """What both cameras see of a board, frame ``index``, 30 a second."""
    look = look or Look()
    rotation, translation = cv2.Rodrigues(pose[0])[0], pose[1]
    visible = _visible(see(rig.visible, target, rotation, translation), look, index)
    warm = see(rig.thermal, target, rig.rotation @ rotation, rig.rotation @ translation + np.array(rig.translation_m))
    thermal, time_ns = _thermal(warm, look, index), index * 1_000_000_000 // 30
    kind = PixelFormat.Y16 if look.deep else PixelFormat.GREY
    return FramePair(
        Frame(visible, PixelFormat.RGB24, time_ns, "receive", index), Frame(thermal, kind, time_ns, "receive", index),
        f"pose{index:03}",
    )  # fmt: skip


def _visible(seen: tuple[Floats, Floats], look: Look, index: int) -> npt.NDArray[np.uint8]:
    shown, filled = seen
    draw = np.random.default_rng(index)
    light = 0.55 + 0.35 * _clutter((shown.shape[1], shown.shape[0]), 1000 + index)
    level = 255 * light * (0.08 + 0.85 * shown) * 1.0 + 255 * (1 - filled) * 0.5 * _clutter(
        (shown.shape[1], shown.shape[0]), 7
    )
    level = cv2.GaussianBlur(level, (0, 0), dict(look.visible_blur_px).get(index, look.blur_px))
    noisy = level[..., None] + draw.normal(0, look.visible_noise, (*level.shape, 3))
    return np.clip(noisy + 0.5, 0, 255).astype(np.uint8)


def _thermal(seen: tuple[Floats, Floats], look: Look, index: int) -> npt.NDArray[Any]:
    shown, filled = seen
    draw = np.random.default_rng(9000 + index)
    size = (shown.shape[1], shown.shape[0])
    warm = shown if look.inverted else filled - shown
    level = 7600 + 150 * _clutter(size, 11) + filled * (300 + 60 * _clutter(size, 12)) + look.counts * warm
    cv2.circle(level, (size[0] // 16, size[1] - 6), size[1] // 9, 8900.0, -1)  # whoever holds it
    level = cv2.GaussianBlur(level, (0, 0), look.blur_px) + draw.normal(0, look.thermal_noise, shown.shape)
    counts = np.clip(level + 0.5, 0, 2**14 - 1).astype(np.uint16)
    counts = {"": counts, "mirrored": counts[:, ::-1], "turned": counts[::-1, ::-1], "quarter": np.rot90(counts)}[
        look.pose
    ]
    counts = np.ascontiguousarray(counts)
    return counts if look.deep else np.clip((counts.astype(np.float32) - 7400) / 7, 0, 255).astype(np.uint8)


def poses(rig: BoardRig, target: Target, count: int, *, seed: int = 0, tilt_deg: float = 35.0) -> list[Pose]:
    """Poses in which both cameras see the whole board, spread over the image and over distance."""
    draw = np.random.default_rng(seed)
    extent = target.points_m.max(axis=0) + 2 * target.step_m
    nearest = 1.1 * max(extent[0] / 640, extent[1] / 480) * rig.visible.focal_px
    found: list[Pose] = []
    for _ in range(4000):
        tilt = np.radians([*draw.uniform(-tilt_deg, tilt_deg, 2), draw.uniform(-15, 15)])
        rotation = np.asarray(cv2.Rodrigues(tilt)[0])
        depth = nearest * draw.uniform(1.0, 1.9)
        across = depth * np.array([draw.uniform(-0.55, 0.55), draw.uniform(-0.42, 0.42)])
        centre = rotation @ (target.points_m.max(axis=0) / 2)
        pose = (tilt, np.array([*across, depth]) - centre)
        if all(_inside(camera, points) for camera, points in _projected(rig, target, pose)):
            found.append(pose)
        if len(found) == count:
            return found
    raise AssertionError(f"only {len(found)} poses of {count} fit")


def _projected(rig: BoardRig, target: Target, pose: Pose) -> Iterator[tuple[CameraModel, Doubles]]:
    low, high = target.points_m.min(axis=0) - target.step_m, target.points_m.max(axis=0) + target.step_m
    corners = np.array([[x, y, 0] for x in (low[0], high[0]) for y in (low[1], high[1])])
    seen = corners @ np.asarray(cv2.Rodrigues(pose[0])[0]).T + pose[1]
    zero = np.zeros(3)
    for camera, points in (
        (rig.visible, seen), (rig.thermal, seen @ rig.rotation.T + np.array(rig.translation_m)),
    ):  # fmt: skip
        flat, _ = cv2.projectPoints(points, zero, zero, camera.matrix, np.array(camera.distortion))
        yield camera, flat[:, 0]


def far_map(rig: BoardRig, points: Doubles, distance_m: float) -> Doubles:
    """Where the thermal camera sees visible pixels that show something so far ahead, lenses and all."""
    zero, lens = np.zeros(3), rig.visible
    flat = points.copy()
    for _ in range(40):  # the inverse of the visible lens
        rays = np.column_stack([(flat - lens.centre_px) / lens.focal_px, np.ones(len(flat))])
        again = cv2.projectPoints(rays, zero, zero, lens.matrix, np.array(lens.distortion))[0][:, 0]
        flat += points - again
    rays = np.column_stack([(flat - lens.centre_px) / lens.focal_px, np.ones(len(flat))]) * distance_m
    seen = rays @ rig.rotation.T + np.array(rig.translation_m)
    shown, _ = cv2.projectPoints(seen, zero, zero, rig.thermal.matrix, np.array(rig.thermal.distortion))
    return np.asarray(shown[:, 0])


def _inside(camera: CameraModel, points: Doubles) -> bool:
    return bool((points > 3).all() and (points < np.array(camera.size_px) - 4).all())


def clip(
    rig: BoardRig, target: Target, places: Sequence[Pose], *, look: Look | None = None, first: int = 0
) -> list[FramePair]:
    """A frame pair of each pose."""
    return [shoot(rig, target, pose, index=first + index, look=look) for index, pose in enumerate(places)]


class Shots:
    """Frame pairs as a recording; without a rate they are stills."""

    def __init__(self, pairs: Sequence[FramePair], fps: float | None = None) -> None:
        self._pairs, self.length, self.fps = pairs, len(pairs), fps

    def __iter__(self) -> Iterator[FramePair]:
        return iter(self._pairs)


def write_shots(folder: Path, pairs: Sequence[FramePair]) -> Path:
    """A recording folder of PNGs."""
    for half in ("visible", "thermal"):
        (folder / half).mkdir(parents=True)
    for pair in pairs:
        write_png(folder / "visible" / f"{pair.name}.png", pair.visible.pixels)
        write_png(folder / "thermal" / f"{pair.name}.png", pair.thermal.pixels)
    return folder
