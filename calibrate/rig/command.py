"""What ``edgefusion calibrate rig`` and ``edgefusion calibrate check`` do, from their options to what they print."""

from __future__ import annotations

import re
from pathlib import Path

from calibrate.rig import text
from calibrate.rig.checking import CheckSettings, check_rig
from calibrate.rig.job import RigSettings, calibrate_target
from calibrate.rig.page import render_check, render_drive, render_failure, render_refused_drive, render_target
from calibrate.rig.survey import Survey
from calibrate.rig.target import UNITS_M, parse_target
from calibrate.rig.targetless import Refused, calibrate_drive
from edgefusion.core.errors import UsageError
from edgefusion.core.files import atomic_write
from edgefusion.recordings.options import NamedRecording
from edgefusion.registration import Model


def calibrate(
    named: NamedRecording,
    *,
    target: str | None,
    targetless: bool,
    model: Model | None,
    rig_path: Path | None,
    out: Path,
    reference_m: float,
    baseline: str | None,
    page: Path | None,
    as_json: bool,
) -> str:
    """Calibrate a rig, write rig.toml and the page, and say what was found.

    Raises:
        UsageError: options that do not make sense together.
        EdgeFusionError: whatever the calibration is refused for; nothing is written then but the page.
    """
    if bool(target) == targetless:
        raise UsageError("one of --target and --targetless is needed", remedy="name the board, or give --targetless")
    if target and model:
        raise UsageError("--model is for --targetless", remedy="leave it out: a target gives both lenses")
    if rig_path is None and out.exists():
        raise UsageError(
            "there is one already", where=out, remedy=f"give --rig {out} to keep its settings, or another --out"
        )
    settings = RigSettings(out, rig_path, reference_m, _metres(baseline), as_json, model or "homography")
    if target is None:

        def refused(drive: Refused) -> None:
            _write(page, render_refused_drive(drive, named.name))

        drive = calibrate_drive(named, settings, failed=refused if page else None)
        _write(page, render_drive(drive, named.name) if page else "")
        return text.drive_json(drive, out, page) if as_json else text.describe_drive(drive, out, page)

    def failed(survey: Survey, rejected: dict[int, str], problem: str) -> None:
        _write(page, render_failure(survey, rejected, problem, named.name) if page else "")

    result = calibrate_target(named, parse_target(target), settings, failed=failed)
    _write(page, render_target(result, named.name) if page else "")
    return text.to_json(result, out, page) if as_json else text.describe(result, out, page)


def check(
    named: NamedRecording, *, rig_path: Path, limit_px: float, page: Path | None, as_json: bool
) -> tuple[str, bool]:
    """Judge a rig's registration on a recording: what to print, and whether it is good.

    Raises:
        EdgeFusionError: the rig or the recording cannot be used.
    """
    found = check_rig(named, CheckSettings(rig_path, limit_px))
    _write(page, render_check(found, named.name) if page else "")
    return text.check_json(found, page) if as_json else text.describe_check(found, page), found.verdict == "good"


def _metres(given: str | None) -> float | None:
    if given is None:
        return None
    match = re.fullmatch(r"([\d.]+)(mm|cm|m)", given.strip().lower())
    if match is None:
        raise UsageError(f"--baseline {given}", remedy="give it with its unit, such as 60mm")
    return float(match[1]) * UNITS_M[match[2]]


def _write(page: Path | None, html: str) -> None:
    if page:
        with atomic_write(page) as stream:
            stream.write(html.encode())
