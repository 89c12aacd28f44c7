"""Frames as pictures."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from edgefusion.core.errors import RunError
from edgefusion.core.frames import Frame, PixelFormat
from edgefusion.kernels.cpu import to_rgb
from runtime.sinks.pictures import encode, look

WIDTH, HEIGHT = 64, 48
RAMP = np.linspace(40, 200, WIDTH * HEIGHT).reshape(HEIGHT, WIDTH).astype(np.uint8)


def opened(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def visible(kind: PixelFormat) -> Frame:
    """A ramp of luma in one colour, orange."""
    if kind is PixelFormat.RGB24:
        pixels = np.dstack([RAMP, RAMP // 2, RAMP // 4])
    elif kind is PixelFormat.NV12:
        pixels = np.vstack([RAMP, np.tile(np.array([90, 170], np.uint8), (HEIGHT // 2, WIDTH // 2))])
    else:
        chroma = np.tile(np.array([90, 170], np.uint8), (HEIGHT, WIDTH // 2))
        pixels = np.dstack([RAMP, chroma] if kind is PixelFormat.YUYV else [chroma, RAMP])
    return Frame(np.ascontiguousarray(pixels), kind, 0, "monotonic", 0)


@pytest.mark.parametrize("kind", [PixelFormat.RGB24, PixelFormat.NV12, PixelFormat.YUYV])
def test_colours_are_those_that_the_kernels_see(kind: PixelFormat) -> None:
    frame = visible(kind)
    np.testing.assert_allclose(opened(look(frame)).astype(int), to_rgb(frame).astype(int), atol=12)


def test_uyvy_looks_like_yuyv() -> None:
    np.testing.assert_array_equal(opened(look(visible(PixelFormat.UYVY))), opened(look(visible(PixelFormat.YUYV))))


def test_readings_are_spread_over_all_greys_and_swapped_ones_too() -> None:
    readings = (7000 + RAMP.astype(np.uint16)).astype(np.uint16)
    right = opened(look(Frame(readings, PixelFormat.Y16, 0, "monotonic", 0)))
    swapped = opened(look(Frame(readings.byteswap(), PixelFormat.Y16_BE, 0, "monotonic", 0)))
    assert (right.min(), right.max()) == (0, 255)
    assert np.corrcoef(right.ravel(), RAMP.ravel())[0, 1] > 0.99
    np.testing.assert_array_equal(right, swapped)
    flat = np.full((HEIGHT, WIDTH), 9000, np.uint16)
    assert opened(look(Frame(flat, PixelFormat.Y16, 0, "monotonic", 0))).shape == (HEIGHT, WIDTH)


def test_grey_frames_stay_as_they_are() -> None:
    np.testing.assert_allclose(opened(look(Frame(RAMP, PixelFormat.GREY, 0, "monotonic", 0))).astype(int), RAMP, atol=3)


def test_an_image_that_a_codec_does_not_take() -> None:
    with pytest.raises(RunError, match="an image of 70000x1 does not go into jpeg"):
        encode(np.zeros((1, 70_000, 3), np.uint8), "jpeg")
