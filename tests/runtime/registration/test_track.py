from __future__ import annotations

import numpy as np
import pytest

from runtime.registration.similarity import change_of, length_px, matrix_of, turn_deg
from runtime.registration.track import Track

SIZE = (640, 480)


def measured(track: Track, path, times, noise: float = 0.3, seed: int = 0) -> list[bool]:
    draw = np.random.default_rng(seed)
    return [track.add(np.array(path(at_s)) + draw.normal(0, noise, 4), noise, at_s) for at_s in times]


def test_a_change_is_the_matrix_it_was_made_of() -> None:
    change = np.array([3.0, -2.0, 1.5, -4.0])
    matrix = matrix_of(change, SIZE)
    assert change_of(matrix, SIZE) == pytest.approx(change)
    assert matrix @ [319.5, 239.5, 1] == pytest.approx([322.5, 237.5, 1])


def test_a_shift_is_as_long_as_it_is_and_a_turn_by_its_angle() -> None:
    assert length_px(np.array([3.0, 4.0, 0, 0]), SIZE) == pytest.approx(5)
    turned = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])
    assert turn_deg(change_of(turned, SIZE), SIZE) == pytest.approx(36.87, abs=0.01)


def test_a_registration_at_rest_is_known_better_than_any_measurement() -> None:
    track = Track()
    measured(track, lambda at_s: (2, -1, 0, 0), np.arange(0, 30, 1.5))
    assert np.abs(track.at(30) - [2, -1, 0, 0]).max() < 0.5
    assert not track.moving


def test_a_steady_drift_is_followed_without_lagging_behind() -> None:
    track = Track()
    measured(track, lambda at_s: (1.5 * at_s, 0, 0, 0), np.arange(0, 12, 1.0))
    assert track.moving
    assert track.at(11.5)[0] == pytest.approx(1.5 * 11.5, abs=1.0)


def test_one_wrong_measurement_changes_nothing_but_two_that_agree_do() -> None:
    track = Track()
    measured(track, lambda at_s: (0, 0, 0, 0), np.arange(0, 15, 1.5))
    before = track.at(15)
    assert not track.add(np.array([18.0, 0, 0, 0]), 0.3, 15)
    assert track.suspect
    assert track.at(15) == pytest.approx(before)
    assert not track.add(np.array([-14.0, 5, 0, 0]), 0.3, 15.3)
    assert track.add(np.array([-14.2, 5, 0, 0]), 0.3, 15.6)
    assert track.at(15.6)[:2] == pytest.approx([-14.1, 5], abs=0.01)
    assert not track.suspect


def test_a_sure_measurement_counts_for_more() -> None:
    unsure, sure = Track(), Track()
    for track, uncertainty in ((unsure, 4.0), (sure, 0.5)):
        track.add(np.zeros(4), 0.5, 0.0)
        track.add(np.array([1.5, 0, 0, 0]), uncertainty, 1.0)
    assert 0 < unsure.at(1.0)[0] < sure.at(1.0)[0] < 1.5
