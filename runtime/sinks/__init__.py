"""Where fused frames go: one file per kind of output, chosen by ``open_sink``."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edgefusion.core.errors import MachineError, UsageError
from edgefusion.core.frames import FramePair, FusedInfo
from edgefusion.recordings.video import SUFFIXES

Rgb = npt.NDArray[np.uint8]


class Sink(Protocol):
    """Takes fused frames. What is under its final name is always complete.

    Attributes:
        wants_inputs: whether ``write`` needs the pair that the frame was made of.
    """

    wants_inputs: bool

    def write(self, rgb: Rgb, info: FusedInfo, inputs: FramePair | None) -> None:
        """Take one [H, W, 3] frame; the arrays are overwritten afterwards. ``inputs`` is None unless wanted."""

    def close(self) -> None:
        """Finish what was written."""

    def abandon(self) -> None:
        """Remove what is unfinished."""


def open_sink(output: str | None, *, fps: float) -> Sink:
    """The sink that an ``--output`` names: a video by its suffix, else a folder of PNGs; None takes and forgets.

    Raises:
        UsageError: a suffix of something else.
        MachineError: the place is missing or not writable.
    """
    from runtime.sinks.images import ImageSink
    from runtime.sinks.null import NullSink
    from runtime.sinks.video import VideoSink

    if output is None:
        return NullSink()
    path = Path(output)
    if not path.parent.is_dir():
        raise MachineError("no such folder", where=path.parent, remedy="make it or choose another --output")
    if path.suffix.lower() in SUFFIXES:
        return VideoSink(path, fps=fps)
    if path.suffix and not path.is_dir():
        raise UsageError(f"cannot write {path.suffix}", where=path, remedy=f"a folder, or one of {', '.join(SUFFIXES)}")
    return ImageSink(path)
