"""The page's charts as coordinates: what is drawn where is decided here, how it looks in the templates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calibrate.frames.choice import START
from calibrate.frames.descriptor import GROUPS, LUMA, THERMAL_CONTRAST
from calibrate.frames.selection import Selection, descriptors
from calibrate.frames.strata import HIGH_CONTRAST, LOW_CONTRAST, MOVING, Floats, motion_of
from calibrate.frames.survey import Candidate
from edgefusion.core.frames import NIGHT_LUMA
from edgefusion.pages.axis import Axis

GROUP_CLASSES = {name: f"s{number}" for number, name in enumerate((*GROUPS, START))}
"""What a frame was chosen for -> the class that gives its colour."""

TOP_CONTRAST = 0.36
MOTION_EDGES = np.geomspace(0.0003, 0.1, 21)
"""From a hundredth of a grey level to a cut; beyond, in the outermost bars."""


@dataclass(frozen=True)
class Dot:
    """A mark with its colour's class and what it says when pointed at."""

    x: float
    y: float
    colour: str
    title: str


@dataclass(frozen=True)
class Region:
    """A stratum of light x thermal contrast as a rectangle, and how many usable frames are in it."""

    x: float
    y: float
    width: float
    height: float
    light: str
    contrast: str
    frames: int


@dataclass(frozen=True)
class Scatter:
    """Illumination x thermal contrast."""

    x: Axis
    y: Axis
    regions: list[Region]
    usable: str
    chosen: list[Dot]
    holdout: list[Dot]


def scatter(selection: Selection) -> Scatter:
    """Every usable frame, the chosen ones and the holdout; regions where there is none stand out."""
    training = descriptors(selection.survey.training)
    top = max(TOP_CONTRAST, float(training[:, THERMAL_CONTRAST].max()))
    x, y = Axis(0, 1, 56, 864), Axis(0, top, 376, 16)
    path = "".join(f"M{x.at(row[LUMA])} {y.at(row[THERMAL_CONTRAST])}h0" for row in training)
    chosen = [
        _dot(candidate, x, y, GROUP_CLASSES[choice.group], f"{number}: {choice.group}")
        for number, (choice, candidate) in enumerate(zip(selection.choices, selection.training, strict=True), start=1)
    ]
    holdout = [_dot(candidate, x, y, "held", "holdout") for candidate in selection.holdout]
    return Scatter(x, y, _regions(training, x, y), path, chosen, holdout)


def _dot(candidate: Candidate, x: Axis, y: Axis, colour: str, what: str) -> Dot:
    luma, contrast = float(candidate.descriptor[LUMA]), float(candidate.descriptor[THERMAL_CONTRAST])
    return Dot(x.at(luma), y.at(contrast), colour, f"{what}; luma {luma:.2f}, thermal contrast {contrast:.2f}")


def _regions(training: Floats, x: Axis, y: Axis) -> list[Region]:
    lumas = {"night": (0.0, NIGHT_LUMA), "day": (NIGHT_LUMA, np.inf)}
    contrasts = {"low": (0.0, LOW_CONTRAST), "medium": (LOW_CONTRAST, HIGH_CONTRAST), "high": (HIGH_CONTRAST, np.inf)}
    found = []
    for light, (dark, bright) in lumas.items():
        for contrast, (low, high) in contrasts.items():
            luma, spread = training[:, LUMA], training[:, THERMAL_CONTRAST]
            inside = (luma >= dark) & (luma < bright) & (spread >= low) & (spread < high)
            left, upper = x.at(dark), y.at(high)
            width, height = round(x.at(bright) - left, 1), round(y.at(low) - upper, 1)
            found.append(Region(left, upper, width, height, light, contrast, int(inside.sum())))
    return found


@dataclass(frozen=True)
class Bar:
    """One bin of motion: a bar of usable and a bar of chosen frames, heights in pixels."""

    x: float
    usable_px: float
    chosen_px: float
    title: str


@dataclass(frozen=True)
class MotionChart:
    """Shares of frames by motion; ``moving_px`` is where moving begins."""

    bars: list[Bar]
    bar_px: float
    base_px: float
    moving_px: float
    ticks: list[tuple[float, str]]


def motion_chart(selection: Selection) -> MotionChart:
    """How fast things move in usable and in chosen frames, in equal ratios."""
    x = Axis(float(MOTION_EDGES[0]), float(MOTION_EDGES[-1]), 56, 864, log=True)
    sides = _shares(selection.survey.training), _shares(selection.training)
    tallest, height = max(float(side.max()) for side in sides), 150
    bars = [
        Bar(
            x.at(float(low)),
            round(float(usable) / tallest * height, 1),
            round(float(chosen) / tallest * height, 1),
            f"{255 * low:.2f} to {255 * high:.2f} grey levels: {usable:.0%} of usable, {chosen:.0%} of chosen frames",
        )
        for low, high, usable, chosen in zip(MOTION_EDGES, MOTION_EDGES[1:], *sides, strict=False)
    ]
    ticks = [(x.at(levels / 255), f"{levels:g}") for levels in (0.1, 0.3, 1, 3, 10)]
    return MotionChart(bars, round(808 / len(bars), 1), 176, x.at(MOVING), ticks)


def _shares(candidates: Sequence[Candidate]) -> Floats:
    motion = np.clip(motion_of(descriptors(candidates)), MOTION_EDGES[0], MOTION_EDGES[-1])
    counts, _ = np.histogram(motion, MOTION_EDGES)
    return np.asarray(counts / len(candidates), np.float32)


@dataclass(frozen=True)
class Timeline:
    """One recording from its first to its last usable frame."""

    name: str
    start_ns: int
    length: str
    chosen: list[Dot]
    holdout: list[Dot]
    holdout_px: float | None
    count: int


def timelines(selection: Selection, sources: Sequence[str]) -> list[Timeline]:
    """Where in each recording the chosen frames and the holdout lie."""
    return [_timeline(selection, number, name) for number, name in enumerate(sources)]


def _timeline(selection: Selection, number: int, name: str) -> Timeline:
    survey, stills = selection.survey, selection.survey.stills
    times = [one.timestamp_ns for one in (*survey.training, *survey.holdout) if one.recording == number]
    first, last = min(times, default=0), max(times, default=0)
    x = Axis(first, max(last, first + 1), 8, 864)
    held = [one.timestamp_ns for one in survey.holdout if one.recording == number]
    chosen = [
        Dot(x.at(one.timestamp_ns), 0, GROUP_CLASSES[choice.group], choice.group)
        for choice, one in zip(selection.choices, selection.training, strict=True)
        if one.recording == number
    ]
    holdout = [Dot(x.at(one.timestamp_ns), 0, "held", "") for one in selection.holdout if one.recording == number]
    length = f"{len(times)} pictures" if stills else f"{(last - first) / 1e9:.1f} s"
    return Timeline(name, first, length, chosen, holdout, x.at(min(held)) if held and not stills else None, len(chosen))
