from __future__ import annotations

import numpy as np
import pytest

from distill.misalignment import WarpRange, level_at, random_warp, warped_crop

SIZE = (640, 480)
ALWAYS = WarpRange(aligned=0.0)


def apply(warp: np.ndarray, point: tuple[float, float]) -> np.ndarray:
    moved = warp @ [*point, 1]
    return np.asarray(moved[:2] / moved[2])


def test_the_curriculum_rises_from_aligned_to_everything() -> None:
    assert [level_at(progress) for progress in (0, 0.1, 0.4, 0.7, 1)] == pytest.approx([0, 0, 0.5, 1, 1])


@pytest.mark.parametrize("level", [0.25, 1.0])
def test_warps_fill_their_range_and_stay_within_it(level: float) -> None:
    only = WarpRange(perspective=0.0, scale=0.0, aligned=0.0)
    centre = ((SIZE[0] - 1) / 2, (SIZE[1] - 1) / 2)
    shifts, turns = [], []
    for seed in range(300):
        warp = random_warp(np.random.default_rng(seed), SIZE, level=level, most=only)
        shifts.append(np.linalg.norm(apply(warp, centre) - centre))
        turns.append(np.degrees(np.arctan2(warp[0, 1], warp[0, 0])))
    assert 0.9 * 60 * level < max(shifts) <= 60 * level + 1e-6
    assert 0.9 * 20 * level < max(np.abs(turns)) <= 20 * level + 1e-6
    assert min(turns) < 0 < max(turns)


def test_perspective_moves_the_corners_by_its_share() -> None:
    only = WarpRange(shift_px=0, turn_deg=0, scale=0, aligned=0.0)
    corners = [(0.0, 0.0), (639.0, 0.0), (639.0, 479.0), (0.0, 479.0)]
    steps = [
        np.abs(apply(random_warp(np.random.default_rng(seed), SIZE, level=1, most=only), corner) - corner)
        for seed in range(100)
        for corner in corners
    ]
    assert (np.max(steps, axis=0) <= np.array(SIZE) * 0.02 + 1e-2).all()
    assert (np.max(steps, axis=0) > np.array(SIZE) * 0.018).all()


def test_a_share_of_pairs_stays_aligned() -> None:
    kept = [
        np.array_equal(random_warp(np.random.default_rng(seed), SIZE, level=1, most=WarpRange()), np.eye(3))
        for seed in range(400)
    ]
    assert np.mean(kept) == pytest.approx(0.9, abs=0.05)
    assert np.array_equal(random_warp(np.random.default_rng(0), SIZE, level=0, most=ALWAYS), np.eye(3))


def test_a_warped_crop_is_cut_from_the_whole_plane() -> None:
    plane = np.random.default_rng(0).random((60, 80), np.float32)
    shift = np.array([[1, 0, 7], [0, 1, -5], [0, 0, 1.0]])
    crop = warped_crop(plane, shift, top=20, left=30, size_px=(16, 12))
    assert np.array_equal(crop, plane[15:27, 37:53])
    outside = warped_crop(plane, shift, top=0, left=70, size_px=(10, 10))
    assert not outside[:5].any()
    assert not outside[:, 3:].any()
    assert outside[5:, :3].any()
