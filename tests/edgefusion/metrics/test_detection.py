"""COCO's rules: cases counted by hand, and pycocotools' own sums."""

from __future__ import annotations

import contextlib
import io
import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgefusion.core.errors import MachineError, UsageError
from edgefusion.metrics.detection import (
    FIGURES,
    SIZES,
    Detections,
    Interval,
    Truth,
    average_precision,
    intersection_over_union,
)

Box = tuple[float, float, float, float]


def truth(*boxes: Box, name: str = "person", crowd: list[bool] | None = None) -> Truth:
    return Truth(np.array(boxes), [name] * len(boxes), np.array(crowd or [], bool))


def found(*boxes: Box, name: str = "person", scores: list[float] | None = None) -> Detections:
    return Detections(
        np.array(boxes), [name] * len(boxes), np.array(scores if scores else np.linspace(0.9, 0.5, len(boxes)))
    )


def values(detections: list[Detections], truths: list[Truth], **settings: Any) -> dict[str, float | None]:
    figures = average_precision(detections, truths, draws=0, **settings).overall.figures
    return {name: figure and figure.value for name, figure in figures.items()}


A, B, C = (10.0, 10.0, 60.0, 110.0), (100.0, 20.0, 150.0, 90.0), (200.0, 20.0, 260.0, 80.0)


def test_what_is_found_exactly_scores_one() -> None:
    scores = values([found(A, B), found(C)], [truth(A, B), truth(C)])
    assert [scores[name] for name in ("AP50", "AP50:95", "recall50", "recall50:95")] == pytest.approx([1, 1, 1, 1])


@pytest.mark.parametrize("detections", [found(), found((300, 300, 310, 310)), found(A, name="car")])
def test_what_is_missed_scores_zero(detections: Detections) -> None:
    scores = values([detections], [truth(A)])
    assert [scores[name] for name in ("AP50", "AP50:95", "recall50", "recall50:95")] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("detections", "expected"),
    [
        # Right, wrong, right: precision 1 up to a recall of 0.5 (51 of the 101 recalls), 2/3 beyond.
        (found(A, C, B), (51 + 50 * 2 / 3) / 101),
        # Wrong first: 2/3 at every recall, as the precision that follows counts if it is higher.
        (found(C, A, B), 2 / 3),
        # One of two found: recalls beyond 0.5 are never reached.
        (found(A), 51 / 101),
        # The same thing found twice: the second one is wrong.
        (found(A, A, B), (51 + 50 * 2 / 3) / 101),
        # The order is that of scores, not of rows.
        (found(C, A, B, scores=[0.1, 0.9, 0.8]), 1.0),
    ],
)
def test_average_precision_by_hand(detections: Detections, expected: float) -> None:
    assert values([detections], [truth(A, B)])["AP50"] == pytest.approx(expected)


@pytest.mark.parametrize(("width", "overlaps"), [(49, 0), (52, 1), (78, 6), (96, 10)])
def test_overlaps_from_050_to_095_count_equally(width: float, overlaps: int) -> None:
    scores = values([found((0, 0, width, 100))], [truth((0, 0, 100, 100))])
    assert scores["AP50:95"] == pytest.approx(overlaps / 10)
    assert scores["recall50:95"] == pytest.approx(overlaps / 10)
    assert scores["AP50"] == (1.0 if overlaps else 0.0)


def test_recall_by_size_of_box() -> None:
    small, medium, large = (0, 0, 20, 20), (50, 0, 100, 50), (150, 0, 250, 100)
    scores = values([found(medium)], [truth(small, medium, large)])
    assert {size: scores[f"recall50 {size}".removesuffix(" all")] for size in SIZES} == pytest.approx(
        {"all": 1 / 3, "small": 0, "medium": 1, "large": 0}
    )


@pytest.mark.parametrize(
    ("side", "sizes"), [(31, {"small"}), (32, {"small", "medium"}), (96, {"medium", "large"}), (97, {"large"})]
)
def test_the_limits_of_sizes_are_cocos(side: int, sizes: set[str]) -> None:
    box = (0, 0, side, side)
    scores = values([found(box)], [truth(box)])
    assert {size for size in SIZES[1:] if scores[f"recall50 {size}"] is not None} == sizes


def test_a_detection_in_a_crowd_is_neither_right_nor_wrong() -> None:
    crowd = truth(A, (200, 0, 400, 200), crowd=[False, True])
    inside = [(210, 10, 240, 60), (300, 50, 340, 120)]
    assert values([found(*inside, A)], [crowd])["AP50"] == 1.0  # type: ignore[arg-type]
    assert values([found(*inside, A)], [truth(A)])["AP50"] == pytest.approx(1 / 3)  # type: ignore[arg-type]


def test_classes_are_judged_apart_and_averaged() -> None:
    mixed = Truth(np.array([A, B, C]), ["person", "car", "car"])
    detections = Detections(np.array([A, B, C]), ["person", "car", "person"], np.array([0.9, 0.8, 0.7]))
    scores = average_precision([detections], [mixed], draws=0)
    assert {name: one.truths for name, one in scores.classes.items()} == {"car": 2, "person": 1}
    each = {name: one.figures["AP50"] for name, one in scores.classes.items()}
    assert each == {"car": Interval(*[51 / 101] * 3), "person": Interval(1, 1, 1)}
    overall = scores.overall.figures["AP50"]
    assert overall is not None
    assert overall.value == pytest.approx((51 / 101 + 1) / 2)


def test_only_the_classes_asked_for_count() -> None:
    mixed = Truth(np.array([A, B]), ["person", "lamp"])
    scores = average_precision([found(A)], [mixed], classes=["person", "bus"], draws=0)
    assert scores.overall.truths == 1
    assert scores.overall.figures["AP50"] == Interval(1, 1, 1)
    assert set(scores.classes["bus"].figures.values()) == {None}


def test_images_without_boxes_are_images_too() -> None:
    assert values([found(A), found(A)], [truth(A), truth()])["AP50"] == pytest.approx(1.0)
    assert values([found(A, scores=[0.5]), found(A, scores=[0.9])], [truth(A), truth()])["AP50"] == pytest.approx(0.5)


def random_scene(random: np.random.Generator) -> tuple[Detections, Truth]:
    """Boxes of all sizes, found more or less, and some that are not there."""

    def boxes(count: int) -> NDArray[np.float64]:
        corner, side = random.uniform(0, 500, (count, 2)), random.uniform(5, 180, (count, 2))
        return np.concatenate([corner, corner + side], axis=1)

    count = int(random.integers(0, 6))
    true = boxes(count)
    names = random.choice(["person", "car"], count)
    seen = random.random(count) < 0.8
    near = true[seen] + random.normal(0, 4, (seen.sum(), 4)) * random.random((seen.sum(), 1))
    near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
    false = boxes(int(random.integers(0, 5)))
    labels = [*names[seen], *random.choice(["person", "car"], len(false))]
    detections = Detections(np.concatenate([near, false]), labels, random.random(len(labels)))
    return detections, Truth(true, names, random.random(count) < 0.1)


@pytest.fixture(scope="module")
def scenes() -> tuple[list[Detections], list[Truth]]:
    random = np.random.default_rng(4)
    detections, truths = zip(*[random_scene(random) for _ in range(300)], strict=True)
    return list(detections), list(truths)


def pycocotools_figures(detections: list[Detections], truths: list[Truth], names: list[str]) -> dict[str, float]:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    sides: list[Any] = [COCO(), COCO()]
    for coco, images in zip(sides, (truths, detections), strict=True):
        notes: list[dict[str, Any]] = []
        for number, image in enumerate(images):
            for row, (box, name) in enumerate(zip(image.boxes_px, image.classes, strict=True)):
                x, y, w, h = box[0], box[1], box[2] - box[0], box[3] - box[1]
                note = {"id": len(notes) + 1, "image_id": number, "category_id": names.index(str(name))}
                score = {"score": image.scores[row]} if isinstance(image, Detections) else {}
                crowd = int(image.crowd[row]) if isinstance(image, Truth) else 0
                notes.append({**note, **score, "bbox": [x, y, w, h], "area": w * h, "iscrowd": crowd})
        coco.dataset = {"images": [{"id": i} for i in range(len(images))], "annotations": notes}
        coco.dataset["categories"] = [{"id": k} for k in range(len(names))]
        with contextlib.redirect_stdout(io.StringIO()):
            coco.createIndex()
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(*sides, "bbox")
        for step in (evaluation.evaluate, evaluation.accumulate, evaluation.summarize):
            step()
    recalls = evaluation.eval["recall"][0, :, :, -1].mean(axis=0)
    return {
        "AP50:95": evaluation.stats[0],
        "AP50": evaluation.stats[1],
        "recall50:95": evaluation.stats[8],
        **{f"recall50:95 {size}": evaluation.stats[9 + k] for k, size in enumerate(SIZES[1:])},
        "recall50": recalls[0],
        **{f"recall50 {size}": recalls[1 + k] for k, size in enumerate(SIZES[1:])},
    }


def test_figures_are_those_of_pycocotools(scenes: tuple[list[Detections], list[Truth]]) -> None:
    expected = pycocotools_figures(*scenes, ["car", "person"])
    assert values(*scenes) == pytest.approx(expected, abs=1e-12)
    assert set(expected) == set(FIGURES)
    assert 0.2 < expected["AP50:95"] < expected["AP50"] < 0.9


def test_a_bootstrap_draw_is_an_evaluation_of_the_images_drawn(scenes: tuple[list[Detections], list[Truth]]) -> None:
    detections, truths = (side[:40] for side in scenes)
    scores = average_precision(detections, truths, draws=5, seed=3)
    random = np.random.default_rng(3)
    for draw in range(5):
        chosen = random.integers(40, size=40)
        expected = pycocotools_figures(
            [detections[i] for i in chosen], [truths[i] for i in chosen], ["car", "person"]
        )  # fmt: skip
        drawn = {name: sample[draw] for name, sample in scores.overall.samples.items()}
        assert drawn == pytest.approx(expected, abs=1e-12)


def test_intervals_enclose_the_value_and_shrink_with_more_images(scenes: tuple[list[Detections], list[Truth]]) -> None:
    widths = []
    for count in (30, 300):
        figure = average_precision(scenes[0][:count], scenes[1][:count], draws=200).overall.figures["AP50"]
        assert figure is not None
        assert figure.low < figure.value < figure.high
        widths.append(figure.high - figure.low)
    assert widths[1] < widths[0] / 2


def test_equal_seeds_draw_equal_images(scenes: tuple[list[Detections], list[Truth]]) -> None:
    detections, truths = (side[:30] for side in scenes)
    worse = [each.where(each.scores > 0.5) for each in detections]
    one, other = (
        average_precision(each, truths, draws=100).overall.samples["recall50"] for each in (detections, worse)
    )
    again = average_precision(detections, truths, draws=100).overall.samples["recall50"]
    assert np.array_equal(one, again)
    assert (one >= other).all()


def test_the_order_of_images_does_not_matter(scenes: tuple[list[Detections], list[Truth]]) -> None:
    assert values(scenes[0][::-1], scenes[1][::-1]) == pytest.approx(values(*scenes), abs=1e-12)


def test_one_image_has_no_spread() -> None:
    figure = average_precision([found(A)], [truth(A, B)], draws=50).overall.figures["recall50"]
    assert figure == Interval(0.5, 0.5, 0.5)


def test_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    values([found(A)], [truth(A)])
    assert capsys.readouterr() == ("", "")


def test_a_missing_library_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycocotools.coco", None)
    with pytest.raises(MachineError, match=r"edgefusion\[detect\]"):
        values([found(A)], [truth(A)])


@pytest.mark.parametrize(
    ("detections", "truths", "message"),
    [
        ([], [], "detections of 0 images"),
        ([found(A)], [truth(A), truth(B)], "detections of 1 images, truths of 2"),
        ([found(A)], [truth()], "no class to judge"),
    ],
)
def test_sets_that_cannot_be_judged(detections: list[Detections], truths: list[Truth], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        average_precision(detections, truths)


@pytest.mark.parametrize(
    ("boxes", "classes", "scores", "message"),
    [
        ([A], ["person", "car"], [0.5], r"boxes of shape \(1, 4\)"),
        ([A[:3]], ["person"], [0.5], r"boxes of shape \(1, 3\)"),
        ([(5, 5, 5, 9)], ["person"], [0.5], "empty, reversed"),
        ([(9, 5, 5, 9)], ["person"], [0.5], "empty, reversed"),
        ([(0, 0, np.nan, 9)], ["person"], [0.5], "not finite"),
        ([A], ["person"], [np.nan], "not finite"),
        ([A], ["person"], [0.5, 0.4], "scores of shape"),
    ],
)
def test_boxes_that_are_none(boxes: Any, classes: list[str], scores: list[float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Detections(np.array(boxes), classes, np.array(scores))


def test_intersection_over_union() -> None:
    first = np.array([[0, 0, 10, 10], [20, 20, 30, 30]], float)
    second = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10]], float)
    assert intersection_over_union(first, second) == pytest.approx(np.array([[1, 1 / 3, 0], [0, 0, 0]]))
    assert intersection_over_union(first, np.zeros((0, 4))).shape == (2, 0)
