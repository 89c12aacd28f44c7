"""A video file of the fused frames."""

from __future__ import annotations

from pathlib import Path

from edgefusion.core.errors import RunError
from edgefusion.core.frames import FramePair, FusedInfo
from edgefusion.recordings.video import VideoWriter
from runtime.sinks import Rgb


class VideoSink:
    """Opens the video at the first frame, whose size all others must have; it ends before one of another size."""

    wants_inputs = False

    def __init__(self, path: Path, *, fps: float) -> None:
        self._path, self._fps = path, fps
        self._writer: VideoWriter | None = None
        self._shape: tuple[int, ...] = ()

    def write(self, rgb: Rgb, info: FusedInfo, inputs: FramePair | None) -> None:
        """Append a frame.

        Raises:
            RunError: the frame is of another size than the first.
            MachineError: the disk is full or not writable.
        """
        if self._writer is None:
            self._shape = rgb.shape
            self._writer = VideoWriter(self._path, (rgb.shape[1], rgb.shape[0]), fps=self._fps)
        if rgb.shape != self._shape:
            self.close()
            raise RunError(
                "images of different sizes do not fit one video, which ends before this one", where=self._path,
                remedy="give a folder as --output",
            )  # fmt: skip
        self._writer.write(rgb)

    def close(self) -> None:
        """Finish the file."""
        writer, self._writer = self._writer, None
        if writer:
            writer.close()

    def abandon(self) -> None:
        """Finish the file all the same: nothing that was written is lost."""
        self.close()
