"""``edgefusion evaluate``: from plain settings to a result."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from edgefusion.core.bundle import Precision
from edgefusion.core.devices import find_device
from edgefusion.core.errors import MachineError, UsageError
from edgefusion.core.optional import require
from edgefusion.kernels.agc import AgcSpec
from edgefusion.metrics.fusion import LOWER_IS_BETTER, METRICS, known_metrics
from edgefusion.recordings.images import ImagePair
from runtime.evaluate import detection as judging
from runtime.evaluate import summary
from runtime.evaluate.approaches import Drill, drive, drives
from runtime.evaluate.baselines import BASELINES
from runtime.evaluate.braking import Rule, Vehicle
from runtime.evaluate.detector import Detector, DetectorFile
from runtime.evaluate.entries import Baseline, Entry, check_names, find_fused, open_students
from runtime.evaluate.measure import Measured, Plan, measure, progress
from runtime.evaluate.page import make_thumbnails, pictured_pairs, write_page
from runtime.evaluate.pairs import Subject, complete_pairs, examine, find_pairs, judged
from runtime.evaluate.result import SCHEMA, Braking, Detection, Evaluation, Interval
from runtime.evaluate.statistics import RESAMPLES
from runtime.evaluate.sweep import Condition, parse_degrade, parse_misalign
from runtime.evaluate.text import write_csv
from runtime.evaluate.truths import Truths, find_truths


@dataclass(frozen=True)
class EvaluateSettings:
    """What the options of ``edgefusion evaluate`` say; see its help."""

    pairs: Path | None = None
    split: str = "val"
    bundles: tuple[Path, ...] = ()
    precisions: tuple[Precision, ...] = ("fp16",)
    device_name: str = "auto"
    fused: tuple[str, ...] = ()
    baselines: bool = True
    metrics: str | None = None
    misalign: str | None = None
    degrade: tuple[str, ...] = ()
    detector: Path | None = None
    labels: Path | None = None
    classes: str | None = None
    detector_classes: str | None = None
    intersect: bool = False
    workers: int | None = None
    seed: int = 0
    csv: Path | None = None
    brake: int | None = None
    brake_kmh: float = 30.0
    brake_score: float = 0.5
    html: Path | None = None
    quiet: bool = False


def evaluate(settings: EvaluateSettings) -> Evaluation:
    """Judge every entry on every pair, as far as that was not done before.

    Raises:
        EdgeFusionError: whatever is wrong with the settings, the pairs, an entry or this machine.
    """
    start = time.monotonic()
    for path in (settings.csv, settings.html):
        if path and not path.parent.is_dir():
            raise MachineError("no such folder", where=path.parent, remedy="make it first")
    if settings.brake and not settings.detector:
        raise UsageError("--brake without a detector", remedy="add --detector model.onnx")
    if settings.pairs is None:
        return _without_pairs(settings, start)
    metrics = _chosen(settings.metrics)
    sweeps = {**(parse_misalign(settings.misalign) if settings.misalign else {}), **parse_degrade(settings.degrade)}
    detector = _detector(settings)
    pairs = find_pairs(settings.pairs, settings.split, intersect=settings.intersect)
    entries, agc, pairs = _entries(settings, pairs)
    alone = _alone(entries, agc) if detector else []
    check_names([*entries, *alone])
    subjects, left_out = _subjects(settings, pairs, [*entries, *alone], metrics)
    truths = _truths(settings, subjects, detector) if detector else Truths({}, "")
    steps = [summary.condition_of(kind, strength) for kind, strengths in sweeps.items() for strength in strengths]
    conditions = tuple(dict.fromkeys([Condition(), *steps]))
    plan = Plan(
        tuple(entries), conditions, metrics, agc, settings.seed,
        detector=DetectorFile.of(detector) if detector else None,
        detector_only=tuple(alone),
        labelled=frozenset(truths.boxes),
    )  # fmt: skip
    braking = _braking(settings, entries, agc, detector) if settings.brake and detector else None
    with progress("judging", len(subjects), hidden=settings.quiet) as advance:
        measured = measure(plan, subjects, workers=settings.workers, advance=advance)
    detection, ap50 = _judged(settings, plan, measured, truths, detector) if detector else (None, {})
    named = zip(subjects, measured.luma.tolist(), strict=True)
    scenes = [summary.scene_of(subject.pair.name, luma) for subject, luma in named]
    if settings.csv:
        write_csv(settings.csv, plan, measured.figures, [subject.pair.name for subject in subjects], scenes)
    result = Evaluation(
        schema=SCHEMA,
        pairs=len(subjects),
        source=_source(settings.pairs, settings.split),
        left_out=left_out,
        scenes={scene: scenes.count(scene) for scene in summary.SCENES},
        metrics=list(metrics),
        lower_is_better=[name for name in metrics if name in LOWER_IS_BETTER],
        seed=settings.seed,
        resamples=RESAMPLES,
        computed=measured.computed,
        edgefusion=version("edgefusion"),
        entries=summary.entry_results(plan, measured, scenes),
        curves=summary.curves(plan, measured, sweeps, ap50),
        per_pair=summary.pair_results(plan, measured, subjects, scenes),
        detection=detection,
        braking=braking,
        seconds=round(time.monotonic() - start, 3),
    )
    if settings.html:
        _write_page(settings.html, result, plan, subjects, hidden=settings.quiet)
    return result


def _without_pairs(settings: EvaluateSettings, start: float) -> Evaluation:
    """What can be simulated alone."""
    if not (settings.brake and settings.detector):
        raise UsageError("nothing to judge", remedy="give --pairs DIR, or --brake N with --detector model.onnx")
    of_pairs = ("fused", "metrics", "misalign", "degrade", "labels", "classes", "csv")
    needless = ", ".join(f"--{name}" for name in of_pairs if getattr(settings, name))
    if needless:
        raise UsageError(f"{needless} without pairs", remedy="give --pairs DIR too, or leave it out")
    entries, agc, _ = _entries(settings, [])
    check_names(entries)
    detector = Detector(settings.detector, classes=_listed("--detector-classes", settings.detector_classes))
    braking = _braking(settings, entries, agc, detector)
    nothing: dict[str, Any] = {"left_out": [], "scenes": {}, "metrics": [], "lower_is_better": [], "curves": []}
    return Evaluation(
        schema=SCHEMA,
        pairs=0,
        source="none",
        seed=settings.seed,
        resamples=RESAMPLES,
        computed=0,
        edgefusion=version("edgefusion"),
        entries=summary.bare_results(entries),
        per_pair=[],
        braking=braking,
        seconds=round(time.monotonic() - start, 3),
        **nothing,
    )


def _braking(settings: EvaluateSettings, entries: Sequence[Entry], agc: AgcSpec, detector: Detector) -> Braking:
    """Approaches steered by every entry that fuses."""
    rule, vehicle = Rule(least_score=settings.brake_score), Vehicle(speed_mps=settings.brake_kmh / 3.6)
    fusing, approaches = tuple(entry for entry in entries if entry.fuses), settings.brake or 0
    drill = Drill(fusing, DetectorFile.of(detector), agc, rule, vehicle)
    with progress("driving", drives(approaches), hidden=settings.quiet) as advance:
        return drive(drill, approaches=approaches, seed=settings.seed, workers=settings.workers, advance=advance)


def _chosen(names: str | None) -> tuple[str, ...]:
    chosen = [name.strip() for name in names.split(",")] if names is not None else METRICS
    return tuple(dict.fromkeys(known_metrics(chosen)))


def _entries(settings: EvaluateSettings, pairs: Sequence[ImagePair]) -> tuple[list[Entry], AgcSpec, list[ImagePair]]:
    """What is compared, the gain control of 16-bit thermal, and the pairs that every fused folder has.

    Bundles come first, then folders, then baselines; the shipped bundle judges where no other does.
    """
    folders = [find_fused(given, pairs) for given in settings.fused]
    complete = complete_pairs(pairs, folders, intersect=settings.intersect) if pairs else []
    device, bundles = find_device(settings.device_name), settings.bundles
    students, agc = open_students(bundles or (None,), settings.precisions, device)
    entries: list[Entry] = [*(students if bundles or not folders else ()), *folders]
    entries += [Baseline(name, agc) for name in BASELINES] if settings.baselines else []
    return entries, agc, complete


def _detector(settings: EvaluateSettings) -> Detector | None:
    """The detector, if there is one, once all that judging it needs is known to be there."""
    if settings.detector is None:
        given = {"--labels": settings.labels, "--classes": settings.classes}
        given["--detector-classes"] = settings.detector_classes
        for option, value in given.items():
            if value is not None:
                raise UsageError(f"{option} without a detector", remedy="add --detector model.onnx")
        return None
    require("pycocotools.cocoeval", "detect")
    return Detector(settings.detector, classes=_listed("--detector-classes", settings.detector_classes))


def _listed(option: str, text: str | None) -> list[str] | None:
    names = None if text is None else [name.strip() for name in text.split(",")]
    if names is not None and not all(names):
        raise UsageError(f"{option} {text!r} names nothing between two commas", remedy=f"give {option} A,B,C")
    return names


def _alone(entries: Sequence[Entry], agc: AgcSpec) -> list[Entry]:
    """Visible and thermal, where they are not compared: a detector's figures say little without them."""
    compared = [entry.name for entry in entries if isinstance(entry, Baseline)]
    return [Baseline(name, agc) for name in ("visible", "thermal") if name not in compared]


def _truths(settings: EvaluateSettings, subjects: Sequence[Subject], detector: Detector) -> Truths:
    """The true boxes, some of which the detector can know."""
    pairs = [(subject.pair, subject.size_px) for subject in subjects]
    truths = find_truths(pairs, labels=settings.labels, classes=_listed("--classes", settings.classes))
    judging.judged_classes(detector.classes, [*truths.boxes.values()])
    return truths


def _judged(
    settings: EvaluateSettings, plan: Plan, measured: Measured, truths: Truths, detector: Detector
) -> tuple[Detection, dict[tuple[int, int], Interval]]:
    with progress("matching boxes", judging.steps(plan), hidden=settings.quiet) as advance:
        return judging.judge(plan, measured, truths, detector, advance)


def _subjects(
    settings: EvaluateSettings, pairs: Sequence[ImagePair], entries: Sequence[Entry], metrics: Sequence[str]
) -> tuple[list[Subject], list[str]]:
    with progress("reading", len(pairs), hidden=settings.quiet) as advance:
        subjects, unequal = examine(pairs, entries, lambda: advance(1))
    return judged(subjects, unequal, entries, metrics, intersect=settings.intersect)


def _write_page(path: Path, result: Evaluation, plan: Plan, subjects: Sequence[Subject], *, hidden: bool) -> None:
    places = pictured_pairs(result)
    pairs = {place: subjects[place].pair for place in places}
    with progress("thumbnails", len(places), hidden=hidden) as advance:
        loaded = ((place, pair.load()) for place, pair in pairs.items())
        thumbnails = make_thumbnails(loaded, entries=plan.entries, agc=plan.agc, advance=advance)
    write_page(path, result, thumbnails=thumbnails)


def _source(pairs: Path, split: str) -> str:
    return os.fspath(pairs) + (f", split {split}" if (pairs / "splits.json").is_file() else "")
