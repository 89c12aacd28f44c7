"""A calibration of a rig as one HTML file that needs no network and no script."""

from __future__ import annotations

from typing import Any

from calibrate.page import SHARED
from calibrate.rig.checking import Checked
from calibrate.rig.job import Result
from calibrate.rig.page import charts, overlays
from calibrate.rig.survey import Survey, spread
from calibrate.rig.targetless import Drive, Refused
from calibrate.rig.text import VERDICTS, facts, lens_words, offset_words, pair_words, parallax_words
from edgefusion.pages import render_page
from edgefusion.recordings.pairing import SIDES

OVERLAYS = 6


def render_target(result: Result, name: str) -> str:
    """The page of a calibration with a target."""
    chosen = spread([each.index for each in result.solution.frames], OVERLAYS)
    looked = {each.index: each for each in result.survey.looked}
    pictures = [overlays.of_target(looked[index], result) for index in chosen]
    return _page(
        "target.html", name,
        facts=facts(result), pictures=pictures, parallax=charts.parallax(result.parallax, result.reference_m),
        words=[parallax_words(each) for each in result.parallax], residuals=charts.residuals(result),
        coverage=charts.coverage(result), frames=_frames(result.survey, result.rejected, result),
    )  # fmt: skip


def render_failure(survey: Survey, rejected: dict[int, str], problem: str, name: str) -> str:
    """The page of a calibration with a target that was refused: what was seen, and why it is not enough."""
    counts = {f"{side} sees it in": f"{survey.count(side)} of {len(survey.looked)} frames" for side in SIDES}
    return _page(
        "failure.html", name, option="", problem=problem, facts={"target": str(survey.target), **counts},
        heading="The best frames", pictures=overlays.best(survey), frames=_frames(survey, rejected, None),
    )  # fmt: skip


def render_refused_drive(refused: Refused, name: str) -> str:
    """The page of a calibration without a target that was refused: what both cameras saw, and each pair by itself."""
    rows = [
        {"name": each.name, "used": False, "words": pair_words(own)}
        for each, own in zip(refused.samples, refused.alone, strict=True)
    ]
    pictures = [overlays.as_seen(each.pictures, each.name) for each in spread(refused.samples, OVERLAYS)]
    return _page(
        "failure.html", name, option=" --targetless", problem=refused.problem, facts={"pairs": len(refused.samples)},
        heading="What the cameras saw", pictures=pictures, frames=rows,
    )  # fmt: skip


def render_drive(drive: Drive, name: str) -> str:
    """The page of a calibration without a target."""
    pictures = [
        overlays.of_pair(pair, drive.before, drive.registration, drive.sizes_px, label)
        for pair, label in zip(drive.pictures, drive.names, strict=False)
    ]
    offset = drive.offset
    return _page(
        "drive.html", name, drive=drive, pictures=pictures, lens=lens_words(drive) if drive.radial is not None else "",
        offset=offset_words(offset) if offset and not offset.doubt else "",
        curve=charts.lags(offset.curve) if offset and offset.curve else None,
        residuals=charts.window_residuals(drive), coverage=charts.window_coverage(drive), frames=_pairs(drive),
    )  # fmt: skip


def _pairs(drive: Drive) -> list[dict[str, Any]]:
    """Every pair, and what became of it."""
    used = [
        {"name": name, "used": True, "words": pair_words(own)}
        for name, own in zip(drive.names, drive.alone, strict=True)
    ]
    left_out = [{"name": name, "used": False, "words": reason} for name, reason in drive.rejected.items()]
    return [*used, *left_out]


def render_check(found: Checked, name: str) -> str:
    """The page of a check."""
    pictures = [
        overlays.of_pair(pair, found.registration, found.measured, found.sizes_px, f"pair {number}")
        for number, pair in enumerate(found.pictures, start=1)
    ]
    return _page(
        "check.html", name, found=found, verdict=VERDICTS[found.verdict].format(limit=found.limit_px),
        pictures=pictures, arrows=charts.regions(found),
    )  # fmt: skip


def _frames(survey: Survey, rejected: dict[int, str], result: Result | None) -> list[dict[str, Any]]:
    """Every frame that was searched, and what became of it."""
    solution = result.solution if result else None
    errors = (
        {frame.index: error for frame, error in zip(solution.frames, solution.errors_px, strict=True)}
        if solution
        else {}
    )
    return [
        {
            "name": each.name,
            "used": each.index in errors,
            "words": f"{errors[each.index]:.2f} px" if each.index in errors else rejected.get(each.index, "not judged"),
        }
        for each in survey.looked
    ]


def _page(template: str, name: str, **values: Any) -> str:
    return render_page((SHARED, __name__), template, {"recording": name, **values})
