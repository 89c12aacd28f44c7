"""What a target recording may suffer from: each is refused with its reason, so that no wrong calibration comes out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from calibrate.rig.choice import Choice, guessed_pose
from calibrate.rig.detect import Detector, others
from calibrate.rig.solve import Solution
from calibrate.rig.survey import Looked, Survey, spread
from calibrate.rig.target import Target
from calibrate.rig.views import Bytes
from edgefusion.core.errors import InputError
from edgefusion.recordings.pairing import SIDES, Side

LEAST_FRAMES = 8
"""In unlike poses; fewer determine neither the lenses nor, by leaving some out, how sure the result is."""

LEAST_TILT_DEG = 14.0
"""Between the two poses that are tilted most differently."""

MOST_FOCAL_ERROR, MOST_ERROR_PX, MOST_UNCERTAINTY_PX = 0.02, 1.0, 4.0
"""Standard deviation of a focal length; RMS of the points; of the registration. Beyond, nothing is determined."""

BASELINE_SHARE = 0.1
"""What a baseline may differ from one by ruler, and 5 mm."""

MOST_BASELINE_M, DISTANCE_M = 1.5, (0.05, 60.0)
"""Rigs and boards beyond are not; a wrong unit makes such."""

TRIED = 4
"""Frames in which other boards, and mirrored ones, are looked for."""

MORE = "record more frames, the board at rest, near and far, in every corner, tilted by 20 to 40 degrees each way"


def check_seen(survey: Survey) -> None:
    """Refuse a recording in which one of the cameras never sees the target, or both together too seldom.

    Raises:
        InputError: so it is; it says how often each camera does, in which frame best, and what is seen instead.
    """
    counts = {side: survey.count(side) for side in SIDES}
    blind = [side for side in SIDES if not counts[side]]
    if blind:
        raise InputError(
            f"{survey.target} is never seen by {' nor by '.join(blind)}{_instead(survey, blind)}{_counts(survey)}",
            remedy=_remedy(blind),
        )
    both = sum(each.both for each in survey.looked)
    if both < LEAST_FRAMES:
        raise InputError(
            f"{survey.target} is seen by both cameras at once in {both} frames, at least {LEAST_FRAMES} are needed"
            f"{_counts(survey)}",
            remedy="hold the board where both cameras see all of it, and warm it up: " + MORE,
        )


def _counts(survey: Survey) -> str:
    parts = [
        f"{side} sees it in {survey.count(side)} of {len(survey.looked)} frames{_best(survey, side)}" for side in SIDES
    ]
    return f" ({', '.join(parts)})"


def _best(survey: Survey, side: Side) -> str:
    seen = [each for each in survey.looked if each.seen[side]]
    return f", best in {max(seen, key=lambda each: each.sharpness[side]).name}" if seen else ""


def _remedy(blind: Sequence[Side]) -> str:
    if blind == ["thermal"]:
        return "warm or cool the board so that its pattern has contrast: a heat lamp on foil, a cold metal plate"
    return "check --target: kind, count (inner corners of a checkerboard) and that the whole board is in the image"


def _instead(survey: Survey, blind: Sequence[Side]) -> str:
    """What the blind camera sees in place of the target: its mirror image, or another board."""
    images = [_image(each, blind[0]) for each in _samples(survey, blind)]
    if survey.target.kind == "charuco" and _sightings(survey.target, _flipped(images)) >= 2:
        return f": the {blind[0]} images are mirrored, as the board is found in their mirror images"
    if len(blind) == 1:
        return ""  # the other camera sees the very board
    best, most = None, 1
    for other in others(survey.target):
        if (count := _sightings(other, images)) > most:
            best, most = other, count
        if most == len(images):
            break
    return f", but a {best.kind} of {best.columns}x{best.rows} is: --target {best}?" if best else ""


def _samples(survey: Survey, blind: Sequence[Side]) -> list[Looked]:
    """Frames in which the target may well be: those in which the other camera sees it, or any."""
    seen = [each for each in survey.looked if any(each.seen.values())] if len(blind) == 1 else []
    return spread(seen or survey.looked, TRIED)


def _image(looked: Looked, side: Side) -> Bytes:
    data = np.frombuffer(looked.pictures[side], np.uint8)
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)


def _flipped(images: Iterable[Bytes]) -> list[Bytes]:
    return [np.ascontiguousarray(image[:, ::-1]) for image in images]


def _sightings(target: Target, images: Sequence[Bytes]) -> int:
    detector = Detector(target, patient=False)
    return sum(detector.see(image) is not None for image in images)


def check_poses(choice: Choice, survey: Survey) -> None:
    """Refuse poses that determine no lens.

    Raises:
        InputError: too few that differ, or all of them parallel.
    """
    kept = choice.chosen
    if len(kept) < LEAST_FRAMES:
        raise InputError(
            f"the target is at rest and sharp in only {len(kept)} unlike poses, at least {LEAST_FRAMES} are needed"
            f"{_reasons(choice)}",
            remedy=MORE,
        )
    for side in SIDES:
        normals = np.array([guessed_pose(each.of(side), survey.target, survey.size_px[side])[0][:, 2] for each in kept])
        tilt = _widest_deg(normals)
        if tilt < LEAST_TILT_DEG:
            raise InputError(
                f"the target faces the same way in all {len(kept)} poses, within {tilt:.0f} degrees in {side}: parallel"
                " boards do not tell a long lens from a far board",
                remedy="tilt it by 20 to 40 degrees to the left, right, up and down",
            )


def _reasons(choice: Choice) -> str:
    kinds: dict[str, int] = {}
    for reason in choice.rejected.values():
        kind = reason.split(",")[0].split(":")[0].split(" as ")[0]
        kinds[kind] = kinds.get(kind, 0) + 1
    parts = [f"{count} frames: {kind}" for kind, count in sorted(kinds.items(), key=lambda item: -item[1])]
    return f" ({'; '.join(parts)})" if parts else ""


def _widest_deg(normals: npt.NDArray[np.float64]) -> float:
    return float(np.degrees(np.arccos(np.clip(normals @ normals.T, -1, 1))).max())


def check_solution(solution: Solution, uncertainty_px: float, target: Target) -> None:
    """Refuse a result that the frames do not determine.

    Raises:
        InputError: they contradict each other, or leave the lenses or the registration open.
    """
    used, left_out = len(solution.frames), len(solution.rejected)
    if used < LEAST_FRAMES or left_out > used:
        raise InputError(
            f"{left_out} of {used + left_out} frames contradict the others; for one,"
            f" {next(iter(solution.rejected.values()))}",
            remedy="use a flat, stiff board, hold it still, and check that both cameras expose at one moment",
        )
    for side, error, focal in zip(SIDES, solution.error_px, solution.focal_error, strict=False):
        if error > MOST_ERROR_PX:
            raise InputError(
                f"the target's points lie {error:.1f} px off in {side}, more than {MOST_ERROR_PX:g}",
                remedy="use a flat, stiff board and hold it still; check the camera's focus",
            )
        if focal > MOST_FOCAL_ERROR:
            raise InputError(
                f"the poses leave {side}'s focal length open by {focal:.1%}, more than {MOST_FOCAL_ERROR:.0%}",
                remedy=MORE,
            )
    if uncertainty_px > MOST_UNCERTAINTY_PX:
        raise InputError(
            f"the registration is uncertain by {uncertainty_px:.1f} px: other frames would give another one",
            remedy=MORE,
        )
    _check_scale(solution, target)


def _check_scale(solution: Solution, target: Target) -> None:
    found, far = solution.geometry.baseline_m, _distance_m(solution, target)
    if found > MOST_BASELINE_M or not DISTANCE_M[0] <= far <= DISTANCE_M[1]:
        raise InputError(
            f"with a step of {1e3 * target.step_m:g} mm the cameras would be {found:.3g} m apart and the board"
            f" {far:.3g} m away",
            remedy="check the step given in --target, and its unit",
        )


def _distance_m(solution: Solution, target: Target) -> float:
    """Of the board from the visible camera, the median."""
    lens, far = solution.geometry.visible, []
    for frame in solution.frames:
        seen = frame.seen[0]
        _, moved = lens.pose(target.points_m[seen.numbers], seen.points_px)
        far.append(float(np.linalg.norm(moved)))
    return float(np.median(far))


def check_baseline(found_m: float, ruler_m: float, target: Target) -> None:
    """Refuse a baseline that a ruler contradicts.

    Raises:
        InputError: they differ; it says what the step would have to be.
    """
    if abs(found_m - ruler_m) <= max(BASELINE_SHARE * ruler_m, 0.005):
        return
    step = 1e3 * target.step_m * ruler_m / found_m if found_m > 1e-4 else float("nan")
    raise InputError(
        f"the cameras come out {1e3 * found_m:.1f} mm apart and are {1e3 * ruler_m:.1f} mm apart by ruler",
        remedy=f"check the step of --target ({1e3 * target.step_m:g} mm): {step:.1f} mm would agree; or the baseline",
    )
