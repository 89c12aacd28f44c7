"""A V4L2 output device: fused frames as if from a camera, through v4l2loopback or a display."""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from edgefusion.core.errors import MachineError, RunError
from edgefusion.core.frames import FramePair, FusedInfo
from edgefusion.core.geometry import Size
from runtime.capture.v4l2 import abi
from runtime.capture.v4l2.formats import fourcc, set_format
from runtime.capture.v4l2.node import GONE, Node, explaining
from runtime.sinks import Rgb

PATIENCE_S = 5.0
"""A device that takes no frame for so long is stuck."""


def _same(rgb: Rgb) -> Rgb:
    return rgb


def _convert(code: int, rgb: Rgb) -> Rgb:
    return np.asarray(cv2.cvtColor(rgb, code))


LAYOUTS: dict[str, tuple[float, Callable[[Rgb], Rgb]]] = {
    "RGB3": (3, _same),
    "YUYV": (2, partial(_convert, cv2.COLOR_RGB2YUV_YUYV)),
    "UYVY": (2, partial(_convert, cv2.COLOR_RGB2YUV_UYVY)),
    "BGR3": (3, partial(_convert, cv2.COLOR_RGB2BGR)),
    "YU12": (1.5, partial(_convert, cv2.COLOR_RGB2YUV_I420)),
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
        self._node: Node | None = Node(str(path))
        self._path, self._size_px = str(path), (0, 0)
        self._convert: Callable[[Rgb], Rgb] = _same
        needed = abi.VIDEO_OUTPUT | abi.READWRITE
        if self._node.capabilities & needed != needed:
            self.close()
            remedy = "give a device of v4l2loopback: sudo modprobe v4l2loopback"
            raise MachineError("it does not take video that is written to it", where=path, remedy=remedy)

    def write(self, rgb: Rgb, info: FusedInfo, inputs: FramePair | None) -> None:
        """Show a frame; waits until the device takes it.

        Raises:
            MachineError: it takes no format that can be made here, or not this size.
            RunError: it is gone or stuck, or the frame is of another size than the first.
        """
        size_px = rgb.shape[1], rgb.shape[0]
        if self._size_px == (0, 0):
            self._convert = self._choose(size_px)
            self._size_px = size_px
        if size_px != self._size_px:
            raise RunError("images of different sizes do not fit one device", where=self._path)
        self._put(np.ascontiguousarray(self._convert(rgb)).reshape(-1).data)

    def close(self) -> None:
        """End the output."""
        node, self._node = self._node, None
        if node:
            node.close()

    def abandon(self) -> None:
        """End the output: what was shown is gone."""
        self.close()

    def _choose(self, size_px: Size) -> Callable[[Rgb], Rgb]:
        node = self._open_node()
        seen: list[str] = []
        for name, (per_pixel, convert) in LAYOUTS.items():
            got = set_format(node, fourcc(name), size_px, abi.OUTPUT)
            tight = got.sizeimage == int(size_px[0] * size_px[1] * per_pixel)
            if got.pixelformat == fourcc(name) and (got.width, got.height) == size_px and tight:
                return convert
            seen.append(f"{_letters(got.pixelformat)} of {got.width}x{got.height} for {name}")
        raise MachineError(
            f"it does not take images of {size_px[0]}x{size_px[1]} as {', '.join(LAYOUTS)}: it gives {'; '.join(seen)}",
            where=self._path, remedy=f"it offers {_offered(node)}",
        )  # fmt: skip

    def _put(self, data: memoryview) -> None:
        node = self._open_node()
        try:
            while data:
                if not select.select((), (node.fd,), (), PATIENCE_S)[1]:
                    raise RunError("it takes no more frames", where=self._path, remedy="is its reader stuck?")
                data = data[self._write_some(node.fd, data) :]
        except OSError as error:
            what = "it is gone" if error.errno in GONE else "it refuses a frame"
            raise RunError(f"{what} ({error.strerror})", where=self._path) from error

    @staticmethod
    def _write_some(fd: int, data: memoryview) -> int:
        try:
            return os.write(fd, data)
        except BlockingIOError:  # somebody else was faster
            return 0

    def _open_node(self) -> Node:
        if self._node is None:
            raise RunError("it is closed", where=self._path)
        return self._node


def _letters(code: int) -> str:
    return code.to_bytes(4, "little").decode("ascii", "replace").strip("\0 ") or "nothing"


def _offered(node: Node) -> str:
    with explaining(node.path, "listing its formats"):
        found = node.each(abi.ENUM_FMT, abi.FormatDescription(type=abi.OUTPUT))
        return ", ".join(_letters(item.pixelformat & ~(1 << 31)) for item in found) or "none"
