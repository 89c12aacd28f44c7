"""A simulated rig: an endless night drive, the same for the same seed, with the truth about what is in it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import numpy.typing as npt

from edgefusion.core.errors import UsageError
from edgefusion.core.frames import THERMAL_FORMATS, VISIBLE_FORMATS, Frame, FramePair, PixelFormat, Pixels
from edgefusion.recordings.pairing import Side
from runtime.capture.night_drive import backdrop, drive, raster, sensors, textures, world
from runtime.capture.night_drive.canvas import blank
from runtime.capture.night_drive.formats import deliver
from runtime.capture.night_drive.light import Air
from runtime.capture.night_drive.project import Flat, View, flatten

Matrix = npt.NDArray[np.float64]
Size = tuple[int, int]

SMALLEST_PX = 32
THERMAL_BITS = 14
"""Of a Y16 reading."""

FOCAL_PER_WIDTH = 1.05
"""The visible camera sees 51 degrees across."""

THERMAL_MARGIN = 1.10
"""The thermal camera sees this much more than the visible one, so that it covers it although it is turned."""

THERMAL_TURN = (0.010, -0.007, 0.012)
"""Yaw, pitch and roll of the thermal camera against the visible one, radians."""

VISIBLE_EXTINCTION, THERMAL_EXTINCTION = 0.11, 0.018
"""1/m in the densest fog (fog = 1): by Koschmieder a visibility of 3.9 / 0.11 = 36 m. Thermal as in radiation fog of
small droplets; in thick advection fog it fares worse than this."""

FOG_GLOW, FOG_CELSIUS = (0.016, 0.016, 0.017), 7.0
"""The colour of fog away from the own lamps, and how warm it looks."""

FAR_M, LEAST_PX = 100.0, 6.0
"""Boxes farther away or lower than this are left out."""


@dataclass(frozen=True)
class Box:
    """Where something truly is in the visible image.

    Attributes:
        label: "person", "bicycle" or "car".
        x0, y0, x1, y1: its outline, in visible pixels, (0, 0) the centre of the top-left pixel, clipped to the image.
        distance_m: from the cameras, along the road.
        visibility: the share of its pixels in the image that nothing nearer hides, 0..1.
        identity: the same for the same object in every frame of a seed, and for nothing else there; a cyclist and the
            bicycle have one each.
    """

    label: str
    x0: float
    y0: float
    x1: float
    y1: float
    distance_m: float
    visibility: float
    identity: int


@dataclass(frozen=True)
class SimulatedRig:
    """A vehicle with a visible and a thermal camera, driving through the night at 8 to 12 m/s.

    Both cameras look through one beam splitter, so the registration is exact at every distance. Frame k of a seed
    is the same whichever frames were rendered before.

    Args:
        seed: which drive, 0 or more.
        visible_size_px, thermal_size_px: (width, height), at least 32 each.
        visible_format: RGB24, NV12, YUYV, UYVY (BT.601, limited range) or GREY (full range).
        thermal_format: Y16 (14-bit counts, 25 mK each), Y16_BE, or GREY (those through a fixed AGC).
        fps: frames a second.
        fog: 0 (clear) to 1 (a visibility of 36 m).

    Raises:
        UsageError: one of these is out of range.
    """

    seed: int = 0
    visible_size_px: Size = (640, 480)
    thermal_size_px: Size = (320, 256)
    visible_format: PixelFormat = PixelFormat.RGB24
    thermal_format: PixelFormat = PixelFormat.Y16
    fps: float = 30.0
    fog: float = 0.0

    def __post_init__(self) -> None:
        _check_formats(self.visible_format, self.thermal_format)
        _check_sizes(self.visible_size_px, self.thermal_size_px)
        _check_even(self.visible_size_px, self.visible_format)
        if self.seed < 0:
            raise UsageError(f"a seed of {self.seed}", where="seed", remedy="give 0 or more")
        if not 0 < self.fps <= 1000:
            raise UsageError(f"{self.fps} frames a second", where="fps", remedy="give more than 0, up to 1000")
        if not 0 <= self.fog <= 1:
            raise UsageError(f"a fog of {self.fog}", where="fog", remedy="give 0 (clear) to 1 (dense)")

    @property
    def registration(self) -> Matrix:
        """[3, 3] homography from a visible pixel to the thermal pixel that shows the same, exact."""
        visible, thermal = _intrinsics(self.visible_size_px, self.thermal_size_px)
        homography = thermal @ _turn(*THERMAL_TURN) @ np.linalg.inv(visible)
        return np.asarray(homography / homography[2, 2])

    def render(self, index: int) -> FramePair:
        """Frame pair number ``index``, in new arrays.

        Raises:
            UsageError: a negative index.
        """
        return self.film(self._scene(index), index=index, time_s=index / self.fps)

    def boxes(self, index: int) -> list[Box]:
        """The people, bicycles and cars of frame ``index`` that can be seen at least in part, nearest first."""
        return self.truth(self._scene(index))

    def film(self, scene: world.Scene, *, index: int, time_s: float) -> FramePair:
        """Any moment of a drive as frame ``index``, which decides the noise, taken at ``time_s``."""
        moment = round(time_s * 1e9)
        return FramePair(
            Frame(self._visible(scene, index), self.visible_format, moment, "monotonic", index),
            Frame(self._thermal(scene, index), self.thermal_format, moment, "monotonic", index),
        )

    def view(self, side: Side, *, time_s: float, index: int, out: Pixels | None = None) -> Pixels:
        """What one camera sees ``time_s`` into the drive.

        Args:
            side: which camera.
            time_s: since the start of the drive; both cameras see the same scene at the same time.
            index: decides the noise; ``render(k)`` is ``time_s=k / fps, index=k``.
            out: where it goes, an array as the format has it; a new one by default.

        Returns:
            The pixels, in the format of that camera.
        """
        draw = self._visible if side == "visible" else self._thermal
        return draw(world.scene(self.seed, time_s), index, out)

    def truth(self, scene: world.Scene) -> list[Box]:
        """What ``boxes`` is, for any moment of a drive."""
        view = self._view
        flat = flatten(scene.shapes, view, scene.bend)
        seen, total = raster.owners(flat, scene.shapes, view=view, actors=len(scene.actors))
        shown = np.bincount(seen[seen >= 0], minlength=len(scene.actors))
        found = []
        for number, actor in enumerate(scene.actors):
            outline = _outline(flat, scene, number, self.visible_size_px)
            if shown[number] and actor.z < FAR_M and outline[3] - outline[1] >= LEAST_PX:
                visibility = float(shown[number] / total[number])
                found.append(Box(actor.label, *outline, actor.z, visibility, actor.identity))
        return sorted(found, key=lambda box: box.distance_m)

    def on_road(self, points_px: npt.ArrayLike, bend: npt.ArrayLike) -> Matrix:
        """Where visible pixels lie if they show the road, which is flat: by the camera's height, tilt and lens alone.

        Args:
            points_px: [N, 2], (0, 0) the centre of the top-left pixel.
            bend: how far the road has moved right 0, 1, 2 ... m ahead, which a vehicle knows from its steering.

        Returns:
            [N, 2]: metres to the right of the middle of the vehicle's lane, and ahead of the cameras along the road;
            infinite from the horizon up.
        """
        points = np.asarray(points_px, np.float64).reshape(-1, 2)
        rays = np.column_stack([points, np.ones(len(points))]) @ self._view.inverse.T
        down = np.where(rays[:, 1] > 0, rays[:, 1], np.nan)
        across, ahead = (drive.CAMERA_HEIGHT_M * rays[:, axis] / down for axis in (0, 2))
        right = across - np.interp(ahead, drive.BEND_STEP_M * np.arange(drive.BEND_STEPS), np.asarray(bend, np.float64))
        return np.asarray(np.nan_to_num(np.column_stack([right, ahead]), nan=np.inf))

    @property
    def _view(self) -> View:
        return _views(self.visible_size_px, self.thermal_size_px)[0]

    def _scene(self, index: int) -> world.Scene:
        if index < 0:
            raise UsageError(f"frame {index}", where="index", remedy="frames count from 0")
        return world.scene(self.seed, index / self.fps)

    def _visible(self, scene: world.Scene, index: int, out: Pixels | None = None) -> Pixels:
        view, air = self._view, _airs(self.fog)[0]
        image = blank("visible", self.visible_size_px, 4)
        flat = flatten(scene.shapes, view, scene.bend)
        raster.draw_visible(image, flat, scene.shapes, view=view, lamps=scene.lamps, air=air)
        backdrop.draw_visible(image, scene, view=view, air=air)
        develop = partial(sensors.visible, image, seed=self.seed, index=index, fog=self.fog)
        return deliver(develop, PixelFormat.RGB24, self.visible_format, size_px=self.visible_size_px, out=out)

    def _thermal(self, scene: world.Scene, index: int, out: Pixels | None = None) -> Pixels:
        view, air = _views(self.visible_size_px, self.thermal_size_px)[1], _airs(self.fog)[1]
        image = blank("thermal", self.thermal_size_px, 2)
        flat = flatten(scene.shapes, view, scene.bend)
        raster.draw_thermal(image, flat, scene.shapes, view=view, air=air)
        backdrop.draw_thermal(image, scene, view=view, air=air)
        develop = partial(sensors.thermal, image, seed=self.seed, index=index)
        return deliver(develop, PixelFormat.Y16, self.thermal_format, size_px=self.thermal_size_px, out=out)


def _check_formats(visible: PixelFormat, thermal: PixelFormat) -> None:
    for where, given, known in (
        ("visible_format", visible, VISIBLE_FORMATS),
        ("thermal_format", thermal, THERMAL_FORMATS),
    ):
        if given not in known:
            names = ", ".join(each.value for each in known)
            raise UsageError(f"the simulated rig does not make {given!r}", where=where, remedy=f"use one of {names}")


def _check_sizes(visible: Size, thermal: Size) -> None:
    for where, size in (("visible_size_px", visible), ("thermal_size_px", thermal)):
        if len(size) != 2 or min(size) < SMALLEST_PX:
            raise UsageError(f"a size of {size}", where=where, remedy=f"give (width, height), {SMALLEST_PX} or more")


def _check_even(size: Size, pixel_format: PixelFormat) -> None:
    """Pixels that share their chroma come in twos."""
    if not pixel_format.fits(*size):
        raise UsageError(
            f"{pixel_format.value} of an odd size, {size}", where="visible_size_px", remedy="use even sizes or RGB24"
        )


@lru_cache(maxsize=16)
def _intrinsics(visible: Size, thermal: Size) -> tuple[Matrix, Matrix]:
    """The two cameras' [3, 3] intrinsics."""
    focal = FOCAL_PER_WIDTH * visible[0]
    reach = [THERMAL_MARGIN * side / (2 * focal) for side in visible]
    thermal_focal = min(side / (2 * tangent) for side, tangent in zip(thermal, reach, strict=True))
    return _pinhole(focal, visible), _pinhole(thermal_focal, thermal)


@lru_cache(maxsize=8)
def _views(visible: Size, thermal: Size) -> tuple[View, View]:
    """The two cameras in the vehicle."""
    views = []
    turns = (np.eye(3), _turn(*THERMAL_TURN))
    for intrinsics, size, turn in zip(_intrinsics(visible, thermal), (visible, thermal), turns, strict=True):
        matrix = intrinsics @ turn @ _turn(0.0, drive.CAMERA_PITCH, 0.0)
        both = matrix.astype(np.float32), np.linalg.inv(matrix).astype(np.float32)
        views.append(View(*both, size, float(intrinsics[0, 0]), drive.LANE_U, drive.CAMERA_HEIGHT_M))
    return views[0], views[1]


@lru_cache(maxsize=8)
def _airs(fog: float) -> tuple[Air, Air]:
    """What is in the air, for the visible and for the thermal camera."""
    veil = textures.veil(fog * VISIBLE_EXTINCTION, drive.CAMERA_HEIGHT_M)
    extinctions = fog * VISIBLE_EXTINCTION, fog * THERMAL_EXTINCTION
    visible, thermal = (Air(each, veil, FOG_GLOW, FOG_CELSIUS) for each in extinctions)
    return visible, thermal


def _pinhole(focal: float, size: Size) -> Matrix:
    return np.array([[focal, 0, (size[0] - 1) / 2], [0, focal, (size[1] - 1) / 2], [0, 0, 1]])


def _turn(yaw: float, pitch: float, roll: float) -> Matrix:
    """Rotation into a camera turned right by ``yaw``, down by ``pitch`` and clockwise by ``roll`` (x right, y down)."""
    cy, sy, cp, sp, cr, sr = (f(angle) for angle in (yaw, pitch, roll) for f in (np.cos, np.sin))
    about_y = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, sr, 0], [-sr, cr, 0], [0, 0, 1]])
    return np.asarray(about_z @ about_x @ about_y)


def _outline(flat: Flat, scene: world.Scene, owner: int, size: Size) -> tuple[float, float, float, float]:
    """The box round all that is solid of one actor, clipped to the image."""
    shapes = scene.shapes
    solid = (shapes.owner == owner) & (shapes.look[:, raster.OPACITY] > 0.99) & (flat.box[:, 2] > flat.box[:, 0])
    if not solid.any():
        return 0.0, 0.0, 0.0, 0.0
    low, high = flat.outline[solid, :2].min(axis=0), flat.outline[solid, 2:].max(axis=0)
    x, y = (np.clip((low[axis], high[axis]), 0, size[axis] - 1) for axis in (0, 1))
    return float(x[0]), float(y[0]), float(x[1]), float(y[1])
