"""Flicker: nothing of motion, all of what changes otherwise."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import clip_reader
from numpy.typing import NDArray

from edgefusion.core.errors import UsageError
from edgefusion.metrics.temporal import flicker, flickers
from edgefusion.recordings.pairing import SIDES

Bytes = NDArray[np.uint8]


def texture(seed: int = 0, size: tuple[int, int] = (160, 240)) -> Bytes:
    """Blobs of some pixels, levels 20..200."""
    random = np.random.default_rng(seed)
    blobs = cv2.GaussianBlur(random.integers(0, 256, size).astype(np.float32), (0, 0), 2)
    return np.asarray(np.clip((blobs - 128) * 4 + 110, 20, 200), np.uint8)


STILL = texture()
FLAT = np.full_like(STILL, 60)


def moving_square(background: Bytes, square: Bytes | int, frames: int = 8) -> list[Bytes]:
    clip = [background.copy() for _ in range(frames)]
    for number, frame in enumerate(clip):
        frame[40:100, 30 + 3 * number : 90 + 3 * number] = square
    return clip


def raw_change(clip: list[Bytes]) -> float:
    return float(np.mean([np.abs(one.astype(float) - other).mean() for one, other in pairwise(clip)]))


@pytest.mark.parametrize("frame", [STILL, FLAT, np.zeros((20, 30), np.uint8), np.dstack([STILL] * 3)])
def test_a_still_clip_has_none(frame: Bytes) -> None:
    result = flicker([frame] * 4)
    assert (result.mean, result.p95, result.steps, result.cuts) == (0, 0, (0, 0, 0), ())
    assert result.seen == (1, 1, 1)


def test_a_single_frame_has_none() -> None:
    assert flicker([STILL]).mean == 0
    assert flicker([STILL]).steps == ()


@pytest.mark.parametrize("background", [FLAT, STILL])
@pytest.mark.parametrize("square", [200, texture(1)[:60, :60]])
def test_motion_is_no_flicker(background: Bytes, square: Bytes | int) -> None:
    clip = moving_square(background, square)
    result = flicker(clip)
    assert result.mean < 0.2
    assert result.mean < raw_change(clip) / 4
    assert min(result.seen) > 0.8


def test_neither_is_motion_of_the_camera() -> None:
    scene = texture(2, (200, 320))
    clip = [scene[10:170, 4 * number : 240 + 4 * number].copy() for number in range(6)]
    assert raw_change(clip) > 20
    assert flicker(clip).mean < 0.2


@pytest.mark.parametrize("levels", [2, 5, 20])
def test_a_change_of_brightness_is_its_amplitude(levels: int) -> None:
    clip = [STILL + np.uint8(levels * (number % 2)) for number in range(6)]
    assert flicker(clip).mean == pytest.approx(levels, rel=0.03)
    assert flicker(clip, guide=[STILL] * 6).mean == pytest.approx(levels)


def test_the_95th_percentile_sees_a_single_flash() -> None:
    clip = [STILL] * 9
    clip[4] = STILL + np.uint8(30)
    result = flicker(clip, guide=[STILL] * 9)
    assert result.steps == pytest.approx([0, 0, 0, 30, 30, 0, 0, 0])
    assert result.mean == pytest.approx(7.5)
    assert result.p95 == pytest.approx(30)


def noisy(deviation: float, frames: int = 4) -> list[Bytes]:
    random = np.random.default_rng(5)
    noise = deviation * random.standard_normal((frames, *STILL.shape))
    return [np.asarray(np.clip(np.rint(STILL + each), 0, 255), np.uint8) for each in noise]


def test_noise_raises_it_by_its_deviation() -> None:
    by_own = [flicker(noisy(deviation)).mean for deviation in (0, 2, 5, 10)]
    assert by_own == sorted(by_own)
    assert by_own == pytest.approx([2 * s / math.sqrt(math.pi) for s in (0, 2, 5, 10)], rel=0.05)
    assert flicker(noisy(5), guide=[STILL] * 4).mean == pytest.approx(2 * 5 / math.sqrt(math.pi), rel=0.01)


def test_rgb_is_judged_by_its_luma() -> None:
    colours = [np.dstack([each, STILL, STILL]) for each in noisy(5)]
    lumas = [cv2.cvtColor(each, cv2.COLOR_RGB2GRAY) for each in colours]
    assert flicker(colours) == flicker(lumas)


def test_a_cut_is_left_out_and_told() -> None:
    result = flicker([STILL, STILL, texture(13), texture(13)])
    assert result.cuts == (2,)
    assert result.steps == (0, 0)


def test_several_clips_by_one_guide_are_as_each_alone() -> None:
    clip, noise = moving_square(STILL, 200, 4), noisy(4)
    together = flickers({"moving": clip, "noisy": noise}, guide=clip)
    assert together == {"moving": flicker(clip), "noisy": flicker(noise, guide=clip)}


def test_frames_are_taken_as_they_come() -> None:
    def clip(frames: int) -> Iterator[Bytes]:
        return (np.roll(STILL, number % 3, axis=1) for number in range(frames))

    def peak(frames: int) -> int:
        tracemalloc.start()
        flicker(clip(frames))
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak_bytes

    assert peak(24) < 1.3 * peak(6)


@pytest.mark.parametrize(
    ("frames", "guide", "message"),
    [
        ([], None, "no frame"),
        ([STILL, STILL[:100]], None, "different sizes, 240x100 and 240x160"),
        ([STILL], [STILL[:100]], "different sizes"),
        ([STILL] * 3, [STILL] * 2, "differ in length"),
        ([STILL.astype(np.float32)], None, "float32"),
        ([STILL[:9]], None, "16 pixels"),
        ([np.dstack([STILL] * 2)], None, r"\(160, 240, 2\)"),
    ],
)
def test_clips_that_cannot_be_judged(frames: list[Bytes], guide: list[Bytes] | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        flicker(frames, guide=guide)


def test_in_smoke_thermal_is_the_steadier(data: Path) -> None:
    means = []
    for kind in SIDES:
        reader = clip_reader(data, "0117_1605", kind)
        means.append(flicker(frame.pixels for frame in islice(reader, 100, 112)).mean)
        reader.close()
    assert means[1] < means[0]
