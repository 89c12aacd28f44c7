"""Calibration targets by name: ``checkerboard:9x6:30mm``, ``circles:4x11:20mm``, ``charuco:7x5:40mm``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from edgefusion.core.errors import UsageError

Kind = Literal["checkerboard", "circles", "charuco"]
Floats = npt.NDArray[np.float32]

MARKER_SHARE = 0.75
"""Side of a ChArUco marker against that of a square, where nothing else is said."""

UNITS_M = {"mm": 1e-3, "cm": 1e-2, "m": 1.0}
_NAME = re.compile(r"(\w+):(\d+)x(\d+):([\d.]+)(mm|cm|m)(?::([\d.]+)(mm|cm|m))?")


@dataclass(frozen=True)
class Target:
    """A flat board.

    Attributes:
        kind: what is on it.
        columns, rows: inner corners of a checkerboard, circles in a row and rows of circles, squares of a ChArUco.
        step_m: side of a square; of circles, from one row to the next, half of what lies between two of one row.
        marker_m: side of a ChArUco marker.
    """

    kind: Kind
    columns: int
    rows: int
    step_m: float
    marker_m: float = 0.0

    def __str__(self) -> str:
        return f"{self.kind}:{self.columns}x{self.rows}:{1e3 * self.step_m:g}mm"

    @property
    def points_m(self) -> Floats:
        """[N, 3] of its points in metres, in the order of their numbers; z is 0."""
        if self.kind == "charuco":
            return np.asarray(charuco(self, 0).getChessboardCorners(), np.float32)
        row, column = np.mgrid[: self.rows, : self.columns].astype(np.float32)
        if self.kind == "circles":
            column = 2 * column + row % 2
        flat = [column.ravel(), row.ravel(), np.zeros(self.columns * self.rows, np.float32)]
        return np.asarray(np.stack(flat, axis=1) * np.float32(self.step_m), np.float32)

    @property
    def ambiguous(self) -> bool:
        """Whether it may be numbered from either end: a checkerboard is, as heat may turn its contrast over."""
        return self.kind == "checkerboard"

    @property
    def square(self) -> bool:
        """Whether a quarter turn cannot be told from none."""
        return self.kind == "checkerboard" and self.columns == self.rows


def parse_target(text: str) -> Target:
    """A target by its name; see the module.

    Raises:
        UsageError: something else.
    """
    match = _NAME.fullmatch(text.strip().lower())
    if match is None or match[1] not in get_args(Kind):
        raise UsageError(
            f"--target {text}", remedy="give kind, columns x rows and step, such as checkerboard:9x6:30mm (inner"
            " corners), circles:4x11:20mm (asymmetric) or charuco:7x5:40mm (squares)",
        )  # fmt: skip
    step = float(match[4]) * UNITS_M[match[5]]
    marker = float(match[6]) * UNITS_M[match[7]] if match[6] else MARKER_SHARE * step
    found = Target(match[1], int(match[2]), int(match[3]), step, marker)  # type: ignore[arg-type]
    _check(found, text)
    return found


def _check(target: Target, text: str) -> None:
    if min(target.columns, target.rows) < 3 or max(target.columns, target.rows) > 40:
        raise UsageError(f"--target {text}: {target.columns}x{target.rows}", remedy="boards have 3 to 40 each way")
    if not 0.001 <= target.step_m <= 2:
        raise UsageError(f"--target {text}: a step of {target.step_m:g} m", remedy="give 1 mm to 2 m, with its unit")
    if target.kind == "charuco" and not 0.3 * target.step_m <= target.marker_m < target.step_m:
        raise UsageError(f"--target {text}: markers of {1e3 * target.marker_m:g} mm", remedy="smaller than the squares")
    if target.kind == "circles" and target.rows % 2 == 0:  # OpenCV numbers them from any corner, or finds none
        raise UsageError(
            f"--target {text}: circles in an even number of rows lie the same when the board is upside down",
            remedy="use a board with an odd number of rows, such as 4x11",
        )
    if target.square:
        raise UsageError(
            f"--target {text}: a board with as many corners each way cannot be told from itself turned by a quarter",
            remedy="use one of 9x6, or a ChArUco",
        )


DICTIONARIES = ("4X4", "5X5", "6X6", "7X7")
"""Of ChArUco markers, by the bits each way; one is as good as another."""


def charuco(target: Target, dictionary: int) -> Any:
    """OpenCV's board of a ChArUco, its markers from one of ``DICTIONARIES``."""
    import cv2

    markers = (target.columns * target.rows + 1) // 2
    size = next(size for size in (50, 100, 250, 1000) if size >= markers)
    known = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, f"DICT_{DICTIONARIES[dictionary]}_{size}"))
    return cv2.aruco.CharucoBoard((target.columns, target.rows), target.step_m, target.marker_m, known)
