"""Tracks keep to their objects."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from edgefusion.metrics.detection import Detections, Truth
from edgefusion.metrics.tracking import Tracked
from edgefusion.recordings.mot import FrameTruth
from runtime.evaluate.tracker import Tracker
from runtime.evaluate.tracks import tracking_result

Box = tuple[float, float, float, float]
FPS = 30


def at(x: float, y: float = 100, size: tuple[float, float] = (40, 80)) -> Box:
    return x, y, x + size[0], y + size[1]


def follow(film: Sequence[Sequence[Box]], scores: Sequence[float] | float = 0.9) -> list[Tracked]:
    """Tracks of one class; the scores are of each frame."""
    tracker, each = Tracker(fps=FPS), [scores] * len(film) if isinstance(scores, float) else scores
    return [
        tracker(np.array(boxes, float).reshape(-1, 4), np.full(len(boxes), score))
        for boxes, score in zip(film, each, strict=True)
    ]


def identities(tracks: Sequence[Tracked]) -> list[dict[int, float]]:
    """Of each frame: identity -> left edge."""
    return [dict(zip(t.identities.tolist(), t.boxes_px[:, 0].tolist(), strict=True)) for t in tracks]


def test_objects_that_cross_keep_their_identities() -> None:
    film = [[at(4 * k), at(240 - 4 * k, 104)] for k in range(60)]
    for number, found in enumerate(identities(follow(film))):
        assert found == {1: 4 * number, 2: 240 - 4 * number}


@pytest.mark.parametrize(("hidden", "identity"), [(1, 1), (12, 1), (30, 1), (31, 2), (45, 2)])
def test_one_hidden_for_up_to_a_second_is_known_again(hidden: int, identity: int) -> None:
    film = [[at(3 * k)] if not 20 <= k < 20 + hidden else [] for k in range(90)]
    tracks = identities(follow(film))
    assert set(tracks[19]) == {1}
    assert tracks[20 : 20 + hidden] == [{}] * hidden
    assert set(tracks[-1]) == {identity}


def test_unsure_detections_keep_a_track_but_begin_none() -> None:
    unsure = 0.2
    film = [[at(3 * k)] for k in range(30)]
    assert identities(follow(film, [0.9] * 10 + [unsure] * 20))[-1] == {1: 87}
    assert all(not found for found in identities(follow(film, unsure)))
    assert all(not found for found in identities(follow(film, [0.9] * 10 + [0.05] * 20))[10:])


def test_what_is_seen_once_only_is_no_track() -> None:
    film = [[at(10)], [at(10), at(300)], [at(10)], [at(10), at(500)], [at(10), at(503)]]
    assert [set(found) for found in identities(follow(film))] == [{1}, {1}, {1}, {1}, {1, 2}]


def test_no_detection_at_all() -> None:
    assert identities(follow([[], [], []])) == [{}, {}, {}]


def detections(boxes: Sequence[Box], name: str = "pedestrian") -> Detections:
    return Detections(np.array(boxes), [name] * len(boxes), np.full(len(boxes), 0.9))


def truth(boxes: Sequence[Box], names: Sequence[int], hidden: Sequence[bool] | None = None) -> FrameTruth:
    crowd = np.array(hidden if hidden is not None else [False] * len(boxes), bool)
    return FrameTruth(Truth(np.array(boxes), ["person"] * len(boxes), crowd), np.array(names, np.int64))


def test_switches_misses_and_false_positives_are_counted() -> None:
    seen = [k for k in range(80) if not 20 <= k < 60]  # too long for the tracker
    film = [detections([at(3 * k)] if k in seen else []) for k in range(80)]
    truths = [truth([at(3 * k)], [7]) for k in range(80)]
    result = tracking_result(
        {"a": film}, truths, matched={"pedestrian": "person"}, source="a pencil", fps=FPS
    )  # fmt: skip
    found = result.entries["a"]
    # The new track is seen twice before it is one.
    assert (found.tracks, found.truths, found.matches, found.misses) == (2, 80, 39, 41)
    assert (found.false_positives, found.switches) == (0, 1)
    assert found.accuracy == pytest.approx(1 - 42 / 80)
    assert (result.truth, result.classes, found.median_frames) == ("a pencil", ["person"], 19.5)


def test_tracks_of_hidden_objects_are_neither_right_nor_wrong() -> None:
    film = [detections([at(3 * k), at(400)]) for k in range(10)]
    truths = [truth([at(3 * k), at(400)], [1, 2], [False, True]) for k in range(10)]
    found = tracking_result({"a": film}, truths, matched={"pedestrian": "person"}, source="s", fps=FPS).entries["a"]
    assert (found.tracks, found.truths, found.matches, found.false_positives) == (2, 10, 10, 0)


def test_classes_are_followed_apart() -> None:
    film = [Detections(np.array([at(3 * k)] * 2), ["pedestrian", "car"], np.array([0.9, 0.8])) for k in range(5)]
    found = tracking_result({"a": film}, None, matched={}, source=None, fps=FPS)
    assert found.classes == ["car", "pedestrian"]
    assert (found.entries["a"].tracks, found.entries["a"].median_frames, found.entries["a"].truths) == (2, 5, None)
    one = tracking_result({"a": film}, None, matched={"car": "vehicle"}, source=None, fps=FPS)
    assert (one.classes, one.entries["a"].tracks) == (["vehicle"], 1)


def matrix(box: Box) -> NDArray[np.float64]:
    return np.array([box])


def test_a_steady_motion_is_predicted_through_a_gap() -> None:
    film = [[at(8 * k)] if k < 20 or k >= 30 else [] for k in range(40)]
    assert set(identities(follow(film))[-1]) == {1}
    # Without motion the box would lie 80 pixels behind, two widths of it.
    assert at(8 * 30)[0] - at(8 * 19)[2] > 0
