"""Each stage by itself, what it moves against the least it could move, and how time grows with size.

Ratios within one run; absolute times are this machine's. `make bench` prints them.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import numpy as np
import pytest
from scenes import noise_pair

from edgefusion.core.bundle import load_bundle
from edgefusion.core.devices import find_device
from edgefusion.core.frames import FramePair, PixelFormat
from edgefusion.core.geometry import Registration
from runtime.fusion import Fusion, open_fusion

pytestmark = pytest.mark.slow

SIZES = ((320, 240), (640, 480), (1280, 1024))
TURNED = np.array([[0.5, 0.004, 1.0], [-0.004, 0.53, 1.0], [1e-6, 1e-6, 1.0]])


def ready(size=(640, 480), precision="fp16", registered=True) -> tuple[Fusion, FramePair]:
    thermal = (PixelFormat.GREY, size) if registered else (PixelFormat.Y16, (size[0] // 2, size[1] * 8 // 15))
    pair = noise_pair(PixelFormat.RGB24, thermal[0], (size, thermal[1]))
    map_ = Registration(np.eye(3) if registered else TURNED)
    fusion = open_fusion(
        load_bundle(), find_device("cpu"), precision=precision, registration=lambda v, t: map_, bits=14
    )
    fusion.fuse(pair)
    return fusion, pair


def stages(fusion: Fusion, pair: FramePair) -> dict[str, Callable[[], None]]:
    rgb = np.zeros((*pair.visible.pixels.shape[:2], 3), np.uint8)
    return {
        "pack": lambda: fusion.pack(pair),
        "execute": fusion.execute,
        "unpack": lambda: fusion.unpack(pair.visible, rgb),
    }


def best_ms(*functions: Callable[[], object], rounds: int = 60) -> list[float]:
    """The quickest of several rounds of each, taken in turn so that all meet the same noise."""
    best = [float("inf")] * len(functions)
    for _, (index, function) in itertools.product(range(rounds), enumerate(functions)):
        start = time.perf_counter()
        function()
        best[index] = min(best[index], (time.perf_counter() - start) * 1e3)
    return best


@pytest.mark.parametrize("stage", ["pack", "execute", "unpack"])
def test_stage(benchmark, stage: str) -> None:
    fusion, pair = ready()
    benchmark.group = "stages, 640x480"
    benchmark(stages(fusion, pair)[stage])


@pytest.mark.speed
@pytest.mark.parametrize("registered", [True, False], ids=["registered GREY", "warped Y16"])
def test_pack_and_unpack_against_a_memcpy_of_the_same_bytes(registered: bool) -> None:
    fusion, pair = ready(registered=registered)
    read_by_pack = [pair.visible.pixels, pair.thermal.pixels]
    rgb = np.zeros_like(pair.visible.pixels)
    moved = [*read_by_pack, fusion.engine.x, fusion.engine.y, pair.visible.pixels, rgb]
    copies = [np.empty_like(array) for array in moved]

    def memcpy() -> None:
        for target, source in zip(copies, moved, strict=True):
            np.copyto(target, source)

    parts = stages(fusion, pair)
    pack, unpack, copy = best_ms(parts["pack"], parts["unpack"], memcpy)
    least = sum(array.nbytes for array in (*read_by_pack, fusion.engine.x, fusion.engine.y, rgb))
    bytes_moved = sum(array.nbytes for array in moved)
    print(
        f"\npack {pack:.3f} ms, unpack {unpack:.3f} ms, memcpy {copy:.3f} ms: ratio {(pack + unpack) / copy:.2f}; "
        f"{bytes_moved / 1e6:.2f} MB moved, the least is {least / 1e6:.2f} MB ({bytes_moved / least:.2f} times)"
    )
    assert bytes_moved / least < 1.2
    assert (pack + unpack) / copy <= (4 if registered else 8)


@pytest.mark.speed
def test_time_grows_with_the_number_of_pixels() -> None:
    times = []
    for size in SIZES:
        fusion, pair = ready(size)
        times.append(best_ms(*stages(fusion, pair).values(), rounds=30))
    for size, row in zip(SIZES, times, strict=True):
        per_megapixel = [value / (size[0] * size[1] / 1e6) for value in row]
        print(f"\n{size[0]}x{size[1]}: pack, execute, unpack ms per megapixel: {np.round(per_megapixel, 2)}")
    pixels = [width * height for width, height in SIZES]
    growth = sum(times[2]) / sum(times[1])
    assert growth < 1.6 * pixels[2] / pixels[1]


@pytest.mark.speed
def test_execute_in_the_narrow_precision_is_no_slower_than_in_f32() -> None:
    (narrow, _), (wide, _) = ready(precision="fp16"), ready(precision="fp32")
    fast, exact = best_ms(narrow.execute, wide.execute)
    compute = (narrow.built.compute, wide.built.compute)
    print(f"\nexecute: {compute[0]} {fast:.2f} ms, {compute[1]} {exact:.2f} ms: {exact / fast:.2f} times as fast")
    assert fast < 1.25 * exact
