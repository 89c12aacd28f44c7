from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from distill.degradation import (
    DegradationRange,
    degrade_thermal,
    degrade_visible,
    fog,
    gain_control,
    night,
    noise,
    stripes,
)

PLANE = np.random.default_rng(0).random((40, 60), np.float32)
GREY = np.full((200, 200), 0.5, np.float32)


@pytest.mark.parametrize("degrade", [degrade_visible, degrade_thermal])
@pytest.mark.parametrize("seed", range(5))
def test_inputs_stay_images_and_are_the_same_for_a_seed(degrade: object, seed: int) -> None:
    assert callable(degrade)
    before, most = PLANE.copy(), DegradationRange(odds=1.0)
    first, second = (degrade(PLANE, np.random.default_rng(seed), most) for _ in range(2))
    assert first.dtype == np.float32
    assert first.shape == PLANE.shape
    assert 0 <= first.min() <= first.max() <= 1
    assert np.array_equal(first, second)
    assert not np.array_equal(first, PLANE)
    assert np.array_equal(PLANE, before)
    assert np.array_equal(degrade(PLANE, np.random.default_rng(seed), replace(most, odds=0.0)), PLANE)


def test_a_stop_is_half_the_light_and_the_dark_is_noisier() -> None:
    linear = [night(GREY, stops, np.random.default_rng(0)) ** 2.2 for stops in (0, 1, 4)]
    means = [float(plane.mean()) for plane in linear]
    assert means[0] / means[1] == pytest.approx(2, rel=0.02)
    assert means[0] / means[2] == pytest.approx(16, rel=0.02)
    spread = [plane.std() / plane.mean() for plane in linear]
    assert spread[2] / spread[0] == pytest.approx(4, rel=0.1)


def test_fog_takes_its_share_of_contrast_and_noise_has_its_sigma() -> None:
    assert fog(PLANE, 0.5).std() == pytest.approx(PLANE.std() / 2, rel=1e-3)
    assert noise(GREY, 10, np.random.default_rng(0)).std() * 255 == pytest.approx(10, rel=0.05)


def test_stripes_are_columns_and_gain_is_about_the_mean() -> None:
    striped = stripes(GREY, 5, 0.1, np.random.default_rng(0))
    assert (striped == striped[0]).all()
    assert (striped == 0).all(axis=0).sum() == 20
    narrow = PLANE * 0.2 + 0.4
    changed = gain_control(narrow, 1.5, 0.1)
    assert changed.mean() == pytest.approx(narrow.mean() + 0.1, abs=1e-4)
    assert changed.std() == pytest.approx(1.5 * narrow.std(), rel=1e-3)
