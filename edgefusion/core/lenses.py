"""Two cameras with lenses, and what follows from them: where thermal sees a visible pixel, by distance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edgefusion.core.bend import bend_towards
from edgefusion.core.errors import InputError
from edgefusion.core.geometry import Bend, Matrix, Size, apply, check_registration, grid, resize_map, scale_of

Doubles = npt.NDArray[np.float64]

GRID = 25
"""Points each way of an image at which maps are compared."""

AGREEING_PX = 0.1
"""A registration that differs by more from what its lenses imply, on average, was not made with them. Rounding stays
below 0.001 px, a calibration on images of another size below 0.03."""

RETURNING_PX = 0.5
"""Where a lens has an inverse, OpenCV's comes back to the pixel much nearer than this; elsewhere it ends anywhere."""


@dataclass(frozen=True)
class Lens:
    """A camera: the size of its images, its [3, 3] matrix, and (k1, k2, p1, p2, k3) as OpenCV has them."""

    size_px: Size
    matrix: Matrix
    distortion: tuple[float, ...]

    def rays(self, points_px: Doubles) -> Doubles:
        """[N, 3] directions, z = 1, of [N, 2] pixels; nonsense where the lens shows nothing: see ``RETURNING_PX``."""
        criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 50, 1e-10)
        given = (points_px[:, None], self.matrix, np.array(self.distortion))
        if hasattr(cv2, "undistortPointsIter"):  # OpenCV 4
            flat = cv2.undistortPointsIter(*given, None, None, criteria)
        else:
            flat = cv2.undistortPoints(*given, None, None, None, criteria)
        return np.column_stack([flat[:, 0], np.ones(len(flat))])

    def pixels(self, points_m: Doubles) -> Doubles:
        """[N, 2] pixels of [N, 3] points before the camera."""
        zero = np.zeros(3)
        flat, _ = cv2.projectPoints(points_m, zero, zero, self.matrix, np.array(self.distortion))
        return np.asarray(flat[:, 0])

    def pose(self, points_m: npt.NDArray[np.floating[Any]], points_px: Doubles) -> tuple[Matrix, Doubles]:
        """[3, 3] and [3] (m) from a board to the camera, which sees its [N, 3] points at these [N, 2] pixels."""
        given = (points_m.astype(np.float64), points_px, self.matrix, np.array(self.distortion))
        _, turn, moved = cv2.solvePnP(*given)
        return np.asarray(cv2.Rodrigues(turn)[0], np.float64), np.asarray(np.ravel(moved), np.float64)

    def resized(self, size_px: Size) -> Lens:
        """The same camera's images at another size."""
        return Lens(size_px, resize_map(self.size_px, size_px) @ self.matrix, self.distortion)

    @property
    def reach(self) -> float:
        """How far from the axis, as a tangent, a direction may be; beyond, the polynomial turns back into the image."""
        k1, k2, _, _, k3 = self.distortion
        turns = np.roots([7 * k3, 5 * k2, 3 * k1, 1])
        return float(np.sqrt(min((turn.real for turn in turns if np.isreal(turn) and turn.real > 0), default=np.inf)))

    def reaches(self, points_m: Doubles) -> npt.NDArray[np.bool_]:
        """[N] whether [N, 3] points lie before the camera and within its ``reach``."""
        away = np.hypot(points_m[:, 0], points_m[:, 1])
        with np.errstate(invalid="ignore"):  # any distance times no depth
            return np.asarray((points_m[:, 2] > 0) & (away < self.reach * points_m[:, 2]))

    @property
    def grid(self) -> Doubles:
        """[GRID * GRID, 2] pixels all over the image."""
        return grid(self.size_px, GRID)


def pinhole(
    size_px: Size, *, focal_px: Sequence[float], centre_px: Sequence[float], distortion: Sequence[float]
) -> Lens:
    """A camera as ``[calibration]`` of rig.toml has it."""
    matrix = np.array([[focal_px[0], 0, centre_px[0]], [0, focal_px[1], centre_px[1]], [0, 0, 1]], np.float64)
    return Lens(size_px, matrix, tuple(distortion))


@dataclass(frozen=True)
class Geometry:
    """Both cameras; ``rotation`` [3, 3] and ``translation_m`` [3] take a point from visible's axes to thermal's."""

    visible: Lens
    thermal: Lens
    rotation: Matrix
    translation_m: Doubles

    @property
    def baseline_m(self) -> float:
        """How far the cameras are apart."""
        return float(np.linalg.norm(self.translation_m))

    @property
    def turn_deg(self) -> float:
        """How far thermal is turned against visible."""
        return float(np.degrees(np.linalg.norm(cv2.Rodrigues(self.rotation)[0])))

    def thermal_points(self, points_px: Doubles, distance_m: float) -> Doubles:
        """Where [N, 2] visible pixels lie in thermal if they show something so far ahead."""
        return self.thermal.pixels(self._ahead(self.visible.rays(points_px), distance_m))

    def seen_points(self, points_px: Doubles, distance_m: float) -> Doubles:
        """``thermal_points``; NaN behind thermal, and beyond the ``reach`` of either lens."""
        rays = self.visible.rays(points_px)
        ahead = self._ahead(rays, distance_m)
        shown = self.visible.reaches(rays) & self.thermal.reaches(ahead)
        shown &= np.linalg.norm(self.visible.pixels(rays) - points_px, axis=1) < RETURNING_PX
        return np.where(shown[:, None], self.thermal.pixels(ahead), np.nan)

    def _ahead(self, rays: Doubles, distance_m: float) -> Doubles:
        """[N, 3] what lies there on rays of visible, from thermal, as shares of the distance."""
        return np.asarray(rays @ self.rotation.T + self.translation_m / distance_m)

    def resized(self, visible: Size, thermal: Size) -> Geometry:
        """The same for other image sizes."""
        return Geometry(self.visible.resized(visible), self.thermal.resized(thermal), self.rotation, self.translation_m)

    def overlap(self, distance_m: float) -> tuple[Doubles, Doubles]:
        """Visible pixels all over what thermal sees too at a distance, [N, 2], and where they lie in thermal."""
        grid = self.visible.grid
        seen = self.seen_points(grid, distance_m)
        inside = ((seen >= 0) & (seen <= np.array(self.thermal.size_px) - 1)).all(axis=1)
        return grid[inside], seen[inside]

    def registration(self, distance_m: float) -> Matrix:
        """[3, 3] from a visible pixel to thermal: the homography that is nearest to both lenses at a distance.

        Raises:
            ValueError: thermal sees next to nothing of what visible does.
        """
        points, seen = self.overlap(distance_m)
        if len(points) < GRID:
            raise ValueError("the cameras look past each other")
        matrix, _ = cv2.findHomography(points, seen, 0)
        return check_registration(matrix)

    def bend(self, registration: Matrix, reference_m: float) -> Bend:
        """What a homography lacks of the map at a distance.

        Raises:
            ValueError: it is not the homography of these lenses; a clause that says so.
        """
        try:
            implied = self.registration(reference_m)
        except (InputError, cv2.error, np.linalg.LinAlgError) as error:
            raise ValueError("the two lenses make no sense") from error
        points, _ = self.overlap(reference_m)
        off = np.linalg.norm(apply(registration, points) - apply(implied, points), axis=1) / scale_of(implied)
        if not off.mean() <= AGREEING_PX:
            raise ValueError(f"the lenses imply another registration, {off.mean():.1f} px away")
        return bend_towards(
            lambda pixels: self.seen_points(pixels, reference_m),
            registration, visible=self.visible.size_px, thermal=self.thermal.size_px,
        )  # fmt: skip
