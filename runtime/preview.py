"""What a run shows while it goes, and the one picture it keeps."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgefusion.kernels.cpu import to_rgb
from edgefusion.recordings.images import write_png
from edgefusion.ring.writer import Slot
from runtime.fusion import Fusion
from runtime.pipeline.lane import Lane
from runtime.sync.moments import Moment

Show = Callable[[Lane], None]


class Preview:
    """Keeps one frame as a picture: visible | thermal | fused.

    Args:
        wanted: number of the frame to keep; the first is kept until that one comes.
    """

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._picture: npt.NDArray[np.uint8] | None = None

    def consider(self, moment: Moment, slot: Slot, fusion: Fusion, *, number: int) -> None:
        """Keep the moment that was just fused, if it is the one."""
        if moment.pair is None or (number != self._wanted and self._picture is not None):
            return
        thermal = np.repeat(fusion.thermal_view()[..., None], 3, axis=2)
        self._picture = np.hstack([to_rgb(moment.pair.visible), thermal, slot.pixels])

    def write(self, path: Path) -> None:
        """Write the picture as a PNG."""
        if self._picture is not None:
            write_png(path, self._picture)


@contextmanager
def live_line(*, hidden: bool) -> Iterator[Show]:
    """A line on the terminal with frames per second, latency and drops; nothing where there is no terminal."""
    if hidden or not sys.stderr.isatty():
        yield lambda lane: None
        return
    from rich.console import Console

    with Console(stderr=True).status("starting") as status:

        def show(lane: Lane) -> None:
            statistics = lane.statistics
            if statistics.frames % 5 == 0 and statistics.latency.count:
                status.update(
                    f"{lane.name}: {statistics.frames} frames  {statistics.fps:.1f} fps  "
                    f"p50 {statistics.latency.percentile_ms(50):.1f} ms  "
                    f"p99 {statistics.latency.percentile_ms(99):.1f} ms  {sum(lane.dropped.values())} dropped"
                )

        yield show
