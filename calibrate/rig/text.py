"""A calibration of a rig in a few lines, or as JSON."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from calibrate.rig.checking import Checked
from calibrate.rig.job import Parallax, Result
from calibrate.rig.offset import Offset
from calibrate.rig.targetless import Drive
from edgefusion.registration import Residual

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
        f"thermal is {1e3 * geometry.baseline_m:.1f} mm from visible and turned by {geometry.turn_deg:.2f} degrees",
        f"registration for {result.reference_m:g} m, uncertain by {result.uncertainty_px:.2f} px;"
        f" it follows the lenses, which bend it by {result.lens_px[0]:.1f} px, at most {result.lens_px[1]:.1f}",
        f"parallax: {', '.join(parallax_words(each) for each in result.parallax if each.distance_m in SHOWN_M)}",
        *[f"caution: {sentence}" for sentence in result.cautions],
        f"rig: {out}",
        *([f"page: {page}"] if page else []),
    ]
    return "\n".join(lines)


def parallax_words(parallax: Parallax) -> str:
    """Such as "at 5 m: 3.1 px"."""
    return f"at {parallax.distance_m:g} m: {parallax.mean_px:.1f} px"


def drive_json(drive: Drive, out: Path, page: Path | None) -> str:
    """What was found without a target, and where it was written."""
    offset = drive.offset
    values = {
        "target": "targetless",
        "registration": drive.registration.matrix.tolist(),
        "radial": drive.radial,
        "uncertainty_px": drive.uncertainty_px,
        "support": drive.support,
        "time_offset": None if offset is None else {**vars(offset), "curve": list(offset.curve)},
        "used": drive.names,
        "rejected": drive.rejected,
        "cautions": drive.cautions,
    }
    return json.dumps({"rig": str(out), "page": str(page) if page else None, **values}, indent=2)


def describe_drive(drive: Drive, out: Path, page: Path | None) -> str:
    """The same in a few lines."""
    total = len(drive.names) + len(drive.rejected)
    lines = [
        f"{len(drive.names)} of {total} pairs used; {drive.support:.0%} of the image agrees",
        f"registration uncertain by {drive.uncertainty_px:.2f} px, for what is as far away as most of the scene",
        *([lens_words(drive)] if drive.radial is not None else []),
        *([offset_words(drive.offset)] if drive.offset and not drive.offset.doubt else []),
        *[f"caution: {sentence}" for sentence in drive.cautions],
        f"rig: {out}",
        *([f"page: {page}"] if page else []),
    ]
    return "\n".join(lines)


def pair_words(alone: Residual) -> str:
    """Such as "0.4 px off, uncertain by 0.6; 71 % of the image agrees", or why it is not known."""
    if alone.doubt:
        return alone.doubt
    away, unsure = alone.displacement_px, alone.uncertainty_px
    return f"{away:.1f} px off, uncertain by {unsure:.1f}; {alone.support:.0%} of the image agrees"


def lens_words(drive: Drive) -> str:
    """Such as "lenses: radial term -0.103, which moves thermal's corners by 21.1 of its pixels"."""
    radial = drive.radial or 0.0
    corner_px = abs(radial) * math.hypot(*drive.sizes_px[1]) / 2
    return f"lenses: radial term {radial:+.3f}, which moves thermal's corners by {corner_px:.1f} of its pixels"


def offset_words(offset: Offset) -> str:
    """Such as "thermal's timestamps are 18.0 ms late, uncertain by 2.1 ms"."""
    late_ms = -offset.offset_ns / 1e6
    way = "late" if late_ms >= 0 else "early"
    return f"thermal's timestamps are {abs(late_ms):.1f} ms {way}, uncertain by {offset.uncertainty_ns / 1e6:.1f} ms"


def check_json(found: Checked, page: Path | None) -> str:
    """The verdict and what it rests on."""
    plain = {
        name: getattr(found, name)
        for name in ("verdict", "mean_px", "most_px", "uncertainty_px", "limit_px", "support", "pairs", "rejected")
    }
    regions = [vars(each) for each in found.regions]
    matrices = {"registration": found.registration.matrix.tolist(), "measured": found.measured.matrix.tolist()}
    where = {"rig": str(found.rig_path), "page": str(page) if page else None}
    return json.dumps({**where, **plain, "regions": regions, **matrices}, indent=2)


VERDICTS = {
    "good": "good: within {limit:g} px",
    "off": "off: beyond {limit:g} px; calibrate anew",
    "unsure": "unsure: the recording does not tell to {limit:g} px; use a longer drive",
}


def describe_check(found: Checked, page: Path | None) -> str:
    """The same in a few lines: the verdict, and each region's misalignment."""
    rows = [
        " ".join(f"{each.length_px:6.1f} ({each.x_px:+.1f}, {each.y_px:+.1f})" for each in found.regions[at : at + 3])
        for at in (0, 3, 6)
    ]
    lines = [
        f"{found.rig_path}: {VERDICTS[found.verdict].format(limit=found.limit_px)}",
        f"misalignment {found.mean_px:.1f} px on average, {found.most_px:.1f} at most, uncertain by"
        f" {found.uncertainty_px:.1f}; {found.pairs} pairs, {found.support:.0%} of the image agrees",
        "by region of the visible image, px (right, down):",
        *rows,
        *([f"page: {page}"] if page else []),
    ]
    return "\n".join(lines)
