"""Registration: where the thermal camera sees what a visible pixel shows.

A registration is a [3, 3] homography from a visible pixel (x, y, 1) to a thermal point, both in native pixels
of their camera, (0, 0) being the centre of the top-left pixel. It is scaled to other image sizes here only.
"""

from __future__ import annotations

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


def scale_registration(registration: Matrix, *, visible: tuple[Size, Size], thermal: tuple[Size, Size]) -> Matrix:
    """A registration for frames of other sizes than it was made for.

    Args:
        registration: [3, 3], for the first size of each pair.
        visible: (size it was made for, size of the frames).
        thermal: the same for the thermal camera.
    """
    return resize_map(*thermal) @ registration @ resize_map(visible[1], visible[0])


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


def is_identity(registration: Matrix) -> bool:
    """Whether a registration moves no point of an ordinary image by more than about a hundredth of a pixel."""
    return bool(np.abs(registration - np.eye(3)).max() < 1e-9)


def apply(registration: Matrix, points: npt.ArrayLike) -> Matrix:
    """Map [N, 2] points (x, y) of the visible image to [N, 2] points of the thermal image."""
    given = np.asarray(points, np.float64)
    mapped = np.column_stack([given, np.ones(len(given))]) @ registration.T
    flat: Matrix = mapped[:, :2] / mapped[:, 2:]
    return flat


def inverse(matrix: Matrix) -> Matrix:
    """[3, 3] the way back."""
    return np.asarray(np.linalg.inv(matrix), np.float64)


def scale_of(registration: Matrix) -> float:
    """Thermal pixels to a visible one, perspective left aside."""
    return float(np.sqrt(abs(np.linalg.det(registration[:2, :2]))))


def grid(size_px: Size, count: int = 9) -> Matrix:
    """[N, 2] pixels, ``count`` by ``count``, from corner to corner of an image."""
    x, y = (np.linspace(0, side - 1, count) for side in size_px)
    return np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
