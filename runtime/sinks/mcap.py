"""An MCAP file of the fused frames and of what they were made of, for looking at and for running it again."""

from __future__ import annotations

from pathlib import Path

from edgefusion.core.frames import FramePair, FusedInfo
from edgefusion.recordings.mcap_writer import RAW_TOPICS, McapWriter
from runtime.sinks import Rgb
from runtime.sinks.facts import facts_of
from runtime.sinks.pictures import Codec, encode

FUSED, INFO = "/fused/image", "/fused/info"


class McapSink:
    """Fused frames as pictures, both inputs raw in their cameras' own formats, and the facts of each frame as JSON.

    ``NAME.mcap`` takes JPEG of quality 95, ``NAME.png.mcap`` PNG, which loses nothing and takes twenty times as long.

    Raises:
        UsageError: there is such a file.
        MachineError: the folder is missing or not writable.
    """

    wants_inputs = True

    def __init__(self, path: Path) -> None:
        self._codec: Codec = "png" if path.name.lower().endswith(".png.mcap") else "jpeg"
        self._writer = McapWriter(path)
        self._empty = True

    def write(self, rgb: Rgb, info: FusedInfo, inputs: FramePair | None) -> None:
        """Append a frame.

        Raises:
            MachineError: the disk is full, or fails; what was written before can be read.
        """
        stamp_ns = self._writer.time_ns(info.timestamp_ns, info.clock)
        self._empty = False
        if inputs:
            self._writer.raw(RAW_TOPICS["visible"], inputs.visible)
            self._writer.raw(RAW_TOPICS["thermal"], inputs.thermal)
        self._writer.note(INFO, facts_of(info), stamp_ns=stamp_ns, sequence=info.frame_id)
        self._writer.picture(FUSED, encode(rgb, self._codec), self._codec, stamp_ns=stamp_ns, sequence=info.frame_id)

    def close(self) -> None:
        """Write the index.

        Raises:
            MachineError: the disk is full, or fails; what was written before can be read.
        """
        self._writer.close()

    def abandon(self) -> None:
        """Finish the file all the same: nothing that was recorded is lost. Without a frame it is removed."""
        self._writer.close()
        if self._empty:
            self._writer.path.unlink(missing_ok=True)
