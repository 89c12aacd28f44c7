"""Images that cannot be frames as they come: JPEGs, and rows with bytes between them."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from edgefusion.core.errors import InputError
from edgefusion.core.frames import Frame, PixelFormat
from edgefusion.kernels.cpu import to_rgb
from runtime.capture.v4l2 import abi
from runtime.capture.v4l2.buffers import Slot
from runtime.capture.v4l2.formats import CODES, JPEGS, Form
from runtime.capture.v4l2.images import Copied, converter, empty
from runtime.capture.v4l2.stream import Filled, Stream

SIZE = (64, 48)
Bytes = npt.NDArray[np.uint8]


def scene() -> Bytes:
    """Smooth in all channels, with black and white at two corners."""
    x, y = np.meshgrid(np.linspace(0, 1, SIZE[0]), np.linspace(0, 1, SIZE[1]))
    rgb = np.dstack([x, y, (x + y) / 2]) * 255
    rgb[:8, :8], rgb[-8:, -8:] = 0, 255
    return rgb.astype(np.uint8)


def jpeg(rgb: Bytes, quality: int = 95) -> Bytes:
    return np.asarray(cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]).reshape(-1)


def without_tables(data: Bytes) -> Bytes:
    """As most USB cameras send it: without the Huffman tables, which are always the same."""
    marker = data.tobytes()
    while (at := marker.find(b"\xff\xc4")) >= 0:
        length = int.from_bytes(marker[at + 2 : at + 4], "big")
        marker = marker[:at] + marker[at + 2 + length :]
    return np.frombuffer(marker, np.uint8)


def jpeg_form(pixel_format: PixelFormat) -> Form:
    return Form(pixel_format, JPEGS[0], SIZE, 0, 1 << 16)


class Given:
    """In place of a running stream: which buffers went back to the driver."""

    def __init__(self) -> None:
        self.given: list[int] = []

    def give_back(self, index: int) -> None:
        self.given.append(index)


def filled(index: int, length: int) -> Filled:
    return Filled(index, length, index, 0, "monotonic", exposure_start=True, damaged=False)


def decoded(data: Bytes, pixel_format: PixelFormat) -> Bytes:
    form = jpeg_form(pixel_format)
    out = empty(form)
    assert converter(form)(data, out)
    return to_rgb(Frame(out, pixel_format, 0, "monotonic", 0))


@pytest.mark.parametrize("pixel_format", [PixelFormat.RGB24, PixelFormat.NV12])
def test_a_jpeg_becomes_the_picture_that_it_was(pixel_format: PixelFormat) -> None:
    found = decoded(jpeg(scene()), pixel_format).astype(int)
    assert np.abs(found - scene()).mean() < 4
    assert found[:6, :6].max() < 8  # full range became limited range: neither black nor white moves
    assert found[-6:, -6:].min() > 247


def test_a_camera_may_leave_the_huffman_tables_out() -> None:
    data = jpeg(scene())
    assert len(without_tables(data)) < len(data) - 400
    np.testing.assert_array_equal(decoded(without_tables(data), PixelFormat.RGB24), decoded(data, PixelFormat.RGB24))


@pytest.mark.parametrize("cut", [0, 1, 20, 600, -300])
def test_a_damaged_jpeg_is_not_whole_and_the_next_one_is_decoded(cut: int) -> None:
    form = jpeg_form(PixelFormat.RGB24)
    convert, out = converter(form), empty(form)
    assert not convert(jpeg(scene())[:cut], out)
    assert convert(jpeg(scene()), out)


def test_a_jpeg_of_another_size_is_an_error() -> None:
    form = jpeg_form(PixelFormat.RGB24)
    with pytest.raises(InputError, match="JPEGs of 32x24, not 64x48"):
        converter(form)(jpeg(np.zeros((24, 32, 3), np.uint8)), empty(form))


def test_jpegs_of_another_size_take_no_buffer_for_good() -> None:
    small, fitting = jpeg(np.zeros((24, 32, 3), np.uint8)), jpeg(scene())
    memory = [np.resize(each, 1 << 16) for each in (small, small, small, fitting)]
    stream, counts = Given(), {"damaged": 0, "starved": 0}
    copied = Copied(cast(Stream, stream), [Slot(each, abi.Buffer()) for each in memory], jpeg_form(PixelFormat.RGB24))
    for index in range(3):
        with pytest.raises(InputError, match="JPEGs of 32x24, not 64x48"):
            copied(filled(index, small.size), counts)
    assert copied(filled(3, fitting.size), counts) is not None
    assert counts == {"damaged": 0, "starved": 0}
    assert stream.given == [0, 1, 2, 3]


@pytest.mark.parametrize("pixel_format", list(CODES))
def test_bytes_between_rows_are_dropped(pixel_format: PixelFormat) -> None:
    tight = Form(pixel_format, CODES[pixel_format], SIZE, 0, 0)
    form = Form(pixel_format, CODES[pixel_format], SIZE, tight.row + 24, 0)
    assert form.padded
    assert not tight.padded
    expected = np.random.default_rng(3).integers(0, 256, (form.rows, form.row), np.uint8)
    data = np.full((form.rows, form.stride), 0xEE, np.uint8)
    data[:, : form.row] = expected
    out = empty(form)
    assert converter(form)(data.reshape(-1)[: form.needed], out)
    assert out.tobytes() == expected.tobytes()
