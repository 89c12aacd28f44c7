"""Video files: reading one camera's frames, writing fused frames as H.264."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
import numpy.typing as npt

from edgefusion.core.errors import MachineError, RecordingError
from edgefusion.core.frames import Frame, PixelFormat
from edgefusion.core.geometry import Size
from edgefusion.recordings.growing_file import GrowingFile

Kind = Literal["visible", "thermal"]
MUXERS = {".mp4": "mp4", ".mkv": "matroska", ".avi": "avi", ".mov": "mov"}
"""Suffix of a video that can be written -> FFmpeg's name of its container."""
SUFFIXES = (*MUXERS, ".webm")
"""Of videos that can be read."""
FALLBACK_FPS = 30.0

_ENCODER = {"preset": "veryfast", "crf": "20", "bf": "0"}
"""Without frames that are predicted from later ones: the parts of a file that was not closed then have right times."""
_FLUSHED = {"flush_packets": "1"}
_MP4 = {"movflags": "hybrid_fragmented+empty_moov+default_base_moof", "frag_duration": "1000000"}  # microseconds
_RECOVERABLE = {".mp4": _MP4, ".mov": _MP4, ".mkv": {"cluster_time_limit": "1000"}}  # milliseconds
"""Each second is written whole, so that it can be read without those after it."""


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
    """H.264, which browsers play, in the container that the suffix names.

    ``path`` can be read at any time up to the last whole second, also when nobody closes it. ``close`` makes MP4 and
    MOV ordinary files, with an index. Without any frame there is no file.

    Args:
        path: the file to write; a file of that name is replaced as soon as there is a second of the new one.
        size_px: (width, height) of the frames. Odd sizes are padded by one repeated row or column.
        fps: constant frame rate.

    Raises:
        MachineError: the folder is missing or not writable, or the disk is full.
    """

    def __init__(self, path: Path, size_px: Size, *, fps: float) -> None:
        self.path = path
        self._padding = [(0, size_px[1] % 2), (0, size_px[0] % 2), (0, 0)]
        try:
            self._file = GrowingFile(path)
        except OSError as error:
            raise self._failure(error) from error
        try:
            self._container, self._stream = self._begin(path.suffix.lower(), size_px, Fraction(fps))
        except BaseException:
            self._file.end()
            raise
        self._frames = 0
        self._header_bytes = self._file.size_bytes

    def _begin(self, suffix: str, size_px: Size, fps: Fraction) -> tuple[Any, Any]:
        """(container, stream), and the header in the file."""
        container = av.open(self._file, "w", format=MUXERS[suffix], options=_FLUSHED | _RECOVERABLE.get(suffix, {}))
        stream = container.add_stream("libx264", rate=fps.limit_denominator(1001), options=_ENCODER)
        stream.width, stream.height = (side + side % 2 for side in size_px)
        stream.pix_fmt = "yuv420p"
        container.start_encoding()
        return container, stream

    def write(self, rgb: npt.NDArray[np.uint8]) -> None:
        """Append one [H, W, 3] frame.

        Raises:
            MachineError: the disk is full or fails; what was written before can be read, and the writer is closed.
        """
        padded = np.pad(rgb, self._padding, "edge") if any(after for _, after in self._padding) else rgb
        with self._whole():
            self._mux(av.VideoFrame.from_ndarray(padded, format="rgb24"))
        self._frames += 1

    def close(self) -> None:
        """Write what the encoder holds back, and the index. Raises as ``write``."""
        if self._file.closed:
            return
        try:
            with self._whole():
                self._mux(None)
                self._container.close()
                if self._frames:
                    self._file.finish()
        finally:
            self._file.end()

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _mux(self, frame: Any) -> None:
        for packet in self._stream.encode(frame):
            self._container.mux(packet)
        if self._file.size_bytes > self._header_bytes:
            self._file.keep()

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """What fails in it ends the file behind its last whole part."""
        try:
            yield
        except OSError as error:
            self._file.end()
            self._container.close()
            raise self._failure(error) from error

    def _failure(self, error: OSError) -> MachineError:
        return MachineError(
            f"cannot write the video ({error.strerror or error})", where=self.path,
            remedy="what was written before can be read; choose a writable folder with free space",
        )  # fmt: skip
