"""Where each part of a picture finds itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgefusion.core.errors import InputError
from edgefusion.core.geometry import Matrix
from edgefusion.registration import windows

Frames = list[tuple[Any, Any]]
SHIFTS = [(0.0, 0.0), (1.5, -1.0), (-2.0, 1.5)]


@pytest.mark.parametrize("shift_px", SHIFTS)
def test_windows_tell_how_far_a_registration_is_off(
    shift_px: tuple[float, float], drive: Frames, truth: Matrix
) -> None:
    off = truth @ np.array([[1, 0, -shift_px[0]], [0, 1, -shift_px[1]], [0, 0, 1]])
    found = windows(*drive[1], off)
    assert found.agrees.mean() > 0.3
    assert np.median(found.shifts_px[found.agrees], axis=0) == pytest.approx(shift_px, abs=0.4)


def test_windows_cover_the_picture_and_are_the_same_for_all_pairs(drive: Frames, truth: Matrix) -> None:
    first, second = (windows(*each, truth).centres_px for each in drive[:2])
    np.testing.assert_array_equal(first, second)
    assert first.min(axis=0).max() <= 20
    assert (first.max(axis=0) >= (299, 219)).all()


def test_windows_of_another_place_hardly_agree(drive: Frames, other_drive: Frames, truth: Matrix) -> None:
    assert windows(drive[0][0], other_drive[0][1][::-1], truth).agrees.mean() < 0.15


def test_what_is_no_image_is_refused(drive: Frames, truth: Matrix) -> None:
    with pytest.raises(InputError, match="cannot be registered"):
        windows(drive[0][0][:20], drive[0][1], truth)
