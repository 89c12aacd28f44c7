"""Run the kernels of ``kernels.cuda`` in numba's simulator (NUMBA_ENABLE_CUDASIM=1) and write what they made.

    python gpu_in_simulator.py OUT.npz

For each case of ``CASES``: ``NAME.x``, ``NAME.histogram``, ``NAME.visible``, ``NAME.thermal`` (the halves alone),
``NAME.rgb`` (of ``fused_luma``) and ``NAME.grey``.
"""

from __future__ import annotations

import itertools
import sys
from dataclasses import dataclass
from itertools import cycle

import numpy as np
import numpy.typing as npt
from scenes import Size, noise_pair

from edgefusion.core.frames import THERMAL_FORMATS, VISIBLE_FORMATS, FramePair, PixelFormat, Pixels
from edgefusion.core.geometry import Bend, Registration
from edgefusion.kernels.layout import tensor_size

WARP = Registration(
    np.array([[0.6, 0.04, 1.0], [-0.04, 0.63, 1.0], [1e-4, 1e-4, 1.0]]),
    Bend(
        np.array([[[0.8, 0.0], [0.0, 1.0], [0.5, -0.5]], [[0.0, -1.0], [-1.0, 0.5], [0.3, 0.7]]]),
        np.diag([0.1, 0.2, 1.0]),
    ),
)
"""A homography and a bend."""

SIZES = {
    PixelFormat.RGB24: (21, 3),
    PixelFormat.NV12: (18, 4),
    PixelFormat.YUYV: (34, 6),  # more than two blocks of the simulator's
    PixelFormat.UYVY: (22, 3),
    PixelFormat.GREY: (17, 5),
}
"""Edges that reflect, and few pixels: the simulator runs each thread as one of the host."""


@dataclass(frozen=True)
class Case:
    """A visible format and size, a thermal format, and whether thermal is warped."""

    visible: PixelFormat
    thermal: PixelFormat
    warped: bool
    dtype: str

    @property
    def name(self) -> str:
        return f"{self.visible.value}-{self.thermal.value}-{'warped' if self.warped else 'registered'}-{self.dtype}"

    @property
    def sizes(self) -> tuple[Size, Size]:
        size = SIZES[self.visible]
        return size, (13, 9) if self.warped else size

    @property
    def registration(self) -> Registration:
        return WARP if self.warped else Registration(np.eye(3))

    @property
    def range(self) -> tuple[float, float]:
        return (1000, 14000) if self.thermal.deep else (30, 220)

    @property
    def pair(self) -> FramePair:
        return noise_pair(self.visible, self.thermal, self.sizes, 5)

    @property
    def shape(self) -> tuple[int, int]:
        """[H/4, W/4]."""
        width, height = tensor_size(self.sizes[0])
        return height // 4, width // 4

    @property
    def fused_luma(self) -> npt.NDArray[np.floating]:
        return np.random.default_rng(1).random((16, *self.shape)).astype(self.dtype)


_THERMALS = cycle(itertools.product(THERMAL_FORMATS, (False, True)))
_DTYPES = cycle(("float16", "float32", "float32", "float16"))
CASES = [Case(visible, *next(_THERMALS), next(_DTYPES)) for visible in VISIBLE_FORMATS for _ in range(2)]


def words(pixels: Pixels) -> npt.NDArray[np.uint32]:
    """What a buffer of these pixels holds, as words; the last may be filled up with anything."""
    return np.frombuffer(pixels.tobytes() + b"\xff" * (-pixels.nbytes % 4), np.uint32).copy()


def run(case: Case) -> dict[str, npt.NDArray[np.generic]]:
    """All kernels, once."""
    from edgefusion.kernels import cuda

    forms = (case.visible, case.sizes[0]), (case.thermal, case.sizes[1])
    visible, thermal = words(case.pair.visible.pixels), words(case.pair.thermal.pixels)
    low, high = case.range
    x, first, second = (np.full((32, *case.shape), -1, case.dtype) for _ in range(3))
    pack = cuda.Pack(*forms, registration=case.registration, bits=14)
    pack(visible, thermal, x, low=low, high=high)
    histogram, again = np.zeros(pack.bins, np.uint32), np.zeros(pack.bins, np.uint32)
    pack.take_histogram(histogram)
    pack.take_histogram(again)
    pack.pack_visible(visible, first)
    pack.pack_thermal(thermal, second, low=low, high=high)
    rgb, grey = (np.zeros(3 * case.sizes[0][0] * case.sizes[0][1], np.uint8) for _ in range(2))
    unpack = cuda.Unpack(forms[0])
    unpack(case.fused_luma, visible, rgb)
    unpack.grey(case.fused_luma, grey)
    made = {"x": x, "histogram": histogram, "again": again, "visible": first, "thermal": second}
    return {**made, "rgb": rgb, "grey": grey}


if __name__ == "__main__":
    results = {f"{case.name}.{name}": array for case in CASES for name, array in run(case).items()}
    np.savez(sys.argv[1], **results)
