"""Automatic gain control: which thermal readings become 0 and 1.

The same specification serves training, calibration and the vehicle; it travels in the bundle. Percentiles of
the scene, smoothed over time, never the minimum and maximum of one frame: a single hot exhaust must not
change the brightness of everything else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from edgefusion.core.frames import Frame, PixelFormat


@dataclass(frozen=True)
class AgcSpec:
    """How thermal readings are brought to 0..1.

    GREY frames have been through the camera's own AGC: 0..255 is kept. Y16 counts are clipped at two percentiles.

    Args:
        low_percentile: this share of readings (0..100) becomes 0.
        high_percentile: above this percentile readings become 1.
        median_ceiling: the median reading comes no higher than this: a cold sky does not push road, walls and trees
            up to where people are.
        smoothing: weight of the past, 0 (none) to under 1, per frame.
        min_span_counts: the range is never narrower, so that a blank scene does not become noise.
    """

    low_percentile: float = 0.5
    high_percentile: float = 99.5
    median_ceiling: float = 0.4
    smoothing: float = 0.9
    min_span_counts: float = 64.0


class Agc:
    """Follows the range of one thermal camera: ask for ``range``, pack, then ``update`` with the histogram."""

    def __init__(self, spec: AgcSpec, pixel_format: PixelFormat) -> None:
        self._spec = spec
        self._fixed = not pixel_format.deep
        self._range: tuple[float, float] | None = (0.0, 255.0) if self._fixed else None

    def range(self, frame: Frame) -> tuple[float, float]:
        """(low, high) for this frame: from the frames before it, or from itself where it is the first."""
        if self._range is None:
            self._range = self._spec_range(np.bincount(frame.readings.reshape(-1)).astype(np.uint32), 1)
        return self._range

    def update(self, histogram: npt.NDArray[np.uint32], bin_width: int) -> None:
        """Take in the histogram that ``pack`` gathered of the current frame; it counts from the next one on."""
        if self._fixed:
            return
        seen, past = self._spec_range(histogram, bin_width), self._range
        keep = self._spec.smoothing if past else 0.0
        low, high = past or seen
        self._range = (keep * low + (1 - keep) * seen[0], keep * high + (1 - keep) * seen[1])

    def reset(self) -> None:
        """Forget the past: the next frame is not of the same scene."""
        if not self._fixed:
            self._range = None

    def _spec_range(self, histogram: npt.NDArray[np.uint32], bin_width: int) -> tuple[float, float]:
        spec = self._spec
        low, median, high = _percentiles(histogram, spec.low_percentile / 100, spec.high_percentile / 100)
        low = max(low, (median - spec.median_ceiling * high) / (1 - spec.median_ceiling))
        short = max(spec.min_span_counts - (high - low) * bin_width, 0.0)
        return low * bin_width - short / 2, high * bin_width + short / 2


@njit(cache=True)
def _percentiles(histogram, low, high):  # type: ignore[no-untyped-def]
    """The bins at which a low share (0..1) of the readings, half of them, and a high share are reached."""
    total = np.int64(0)
    for count in histogram:
        total += count
    below, first, middle, last = np.int64(0), 0, 0, histogram.size - 1
    for index in range(histogram.size):
        if below <= low * total:
            first = index
        if 2 * below <= total:
            middle = index
        below += histogram[index]
        if below >= high * total:
            last = index
            break
    return float(first), float(middle), float(last)
