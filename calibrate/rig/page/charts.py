"""The page's charts as coordinates: what is drawn where is decided here, how it looks in the templates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from calibrate.rig.checking import Checked
from calibrate.rig.job import Parallax, Result
from calibrate.rig.offset import MOST_LAG
from calibrate.rig.targetless import Drive
from edgefusion.core.geometry import Matrix, scale_of
from edgefusion.pages.axis import Axis
from edgefusion.recordings.pairing import SIDES

LENGTHEN, LENGTHEN_WINDOWS = 40, 8
"""Residual vectors are drawn so many times as long as they are: of a target's points, of a drive's windows."""

PANEL_PX, GAP_PX = 420, 24


@dataclass(frozen=True)
class Line:
    """A curve as an SVG path, marks along the axes, and points that say what they are."""

    path: str
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    points: list[tuple[float, float, str]]
    special_px: float


def parallax(rows: Sequence[Parallax], reference_m: float) -> Line:
    """Misalignment by distance, both in equal ratios of distance and in pixels."""
    near, far = rows[0].distance_m, rows[-1].distance_m
    x = Axis(near, far, 56, 864, log=True)
    y = Axis(0, max(max(row.mean_px for row in rows), 0.1) * 1.05, 216, 16)
    points = [
        (x.at(row.distance_m), y.at(row.mean_px),
         f"at {row.distance_m:g} m: {row.mean_px:.1f} px, at most {row.most_px:.1f}")
        for row in rows
    ]  # fmt: skip
    path = "M" + "L".join(f"{left} {top}" for left, top, _ in points)
    ticks = [(x.at(row.distance_m), f"{row.distance_m:g}") for row in rows]
    return Line(path, ticks, _levels(y), points, x.at(reference_m))


def _levels(axis: Axis) -> list[tuple[float, str]]:
    return [(axis.at(value), f"{value:.{3 if value >= 1 else 2}g}") for value in np.linspace(0, axis.high, 4)]


def lags(curve: Sequence[float]) -> Line:
    """Agreement of what moves by lag."""
    x = Axis(-MOST_LAG, MOST_LAG, 56, 864)
    y = Axis(min(min(curve), 0.0), max(max(curve), 0.01) * 1.05, 216, 16)
    numbers = range(-MOST_LAG, MOST_LAG + 1)
    points = [(x.at(lag), y.at(value), f"{lag} frames: {value:.2f}") for lag, value in zip(numbers, curve, strict=True)]
    path = "M" + "L".join(f"{left} {top}" for left, top, _ in points)
    best = numbers[int(np.argmax(curve))]
    return Line(path, [(x.at(lag), str(lag)) for lag in range(-15, 16, 5)], _levels(y), points, x.at(best))


@dataclass(frozen=True)
class Panel:
    """An image's outline and what is drawn in it."""

    name: str
    x: float
    width: float
    height: float
    path: str
    note: str


def residuals(result: Result) -> list[Panel]:
    """How far each point lies from where the calibration puts it, in both cameras, much lengthened."""
    panels = []
    for number, (side, size) in enumerate(zip(SIDES, result.sizes_px, strict=True)):
        scale, offset = PANEL_PX / size[0], number * (PANEL_PX + GAP_PX)
        lens = (result.solution.geometry.visible, result.solution.geometry.thermal)[number]
        parts = []
        for frame in result.solution.frames:
            seen = frame.seen[number]
            points = result.survey.target.points_m[seen.numbers]
            rotation, moved = lens.pose(points, seen.points_px)
            flat = lens.pixels(points @ rotation.T + moved)
            parts.append(_vectors(flat * scale, (seen.points_px - flat) * LENGTHEN * scale, offset))
        error = result.solution.error_px[number]
        note = f"{side}: RMS {error:.2f} px, drawn {LENGTHEN} times as long"
        panels.append(Panel(side, offset, PANEL_PX, round(size[1] * scale, 1), "".join(parts), note))
    return panels


def _vectors(starts: Matrix, ways: Matrix, offset: float) -> str:
    return "".join(
        f"M{offset + left:.1f} {top:.1f}l{across:.1f} {down:.1f}"
        for (left, top), (across, down) in zip(starts, ways, strict=True)
    )


def window_residuals(drive: Drive) -> list[Panel]:
    """How far each window that agrees lies from where the registration puts it: over the pairs, and in each of them."""
    scale, offset = PANEL_PX / drive.sizes_px[0][0], PANEL_PX + GAP_PX
    centres = drive.windows[0].centres_px
    agrees, shifts = _of_pairs(drive)
    seen = np.flatnonzero(agrees.any(axis=0))
    middle = np.array([np.median(shifts[agrees[:, each], each], axis=0) for each in seen]).reshape(-1, 2)
    every = np.broadcast_to(centres, shifts.shape)[agrees]
    height = round(drive.sizes_px[0][1] * scale, 1)
    return [
        Panel(
            name, x, PANEL_PX, height, _vectors(starts * scale, ways * LENGTHEN_WINDOWS * scale, x),
            f"{name}: RMS {_rms_px(ways):.1f} px, drawn {LENGTHEN_WINDOWS} times as long",
        )
        for name, x, starts, ways in (
            ("median of the pairs", 0, centres[seen], middle), ("each pair", offset, every, shifts[agrees]),
        )
    ]  # fmt: skip


def window_coverage(drive: Drive) -> list[Panel]:
    """Where windows agree, in both images: a square each, as large as the share of the pairs in which it does."""
    agrees, _ = _of_pairs(drive)
    share, centres = agrees.mean(axis=0), drive.windows[0].centres_px
    apart = float(np.diff(np.unique(centres[:, 0]))[0])
    places = (centres, apart), (drive.registration.points(centres), apart * scale_of(drive.registration.matrix))
    panels = []
    for number, (side, size, (points, step)) in enumerate(zip(SIDES, drive.sizes_px, places, strict=True)):
        scale, offset = PANEL_PX / size[0], number * (PANEL_PX + GAP_PX)
        half = step * scale * np.sqrt(share) / 2
        squares = zip(points * scale, half, strict=True)
        path = "".join(
            f"M{offset + x - r:.1f} {y - r:.1f}h{2 * r:.1f}v{2 * r:.1f}h{-2 * r:.1f}z" for (x, y), r in squares if r
        )
        note = f"{side}: {(share >= 0.5).mean():.0%} of the windows agree in half of the pairs or more"
        panels.append(Panel(side, offset, PANEL_PX, round(size[1] * scale, 1), path, note))
    return panels


def _of_pairs(drive: Drive) -> tuple[npt.NDArray[np.bool_], Matrix]:
    """[P, B] and [P, B, 2] of the accepted pairs' windows."""
    return np.array([each.agrees for each in drive.windows]), np.array([each.shifts_px for each in drive.windows])


def _rms_px(ways: Matrix) -> float:
    return float(np.sqrt((ways**2).sum(axis=1).mean())) if len(ways) else 0.0


def coverage(result: Result) -> list[Panel]:
    """Every point of the target that was used."""
    panels = []
    for number, (side, size) in enumerate(zip(SIDES, result.sizes_px, strict=True)):
        scale, offset = PANEL_PX / size[0], number * (PANEL_PX + GAP_PX)
        points = np.concatenate([frame.seen[number].points_px for frame in result.solution.frames]) * scale
        path = "".join(f"M{offset + x:.1f} {y:.1f}h0" for x, y in points)
        note = f"{side}: {result.coverage[side]:.0%} of the image"
        panels.append(Panel(side, offset, PANEL_PX, round(size[1] * scale, 1), path, note))
    return panels


@dataclass(frozen=True)
class Arrow:
    """A region's misalignment, lengthened, with its number of pixels."""

    x: float
    y: float
    across: float
    down: float
    label: str


def regions(found: Checked) -> list[Arrow]:
    """The nine regions of the visible image, 640 wide."""
    width, height = found.sizes_px[0]
    longest = max(max(each.length_px for each in found.regions), 1.0)
    tall = 640 * height / width
    return [
        Arrow(
            round((number % 3 + 0.5) * 640 / 3, 1), round((number // 3 + 0.5) * tall / 3, 1),
            round(each.x_px / longest * 60, 1), round(each.y_px / longest * 60, 1), f"{each.length_px:.1f}",
        )
        for number, each in enumerate(found.regions)
    ]  # fmt: skip
