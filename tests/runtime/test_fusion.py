from __future__ import annotations

import itertools
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from lanes import SIZES, make_fusion, pairs
from scenes import noise_pair

from edgefusion.core.frames import THERMAL_FORMATS, VISIBLE_FORMATS, FramePair, PixelFormat
from edgefusion.core.rig import registered
from edgefusion.kernels.cpu import to_rgb

SUPPORT = Path(__file__).parents[1] / "support"


@pytest.mark.parametrize("visible", VISIBLE_FORMATS)
def test_passing_visible_through_shows_the_visible_image(visible: PixelFormat) -> None:
    fusion, pair = make_fusion(), noise_pair(visible, PixelFormat.Y16, SIZES)
    width, height = fusion.prepare(pair.visible, pair.thermal)
    rgb = np.full((height, width, 3), 99, np.uint8)
    fusion.pass_visible(pair.visible, rgb)
    np.testing.assert_allclose(rgb.astype(int), to_rgb(pair.visible).astype(int), atol=2)


@pytest.mark.parametrize("thermal", THERMAL_FORMATS)
def test_passing_thermal_through_shows_what_the_student_would_see(thermal: PixelFormat) -> None:
    fusion, pair = make_fusion(), noise_pair(PixelFormat.RGB24, thermal, SIZES)
    fusion.fuse(pair)
    seen = fusion.thermal_view()
    rgb = np.zeros((64, 96, 3), np.uint8)
    fusion.forget()
    fusion.pass_thermal(pair.thermal, rgb)
    np.testing.assert_array_equal(rgb, np.repeat(seen[..., None], 3, axis=2))


def test_warming_up_leaves_no_trace() -> None:
    warm, cold, pair = make_fusion(), make_fusion(), pairs(1)[0]
    warm.warm_up((PixelFormat.RGB24, SIZES[0]), (PixelFormat.Y16, SIZES[1]))
    np.testing.assert_array_equal(warm.fuse(pair), cold.fuse(pair))


def test_rigs_beside_one_another_share_an_engine_and_no_tensors() -> None:
    first, pair = make_fusion(), pairs(1)[0]
    second = first.beside(registration=registered, bits=14)
    expected = first.fuse(pair).copy()
    np.testing.assert_array_equal(second.fuse(pair), expected)
    assert second.built is first.built
    assert not np.shares_memory(first.engine.x, second.engine.x)
    second.fuse(pairs(1, seed=5)[0])
    np.testing.assert_array_equal(first.fuse(pair), make_fusion_after(pair))


def make_fusion_after(pair: FramePair) -> np.ndarray:
    fusion = make_fusion()
    fusion.fuse(pair)
    return fusion.fuse(pair)


def test_the_hot_path_allocates_nothing_once_it_runs() -> None:
    fusion, given = make_fusion(), pairs(4)
    # CPython 3.10 gives a function its cache of opcodes at the 1,024th call: once, and not steady state
    for pair in itertools.islice(itertools.cycle(given), 1100):
        fusion.fuse(pair)
    tracemalloc.start()
    try:
        worst = 0
        for pair in itertools.islice(itertools.cycle(given), 2000):
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            fusion.fuse(pair)
            worst = max(worst, tracemalloc.get_traced_memory()[1] - before)
        growth = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert worst < 4096
    assert growth < 16384


RESIDENT = """
import itertools, os
from lanes import make_fusion, pairs

def resident_bytes():
    with open("/proc/self/statm") as stream:
        return int(stream.read().split()[1]) * os.sysconf("SC_PAGESIZE")

fusion, given = make_fusion(), itertools.cycle(pairs(4))
for pair in itertools.islice(given, 200):
    fusion.fuse(pair)
before = resident_bytes()
for pair in itertools.islice(given, 2000):
    fusion.fuse(pair)
print(resident_bytes() - before)
"""


def test_resident_memory_stays_flat() -> None:
    code = f"import sys; sys.path.insert(0, {str(SUPPORT)!r})\n{RESIDENT}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 2_000_000
