"""``edgefusion calibrate rig`` with a target: look, choose, solve, judge, and write rig.toml."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from calibrate.rig import checks, writing
from calibrate.rig.choice import Choice, choose
from calibrate.rig.geometry import DISTANCES_M, lens_px, parallax_px
from calibrate.rig.order import ordered
from calibrate.rig.solve import Frame, Solution, geometry_of, solve
from calibrate.rig.survey import Survey, survey
from calibrate.rig.target import Target
from edgefusion.core.errors import InputError
from edgefusion.core.geometry import Matrix, Registration, Size, apply, check_registration, inverse
from edgefusion.core.lenses import Geometry
from edgefusion.core.progress import progress
from edgefusion.core.rig import Rig, load_rig, read_text
from edgefusion.recordings.options import NamedRecording
from edgefusion.recordings.pairing import SIDES
from edgefusion.registration import Model

GROUPS = 4
"""The frames are split into so many groups; how much the map changes without one of them is how sure it is."""

LITTLE_COVERAGE = 0.5


@dataclass(frozen=True)
class RigSettings:
    """What the options of ``edgefusion calibrate rig`` say beside the recording; see its help."""

    out: Path
    rig_path: Path | None = None
    reference_m: float = 15.0
    baseline_m: float | None = None
    quiet: bool = True
    model: Model = "homography"

    def rig(self) -> Rig | None:
        """The rig.toml to start from."""
        return load_rig(self.rig_path) if self.rig_path else None


@dataclass(frozen=True)
class Parallax:
    """How far the registration is off for what is at another distance, in visible pixels."""

    distance_m: float
    mean_px: float
    most_px: float


@dataclass(frozen=True)
class Result:
    """What came of a calibration with a target.

    Attributes:
        survey, choice, solution: how it came about.
        registration: [3, 3] for the recording's sizes; the lenses' bend is added to it.
        reference_m: the distance it is for.
        uncertainty_px: standard deviation of the registration, mean over the image, visible pixels.
        lens_px: that bend, mean and most, visible pixels.
        parallax: by distance.
        coverage: share of each camera's image that the target was seen in.
        cautions: what to mind, as sentences.
        before: the registration that the rig had, for these sizes.
    """

    survey: Survey
    choice: Choice
    solution: Solution
    registration: Matrix
    reference_m: float
    uncertainty_px: float
    lens_px: tuple[float, float]
    parallax: list[Parallax]
    coverage: dict[str, float]
    cautions: list[str]
    before: Registration | None

    @property
    def sizes_px(self) -> tuple[Size, Size]:
        """Of the visible and the thermal images."""
        return self.survey.size_px["visible"], self.survey.size_px["thermal"]

    @property
    def rejected(self) -> dict[int, str]:
        """Index of each frame that was not used, and why."""
        return {**self.choice.rejected, **self.solution.rejected}


Failed = Callable[[Survey, dict[int, str], str], None]


def calibrate_target(
    named: NamedRecording, target: Target, settings: RigSettings, *, failed: Failed | None = None
) -> Result:
    """Calibrate on a recording of a target and write rig.toml.

    Args:
        named: the recording.
        target: the board.
        settings: the rest.
        failed: told what was seen, which frames were left out and what is wrong, before it is raised.

    Raises:
        InputError: the recording does not determine the geometry; it says why.
        RigError: the rig.toml is wrong, or cannot be edited.
        EdgeFusionError: whatever else is wrong with the recording or the place to write to.
    """
    rig, recording = settings.rig(), named.open()
    with progress("looking", recording.length or None, hidden=settings.quiet) as advance:
        seen = survey(recording, target, advance)
    choice = Choice([], {})
    try:
        checks.check_seen(seen)
        choice = choose(seen)
        result = _result(seen, choice, rig, settings)
    except InputError as error:
        if failed:
            failed(seen, choice.rejected, error.what)
        raise error.placed(named.name) from None
    writing.write_rig(settings.out, _text(result, rig, settings, _formats(named)), start=settings.rig_path)
    return result


def _result(seen: Survey, choice: Choice, rig: Rig | None, settings: RigSettings) -> Result:
    checks.check_poses(choice, seen)
    target, sizes = seen.target, (seen.size_px["visible"], seen.size_px["thermal"])
    pairs = [(each.of("visible"), each.of("thermal")) for each in choice.chosen]
    pairs = ordered(pairs, target, widths_px=(sizes[0][0], sizes[1][0]))
    frames = [Frame(each.index, pair) for each, pair in zip(choice.chosen, pairs, strict=True)]
    solution = _solved(frames, target, sizes)
    geometry, reference_m = solution.geometry, settings.reference_m
    try:
        registration = geometry.registration(reference_m)
        uncertainty = _uncertainty_px(solution, target, registration, reference_m)
    except (cv2.error, ValueError) as error:
        raise _undetermined(error) from error
    checks.check_solution(solution, uncertainty, target)
    ruler = settings.baseline_m or (rig.calibration.baseline_m if rig and rig.calibration else None)
    if ruler is not None:
        checks.check_baseline(geometry.baseline_m, ruler, target)
    parallax = [Parallax(far, *parallax_px(geometry, far, reference_m)) for far in _distances(reference_m)]
    coverage: dict[str, float] = {side: _coverage(frames, number, sizes[number]) for number, side in enumerate(SIDES)}
    bent = lens_px(geometry, registration, reference_m)
    cautions = _cautions(coverage, uncertainty, target, ruler)
    before = rig.registration_for(*sizes) if rig else None
    return Result(
        seen, choice, solution, registration, reference_m, uncertainty, bent, parallax, coverage, cautions, before
    )


def _solved(frames: Sequence[Frame], target: Target, sizes: tuple[Size, Size]) -> Solution:
    try:
        return solve(frames, target, sizes)
    except cv2.error as error:
        raise _undetermined(error) from error


def _undetermined(error: Exception) -> InputError:
    detail = str(error).splitlines()[0]
    return InputError(f"the poses do not determine the two cameras ({detail})", remedy=checks.MORE)


def _uncertainty_px(solution: Solution, target: Target, registration: Matrix, reference_m: float) -> float:
    """Jackknife: how differently the map comes out without one group of the frames after the other."""
    geometry, frames = solution.geometry, solution.frames
    sizes = (geometry.visible.size_px, geometry.thermal.size_px)
    points, _ = geometry.overlap(reference_m)
    mapped = []
    for group in range(GROUPS):
        rest = [each for number, each in enumerate(frames) if number % GROUPS != group]
        other = geometry_of(rest, target, sizes)
        mapped.append(apply(inverse(registration), other.thermal_points(points, reference_m)))
    spread = np.array(mapped) - np.mean(mapped, axis=0)
    variance = (GROUPS - 1) / GROUPS * (spread**2).sum(axis=(0, 2))
    return float(np.sqrt(variance).mean())


def _distances(reference_m: float) -> list[float]:
    return sorted({*DISTANCES_M, reference_m})


def _coverage(frames: Sequence[Frame], side: int, size_px: Size) -> float:
    points = np.concatenate([each.seen[side].points_px for each in frames]).astype(np.float32)
    return float(cv2.contourArea(cv2.convexHull(points)) / (size_px[0] * size_px[1]))


def _cautions(coverage: dict[str, float], uncertainty_px: float, target: Target, ruler_m: float | None) -> list[str]:
    found = [
        f"the target was seen in {share:.0%} of the {side} image only: its lens is a guess in the rest"
        for side, share in coverage.items()
        if share < LITTLE_COVERAGE
    ]
    if uncertainty_px > 1:
        found.append(f"the registration is uncertain by {uncertainty_px:.1f} px: record more poses")
    if ruler_m is None:
        found.append(
            f"nothing checks the step of {1e3 * target.step_m:g} mm, and every distance is as right as it is: give"
            " --baseline, the distance between the lenses by ruler"
        )
    return found


def _formats(named: NamedRecording) -> tuple[str, str]:
    pair = next(iter(named.open()))
    return pair.visible.format.value, pair.thermal.format.value


def _text(result: Result, rig: Rig | None, settings: RigSettings, formats: tuple[str, str]) -> str:
    sizes = (rig.visible.size_px, rig.thermal.size_px) if rig else result.sizes_px
    text = read_text(settings.rig_path) if settings.rig_path else writing.fresh(sizes, formats, bits=16)
    geometry = result.solution.geometry.resized(*sizes)
    own = result.sizes_px
    scaled = Registration(result.registration).scaled(visible=(own[0], sizes[0]), thermal=(own[1], sizes[1]))
    changes = writing.Changes(check_registration(scaled.matrix), _table(result, geometry, settings))
    return writing.edited(text, changes, where=settings.rig_path or settings.out)


def _table(result: Result, geometry: Geometry, settings: RigSettings) -> dict[str, Any]:
    ruler = {"baseline_m": settings.baseline_m} if settings.baseline_m is not None else {}
    lenses: dict[str, Any] = {
        side: {
            "focal_px": _rounded([lens.matrix[0, 0], lens.matrix[1, 1]], 4),
            "centre_px": _rounded([lens.matrix[0, 2], lens.matrix[1, 2]], 4),
            "distortion": _rounded(lens.distortion, 7),
        }
        for side, lens in zip(SIDES, (geometry.visible, geometry.thermal), strict=True)
    }
    return {
        **ruler,
        "target": str(result.survey.target),
        "reference_m": result.reference_m,
        "error_px": round(result.solution.error_px[2], 4),
        "uncertainty_px": round(result.uncertainty_px, 4),
        "rotation": [_rounded(row, 8) for row in geometry.rotation],
        "translation_m": _rounded(geometry.translation_m, 6),
        **lenses,
    }


def _rounded(values: Sequence[float] | Any, digits: int) -> list[float]:
    return [round(float(value), digits) for value in values]
