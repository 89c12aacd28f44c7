"""Registration of real recordings under known warps: the goals of docs/registration.md, on a few of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import CLIPS
from registration_cases import load_clip, load_pairs, off_px, ours, perspective, similarity

from edgefusion.core.errors import InputError
from edgefusion.registration import estimate, residual


@pytest.fixture(scope="module")
def pairs(data: Path) -> dict[str, tuple[Any, Any]]:
    return load_pairs(data)


@pytest.mark.parametrize("kind", [similarity, perspective])
def test_a_road_scene(kind: Any, pairs: dict[str, tuple[Any, Any]]) -> None:
    visible, thermal = pairs["roadscene/FLIR_04424"]
    size = visible.shape[1], visible.shape[0]
    warp = kind(3, size, shift_px=30, turn_deg=10)
    base, found = ours([(visible, thermal)]), ours([(visible, warp(thermal))])
    assert base.points
    assert found.points
    assert off_px(found.points, base.points, warp, visible=size, thermal=size) < 3


@pytest.mark.slow
def test_scenes_that_do_not_belong_together_are_refused(pairs: dict[str, tuple[Any, Any]]) -> None:
    chosen = [pair for name, pair in pairs.items() if name.startswith("msrs")]
    for (visible, _), (_, thermal) in zip(chosen, chosen[5:] + chosen[:5], strict=True):
        with pytest.raises(InputError):
            estimate([(visible, thermal)])


@pytest.mark.slow
def test_clips(data: Path) -> None:
    size, errors_px = (640, 480), []
    for clip in CLIPS:
        frames = load_clip(data, clip)
        base = ours(frames)
        assert base.points
        for seed, kind in enumerate([similarity, perspective]):
            warp = kind(seed, size, shift_px=60, turn_deg=20)
            found = ours([(visible, warp(thermal)) for visible, thermal in frames])
            assert found.points
            errors_px.append(off_px(found.points, base.points, warp, visible=size, thermal=size))
    print(np.round(errors_px, 2))
    assert np.median(errors_px) <= 1.5
    assert max(errors_px) <= 4


@pytest.mark.slow
@pytest.mark.parametrize("clip", CLIPS)
def test_a_clip_does_not_drift(clip: str, data: Path) -> None:
    frames = load_clip(data, clip, 20)
    matrix = estimate(frames[::2]).matrix
    found = [residual(visible, thermal, matrix) for visible, thermal in frames[1::2]]
    sure = [each for each in found if not each.doubt]
    assert len(sure) >= 5
    assert np.median([each.displacement_px for each in sure]) < 2.5
