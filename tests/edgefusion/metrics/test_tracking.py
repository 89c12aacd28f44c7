"""CLEAR MOT, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from edgefusion.core.errors import UsageError
from edgefusion.metrics.tracking import Tracked, TrackingScores, clear_mot

Places = dict[int, float]
"""The left edge of each identity's box, all of 10 x 10 pixels."""


def clip(*frames: Places) -> list[Tracked]:
    return [
        Tracked(np.array([(x, 0, x + 10, 10) for x in places.values()]), np.array([*places], np.int64))
        for places in frames
    ]


@pytest.mark.parametrize(
    ("truths", "tracks", "matches", "misses", "false_positives", "switches"),
    [
        # Followed throughout, whatever the track is called.
        ([{1: 0}, {1: 1}, {1: 2}], [{7: 0}, {7: 1}, {7: 2}], 3, 0, 0, 0),
        # Lost, and found as somebody new: one switch.
        ([{1: 0}] * 4, [{7: 0}, {7: 0}, {8: 0}, {8: 0}], 4, 0, 0, 1),
        # After a gap as well; the same track again is none.
        ([{1: 0}] * 3, [{7: 0}, {}, {8: 0}], 2, 1, 0, 1),
        ([{1: 0}] * 3, [{7: 0}, {}, {7: 0}], 2, 1, 0, 0),
        # There and back: two.
        ([{1: 0}] * 3, [{7: 0}, {8: 0}, {7: 0}], 3, 0, 0, 2),
        # Two tracks that change places: one switch of each true object.
        ([{1: 0, 2: 50}] * 2, [{7: 0, 8: 50}, {8: 0, 7: 50}], 4, 0, 0, 2),
        # A track that jumps to somebody else who had none: the first covering of a true object is no switch.
        ([{1: 0, 2: 50}] * 2, [{7: 0}, {7: 50}], 2, 2, 0, 0),
        # A better box appears, but the old one still matches: it stays.
        ([{1: 0}] * 2, [{7: 0}, {7: 3, 8: 0}], 2, 0, 1, 0),
        # The old one no longer matches: 5 pixels off are an overlap of a third.
        ([{1: 0}] * 2, [{7: 0}, {7: 5, 8: 0}], 2, 0, 1, 1),
        # As many matches as possible go before the best one: 2 is left with track 7.
        ([{1: 0, 2: 4}], [{7: 2, 8: -2}], 2, 0, 0, 0),
        ([{}, {}], [{}, {7: 0}], 0, 0, 1, 0),
        ([{1: 0}], [{}], 0, 1, 0, 0),
        ([], [], 0, 0, 0, 0),
    ],
)
def test_counts(
    truths: list[Places], tracks: list[Places], matches: int, misses: int, false_positives: int, switches: int
) -> None:
    total = sum(map(len, truths))
    expected = TrackingScores(len(truths), total, matches, misses, false_positives, switches)
    assert clear_mot(clip(*truths), clip(*tracks)) == expected


def test_accuracy() -> None:
    scores = clear_mot(clip({1: 0, 2: 50}, {1: 0, 2: 50}), clip({7: 0, 8: 50}, {9: 0, 6: 90}))
    assert (scores.switches, scores.misses, scores.false_positives) == (1, 1, 1)
    assert scores.accuracy == pytest.approx(1 - 3 / 4)
    assert clear_mot(clip({}), clip({})).accuracy is None


def test_the_overlap_that_is_needed_can_be_set() -> None:
    truths, tracks = clip({1: 0}), clip({7: 5})
    assert clear_mot(truths, tracks).matches == 0
    assert clear_mot(truths, tracks, least_overlap=0.3).matches == 1


def test_clips_of_different_length_are_refused() -> None:
    with pytest.raises(UsageError, match="differ in length"):
        clear_mot(clip({1: 0}, {1: 0}), clip({1: 0}))


@pytest.mark.parametrize("identities", [[1, 1], [1], [1, 2, 3]])
def test_identities_are_one_each(identities: list[int]) -> None:
    with pytest.raises(UsageError, match="2 boxes, identities"):
        Tracked(np.array([(0, 0, 1, 1), (5, 5, 9, 9)]), np.array(identities))
