"""The registration of two cameras, from what they see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from registration_cases import Warp, perspective, similarity

from edgefusion.core.errors import InputError
from edgefusion.core.geometry import Matrix, apply
from edgefusion.registration import Search, estimate

Frames = list[tuple[Any, Any]]
Off = Callable[[Callable[[Matrix], Matrix]], float]
THERMAL_SIZE = (200, 160)
NEAR = Search(turns_deg=(0.0,), scales=(1.0,), shift=0.1)
"""Where the point is another one than the search."""


def warped(frames: Frames, warp: Warp) -> Frames:
    """Thermal through a warp, still in 14 bits; 0 where the camera would have seen more."""
    return [(visible, _warped(thermal, warp)) for visible, thermal in frames]


def _warped(thermal: NDArray[np.uint16], warp: Warp) -> NDArray[np.uint16]:
    size = thermal.shape[1], thermal.shape[0]
    return np.asarray(cv2.warpPerspective(thermal, warp.matrix, size, flags=cv2.INTER_LINEAR), np.uint16)


def test_many_pairs_of_a_rig(drive: Frames, off_px: Off) -> None:
    found = estimate(drive)
    off = off_px(found.points)
    assert off < 0.5
    assert off < 3 * found.uncertainty_px
    assert found.used == tuple(range(4))
    assert found.rejected == ()
    assert found.lens == 0


def test_one_pair_is_enough_where_there_is_much_to_see(drive: Frames, off_px: Off) -> None:
    found = estimate(drive[:1])
    assert off_px(found.points) < 1.5
    assert found.uncertainty_px < 2


@pytest.mark.parametrize("kind", [similarity, perspective])
def test_thermal_that_was_moved(kind: Any, drive: Frames, off_px: Off) -> None:
    warp = kind(1, THERMAL_SIZE, shift_px=18, turn_deg=20)
    found = estimate(warped(drive[:2], warp))
    back = np.linalg.inv(warp.matrix)
    assert off_px(lambda points: apply(back, found.points(points))) < 1


def test_light_on_dark_is_as_good_as_dark_on_light(drive: Frames, off_px: Off) -> None:
    found = estimate([(visible, 16383 - thermal) for visible, thermal in drive[:2]], search=NEAR)
    assert off_px(found.points) < 0.5


def test_a_lens_is_found_where_one_is_asked_for(drive: Frames, truth: Matrix) -> None:
    warp = Warp(np.eye(3), 0.1)
    pictures = [(visible, warp(_eight_bits(thermal))) for visible, thermal in drive]
    places = np.array([[10.0, 10.0], [160.0, 120.0], [310.0, 230.0]])
    should = warp.points(apply(truth, places), THERMAL_SIZE)
    assert np.abs(estimate(pictures, model="lens", search=NEAR).points(places) - should).max() < 1.5


def test_a_lens_that_the_model_lacks_shows_in_the_uncertainty(drive: Frames, off_px: Off) -> None:
    warp = Warp(np.eye(3), 0.15)
    found = estimate([(visible, warp(_eight_bits(thermal))) for visible, thermal in drive[:2]], search=NEAR)
    assert found.uncertainty_px > 4 * estimate(drive[:2], search=NEAR).uncertainty_px


def _eight_bits(thermal: NDArray[np.uint16]) -> NDArray[np.uint8]:
    low, high = np.percentile(thermal, (0.5, 99.5))
    return np.asarray(np.clip((thermal - low) / (high - low) * 255, 0, 255), np.uint8)


def test_a_pair_of_two_moments_and_a_blank_one_are_left_out(drive: Frames, other_drive: Frames, off_px: Off) -> None:
    blank = np.full_like(drive[0][1], 8000)
    mixed = [*drive[:2], (drive[2][0], other_drive[2][1]), *drive[3:], (drive[0][0], blank)]
    found = estimate(mixed, search=NEAR)
    assert off_px(found.points) < 0.5
    assert found.used == (0, 1, 3)
    assert [(each.index, each.reason.split(":")[0]) for each in found.rejected] == [
        (2, "does not agree with the other pairs"),
        (4, "nothing to register in thermal"),
    ]


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda image: image[:, ::-1], "mirrored left to right"),
        pytest.param(lambda image: image[::-1, ::-1], "turned by 180 degrees", marks=pytest.mark.slow),
        pytest.param(np.rot90, "turned by 90 degrees counterclockwise", marks=pytest.mark.slow),
        (lambda image: np.rot90(image, -1), "turned by 90 degrees clockwise"),
    ],
)
def test_mirrored_or_turned_thermal_is_named(spoil: Any, named: str, drive: Frames) -> None:
    with pytest.raises(InputError, match=f"the thermal images are {named}"):
        estimate([(visible, np.ascontiguousarray(spoil(thermal))) for visible, thermal in drive[:1]])


def test_pictures_of_two_places_are_refused(other_drive: Frames) -> None:
    random = np.random.default_rng(1)
    shapes = [np.asarray(cv2.resize(random.integers(0, 255, (9, 12), np.uint8), (320, 240)))]
    with pytest.raises(InputError, match="no overlap found between visible and thermal"):
        estimate(list(zip(shapes, [thermal for _, thermal in other_drive], strict=False)))


def test_noise_is_nothing_to_register(drive: Frames) -> None:
    noise = np.random.default_rng(1).normal(8000, 20, drive[0][1].shape).astype(np.uint16)
    with pytest.raises(InputError, match="nothing to register in 2 pairs; the first: nothing to register in thermal"):
        estimate([(visible, noise) for visible, _ in drive[:2]])


def test_a_dark_visible_camera_is_nothing_to_register(drive: Frames) -> None:
    dark = np.random.default_rng(1).poisson(2, drive[0][0].shape).astype(np.uint8)
    with pytest.raises(InputError, match="nothing to register in visible"):
        estimate([(dark, thermal) for _, thermal in drive[:2]])


@pytest.mark.parametrize(
    ("pairs", "what"),
    [
        ([], "no pair of images to register"),
        ([(np.zeros((240, 320, 3), np.uint8), np.zeros((160, 200), np.uint8))], r"shape \(240, 320, 3\)"),
        ([(np.zeros((240, 320), np.uint8), np.zeros((16, 20), np.uint8))], r"thermal image 0: .* \(16, 20\)"),
    ],
)
def test_what_is_no_pair_of_images(pairs: Frames, what: str) -> None:
    with pytest.raises(InputError, match=what):
        estimate(pairs)


def test_sizes_that_differ(drive: Frames) -> None:
    visible, thermal = drive[1]
    with pytest.raises(InputError, match="pair 1 has other sizes than pair 0"):
        estimate([drive[0], (visible, np.ascontiguousarray(thermal[:150]))])
