"""Judging pairs of still images: fusion metrics, sweeps, and a detector's finds."""

from __future__ import annotations

import os
from collections.abc import Sequence

from edgefusion.core.devices import find_device
from edgefusion.core.errors import InputError
from edgefusion.core.pairs import SPLITS, find_pairs
from edgefusion.core.progress import progress
from edgefusion.kernels.agc import AgcSpec
from edgefusion.recordings.images import ImagePair
from edgefusion.recordings.options import chosen_paths
from runtime.evaluate import detection as judging
from runtime.evaluate import summary
from runtime.evaluate.detector import Detector, DetectorFile
from runtime.evaluate.entries import Entry, check_names, find_fused, in_order, open_students, sources_alone
from runtime.evaluate.measure import Measured, Plan, measure
from runtime.evaluate.pairs import Subject, complete_pairs, examine, find_stills, judged
from runtime.evaluate.result import Detection, Interval
from runtime.evaluate.settings import EvaluateSettings, Judged, listed
from runtime.evaluate.sweep import Condition
from runtime.evaluate.truths import Truths, find_truths


def judge_pairs(
    settings: EvaluateSettings, metrics: tuple[str, ...], sweeps: dict[str, tuple[float, ...]],
    detector: Detector | None,
) -> Judged:  # fmt: skip
    """Judge every entry on every pair, as far as that was not done before.

    Raises:
        EdgeFusionError: whatever is wrong with the settings, the pairs, an entry or this machine.
    """
    pairs, source = _pairs(settings)
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
    load = lambda number: subjects[number].pair.load()  # noqa: E731
    return Judged(plan, measured, subjects, source, load, left_out, detection, ap50)


def _pairs(settings: EvaluateSettings) -> tuple[list[ImagePair], str]:
    """Still pictures, of a data set or of a recording, and where they are from."""
    paths = chosen_paths(settings.recording, settings.visible, settings.thermal, topics=settings.topics)
    if paths:
        return find_stills(*paths, intersect=settings.intersect), f"{paths[0]} and {paths[1]}"
    spec = settings.pairs or "."
    listed = os.path.join(spec, SPLITS)
    split = f", split {settings.split}" if os.path.isfile(listed) else ""
    pairs = find_pairs(spec, settings.split, intersect=settings.intersect)
    if not pairs:
        raise InputError(f"no pair in split {settings.split!r}", where=listed)
    return pairs, f"{spec}{split}"


def _entries(settings: EvaluateSettings, pairs: Sequence[ImagePair]) -> tuple[list[Entry], AgcSpec, list[ImagePair]]:
    """What is compared, the gain control of 16-bit thermal, and the pairs that every fused folder has.

    Bundles come first, then folders, then baselines; the shipped bundle judges where no other does.
    """
    folders = [find_fused(given, pairs) for given in settings.fused]
    complete = complete_pairs(pairs, folders, intersect=settings.intersect)
    bundles = settings.bundles
    students, agc = open_students(
        bundles or (None,), settings.precisions, find_device(settings.device_name), ungated=settings.ungated
    )
    compared = students if bundles or not folders else []
    return in_order(compared, folders, agc, baselines=settings.baselines), agc, complete


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
