"""Registration: where the thermal camera sees what a visible pixel shows.

A registration is a [3, 3] homography from a visible pixel (x, y, 1) to a thermal point, both in native pixels
of their camera, (0, 0) being the centre of the top-left pixel; then, where lenses are known, a smooth bend. It is
scaled to other image sizes here only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from edgefusion.core.errors import InputError, UsageError

Matrix = npt.NDArray[np.float64]
Size = tuple[int, int]
"""(width, height) in pixels."""


def parse_size(text: str) -> Size:
    """(width, height) of ``WxH``, as ``--size`` takes it.

    Raises:
        UsageError: something else.
    """
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise UsageError(f"--size {text}", remedy="give width and height, such as 640x480")
    return int(width), int(height)


def resize_map(source: Size, target: Size) -> Matrix:
    """The [3, 3] map of a pixel of an image of size ``source`` to the same image resized to ``target``.

    Pixel centres are at whole numbers, so edges (-0.5) map to edges: x' = (x + 0.5) * scale - 0.5.
    """
    scale_x, scale_y = target[0] / source[0], target[1] / source[1]
    return np.array([[scale_x, 0, (scale_x - 1) / 2], [0, scale_y, (scale_y - 1) / 2], [0, 0, 1]], np.float64)


def check_engine_size(size_px: Size) -> None:
    """Raise UsageError unless (width, height) are multiples of four, from 32: what the engine contract takes."""
    if any(side % 4 or side < 32 for side in size_px):
        raise UsageError(f"an engine of {size_px[0]}x{size_px[1]}", remedy="width and height: multiples of 4, from 32")


def check_registration(registration: npt.ArrayLike) -> Matrix:
    """The registration as a float64 [3, 3] array with its last element 1.

    Raises:
        InputError: not 3 x 3 finite numbers, or not invertible.
    """
    try:
        matrix = np.array(registration, np.float64)
    except (TypeError, ValueError):
        matrix = np.empty(0)
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
        raise InputError("a registration is 3 rows of 3 finite numbers")
    if abs(np.linalg.det(matrix)) < 1e-9 or abs(matrix[2, 2]) < 1e-9:
        raise InputError("the registration cannot be inverted", remedy="check its rows and their order")
    scaled: Matrix = matrix / matrix[2, 2]
    return scaled


def apply(matrix: Matrix, points: npt.ArrayLike) -> Matrix:
    """Map [N, 2] points (x, y) by a [3, 3] homography."""
    given = np.asarray(points, np.float64)
    mapped = np.column_stack([given, np.ones(len(given))]) @ matrix.T
    flat: Matrix = mapped[:, :2] / mapped[:, 2:]
    return flat


def inverse(matrix: Matrix) -> Matrix:
    """[3, 3] the way back."""
    return np.asarray(np.linalg.inv(matrix), np.float64)


def scale_of(matrix: Matrix) -> float:
    """Thermal pixels to a visible one, perspective left aside."""
    return float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))


def grid(size_px: Size, count: int | tuple[int, int] = 9) -> Matrix:
    """[N, 2] pixels, ``count`` by ``count`` (or columns by rows), from corner to corner of an image."""
    counts = (count, count) if isinstance(count, int) else count
    x, y = (np.linspace(0, side - 1, number) for side, number in zip(size_px, counts, strict=True))
    return np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)


def normaliser(size_px: Size) -> Matrix:
    """[3, 3] from pixels of an image to coordinates with its centre at 0 and its corners at a distance of 1."""
    half = np.hypot(*size_px) / 2
    x, y = ((side - 1) / 2 / half for side in size_px)
    return np.array([[1 / half, 0, -x], [0, 1 / half, -y], [0, 0, 1]])


BEYOND = 4
"""A correction of drift looks up to so many nodes past the visible image's edge."""


@dataclass(frozen=True)
class Bend:
    """What lenses do and no homography follows, as displacements on a coarse grid over the visible image.

    Attributes:
        nodes: [R, C, 2] thermal pixels (x, y); between nodes bilinear, and so on beyond them for ``BEYOND`` nodes.
        place: [3, 3] from a visible pixel to (column, row) among the nodes: scales and shifts only.
    """

    nodes: Matrix
    place: Matrix

    def at(self, points: npt.ArrayLike) -> Matrix:
        """[N, 2] thermal pixels: how far what [N, 2] visible pixels show is displaced."""
        last = np.array(self.nodes.shape[1::-1]) - 1
        places = np.clip(apply(self.place, points), -BEYOND, last + BEYOND)
        first = np.clip(places.astype(int), 0, last - 1)
        (x, y), (column, row) = (places - first).T[..., None], first.T
        above = self.nodes[row, column] * (1 - x) + self.nodes[row, column + 1] * x
        below = self.nodes[row + 1, column] * (1 - x) + self.nodes[row + 1, column + 1] * x
        return np.asarray(above * (1 - y) + below * y)

    def corrected(self, correction: Matrix) -> Bend:
        """At p what this one is at ``correction`` p, [3, 3] among visible pixels; to some hundredths of a pixel."""
        rows, columns = self.nodes.shape[:2]
        pixels = apply(inverse(self.place), grid((columns, rows), (columns, rows)))
        return replace(self, nodes=self.at(apply(correction, pixels)).reshape(self.nodes.shape))


@dataclass(frozen=True)
class Registration:
    """Where thermal shows what a visible pixel shows, for frames of one size each.

    Attributes:
        matrix: [3, 3] homography from a visible pixel to a thermal point.
        bend: added to it.
    """

    matrix: Matrix
    bend: Bend | None = None

    @property
    def is_identity(self) -> bool:
        """Whether it moves no point of an ordinary image by more than about a hundredth of a pixel."""
        return self.bend is None and bool(np.abs(self.matrix - np.eye(3)).max() < 1e-9)

    @property
    def numbers(self) -> list[Any]:
        """All that it consists of, for a digest."""
        bend = [] if self.bend is None else [self.bend.nodes.tolist(), self.bend.place.tolist()]
        return [*self.matrix.tolist(), *bend]

    def points(self, points: npt.ArrayLike) -> Matrix:
        """[N, 2] thermal points that [N, 2] visible pixels (x, y) show."""
        mapped = apply(self.matrix, points)
        return mapped if self.bend is None else mapped + self.bend.at(points)

    def lookup(self, size_px: Size) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """[H, W] x and y of the thermal point of each pixel of a visible image, for ``cv2.remap``."""
        pixels = np.stack(np.meshgrid(*map(np.arange, size_px)), -1).reshape(-1, 2)
        x, y = self.points(pixels).T.astype(np.float32).reshape(2, size_px[1], size_px[0])
        return x, y

    def corrected(self, correction: Matrix) -> Registration:
        """The registration of cameras that moved.

        Args:
            correction: [3, 3] among visible pixels: thermal shows at p what this registration has at ``correction`` p.
        """
        return Registration(self.matrix @ correction, self.bend and self.bend.corrected(correction))

    def scaled(self, *, visible: tuple[Size, Size], thermal: tuple[Size, Size]) -> Registration:
        """The same for frames of other sizes.

        Args:
            visible: (size it was made for, size of the frames).
            thermal: the same for the thermal camera.
        """
        back, forth = resize_map(visible[1], visible[0]), resize_map(*thermal)
        bend = self.bend and Bend(self.bend.nodes * forth.diagonal()[:2], self.bend.place @ back)
        return Registration(forth @ self.matrix @ back, bend)
