"""Small changes of a map, and how points follow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from registration_cases import Warp

from edgefusion.core.geometry import grid
from edgefusion.registration.projective import Mapping, moved, similarity

SIZE = (64, 48)
small = st.floats(-0.1, 0.1)


@given(st.sampled_from([4, 8, 9]).flatmap(lambda count: st.lists(small, min_size=count, max_size=count)))
def test_slopes_are_what_a_small_step_shows(values: list[float]) -> None:
    parameters, points = np.array(values), grid(SIZE) / 40 - 0.7
    bend = points**3
    _, slopes = moved(parameters, points, bend)
    for number, step in enumerate(1e-6 * np.eye(len(values))):
        ahead, behind = (moved(parameters + sign * step, points, bend)[0] for sign in (1, -1))
        assert np.allclose((ahead - behind) / 2e-6, slopes[:, :, number], atol=1e-5)


def test_a_similarity_turns_about_the_centre() -> None:
    matrix = similarity(turn_deg=90, scale=2, about=SIZE)
    assert matrix @ [31.5, 23.5, 1] == pytest.approx([31.5, 23.5, 1])
    assert matrix @ [32.5, 23.5, 1] == pytest.approx([31.5, 25.5, 1])


def test_the_radial_term_is_about_the_thermal_centre() -> None:
    matrix = similarity(turn_deg=10, scale=0.9, about=SIZE)
    warp = Warp(matrix, 0.2)
    assert Mapping(matrix, 0.2).points(grid(SIZE), SIZE) == pytest.approx(warp.points(grid(SIZE), SIZE))


def test_bend_is_what_a_little_more_of_the_radial_term_moves() -> None:
    mapping = Mapping(similarity(turn_deg=10, scale=0.9, about=SIZE))
    before = mapping.points(grid(SIZE) + 1e-4 * mapping.bend(grid(SIZE), SIZE), SIZE)
    assert before == pytest.approx(Mapping(mapping.matrix, 1e-4).points(grid(SIZE), SIZE), abs=1e-5)
