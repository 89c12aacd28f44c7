"""What a frozen detector finds in every entry's images, judged by COCO's rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from edgefusion.metrics.detection import (
    FIGURES,
    Detections,
    DetectionScores,
    Scores,
    Truth,
    average_precision,
)
from runtime.evaluate.detector import Detector, match_classes
from runtime.evaluate.measure import Measured, Plan
from runtime.evaluate.result import ClassScores, Detection, EntryDetection, Interval
from runtime.evaluate.truths import Truths

DRAWS = 1000
"""Of the bootstrap. The ends of an interval are then certain to a few hundredths of its width."""

REFERENCE = "visible"
"""The entry that all others are compared with: what the detector sees without a thermal camera."""

Advance = Callable[[int], None]


def judged_classes(detector: Sequence[str], truths: Sequence[Truth]) -> dict[str, str]:
    """Label class by detector class, for the classes that true boxes have, without crowds.

    Raises:
        UsageError: nothing matches.
    """
    return match_classes(detector, _occurring(truths))


def detection_result(
    detections: Mapping[str, Sequence[Detections]],
    truths: Sequence[Truth],
    *,
    detector: Detector,
    truth: str,
    seed: int,
    block: int = 1,
    advance: Advance = lambda count: None,
) -> Detection:
    """Judge what was found in the same images as every entry shows them.

    Args:
        detections: entry's name -> what was found, one for each image; of the detector's own classes, or renamed.
        truths: the true boxes of each image.
        detector: which found them.
        truth: where the true boxes come from.
        seed: of the bootstrap.
        block: so many images in a row are drawn together.
        advance: told how many entries were finished.

    Raises:
        UsageError: no image, no true box, or none of a class that the detector knows.
        MachineError: pycocotools is not installed.
    """
    matched = judged_classes(detector.classes, truths)
    scores = {}
    for name, found in detections.items():
        scores[name] = score(found, truths, matched, seed=seed, block=block)
        advance(1)
    return Detection(
        detector=detector.path.name,
        layout=detector.layout,
        truth=truth,
        images=len(truths),
        unknown_classes=[name for name in _occurring(truths) if name not in matched.values()],
        entries={name: _entry(each, None if name == REFERENCE else scores.get(REFERENCE))
                 for name, each in scores.items()},
    )  # fmt: skip


def score(
    found: Sequence[Detections],
    truths: Sequence[Truth],
    matched: Mapping[str, str],
    *,
    seed: int,
    block: int = 1,
) -> DetectionScores:
    """``average_precision`` of the classes that the detector and the labels share (``judged_classes``)."""
    renamed = [
        Detections(one.boxes_px, [matched.get(str(name), str(name)) for name in one.classes], one.scores)
        for one in found
    ]
    classes = sorted(set(matched.values()))
    return average_precision(renamed, truths, classes=classes, draws=DRAWS, seed=seed, block=block)


def judge(
    plan: Plan, measured: Measured, truths: Truths, detector: Detector, advance: Advance
) -> tuple[Detection, dict[tuple[int, int], Interval]]:
    """The detection part of an evaluation, and AP50 by (condition, entry) for its curves.

    Args:
        plan: what was computed.
        measured: the outcome.
        truths: in the order of pairs.
        detector: that looked.
        advance: told how many of ``steps`` were finished.

    Raises:
        EdgeFusionError: as ``detection_result``.
    """
    boxes = list(truths.boxes.values())
    result = detection_result(
        {entry.name: found_in(measured, detector.classes, number) for number, entry in enumerate(plan.shown)},
        boxes,
        detector=detector,
        truth=truths.source,
        seed=plan.seed,
        block=plan.block,
        advance=advance,
    )
    matched = judged_classes(detector.classes, boxes)
    overall = {(0, number): result.entries[entry.name].overall for number, entry in enumerate(plan.entries)}
    for condition, entry in swept(plan):
        found = found_in(measured, detector.classes, entry, condition)
        scores = score(found, boxes, matched, seed=plan.seed, block=plan.block)
        overall[condition, entry] = _figures(scores.overall)
        advance(1)
    curves = {key: each.figures["AP50"] for key, each in overall.items()}
    return result, {key: each for key, each in curves.items() if each}


def steps(plan: Plan) -> int:
    """How many sets of images ``judge`` judges."""
    return len(plan.shown) + len(swept(plan))


def swept(plan: Plan) -> list[tuple[int, int]]:
    """(condition, entry) of every pair made worse that some entry fuses."""
    return [
        (condition, entry)
        for condition in range(1, len(plan.conditions))
        for entry in range(len(plan.entries))
        if plan.applies(entry, condition)
    ]


def found_in(measured: Measured, classes: Sequence[str], entry: int, condition: int = 0) -> list[Detections]:
    """What was found in one entry's images, in the order of pairs."""
    keys = [(condition, entry, pair) for pair in range(len(measured.luma))]
    rows, names = [measured.boxes[key] for key in keys if key in measured.boxes], np.array(classes)
    return [Detections(each[:, :4], names[each[:, 4].astype(np.intp)], each[:, 5]) for each in rows]


def _occurring(truths: Sequence[Truth]) -> list[str]:
    return sorted({str(name) for truth in truths for name in np.asarray(truth.classes)[~truth.crowd]})


def _entry(scores: DetectionScores, reference: DetectionScores | None) -> EntryDetection:
    against = {} if reference is None else {name: _gain(scores, reference, name) for name in FIGURES}
    classes = {name: _figures(each) for name, each in scores.classes.items()}
    return EntryDetection(overall=_figures(scores.overall), classes=classes, against_visible=against)


def _figures(scores: Scores) -> ClassScores:
    figures = {
        name: each and Interval(mean=each.value, low=each.low, high=each.high) for name, each in scores.figures.items()
    }
    return ClassScores(truths=scores.truths, figures=figures)


def _gain(scores: DetectionScores, reference: DetectionScores, name: str) -> Interval | None:
    """The difference of the means over classes, with the 95 % interval of the differences in equal draws."""
    one, other = scores.overall.figures[name], reference.overall.figures[name]
    if one is None or other is None:
        return None
    samples: npt.NDArray[np.float64] = scores.overall.samples[name] - reference.overall.samples[name]
    mean, samples = one.value - other.value, samples[np.isfinite(samples)]
    low, high = np.percentile(samples, (2.5, 97.5)).tolist() if samples.size else (mean, mean)
    return Interval(mean=mean, low=low, high=high)
