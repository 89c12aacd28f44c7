"""``edgefusion evaluate``: from plain settings to a result."""

from __future__ import annotations

import time
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from edgefusion.core.devices import find_device
from edgefusion.core.errors import UsageError
from edgefusion.core.files import check_folder
from edgefusion.core.frames import light_of
from edgefusion.core.optional import require
from edgefusion.core.progress import progress
from edgefusion.kernels.agc import AgcSpec
from edgefusion.metrics.fusion import LOWER_IS_BETTER, METRICS, known_metrics
from edgefusion.metrics.resampling import RESAMPLES
from runtime.capture.approach import Approach
from runtime.capture.simulated import SimulatedRig
from runtime.evaluate import summary
from runtime.evaluate.approaches import Drill, drive, drives
from runtime.evaluate.braking import Rule, Vehicle
from runtime.evaluate.clip_job import find_footage, judge_clip
from runtime.evaluate.detector import Detector, DetectorFile
from runtime.evaluate.entries import Entry, check_names, in_order, open_students
from runtime.evaluate.page import make_thumbnails, shown_pairs, write_page
from runtime.evaluate.pair_job import judge_pairs
from runtime.evaluate.result import SCHEMA, Braking, Evaluation
from runtime.evaluate.settings import EvaluateSettings, Judged, listed
from runtime.evaluate.sweep import parse_degrade, parse_misalign
from runtime.evaluate.text import write_csv

Sweeps = dict[str, tuple[float, ...]]


def evaluate(settings: EvaluateSettings) -> Evaluation:
    """Judge every entry on every pair or frame, as far as that was not done before.

    Raises:
        EdgeFusionError: whatever is wrong with the settings, the pairs, an entry or this machine.
    """
    start = time.monotonic()
    _check(settings)
    metrics, sweeps = _chosen(settings.metrics), _sweeps(settings)
    footage, detector = find_footage(settings), _detector(settings)
    judged = None
    if footage:
        judged = judge_clip(settings, footage, metrics, detector)
    elif settings.has_source:
        judged = judge_pairs(settings, metrics, sweeps, detector)
    entries, agc = (judged.plan.entries, judged.plan.agc) if judged else _unmeasured(settings)
    braking = _braking(settings, entries, agc, detector) if settings.brake and detector else None
    parts = _figures(settings, judged, metrics, sweeps) if judged else _no_figures(entries)
    result = Evaluation(
        schema=SCHEMA,
        seed=settings.seed,
        resamples=RESAMPLES,
        edgefusion=version("edgefusion"),
        braking=braking,
        seconds=round(time.monotonic() - start, 3),
        **parts,
    )
    if settings.html:
        _write_page(settings, result, judged)
    return result


def _check(settings: EvaluateSettings) -> None:
    """Refuse at once what would fail at the end."""
    for path in (settings.csv, settings.html):
        check_folder(path)
    if settings.brake:
        Approach(SimulatedRig(), settings.brake_kmh / 3.6)


def _chosen(names: str | None) -> tuple[str, ...]:
    chosen = [name.strip() for name in names.split(",")] if names is not None else METRICS
    return tuple(dict.fromkeys(known_metrics(chosen)))


def _sweeps(settings: EvaluateSettings) -> Sweeps:
    return {**(parse_misalign(settings.misalign) if settings.misalign else {}), **parse_degrade(settings.degrade)}


def _detector(settings: EvaluateSettings) -> Detector | None:
    """The detector, if there is one, once all that judging it needs is known to be there."""
    if settings.detector is None:
        given = {"--labels": settings.labels, "--classes": settings.classes, "--brake": settings.brake}
        given["--detector-classes"] = settings.detector_classes
        for option, value in given.items():
            if value is not None:
                raise UsageError(f"{option} without a detector", remedy="add --detector model.onnx")
        return None
    if settings.has_source:
        require("pycocotools.cocoeval", "detect")
    return Detector(settings.detector, classes=listed("--detector-classes", settings.detector_classes))


def _braking(settings: EvaluateSettings, entries: Sequence[Entry], agc: AgcSpec, detector: Detector) -> Braking:
    """Approaches steered by every entry that fuses."""
    rule, vehicle = Rule(least_score=settings.brake_score), Vehicle(speed_mps=settings.brake_kmh / 3.6)
    fusing, approaches = tuple(entry for entry in entries if entry.fuses), settings.brake or 0
    drill = Drill(fusing, DetectorFile.of(detector), agc, rule, vehicle)
    with progress("driving", drives(approaches), hidden=settings.quiet) as advance:
        return drive(drill, approaches=approaches, seed=settings.seed, workers=settings.workers, advance=advance)


def _unmeasured(settings: EvaluateSettings) -> tuple[Sequence[Entry], AgcSpec]:
    """What drives where there is nothing to measure it on."""
    students, agc = open_students(
        settings.bundles or (None,), settings.precisions, find_device(settings.device_name), ungated=settings.ungated
    )
    entries = in_order(students, [], agc, baselines=settings.baselines)
    check_names(entries)
    return entries, agc


def _figures(settings: EvaluateSettings, judged: Judged, metrics: Sequence[str], sweeps: Sweeps) -> dict[str, Any]:
    """The parts of an evaluation that come of pairs or frames; writes them as CSV, where that is asked for."""
    plan, measured, subjects = judged.plan, judged.measured, judged.subjects
    named = zip(subjects, measured.luma.tolist(), strict=True)
    scenes = [judged.scene or light_of(luma / 255, subject.pair.name) for subject, luma in named]
    if settings.csv:
        names = [subject.pair.name for subject in subjects]
        write_csv(settings.csv, plan, measured.figures, names, scenes, stability=judged.stability)
    return {
        "pairs": len(subjects),
        "source": judged.source,
        "left_out": judged.left_out,
        "scenes": {scene: scenes.count(scene) for scene in summary.SCENES},
        "metrics": list(metrics),
        "lower_is_better": [name for name in metrics if name in LOWER_IS_BETTER],
        "block": plan.block,
        "computed": measured.computed,
        "entries": summary.entry_results(plan, measured, scenes),
        "curves": summary.curves(plan, measured, sweeps, judged.ap50),
        "per_pair": summary.pair_results(plan, measured, subjects, scenes),
        "detection": judged.detection,
        "stability": judged.stability,
        "tracking": judged.tracking,
    }


def _no_figures(entries: Sequence[Entry]) -> dict[str, Any]:
    """The same where only approaches are driven."""
    nothing: dict[str, Any] = {"left_out": [], "scenes": {}, "metrics": [], "lower_is_better": [], "curves": []}
    return {**nothing, "pairs": 0, "source": "none", "computed": 0, "per_pair": [],
            "entries": summary.bare_results(entries)}  # fmt: skip


def _write_page(settings: EvaluateSettings, result: Evaluation, judged: Judged | None) -> None:
    if settings.html is None:
        return
    thumbnails = {}
    if judged:
        places, plan = sorted(shown_pairs(result)), judged.plan  # a video is read in order
        loaded = ((place, judged.load(place)) for place in places)
        with progress("thumbnails", len(places), hidden=settings.quiet) as advance:
            thumbnails = make_thumbnails(loaded, entries=plan.entries, agc=plan.agc, advance=advance)
    write_page(settings.html, result, thumbnails=thumbnails)
