"""A calibration of a rig in a few lines, or as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from calibrate.rig.job import Parallax, Result

SHOWN_M = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
"""Distances that the few lines have; the page and the JSON have all."""


def facts(result: Result) -> dict[str, Any]:
    """Everything that was found, as plain values."""
    solution, geometry = result.solution, result.solution.geometry
    names = {each.index: each.name for each in result.survey.looked}
    return {
        "target": str(result.survey.target),
        "registration": result.registration.tolist(),
        "reference_m": result.reference_m,
        "uncertainty_px": result.uncertainty_px,
        "error_px": dict(zip(("visible", "thermal", "both"), solution.error_px, strict=True)),
        "baseline_m": geometry.baseline_m,
        "turn_deg": geometry.turn_deg,
        "rotation": geometry.rotation.tolist(),
        "translation_m": geometry.translation_m.tolist(),
        "lens_px": {"mean": result.lens_px[0], "most": result.lens_px[1]},
        "parallax": [vars(each) for each in result.parallax],
        "coverage": result.coverage,
        "cautions": result.cautions,
        "looked": len(result.survey.looked),
        "used": [names[each.index] for each in solution.frames],
        "rejected": {names[index]: reason for index, reason in sorted(result.rejected.items())},
    }


def to_json(result: Result, out: Path, page: Path | None) -> str:
    """The facts, and where they were written."""
    return json.dumps({"rig": str(out), "page": str(page) if page else None, **facts(result)}, indent=2)


def describe(result: Result, out: Path, page: Path | None) -> str:
    """What was found, what to mind, and where it is."""
    solution, geometry = result.solution, result.solution.geometry
    visible, thermal, both = solution.error_px
    lines = [
        f"{len(solution.frames)} of {len(result.survey.looked)} frames used; the target's points lie {visible:.2f} px"
        f" off in visible, {thermal:.2f} in thermal, {both:.2f} as one rig",
        f"thermal is {1e3 * geometry.baseline_m:.1f} mm away from visible and turned by {geometry.turn_deg:.2f} degrees",
        f"registration for {result.reference_m:g} m, uncertain by {result.uncertainty_px:.2f} px;"
        f" the lenses leave {result.lens_px[0]:.1f} px, at most {result.lens_px[1]:.1f}",
        f"parallax: {', '.join(parallax_words(each) for each in result.parallax if each.distance_m in SHOWN_M)}",
        *[f"caution: {sentence}" for sentence in result.cautions],
        f"rig: {out}",
        *([f"page: {page}"] if page else []),
    ]
    return "\n".join(lines)


def parallax_words(parallax: Parallax) -> str:
    """Such as "at 5 m: 3.1 px"."""
    return f"at {parallax.distance_m:g} m: {parallax.mean_px:.1f} px"
