"""What holds the registration in ``pack``: a table of where each pixel falls, or the homography, computed each time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import pytest
from numba import get_num_threads, prange

from edgefusion.core.bend import radial_bend
from edgefusion.core.geometry import Registration
from edgefusion.kernels.cpu import sampling_table
from edgefusion.kernels.cpu_jit import compiled, threaded
from edgefusion.kernels.cpu_pack import _blend, _fetch, _scatter
from edgefusion.kernels.layout import UNSEEN

ROUNDS = 60


@compiled
def locate_row(h, columns, rows, y, at, fraction):
    """As ``cpu_pack.locate``, one row, in float32 throughout."""
    one, half, full = np.float32(1), np.float32(0.5), np.float32(256)
    last_x, last_y = np.float32(columns - 1), np.float32(rows - 1)
    fy = np.float32(y)
    u0, v0, w0 = h[0, 1] * fy + h[0, 2], h[1, 1] * fy + h[1, 2], h[2, 1] * fy + h[2, 2]
    for x in range(at.size):
        fx = np.float32(np.int32(x))
        w = one / (h[2, 0] * fx + w0)
        u, v = (h[0, 0] * fx + u0) * w, (h[1, 0] * fx + v0) * w
        px, py = min(max(u, np.float32(0)), last_x), min(max(v, np.float32(0)), last_y)
        left, top = min(np.int32(px), np.int32(columns - 2)), min(np.int32(py), np.int32(rows - 2))
        right = min(np.int32((px - np.float32(left)) * full + half), np.int32(255))
        down = min(np.int32((py - np.float32(top)) * full + half), np.int32(255))
        seen = w > 0 and abs(u - px) <= half and abs(v - py) <= half
        at[x] = np.uint32(top * np.int32(columns) + left) | (np.uint32(0) if seen else UNSEEN)
        fraction[x] = np.uint16(right << 8 | down)


@threaded
def pack(computed, h, rows, neighbours, columns, table_at, table_fraction, at, fraction, floats, integers, scale, x):
    """The thermal half of ``cpu_pack.pack``, with the map from the table or computed row by row."""
    workers, bands = floats.shape[0], x.shape[1]
    for worker in prange(workers):
        warped, above, below = floats[worker], integers[worker, 0], integers[worker, 1]
        for band in range(worker * bands // workers, (worker + 1) * bands // workers):
            for dy in range(4):
                y = 4 * band + dy
                if computed:
                    locate_row(h, columns, rows, y, at[worker], fraction[worker])
                    _fetch(neighbours, columns, at[worker], above, below)
                    _blend(above, below, 16, at[worker], fraction[worker], np.float32(0), scale, warped)
                else:
                    _fetch(neighbours, columns, table_at[y], above, below)
                    _blend(above, below, 16, table_at[y], table_fraction[y], np.float32(0), scale, warped)
                _scatter(warped, table_at.shape[1], 16 + 4 * dy, band, x)


def median_ms(call: Callable[[], None]) -> float:
    times = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return 1e3 * statistics.median(times)


@pytest.mark.speed
@pytest.mark.slow
@pytest.mark.parametrize(("size", "thermal"), [((640, 480), (320, 256)), ((1280, 720), (640, 512))])
def test_the_table_is_faster(size: tuple[int, int], thermal: tuple[int, int]) -> None:
    scale = thermal[0] / size[0]
    h = np.array([[scale, 0.01, 2.3], [-0.01, scale, 4.1], [1e-6, 2e-6, 1]])
    readings = np.random.default_rng(0).integers(0, 2**14, thermal[0] * thermal[1]).astype(np.uint16)
    neighbours = np.ndarray((readings.size - 1,), np.uint32, readings, strides=(2,))
    workers = get_num_threads()
    out = [np.zeros((32, size[1] // 4, size[0] // 4), np.float32) for _ in range(2)]
    scratch = (
        np.empty((workers, size[0]), np.uint32), np.empty((workers, size[0]), np.uint16),
        np.empty((workers, size[0]), np.float32), np.empty((workers, 2, size[0]), np.uint32),
    )  # fmt: skip
    table = sampling_table(size, thermal, Registration(h))

    def run(computed: bool) -> None:
        pack(
            computed, h.astype(np.float32), thermal[1], neighbours, thermal[0], *table, *scratch,
            np.float32(1 / 2**14), out[computed],
        )  # fmt: skip

    run(False), run(True)
    assert np.quantile(np.abs(out[0] - out[1]), 0.999) < 0.02
    times = [[median_ms(lambda computed=computed: run(computed)) for computed in (False, True)] for _ in range(5)]
    from_table, computed = np.min(times, axis=0)
    plain, bent = Registration(h), Registration(h, radial_bend(-0.1, h, visible=size, thermal=thermal))
    build = [median_ms(lambda each=each: sampling_table(size, thermal, each)) for each in (plain, bent)]
    print(
        f"\n{size[0]}x{size[1]}, ms: table {from_table:.2f}, homography {computed:.2f};"
        f" to build it {build[0]:.1f}, with a bend {build[1]:.1f}"
    )
    assert from_table < computed
