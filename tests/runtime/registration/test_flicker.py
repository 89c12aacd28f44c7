"""A correction is not seen: the fused clip flickers no more than without it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from clips import CLIPS
from drifting import FPS, Drive, Path_, clip, moved, ramp, still
from lanes import make_fusion

from edgefusion.core.rig import Drift
from edgefusion.metrics.temporal import flickers

FRAMES = 240


def fused(data: Path, name: str, path: Path_, settings: Drift) -> Iterator[np.ndarray]:
    """Luma of each frame, fused as the vehicle does, with the monitor's corrections."""
    fusion, drive, before = make_fusion(), Drive(settings, path), np.eye(3)
    for number, pair in enumerate(itertools.islice(clip(data, name), FRAMES)):
        at_s = number / FPS
        drifted = moved(pair, path(at_s))
        fusion.prepare(drifted.visible, drifted.thermal)
        drive.packer.fit(drifted)
        if drive.used is not before:
            before = drive.used
            fusion.register(fusion.table(before))
        fusion.fuse(drifted)
        yield (fusion.luma() * 255 + 0.5).clip(0, 255).astype(np.uint8)
        drive.frame(pair, at_s, packed=fusion.engine.x)


@pytest.mark.slow
@pytest.mark.parametrize("name", CLIPS[1:])
def test_a_correction_is_not_seen(data: Path, name: str) -> None:
    drift = ramp(2.0, most_px=7)
    clips = {
        "still": fused(data, name, still, Drift()),
        "drifting": fused(data, name, drift, Drift()),
        "followed": fused(data, name, drift, Drift(auto_correct=True)),
    }
    found = flickers(clips, guide=(pair.visible.pixels for pair in itertools.islice(clip(data, name), FRAMES)))
    figures = {each: (result.mean, result.p95, max(result.steps)) for each, result in found.items()}
    print("\n" + "; ".join(f"{each} mean {a:.3f} p95 {b:.3f} max {c:.3f}" for each, (a, b, c) in figures.items()))
    assert figures["followed"][0] <= 1.01 * figures["drifting"][0]
    assert figures["followed"][1] <= 1.02 * figures["drifting"][1]
