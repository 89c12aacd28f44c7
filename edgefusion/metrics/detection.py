"""How well a detector's boxes match the true ones, by COCO's rules.

Boxes are [N,4]: x0, y0, x1, y1 in pixels of the image, 0 being its left (upper) edge and its width (height) the right
(lower) one, as in COCO: a pixel whose centre is at x covers x - 0.5 to x + 0.5, so where (0, 0) is the centre of
the first pixel, add 0.5.

    >>> import numpy as np
    >>> truth = Truth(np.array([[10, 10, 50, 90]]), ["person"])
    >>> found = Detections(np.array([[12, 10, 50, 90], [60, 0, 90, 30]]), ["person"] * 2, np.array([0.9, 0.2]))
    >>> scores = average_precision([found], [truth], draws=0)
    >>> scores.overall.figures["AP50"]
    Interval(value=1.0, low=1.0, high=1.0)

Source of the rules: Lin et al., Microsoft COCO, ECCV 2014, as in pycocotools, which does the matching here (extra
``detect``).
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edgefusion.core.errors import UsageError
from edgefusion.core.optional import require
from edgefusion.metrics.resampling import draw_counts, fitting_block

Boxes = npt.NDArray[np.float64]
Names = npt.NDArray[np.str_]
Samples = npt.NDArray[np.float64]

SIZES = ("all", "small", "medium", "large")
"""COCO's classes of box area: small up to 32 x 32 pixels, large from 96 x 96; those on a limit count as both."""

FIGURES = (
    "AP50",
    "AP50:95",
    "recall50", "recall50 small", "recall50 medium", "recall50 large",
    "recall50:95", "recall50:95 small", "recall50:95 medium", "recall50:95 large",
)  # fmt: skip
"""Names of the figures, all 0..1, higher is better.

50 means at an intersection over union of 0.5 and more, 50:95 the mean over 0.5, 0.55 ... 0.95. AP is the precision
at 101 recalls, averaged; recall counts every detection up to 100 per class and image, whatever its score.
"""

RECALLS = np.linspace(0.0, 1.0, 101)
MOST_DETECTIONS = 100
IMAGES_AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class Truth:
    """The true boxes of one image.

    Attributes:
        boxes_px: [N,4].
        classes: [N], names.
        crowd: [N] bool, COCO's ``iscrowd``: a detection in such a box is neither right nor wrong. None by default.

    Raises:
        UsageError: the three differ in length, or a box is empty, reversed or not finite.
    """

    boxes_px: Boxes
    classes: Names | Sequence[str]
    crowd: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))

    def __post_init__(self) -> None:
        boxes, classes = _checked(self.boxes_px, self.classes)
        crowd = np.asarray(self.crowd, bool) if len(self.crowd) else np.zeros(len(boxes), bool)
        if len(crowd) != len(boxes):
            raise UsageError(f"{len(boxes)} boxes and {len(crowd)} crowd flags", remedy="give one for each box")
        _set(self, boxes_px=boxes, classes=classes, crowd=crowd)


@dataclass(frozen=True, eq=False)
class Detections:
    """The boxes a detector found in one image.

    Attributes:
        boxes_px: [N,4].
        classes: [N], names.
        scores: [N], higher is surer.

    Raises:
        UsageError: the three differ in length, a box is empty, reversed or not finite, or a score is not finite.
    """

    boxes_px: Boxes
    classes: Names | Sequence[str]
    scores: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        boxes, classes = _checked(self.boxes_px, self.classes)
        scores = np.asarray(self.scores, np.float64)
        if scores.shape != classes.shape or not np.isfinite(scores).all():
            raise UsageError(f"scores of shape {scores.shape} for {len(boxes)} boxes, or not finite")
        _set(self, boxes_px=boxes, classes=classes, scores=scores)

    def where(self, keep: npt.NDArray[np.bool_]) -> Detections:
        """Those of a [N] mask; ``found.where(found.scores > 0.5)``."""
        return Detections(self.boxes_px[keep], np.asarray(self.classes)[keep], self.scores[keep])


class Interval(NamedTuple):
    """A figure and the bounds of its confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Scores:
    """Figures of one class, or the means over the classes that have them.

    Attributes:
        truths: number of true boxes, without crowds.
        figures: by name (``FIGURES``); None where there is no true box to find.
        samples: by name, [draws], the figure in each bootstrap draw (NaN where nothing was to be found). Equal seeds
            draw equal images: the difference of two detectors' samples is that of paired draws.
    """

    truths: int
    figures: Mapping[str, Interval | None]
    samples: Mapping[str, Samples] = field(repr=False)


@dataclass(frozen=True, eq=False)
class DetectionScores:
    """What ``average_precision`` found: all classes together, and each."""

    images: int
    overall: Scores
    classes: Mapping[str, Scores]


def average_precision(
    detections: Sequence[Detections],
    truths: Sequence[Truth],
    *,
    classes: Sequence[str] | None = None,
    draws: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    block: int = 1,
) -> DetectionScores:
    """AP and recall over a set of images, with percentile bootstrap intervals over images.

    Args:
        detections: one for each image.
        truths: the same images in the same order.
        classes: which to judge; by default all that occur in ``truths``. Boxes of other classes are left out.
        draws: bootstrap draws; with 0, or with one image, the interval is the value itself.
        confidence: of the intervals.
        seed: of the draws.
        block: so many images in a row depend on each other, as frames of a clip do, and are drawn together.

    Raises:
        UsageError: no images, not as many detections as truths, or no class to judge.
        MachineError: pycocotools is not installed.
    """
    if not truths or len(detections) != len(truths):
        raise UsageError(f"detections of {len(detections)} images, truths of {len(truths)}", remedy="give one for each")
    names = tuple(dict.fromkeys(classes)) if classes is not None else _occurring(truths)
    if not names:
        raise UsageError("no class to judge: no image has a true box")
    matches = _match(detections, truths, names)
    tables = np.stack([_figures(matches, weights) for weights in _weights(len(truths), draws, seed, block)])
    counts = [int(each.truths[0].sum()) for each in matches]
    per_class = {name: _scores(tables[:, k], counts[k], confidence) for k, name in enumerate(names)}
    return DetectionScores(len(truths), _scores(_mean(tables), sum(counts), confidence), per_class)


def intersection_over_union(first: Boxes, second: Boxes) -> npt.NDArray[np.float64]:
    """[N,M] of [N,4] and [M,4] boxes, each of positive area."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (first, second)]
    return np.asarray(shared / (areas[0][:, None] + areas[1] - shared))


class _Matches(NamedTuple):
    """What of one class was found, over all images.

    Attributes:
        image: [D], where each detection is, surest first.
        hit_at: for each of the T overlaps the places in ``image`` of those that match a true box, of any size.
        counted: overlap -> [D], whether it is right or wrong, where some are neither, being in a crowd.
        found: [4,T,images], true boxes matched, by size.
        truths: [4,images], true boxes, by size.
    """

    image: npt.NDArray[np.intp]
    hit_at: list[npt.NDArray[np.intp]]
    counted: dict[int, npt.NDArray[np.bool_]]
    found: npt.NDArray[np.int64]
    truths: npt.NDArray[np.int64]


def _set(target: object, **values: object) -> None:
    for name, value in values.items():
        object.__setattr__(target, name, value)


def _checked(boxes: npt.ArrayLike, classes: Names | Sequence[str]) -> tuple[Boxes, Names]:
    array, names = np.asarray(boxes, np.float64), np.asarray(classes, np.str_)
    array = array.reshape(0, 4) if array.size == 0 else array
    if array.ndim != 2 or array.shape[1] != 4 or names.shape != array.shape[:1]:
        raise UsageError(f"boxes of shape {array.shape} with classes of shape {names.shape}", remedy="give [N,4], [N]")
    if not (np.isfinite(array).all() and (array[:, 2:] > array[:, :2]).all()):
        raise UsageError("a box is empty, reversed or not finite", remedy="give x0 < x1 and y0 < y1")
    return array, names


def _occurring(truths: Sequence[Truth]) -> tuple[str, ...]:
    return tuple(sorted({str(name) for truth in truths for name in np.asarray(truth.classes)[~truth.crowd]}))


def _match(detections: Sequence[Detections], truths: Sequence[Truth], names: tuple[str, ...]) -> list[_Matches]:
    parts: list[list[list[_Evaluated]]] = []
    for start in range(0, len(truths), IMAGES_AT_ONCE):  # pycocotools keeps several kilobytes for each detection
        chunk = slice(start, start + IMAGES_AT_ONCE)
        parts.append(_evaluated(detections[chunk], truths[chunk], names))
    return [_joined([each for part in parts for each in part[k]]) for k in range(len(names))]


class _Evaluated(NamedTuple):
    """One class in one image: [D] scores, [T,D] whether each is right, and whether it is right or wrong."""

    scores: npt.NDArray[np.float64]
    hits: npt.NDArray[np.bool_]
    counted: npt.NDArray[np.bool_]
    found: npt.NDArray[np.int64]
    truths: npt.NDArray[np.int64]


def _evaluated(
    detections: Sequence[Detections], truths: Sequence[Truth], names: tuple[str, ...]
) -> list[list[_Evaluated]]:
    """[classes][images], matched by pycocotools."""
    coco, cocoeval = require("pycocotools.coco", "detect"), require("pycocotools.cocoeval", "detect")
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does
        sides = []
        for side in (_annotations(truths, names), _annotations(detections, names)):
            sides.append(coco.COCO())
            sides[-1].dataset = {"images": [{"id": i} for i in range(len(truths))], "annotations": side}
            sides[-1].dataset["categories"] = [{"id": k} for k in range(len(names))]
            sides[-1].createIndex()
        evaluation = cocoeval.COCOeval(*sides, "bbox")
        evaluation.params.maxDets = [MOST_DETECTIONS]
        evaluation.evaluate()
    results = np.array([*evaluation.evalImgs, None], object)[:-1].reshape(len(names), len(SIZES), len(truths))
    return [[_summary(list(results[k, :, i])) for i in range(len(truths))] for k in range(len(names))]


def _annotations(images: Sequence[Truth | Detections], names: tuple[str, ...]) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    numbers = {name: number for number, name in enumerate(names)}
    for image_id, image in enumerate(images):
        key, values = ("iscrowd", image.crowd) if isinstance(image, Truth) else ("score", image.scores)
        for (x0, y0, x1, y1), name, value in zip(image.boxes_px.tolist(), image.classes, values.tolist(), strict=True):
            if name in numbers:
                # Numbers from 1: pycocotools reads a match with number 0 as no match.
                one = {"id": len(made) + 1, "image_id": image_id, "category_id": numbers[str(name)]}
                bbox = [x0, y0, x1 - x0, y1 - y0]
                made.append({**one, "bbox": bbox, "area": bbox[2] * bbox[3], key: value})
    return made


def _summary(by_size: list[dict[str, Any] | None]) -> _Evaluated:
    """From pycocotools' findings for one image and class, by size of box; None where there is nothing at all."""
    overlaps = 10
    if by_size[0] is None:
        none = np.zeros((overlaps, 0), bool)
        counts = np.zeros((len(SIZES), overlaps), np.int64)
        return _Evaluated(np.zeros(0), none, none, counts, counts[:, 0])
    results = [result for result in by_size if result]
    matched = [(result["dtMatches"] > 0) & ~result["dtIgnore"] for result in results]
    counted = ~results[0]["dtIgnore"]
    truths = np.array([np.count_nonzero(result["gtIgnore"] == 0) for result in results], np.int64)
    found = np.array([each.sum(axis=1) for each in matched], np.int64)
    return _Evaluated(np.array(results[0]["dtScores"], np.float64), matched[0], counted, found, truths)


def _joined(images: list[_Evaluated]) -> _Matches:
    scores = np.concatenate([each.scores for each in images])
    order = np.argsort(-scores, kind="mergesort")  # as COCO: of equal scores, the first image's first
    image = np.repeat(np.arange(len(images)), [len(each.scores) for each in images])
    hits = np.concatenate([each.hits for each in images], axis=1)[:, order]
    counted = np.concatenate([each.counted for each in images], axis=1)[:, order]
    found, truths = np.stack([each.found for each in images], -1), np.stack([each.truths for each in images], -1)
    some_ignored = {at: row for at, row in enumerate(counted) if not row.all()}
    return _Matches(image[order], [np.flatnonzero(row) for row in hits], some_ignored, found, truths)


def _weights(images: int, draws: int, seed: int, block: int) -> Iterator[npt.NDArray[np.int64]]:
    """How often each image counts: once, and then as drawn."""
    random = np.random.default_rng(seed)
    yield np.ones(images, np.int64)
    for _ in range(draws):
        yield draw_counts(random, images, fitting_block(images, block))


def _figures(matches: list[_Matches], weights: npt.NDArray[np.int64]) -> Samples:
    """[classes, FIGURES]; NaN where there is nothing to find."""
    return np.array([[*_precisions(each, weights), *_recalls(each, weights)] for each in matches])


def _precisions(matches: _Matches, weights: npt.NDArray[np.int64]) -> tuple[float, float]:
    """AP50 and AP50:95, an image counting as often as its weight says, as if it were there so often.

    Copies of an image stand together in the order of scores, and only the last of a run of hits decides the precision
    at a recall: nothing is lost by adding whole runs. Misses only lower what comes after: it suffices to look at hits.
    """
    truths = int(matches.truths[0] @ weights)
    if not truths:
        return np.nan, np.nan
    times = weights[matches.image]
    judged = np.cumsum(times)
    means = []
    for at, hits in enumerate(matches.hit_at):
        counted = judged if at not in matches.counted else np.cumsum(times * matches.counted[at])
        found = np.cumsum(times[hits])
        best = np.maximum.accumulate((found / np.maximum(counted[hits], 1))[::-1])[::-1]
        best = np.append(best, 0.0)  # recalls never reached have a precision of 0
        means.append(best[np.searchsorted(found / truths, RECALLS)].mean())
    return float(means[0]), float(np.mean(means))


def _recalls(matches: _Matches, weights: npt.NDArray[np.int64]) -> list[float]:
    """At 0.5 by size, then over all overlaps by size."""
    truths = matches.truths @ weights
    found = matches.found @ weights
    recalls = [row / count if count else np.full(len(row), np.nan) for row, count in zip(found, truths, strict=True)]
    return [float(row[0]) for row in recalls] + [float(row.mean()) for row in recalls]


def _mean(tables: Samples) -> Samples:
    """[draws, FIGURES] of [draws, classes, FIGURES], over the classes with something to find."""
    known = np.isfinite(tables)
    count = known.sum(axis=1)
    total = np.where(known, tables, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _scores(table: Samples, truths: int, confidence: float) -> Scores:
    columns = dict(zip(FIGURES, table.T, strict=True))
    figures = {name: _interval(column, confidence) for name, column in columns.items()}
    return Scores(truths, figures, {name: column[1:] for name, column in columns.items()})


def _interval(column: Samples, confidence: float) -> Interval | None:
    value, drawn = float(column[0]), column[1:][np.isfinite(column[1:])]
    if np.isnan(value):
        return None
    tail = 50 * (1 - confidence)
    low, high = np.percentile(drawn, [tail, 100 - tail]) if drawn.size else (value, value)
    return Interval(value, float(low), float(high))
