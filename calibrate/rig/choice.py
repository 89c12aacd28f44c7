"""Which frames to calibrate on: seen by both cameras, at rest, sharp, each in another pose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from calibrate.rig.detect import LEAST_POINTS, Sighting
from calibrate.rig.survey import Looked, Survey
from calibrate.rig.target import Target
from edgefusion.core.geometry import Size
from edgefusion.recordings.pairing import SIDES

Doubles = npt.NDArray[np.float64]

MOST = 40
"""More frames than this add time rather than accuracy."""

FASTEST_PX = 1.5
"""A frame: beyond, the two cameras' exposures no longer show the board in one place."""

BLURRED = 0.45
"""A frame whose sharpness is below this share of the usual is left out."""

ALIKE = 0.14
"""Poses nearer to each other than this are one: a seventh of the image, 8 degrees or a seventh in distance."""

APART = "the two cameras see different parts of the board"


@dataclass(frozen=True)
class Choice:
    """The frames that were chosen, and why each other one was not."""

    chosen: list[Looked]
    rejected: dict[int, str]


def choose(survey: Survey) -> Choice:
    """Frames that both cameras see the target in, unlike each other."""
    rejected = {each.index: _unseen(each) for each in survey.looked if not each.both}
    rest = [each for each in survey.looked if each.both]
    rejected |= _unfit(rest) | {each.index: APART for each in rest if _apart(each, survey.target)}
    rest = [each for each in rest if each.index not in rejected]
    places = np.array([_pose(each.of("visible"), survey.target, survey.size_px["visible"]) for each in rest])
    chosen: list[int] = []
    apart = np.full(len(rest), np.inf)
    while len(chosen) < min(MOST, len(rest)):
        best = int(np.argmax(apart)) if chosen else _calmest(rest)
        if apart[best] < ALIKE:
            break
        chosen.append(best)
        apart = np.minimum(apart, np.linalg.norm(places - places[best], axis=1))
    kept = [rest[number] for number in sorted(chosen)]
    for number, each in enumerate(rest):
        if number not in chosen:
            nearest = min(chosen, key=lambda other: float(np.linalg.norm(places[number] - places[other])))
            alike = apart[number] < ALIKE
            rejected[each.index] = f"much the same pose as {rest[nearest].name}" if alike else f"{MOST} others suffice"
    return Choice(kept, rejected)


def _calmest(rest: Sequence[Looked]) -> int:
    return min(range(len(rest)), key=lambda number: rest[number].speed_px or 0.0)


def _unseen(looked: Looked) -> str:
    missing = [side for side in SIDES if looked.seen[side] is None]
    return f"target not found in {' and '.join(missing)}"


def _unfit(rest: Sequence[Looked]) -> dict[int, str]:
    """Frames in motion, and blurred ones."""
    found = {}
    usual = {side: float(np.median([each.sharpness[side] for each in rest])) if rest else 0.0 for side in SIDES}
    for each in rest:
        blurred = [side for side in SIDES if each.sharpness[side] < BLURRED * usual[side]]
        if each.speed_px is not None and each.speed_px > FASTEST_PX:
            found[each.index] = f"the target moves, by {each.speed_px:.1f} px a frame"
        elif blurred:
            share = each.sharpness[blurred[0]] / usual[blurred[0]]
            found[each.index] = f"{blurred[0]} is blurred: {share:.0%} of the usual sharpness"
    return found


def _apart(looked: Looked, target: Target) -> bool:
    """Whether the points that both cameras see say nothing about how the cameras stand: too few, or on one line."""
    visible, thermal = looked.of("visible"), looked.of("thermal")
    ends = [thermal, thermal.turned(target)] if target.ambiguous else [thermal]  # which it is, is not known yet
    return any(_too_little(np.intersect1d(visible.numbers, each.numbers), target) for each in ends)


def _too_little(numbers: npt.NDArray[np.int64], target: Target) -> bool:
    if len(numbers) < LEAST_POINTS:
        return True
    places = np.round(target.points_m[numbers, :2].astype(np.float64) / target.step_m)
    return bool(np.linalg.matrix_rank(places - places[0]) < 2)


def _pose(seen: Sighting, target: Target, size_px: Size) -> Doubles:
    """Where the board is and how it is turned, so that like poses are near each other; by an assumed lens."""
    rotation, translation = guessed_pose(seen, target, size_px)
    centre = seen.centre / max(size_px) * 2
    depth = np.log(np.linalg.norm(translation))
    along = rotation[:, 0]
    return np.array([*centre, depth, *rotation[:2, 2], np.arctan2(along[1], along[0]) / 2])


def guessed_pose(seen: Sighting, target: Target, size_px: Size) -> tuple[Doubles, Doubles]:
    """[3, 3] and [3] (m) from the board to a camera that sees 50 degrees across; its normal towards the scene."""
    focal = 1.07 * max(size_px)
    matrix = np.array([[focal, 0, (size_px[0] - 1) / 2], [0, focal, (size_px[1] - 1) / 2], [0, 0, 1.0]])
    points = target.points_m[seen.numbers].astype(np.float64)
    _, turn, translation = cv2.solvePnP(points, seen.points_px, matrix, None, flags=cv2.SOLVEPNP_IPPE)
    rotation = np.asarray(cv2.Rodrigues(turn)[0], np.float64)
    return rotation, np.asarray(translation, np.float64).ravel()
