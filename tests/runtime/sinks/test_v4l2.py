"""What the V4L2 sink makes of RGB for devices that take something else. The device itself: tests/vivid."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgefusion.core.frames import Frame, PixelFormat
from edgefusion.kernels.cpu import to_rgb
from runtime.sinks.v4l2 import LAYOUTS, V4l2Sink

SIZE = (64, 48)


def smooth() -> np.ndarray:
    x, y = np.meshgrid(np.linspace(0, 255, SIZE[0]), np.linspace(0, 255, SIZE[1]))
    return np.dstack([x, y, 255 - x]).astype(np.uint8)


@pytest.mark.parametrize("name", list(LAYOUTS))
def test_an_image_is_the_same_in_every_layout(name: str) -> None:
    per_pixel, fill = LAYOUTS[name]
    memory = np.full(int(SIZE[0] * SIZE[1] * per_pixel) + 8, 0xEE, np.uint8)
    fill(smooth(), memory[:-8])
    assert (memory[-8:] == 0xEE).all()
    np.testing.assert_allclose(back(name, memory[:-8]), smooth(), atol=0 if name in ("RGB3", "BGR3") else 14)


def back(name: str, data: np.ndarray) -> np.ndarray:
    """As a reader sees it."""
    width, height = SIZE
    if name in ("YUYV", "UYVY"):
        pixels = data.reshape(height, width, 2)
        return to_rgb(Frame(pixels if name == "YUYV" else pixels[..., ::-1].copy(), PixelFormat.YUYV, 0, "receive", 0))
    if name == "YU12":
        return cv2.cvtColor(data.reshape(height * 3 // 2, width), cv2.COLOR_YUV2RGB_I420)
    rgb = data.reshape(height, width, 3)
    return rgb[..., ::-1] if name == "BGR3" else rgb


def test_a_file_is_no_device(tmp_path) -> None:  # type: ignore[no-untyped-def]
    from edgefusion.core.errors import RigError

    path = tmp_path / "video0"
    path.touch()
    with pytest.raises(RigError, match="not a video device"):
        V4l2Sink(path)
