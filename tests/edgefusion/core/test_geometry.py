from __future__ import annotations

import numpy as np
import pytest

from edgefusion.core.errors import InputError
from edgefusion.core.geometry import Registration, apply, check_registration, resize_map


def test_resizing_maps_corners_of_the_image_to_corners() -> None:
    edges = [[-0.5, -0.5], [639.5, 479.5]]
    np.testing.assert_allclose(apply(resize_map((640, 480), (320, 256)), edges), [[-0.5, -0.5], [319.5, 255.5]])


def test_a_scaled_registration_points_at_the_same_thing() -> None:
    registration = Registration(np.array([[0.5, 0.01, 3], [-0.02, 0.52, -2], [1e-5, 2e-5, 1]]))
    half = registration.scaled(visible=((640, 480), (320, 240)), thermal=((320, 256), (640, 512)))
    point = np.array([[100.0, 50.0]])
    in_half = apply(resize_map((640, 480), (320, 240)), point)
    expected = apply(resize_map((320, 256), (640, 512)), registration.points(point))
    np.testing.assert_allclose(half.points(in_half), expected)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [([[1, 0], [0, 1]], "3 rows"), ([[1, 0, "a"]] * 3, "3 rows"), ([[1, 0, 0]] * 3, "inverted")],
)
def test_what_is_no_registration_is_refused(matrix: list[list[object]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_registration(matrix)


def test_a_registration_is_known_up_to_scale() -> None:
    assert Registration(check_registration(5 * np.eye(3))).is_identity
