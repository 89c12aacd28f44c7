"""The bend on its coarse grid is the lenses' own map, within thermal's image and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from boards import BoardRig, CameraModel, far_map
from lens_rigs import REFERENCE_M, geometry, scaled

from edgefusion.core.bend import radial_bend
from edgefusion.core.geometry import Matrix, Registration, Size, apply, grid, resize_map
from edgefusion.registration.projective import Mapping

BOARDS = BoardRig()
RIGS = {
    "boards": BOARDS,
    "twice as many pixels": BoardRig(scaled(BOARDS.visible, 2), scaled(BOARDS.thermal, 2)),
    "pincushion": BoardRig(thermal=CameraModel((320, 256), 285.0, (157.0, 130.0), (0.2, 0.05, 0.0, 0.0, 0.0))),
    "thermal sees a part": BoardRig(
        thermal=CameraModel((640, 512), 1100.0, (319.0, 260.0), (-0.4, 0.2, 0.0, 0.0, 0.0))
    ),
}


def bent(rig: BoardRig) -> Registration:
    cameras = geometry(rig)
    matrix = cameras.registration(REFERENCE_M)
    return Registration(matrix, cameras.bend(matrix, REFERENCE_M))


def inside(points: Matrix, size_px: Size) -> np.ndarray:
    return ((points >= -0.5) & (points <= np.array(size_px) - 0.5)).all(axis=1)


@pytest.mark.parametrize("rig", RIGS.values(), ids=RIGS)
def test_lenses_are_followed_to_a_twentieth_of_a_pixel(rig: BoardRig) -> None:
    registration, points = bent(rig), grid(rig.visible.size_px, 211)
    truth = far_map(rig, points, REFERENCE_M)
    seen = inside(truth, rig.thermal.size_px)
    off = np.linalg.norm(registration.points(points) - truth, axis=1)[seen]
    alone = np.linalg.norm(apply(registration.matrix, points) - truth, axis=1)[seen]
    assert seen.mean() > 0.1
    assert off.max() < 0.05
    assert alone.max() > 1


@pytest.mark.parametrize("radial", [-0.15, -0.05, 0.1, 0.15])
def test_a_radial_term_is_followed_to_a_twentieth_of_a_pixel(radial: float) -> None:
    visible, thermal = (1280, 720), (640, 512)
    matrix = np.array([[0.52, 0.02, -8.0], [-0.02, 0.68, 4.0], [1e-5, -2e-5, 1.0]])
    points = grid(visible, 211)
    truth = Mapping(matrix, radial).points(points, thermal)
    registration = Registration(matrix, radial_bend(radial, matrix, visible=visible, thermal=thermal))
    seen = inside(truth, thermal)
    assert seen.mean() > 0.5
    assert np.linalg.norm(registration.points(points) - truth, axis=1)[seen].max() < 0.05


def test_a_lens_that_turns_back_far_outside_shows_nothing_there() -> None:
    """Thermal sees the middle third; farther out its polynomial would bring the points back into its image."""
    narrow = CameraModel((320, 256), 800.0, (159.5, 127.5), (-1.6, 0.0, 0.0, 0.0, 0.0))
    wide = CameraModel((640, 480), 320.0, (319.5, 239.5))
    rig = BoardRig(wide, narrow, turn_deg=(0.0, 0.0, 0.0), translation_m=(0.0, 0.0, 0.0))
    points = grid(wide.size_px, 161)
    away = np.hypot(*(points - wide.centre_px).T) / wide.focal_px
    naive = inside(far_map(rig, points, REFERENCE_M), narrow.size_px)
    assert (naive & (away > 0.7)).any()
    seen = inside(bent(rig).points(points), narrow.size_px)
    assert not (seen & (away > 0.4)).any()
    assert (seen == naive)[away < 0.4].mean() > 0.995


@pytest.mark.parametrize("terms", [(-0.35, 0.0, 0.0), (-0.45, 0.25, -0.08), (-0.5, 0.1, 0.0)])
def test_where_the_visible_lens_turns_back_within_its_image_it_shows_nothing(terms: tuple[float, ...]) -> None:
    """Farther out no direction comes to lie at a pixel, or only one beyond the turning point."""
    k1, k2, k3 = terms
    visible = CameraModel((640, 480), 400.0, (319.5, 239.5), (k1, k2, 0.0, 0.0, k3))
    rig = BoardRig(visible, CameraModel((320, 256), 150.0, (159.5, 127.5)))
    away = np.linspace(0, 2, 20_001)
    shown = away * (1 + k1 * away**2 + k2 * away**4 + k3 * away**6)
    outwards = int(np.argmax(np.diff(shown) <= 0))
    points = grid(visible.size_px, 25)
    plane = (points - visible.centre_px) / visible.focal_px
    far = np.hypot(*plane.T)
    valid = far < shown[outwards]
    straight = np.interp(far, shown[:outwards], away[:outwards])
    rays = np.column_stack([plane * (straight / np.maximum(far, 1e-9))[:, None], np.ones(len(points))])
    truth = geometry(rig).thermal.pixels(rays @ rig.rotation.T + np.array(rig.translation_m) / REFERENCE_M)
    both = valid & inside(truth, rig.thermal.size_px)
    overlap, seen = geometry(rig).overlap(REFERENCE_M)
    assert set(map(tuple, overlap)) <= set(map(tuple, points[both]))
    assert len(overlap) > 0.95 * both.sum()
    clear = both & (far < 0.9 * shown[outwards])  # nearer to the turning point the smallest error grows
    expected = dict(zip(map(tuple, points[clear]), truth[clear], strict=True))
    for point, there in zip(overlap, seen, strict=True):
        assert there == pytest.approx(expected.get(tuple(point), there), abs=0.05)
    assert np.linalg.norm(bent(rig).points(points) - truth, axis=1)[clear].max() < 0.5


def test_a_bent_registration_is_scaled_with_the_images() -> None:
    registration, points = bent(BOARDS), grid((640, 480), 41)
    sizes = ((640, 480), (960, 540)), ((320, 256), (640, 480))
    other = registration.scaled(visible=sizes[0], thermal=sizes[1])
    expected = apply(resize_map(*sizes[1]), registration.points(points))
    np.testing.assert_allclose(other.points(apply(resize_map(*sizes[0]), points)), expected, atol=1e-9)


def test_a_correction_moves_what_pixels_show_and_the_bend_with_it() -> None:
    registration = bent(BOARDS)
    correction = np.array([[0.99, -0.03, 6.0], [0.03, 0.99, -4.0], [1e-5, 0, 1.0]])
    points = grid((640, 480), 61)
    found = registration.corrected(correction).points(points)
    np.testing.assert_allclose(found, registration.points(apply(correction, points)), atol=0.05)
