"""``edgefusion evaluate``: from plain settings to a result."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from edgefusion.core.devices import find_device
from edgefusion.core.errors import MachineError, UsageError
from edgefusion.core.optional import require
from edgefusion.kernels.agc import AgcSpec
from edgefusion.metrics.fusion import LOWER_IS_BETTER, METRICS, known_metrics
from edgefusion.recordings.images import ImagePair
from runtime.evaluate import detection as judging
from runtime.evaluate import summary
from runtime.evaluate.clip_job import find_footage, judge_clip
from runtime.evaluate.detector import Detector, DetectorFile
from runtime.evaluate.entries import Entry, check_names, find_fused, in_order, open_students, sources_alone
from runtime.evaluate.measure import Measured, Plan, measure, progress
from runtime.evaluate.pairs import Subject, complete_pairs, examine, find_pairs, judged
from runtime.evaluate.result import SCHEMA, Detection, Evaluation, Interval
from runtime.evaluate.settings import EvaluateSettings, Judged, listed
from runtime.evaluate.statistics import RESAMPLES
from runtime.evaluate.sweep import Condition, parse_degrade, parse_misalign
from runtime.evaluate.text import write_csv
from runtime.evaluate.truths import Truths, find_truths


def evaluate(settings: EvaluateSettings) -> Evaluation:
    """Judge every entry on every pair, as far as that was not done before.

    Raises:
        EdgeFusionError: whatever is wrong with the settings, the pairs, an entry or this machine.
    """
    start = time.monotonic()
    if settings.csv and not settings.csv.parent.is_dir():
        raise MachineError("no such folder", where=settings.csv.parent, remedy="make it first")
    metrics = _chosen(settings.metrics)
    sweeps = {**(parse_misalign(settings.misalign) if settings.misalign else {}), **parse_degrade(settings.degrade)}
    footage = find_footage(settings)
    detector = _detector(settings)
    if footage:
        judged = judge_clip(settings, footage, metrics, detector)
    else:
        judged = _judge_pairs(settings, metrics, sweeps, detector)
    plan, measured, subjects = judged.plan, judged.measured, judged.subjects
    named = zip(subjects, measured.luma.tolist(), strict=True)
    scenes = [judged.scene or summary.scene_of(subject.pair.name, luma) for subject, luma in named]
    if settings.csv:
        names = [subject.pair.name for subject in subjects]
        write_csv(settings.csv, plan, measured.figures, names, scenes, stability=judged.stability)
    return Evaluation(
        schema=SCHEMA,
        pairs=len(subjects),
        source=judged.source,
        left_out=judged.left_out,
        scenes={scene: scenes.count(scene) for scene in summary.SCENES},
        metrics=list(metrics),
        lower_is_better=[name for name in metrics if name in LOWER_IS_BETTER],
        seed=settings.seed,
        resamples=RESAMPLES,
        block=plan.block,
        computed=measured.computed,
        edgefusion=version("edgefusion"),
        entries=summary.entry_results(plan, measured, scenes),
        curves=summary.curves(plan, measured, sweeps, judged.ap50),
        per_pair=summary.pair_results(plan, measured, subjects, scenes),
        detection=judged.detection,
        stability=judged.stability,
        tracking=judged.tracking,
        seconds=round(time.monotonic() - start, 3),
    )


def _judge_pairs(
    settings: EvaluateSettings, metrics: tuple[str, ...], sweeps: dict[str, tuple[float, ...]],
    detector: Detector | None,
) -> Judged:  # fmt: skip
    folder = settings.pairs or Path()
    pairs = find_pairs(folder, settings.split, intersect=settings.intersect)
    entries, agc, pairs = _entries(settings, pairs)
    alone = sources_alone(entries, agc) if detector else []
    check_names([*entries, *alone])
    subjects, left_out = _subjects(settings, pairs, [*entries, *alone], metrics)
    truths = _truths(settings, subjects, detector) if detector else Truths({}, "")
    steps = [summary.condition_of(kind, strength) for kind, strengths in sweeps.items() for strength in strengths]
    plan = Plan(
        tuple(entries), tuple(dict.fromkeys([Condition(), *steps])), metrics, agc, settings.seed,
        detector=DetectorFile.of(detector) if detector else None,
        detector_only=tuple(alone),
        labelled=frozenset(truths.boxes),
    )  # fmt: skip
    with progress("judging", len(subjects), hidden=settings.quiet) as advance:
        measured = measure(plan, subjects, workers=settings.workers, advance=advance)
    detection, ap50 = _judged(settings, plan, measured, truths, detector) if detector else (None, {})
    return Judged(plan, measured, subjects, _source(folder, settings.split), left_out, detection, ap50)


def _chosen(names: str | None) -> tuple[str, ...]:
    chosen = [name.strip() for name in names.split(",")] if names is not None else METRICS
    return tuple(dict.fromkeys(known_metrics(chosen)))


def _entries(settings: EvaluateSettings, pairs: Sequence[ImagePair]) -> tuple[list[Entry], AgcSpec, list[ImagePair]]:
    """What is compared, the gain control of 16-bit thermal, and the pairs that every fused folder has.

    Bundles come first, then folders, then baselines; the shipped bundle judges where no other does.
    """
    folders = [find_fused(given, pairs) for given in settings.fused]
    complete = complete_pairs(pairs, folders, intersect=settings.intersect)
    bundles = settings.bundles
    students, agc = open_students(bundles or (None,), settings.precisions, find_device(settings.device_name))
    compared = students if bundles or not folders else []
    return in_order(compared, folders, agc, baselines=settings.baselines), agc, complete


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
    return Detector(settings.detector, classes=listed("--detector-classes", settings.detector_classes))


def _truths(settings: EvaluateSettings, subjects: Sequence[Subject], detector: Detector) -> Truths:
    """The true boxes, some of which the detector can know."""
    pairs = [(subject.pair, subject.size_px) for subject in subjects]
    truths = find_truths(pairs, labels=settings.labels, classes=listed("--classes", settings.classes))
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


def _source(folder: Path, split: str) -> str:
    named = f", split {split}" if (folder / "splits.json").is_file() else ""
    return f"{os.fspath(folder)}{named}"
