"""How much faster the fusion metrics are than their plain definitions, in one process."""

from __future__ import annotations

import runpy
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edgefusion.metrics.fusion import fusion_metrics

REFERENCE = Path(__file__).parents[1] / "support" / "reference_definitions.py"


def median_s(function: Callable[[], object], rounds: int) -> float:
    durations = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        durations.append(time.perf_counter() - start)
    return statistics.median(durations)


@pytest.fixture
def scene() -> list[NDArray[np.uint8]]:
    """640x480: smooth shapes and some noise, as cameras give."""
    random = np.random.default_rng(3)
    shapes = [cv2.resize(random.integers(0, 256, (12, 16), np.uint8), (640, 480)) for _ in range(2)]
    visible, thermal = (np.clip(s + random.normal(0, 3, s.shape), 0, 255).astype(np.uint8) for s in shapes)
    return [np.maximum(visible, thermal), visible, thermal]


def plainly(fused: NDArray[np.uint8], *, visible: NDArray[np.uint8], thermal: NDArray[np.uint8]) -> dict[str, float]:
    exact = [image.astype(np.float64) for image in (fused, visible, thermal)]
    scores: dict[str, float] = runpy.run_path(str(REFERENCE))["all_metrics"](*exact)
    return scores


@pytest.mark.slow
@pytest.mark.benchmark(group="all fusion metrics of one 640x480 pair")
@pytest.mark.parametrize("implementation", [fusion_metrics, plainly])
def test_duration(implementation: Any, scene: list[NDArray[np.uint8]], benchmark: Any) -> None:
    fused, visible, thermal = scene
    benchmark.pedantic(implementation, (fused,), {"visible": visible, "thermal": thermal}, rounds=3, warmup_rounds=1)


@pytest.mark.speed
@pytest.mark.slow
def test_ten_times_as_fast_as_the_definitions(scene: list[NDArray[np.uint8]]) -> None:
    fused, visible, thermal = scene
    # Both are run once before the clock: one compiles then, the other loads SciPy.
    ours, plain = (function(fused, visible=visible, thermal=thermal) for function in (fusion_metrics, plainly))
    assert ours == pytest.approx(plain, rel=1e-8)
    ours_s = median_s(lambda: fusion_metrics(fused, visible=visible, thermal=thermal), 15)
    assert median_s(lambda: plainly(fused, visible=visible, thermal=thermal), 3) / ours_s >= 10
