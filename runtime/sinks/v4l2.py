"""A V4L2 output device: fused frames as if from a camera, through v4l2loopback or a display."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from edgefusion.core.errors import MachineError, RunError
from edgefusion.core.frames import FramePair, FusedInfo
from edgefusion.core.geometry import Size
from runtime.capture.v4l2 import abi
from runtime.capture.v4l2.buffers import Bytes
from runtime.capture.v4l2.formats import fourcc, set_format
from runtime.capture.v4l2.node import Node, explaining
from runtime.capture.v4l2.output import OutputQueue
from runtime.sinks import Rgb

Fill = Callable[[Rgb, Bytes], None]
"""Writes an [H, W, 3] image into the bytes of a buffer."""


def _copy(rgb: Rgb, out: Bytes) -> None:
    np.copyto(out.reshape(rgb.shape), rgb)


def _convert(code: int, tail: tuple[int, ...], rgb: Rgb, out: Bytes) -> None:
    cv2.cvtColor(rgb, code, dst=out.reshape(-1, rgb.shape[1], *tail))


LAYOUTS: dict[str, tuple[float, Fill]] = {
    "RGB3": (3, _copy),
    "YUYV": (2, partial(_convert, cv2.COLOR_RGB2YUV_YUYV, (2,))),
    "UYVY": (2, partial(_convert, cv2.COLOR_RGB2YUV_UYVY, (2,))),
    "BGR3": (3, partial(_convert, cv2.COLOR_RGB2BGR, (3,))),
    "YU12": (1.5, partial(_convert, cv2.COLOR_RGB2YUV_I420, ())),
}
"""What a device may take, best first: bytes of a pixel, and what makes it of RGB. YUV is BT.601, limited range."""


class V4l2Sink:
    """Asks the device for a format at the first frame, whose size all others must have.

    Raises:
        CameraLostError: there is no such device.
        MachineError: it takes no video, or is busy, or not permitted.
    """

    wants_inputs = False

    def __init__(self, path: str | Path) -> None:
        self._path = str(path)
        self._shape: tuple[int, ...] = ()
        self._node: Node | None = Node(self._path)
        self._queue: OutputQueue | None = None
        self._fill: Fill = _copy
        self._length = 0
        needed = abi.VIDEO_OUTPUT | abi.STREAMING
        if self._node.capabilities & needed != needed:
            self.close()
            remedy = "give a device of v4l2loopback: sudo modprobe v4l2loopback"
            raise MachineError("it is no output for video", where=path, remedy=remedy)

    def write(self, rgb: Rgb, info: FusedInfo, inputs: FramePair | None) -> None:
        """Show a frame; waits until the device has room for it.

        Raises:
            MachineError: it takes no format that can be made here, or not this size.
            RunError: it is gone or stuck, or the frame is of another size than the first.
        """
        queue = self._queue or self._begin(rgb.shape)
        if rgb.shape != self._shape:
            raise RunError("images of different sizes do not fit one device", where=self._path)
        index, memory = queue.take()
        self._fill(rgb, memory[: self._length])
        queue.show(index, self._length, timestamp_ns=info.timestamp_ns if info.clock == "monotonic" else 0)

    def close(self) -> None:
        """End the output."""
        queue, self._queue = self._queue, None
        node, self._node = self._node, None
        if queue:
            queue.close()
        if node:
            node.close()

    def abandon(self) -> None:
        """End the output: what was shown is gone."""
        self.close()

    def _begin(self, shape: tuple[int, ...]) -> OutputQueue:
        if self._node is None:
            raise RunError("it is closed", where=self._path)
        self._fill, self._length = _choose(self._node, (shape[1], shape[0]))
        self._shape = shape
        self._queue = OutputQueue(self._node)
        return self._queue


def _choose(node: Node, size_px: Size) -> tuple[Fill, int]:
    """How to fill a buffer of the best layout that the device takes, and the bytes of an image."""
    said: list[str] = []
    for name, (per_pixel, fill) in LAYOUTS.items():
        got = set_format(node, fourcc(name), size_px, abi.OUTPUT)
        length = int(size_px[0] * size_px[1] * per_pixel)
        takes = got.pixelformat == fourcc(name) and (got.width, got.height) == size_px
        if takes and got.bytesperline in (0, length // size_px[1], size_px[0]) and got.sizeimage >= length:
            return fill, length
        said.append(f"{_letters(got.pixelformat)} of {got.width}x{got.height} for {name}")
    raise MachineError(
        f"it does not take images of {size_px[0]}x{size_px[1]}: it gives {', '.join(said)}",
        where=node.path, remedy=f"it offers {_offered(node)}",
    )  # fmt: skip


def _letters(code: int) -> str:
    return code.to_bytes(4, "little").decode("ascii", "replace").strip("\0 ") or "nothing"


def _offered(node: Node) -> str:
    with explaining(node.path, "listing its formats"):
        found = node.each(abi.ENUM_FMT, abi.FormatDescription(type=abi.OUTPUT))
        return ", ".join(_letters(item.pixelformat & ~(1 << 31)) for item in found) or "none"
