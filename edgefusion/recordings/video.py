"""Video files: reading one camera's frames, writing fused frames as H.264."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import av
import numpy as np
import numpy.typing as npt

from edgefusion.core.errors import MachineError, RecordingError
from edgefusion.core.frames import Frame, PixelFormat

Kind = Literal["visible", "thermal"]
SUFFIXES = (".mp4", ".mkv", ".avi", ".mov", ".webm")
FALLBACK_FPS = 30.0


class VideoReader:
    """Frames of one camera, in order.

    Visible frames come as RGB24; thermal ones as GREY, or as Y16 where the video stores more than 8 bits.

    Args:
        path: a file that FFmpeg reads.
        kind: which camera it is.

    Attributes:
        size_px: (width, height).
        fps: frames per second, as the file states.
        length: number of frames as the file states, 0 if it does not.

    Raises:
        RecordingError: missing, not a video, or damaged.
    """

    def __init__(self, path: Path, kind: Kind) -> None:
        self.path = path
        try:
            self._container = av.open(str(path))
            self._stream = self._container.streams.video[0]
        except FileNotFoundError:
            raise RecordingError("no such file", where=path) from None
        except (av.FFmpegError, IndexError) as error:
            raise RecordingError("not a readable video", where=path, remedy="check that ffprobe can read it") from error
        stream = self._stream
        stream.thread_type = "AUTO"
        self.size_px = (int(stream.width), int(stream.height))
        self.fps = float(stream.average_rate or FALLBACK_FPS)
        self.length = int(stream.frames)
        deep = str(stream.pix_fmt).startswith(("gray9", "gray10", "gray12", "gray14", "gray16"))
        self._layout, self.format = {
            "visible": ("rgb24", PixelFormat.RGB24),
            "thermal": ("gray16le", PixelFormat.Y16) if deep else ("gray", PixelFormat.GREY),
        }[kind]

    def __iter__(self) -> Iterator[Frame]:
        decoded, sequence = self._container.decode(self._stream), 0
        while (frame := self._next(decoded, sequence)) is not None:
            pixels = frame.to_ndarray(format=self._layout)
            seconds = frame.time if frame.time is not None else sequence / self.fps
            yield Frame(pixels, self.format, round(seconds * 1e9), "receive", sequence)
            sequence += 1

    def _next(self, decoded: Iterator[Any], sequence: int) -> Any:
        try:
            return next(decoded, None)
        except av.FFmpegError as error:
            raise RecordingError(f"frame {sequence} cannot be decoded", where=self.path) from error

    def close(self) -> None:
        """Release the file."""
        self._container.close()


class VideoWriter:
    """H.264 in MP4, which browsers play; ``path`` appears, complete, on ``close``.

    Args:
        path: the file to write; a file of that name is replaced.
        size_px: (width, height) of the frames. Odd sizes are padded by one repeated row or column.
        fps: constant frame rate.

    Raises:
        MachineError: the folder is missing or not writable, or the disk is full.
    """

    def __init__(self, path: Path, size_px: tuple[int, int], *, fps: float) -> None:
        self.path = path
        self._part = path.with_name(f".{path.stem}.part{path.suffix}")
        self._padding = [(0, size_px[1] % 2), (0, size_px[0] % 2), (0, 0)]
        rate = Fraction(fps).limit_denominator(1001)
        try:
            self._container = av.open(str(self._part), "w", options={"movflags": "+faststart"})
            stream = self._container.add_stream("libx264", rate=rate, options={"preset": "veryfast", "crf": "20"})
        except (OSError, ValueError) as error:
            self._part.unlink(missing_ok=True)
            raise self._failure(error) from error
        stream.width, stream.height = size_px[0] + size_px[0] % 2, size_px[1] + size_px[1] % 2
        stream.pix_fmt = "yuv420p"
        self._stream: Any = stream

    def write(self, rgb: npt.NDArray[np.uint8]) -> None:
        """Append one [H, W, 3] frame."""
        padded = np.pad(rgb, self._padding, "edge") if any(after for _, after in self._padding) else rgb
        self._mux(av.VideoFrame.from_ndarray(padded, format="rgb24"))

    def close(self) -> None:
        """Flush the encoder and give the file its name."""
        try:
            self._mux(None)
            self._container.close()
            os.replace(self._part, self.path)
        except OSError as error:
            self.abandon()
            raise self._failure(error) from error

    def abandon(self) -> None:
        """Close and leave nothing behind."""
        with contextlib.suppress(OSError):  # the disk is full or gone: what was written is deleted next
            self._container.close()
        self._part.unlink(missing_ok=True)

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None or issubclass(kind, KeyboardInterrupt):
            self.close()
        else:
            self.abandon()

    def _mux(self, frame: Any) -> None:
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except OSError as error:
            self.abandon()
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> MachineError:
        reason = getattr(error, "strerror", None) or error
        return MachineError(
            f"cannot write the video ({reason})", where=self.path, remedy="choose a writable folder with free space"
        )
