"""Where fused frames go: one file per kind of output, one line in the table of ``open_sink``."""

from __future__ import annotations

import time
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from edgefusion.core.errors import MachineError, UsageError
from edgefusion.core.frames import FramePair, FusedInfo
from edgefusion.recordings.video import MUXERS

Rgb = npt.NDArray[np.uint8]

KINDS = {
    "v4l2": "runtime.sinks.v4l2:V4l2Sink",
    "rerun": "runtime.sinks.rerun_view:RerunSink",
}
"""Kind -> class. An ``--output`` of KIND:ADDRESS is made as ``Class(address)``."""

FILES = {".mcap": "runtime.sinks.mcap:McapSink"}
"""Suffix -> class. A file of that suffix is made as ``Class(path)``; a video, which needs a rate, by itself."""


class Sink(Protocol):
    """Takes fused frames. What is under its final name is readable as far as it goes, also when nobody closes it.

    Attributes:
        wants_inputs: whether ``write`` needs the pair that the frame was made of.
    """

    wants_inputs: bool

    def write(self, rgb: Rgb, info: FusedInfo, inputs: FramePair | None) -> None:
        """Take one [H, W, 3] frame; the arrays are overwritten afterwards. ``inputs`` is None unless wanted."""

    def close(self) -> None:
        """Finish what was written."""

    def abandon(self) -> None:
        """End it after an error, its own or the run's: what was written stays, and a second end does no harm."""


def open_sink(output: str | None, *, fps: float) -> Sink:
    """The sink that an ``--output`` names; None takes and forgets.

    A kind and an address (see ``KINDS``), else a video or one of ``FILES`` by its suffix, else a folder of PNGs.
    In the name of a file %Y, %m, %d, %H, %M and %S stand for the time, so that a service that starts again has a new
    one.

    Raises:
        UsageError: a kind or a suffix of something else.
        MachineError: the place is missing or not writable, or a package is not installed.
    """
    from runtime.sinks.images import ImageSink
    from runtime.sinks.null import NullSink
    from runtime.sinks.video import VideoSink

    if output is None:
        return NullSink()
    check_output(output)
    kind, _, address = output.partition(":")
    if kind in KINDS:
        return _made(KINDS[kind], address)
    path = Path(output)
    suffix = path.suffix.lower()
    if suffix in MUXERS:
        return VideoSink(_dated(path), fps=fps)
    if suffix in FILES:
        return _made(FILES[suffix], _dated(path))
    return ImageSink(path)


def check_output(output: str) -> None:
    """Refuse what ``open_sink`` cannot make, without making anything.

    Raises:
        UsageError: a kind or a suffix of something else.
        MachineError: the folder it would be in is missing.
    """
    kind, colon, _ = output.partition(":")
    if kind in KINDS:
        return
    path = Path(output)
    written = path.suffix.lower() in (*MUXERS, *FILES) or path.is_dir()
    if colon and "/" not in kind and not written:
        known = ", ".join(("ring", *KINDS))
        raise UsageError(f"no kind {kind!r}", where=output, remedy=f"one of {known}, or a path, such as ./{output}")
    if not path.parent.is_dir():
        raise MachineError("no such folder", where=path.parent, remedy="make it or choose another --output")
    if path.suffix and not written:
        known = ", ".join((*MUXERS, *FILES))
        raise UsageError(f"cannot write {path.suffix}", where=path, remedy=f"a folder, or one of {known}")


def _dated(path: Path) -> Path:
    return path.with_name(time.strftime(path.name))


def _made(name: str, argument: Any) -> Sink:
    module, _, attribute = name.partition(":")
    return cast(Sink, getattr(import_module(module), attribute)(argument))
