from __future__ import annotations

import numpy as np
import pytest
from scenes import frame

from edgefusion.core.frames import PixelFormat
from edgefusion.kernels.agc import Agc, AgcSpec


def counts(low: int, high: int, size: int = 100) -> np.ndarray:
    return np.linspace(low, high, size * size).round().astype(np.uint16).reshape(size, size)


def histogram(pixels: np.ndarray) -> np.ndarray:
    return np.bincount(pixels.reshape(-1), minlength=2**14).astype(np.uint32)


def test_grey_frames_keep_the_range_of_the_cameras_own_agc() -> None:
    agc = Agc(AgcSpec(), PixelFormat.GREY)
    assert agc.range(frame(np.full((4, 4), 7, np.uint8), PixelFormat.GREY)) == (0, 255)


def test_the_first_range_comes_from_the_first_frame_itself() -> None:
    pixels = counts(7000, 8000)
    low, high = Agc(AgcSpec(1, 99, median_ceiling=0.9), PixelFormat.Y16).range(frame(pixels, PixelFormat.Y16))
    assert (low, high) == pytest.approx(np.percentile(pixels, [1, 99]), abs=2)


def test_the_range_follows_the_scene_with_the_smoothing_of_the_specification() -> None:
    agc = Agc(AgcSpec(0, 100, smoothing=0.75, median_ceiling=0.9), PixelFormat.Y16)
    agc.range(frame(counts(1000, 2000), PixelFormat.Y16))
    agc.update(histogram(counts(2000, 3000)), 1)
    assert agc.range(frame(counts(0, 1), PixelFormat.Y16)) == pytest.approx((1250, 2250), abs=2)


def test_one_hot_pixel_does_not_move_the_range() -> None:
    pixels = counts(7000, 7500)
    hot = pixels.copy()
    hot[0, 0] = 16000
    cold, warm = (Agc(AgcSpec(), PixelFormat.Y16).range(frame(p, PixelFormat.Y16)) for p in (pixels, hot))
    assert warm == pytest.approx(cold, abs=2)


def test_a_blank_scene_is_not_blown_up_into_noise() -> None:
    low, high = Agc(AgcSpec(min_span_counts=64), PixelFormat.Y16).range(frame(counts(7000, 7003), PixelFormat.Y16))
    assert high - low == pytest.approx(64)


def test_after_a_reset_the_next_frame_counts_alone() -> None:
    agc = Agc(AgcSpec(0, 100, median_ceiling=0.9), PixelFormat.Y16)
    agc.range(frame(counts(1000, 2000), PixelFormat.Y16))
    agc.reset()
    assert agc.range(frame(counts(5000, 6000), PixelFormat.Y16)) == (5000, 6000)


def test_wide_bins_count_in_readings() -> None:
    agc = Agc(AgcSpec(0, 100, smoothing=0, median_ceiling=0.9), PixelFormat.Y16)
    agc.update(histogram(counts(4000, 6000) // 4), 4)
    assert agc.range(frame(counts(0, 1), PixelFormat.Y16)) == pytest.approx((4000, 6000), abs=4)


def test_a_cold_sky_does_not_push_the_scene_up_to_the_people() -> None:
    sky, scene, people = np.full(3000, 6000), np.linspace(7400, 7600, 6900), np.full(100, 8400)
    pixels = np.concatenate([sky, scene, people]).round().astype(np.uint16).reshape(100, 100)
    low, high = Agc(AgcSpec(), PixelFormat.Y16).range(frame(pixels, PixelFormat.Y16))
    assert (np.median(pixels) - low) / (high - low) == pytest.approx(0.4, abs=0.01)
    assert high == pytest.approx(8400, abs=2)


def test_the_first_range_is_that_of_the_readings_whatever_the_order_of_their_bytes() -> None:
    pixels = counts(7000, 8000)
    little = Agc(AgcSpec(), PixelFormat.Y16).range(frame(pixels, PixelFormat.Y16))
    assert Agc(AgcSpec(), PixelFormat.Y16_BE).range(frame(pixels.byteswap(), PixelFormat.Y16_BE)) == little
