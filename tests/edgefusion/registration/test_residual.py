"""How far a registration in use is off."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgefusion.core.errors import InputError
from edgefusion.core.geometry import Matrix, apply, grid
from edgefusion.registration import residual
from edgefusion.registration.projective import similarity

Frames = list[tuple[Any, Any]]
SIZE = (320, 240)


def drifted(truth: Matrix, *, shift_px: tuple[float, float], turn_deg: float) -> Matrix:
    """A registration that is off by so much among visible pixels."""
    shift = np.array([[1, 0, shift_px[0]], [0, 1, shift_px[1]], [0, 0, 1]])
    return np.asarray(truth @ shift @ similarity(turn_deg=turn_deg, scale=1.0, about=SIZE))


def test_a_right_registration_leaves_next_to_nothing(drive: Frames, truth: Matrix) -> None:
    found = residual(*drive[0], truth)
    assert found.doubt == ""
    assert found.displacement_px < 1
    assert found.displacement_px < 4 * found.uncertainty_px


@pytest.mark.parametrize(("shift_px", "turn_deg"), [((4.0, -3.0), 0.0), ((0.0, 0.0), 2.0), ((-7.0, 2.0), -1.0)])
def test_a_drift_is_measured_and_undone(
    shift_px: tuple[float, float], turn_deg: float, drive: Frames, truth: Matrix
) -> None:
    off = drifted(truth, shift_px=shift_px, turn_deg=turn_deg)
    found = residual(*drive[1], off)
    assert found.doubt == ""
    places = grid(SIZE)
    should = apply(np.asarray(np.linalg.inv(off) @ truth), places)
    assert np.hypot(*(apply(found.correction, places) - should).T).mean() < 1
    assert found.displacement_px == pytest.approx(np.hypot(*(should - places).T).mean(), abs=1)
    assert found.turn_deg == pytest.approx(-turn_deg, abs=0.3)


def test_a_drift_beyond_its_reach_is_doubted_not_measured(drive: Frames, truth: Matrix) -> None:
    found = residual(*drive[0], drifted(truth, shift_px=(60.0, 30.0), turn_deg=0.0))
    assert found.doubt.startswith("no match within 12 pixels")
    assert np.array_equal(found.correction, np.eye(3))
    assert found.uncertainty_px == np.inf


def test_a_picture_of_another_place_is_doubted(drive: Frames, truth: Matrix) -> None:
    random = np.random.default_rng(0)
    other = random.integers(0, 255, (24, 32), np.uint8).repeat(10, 0).repeat(10, 1)
    assert residual(other, drive[0][1], truth).doubt.startswith("no match")


@pytest.mark.parametrize("side", ["visible", "thermal"])
def test_a_covered_camera_is_doubted(side: str, drive: Frames, truth: Matrix) -> None:
    visible, thermal = drive[0]
    found = residual(*((visible * 0, thermal) if side == "visible" else (visible, thermal * 0 + 8000)), truth)
    assert found.doubt == f"nothing to register in {side}: hardly an edge"


def test_an_image_in_colour(drive: Frames, truth: Matrix) -> None:
    with pytest.raises(InputError, match=r"visible: an image of shape \(240, 320, 3\)"):
        residual(np.zeros((240, 320, 3), np.uint8), drive[0][1], truth)


@settings(max_examples=25, deadline=None)
@given(
    visible=arrays(np.uint8, (48, 64), elements=st.sampled_from([0, 1, 128, 255])),
    thermal=arrays(np.uint16, (48, 64), elements=st.sampled_from([0, 7, 65535])),
)
def test_any_image_is_measured_or_doubted(visible: Any, thermal: Any) -> None:
    found = residual(visible, thermal, np.eye(3))
    assert np.isfinite(found.correction).all()
    assert found.doubt or np.isfinite(found.uncertainty_px)
