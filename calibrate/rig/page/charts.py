"""The page's charts as coordinates: what is drawn where is decided here, how it looks in the templates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calibrate.rig.checking import Checked
from calibrate.rig.job import Parallax, Result
from calibrate.rig.offset import MOST_LAG
from edgefusion.pages.axis import Axis
from edgefusion.recordings.pairing import SIDES

LENGTHEN = 40
"""Residual vectors are drawn so many times as long as they are."""

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
            ends = (seen.points_px - flat) * LENGTHEN * scale
            starts = flat * scale
            parts += [
                f"M{offset + left:.1f} {top:.1f}l{across:.1f} {down:.1f}"
                for (left, top), (across, down) in zip(starts, ends, strict=True)
            ]
        error = result.solution.error_px[number]
        note = f"{side}: RMS {error:.2f} px, drawn {LENGTHEN} times as long"
        panels.append(Panel(side, offset, PANEL_PX, round(size[1] * scale, 1), "".join(parts), note))
    return panels


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
