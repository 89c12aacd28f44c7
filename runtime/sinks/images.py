"""A folder of PNGs, one per fused frame, named as the pair was."""

from __future__ import annotations

import os
from pathlib import Path

from edgefusion.core.errors import MachineError
from edgefusion.core.frames import FramePair, FusedInfo
from edgefusion.recordings.images import write_png
from runtime.sinks import Rgb


class ImageSink:
    """Makes the folder if it is missing. Pairs without a name are numbered."""

    wants_inputs = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise MachineError(f"cannot make the folder ({error.strerror})", where=folder) from error
        if not os.access(folder, os.W_OK):
            raise MachineError("not writable", where=folder, remedy="choose another --output")

    def write(self, rgb: Rgb, info: FusedInfo, inputs: FramePair | None) -> None:
        """Write one PNG, complete or not at all."""
        write_png(self._folder / f"{info.name or f'{info.visible_sequence:06d}'}.png", rgb)

    def close(self) -> None:
        """Every file is complete already."""

    def abandon(self) -> None:
        """Every file is complete already."""
