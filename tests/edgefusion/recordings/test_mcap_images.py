"""Every encoding of an image message, on its pixels, written and read by ROS 2's and by Foxglove's rules."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcaps import START_NS, Said, image, picture, raw, write_foxglove, write_ros
from numpy.typing import NDArray

from edgefusion.core.errors import RecordingError
from edgefusion.core.frames import FramePair, PixelFormat
from edgefusion.recordings.recording import locate, open_recording

WIDTH, HEIGHT = 10, 6
DRAW = np.random.default_rng(5)
RGB = DRAW.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
GREY = DRAW.integers(0, 256, (HEIGHT, WIDTH)).astype(np.uint8)
COUNTS = DRAW.integers(0, 2**16, (HEIGHT, WIDTH)).astype(np.uint16)
ALPHA = np.dstack([RGB, GREY])
YUYV = DRAW.integers(0, 256, (HEIGHT, WIDTH, 2)).astype(np.uint8)
NV12 = DRAW.integers(0, 256, (HEIGHT * 3 // 2, WIDTH)).astype(np.uint8)

Fields = dict[str, Any]
Write = Callable[..., Path]
THERMAL, VISIBLE = image("mono8", GREY), image("rgb8", RGB)


def only_pair(write: Write, folder: Path, visible: Fields, thermal: Fields) -> FramePair:
    said = [Said("/visible", START_NS, visible), Said("/thermal", START_NS + 1000, thermal)]
    (pair,) = open_recording(*locate(write(folder / "r.mcap", said)))
    return pair


VISIBLE_CASES: dict[str, tuple[Fields, NDArray[Any], PixelFormat]] = {
    "rgb8": (VISIBLE, RGB, PixelFormat.RGB24),
    "bgr8": (image("bgr8", RGB[..., ::-1]), RGB, PixelFormat.RGB24),
    "8UC3": (image("8UC3", RGB[..., ::-1]), RGB, PixelFormat.RGB24),
    "rgba8": (image("rgba8", ALPHA), RGB, PixelFormat.RGB24),
    "bgra8": (image("bgra8", ALPHA[..., [2, 1, 0, 3]]), RGB, PixelFormat.RGB24),
    "mono8": (image("mono8", GREY), GREY, PixelFormat.GREY),
    "16 bits": (image("mono16", COUNTS), COUNTS >> 8, PixelFormat.GREY),
    "yuyv": (image("yuyv", YUYV), YUYV, PixelFormat.YUYV),
    "yuv422_yuy2": (image("yuv422_yuy2", YUYV), YUYV, PixelFormat.YUYV),
    "yuv422": (image("yuv422", YUYV[..., ::-1]), YUYV, PixelFormat.YUYV),
    "uyvy": (image("uyvy", YUYV[..., ::-1]), YUYV, PixelFormat.YUYV),
    "nv12": (raw("nv12", WIDTH, HEIGHT, NV12.tobytes(), step=WIDTH), NV12, PixelFormat.NV12),
    "png": (picture(RGB, "png"), RGB, PixelFormat.RGB24),
    "png of ROS": (picture(RGB, "png", "rgb8; png compressed bgr8"), RGB, PixelFormat.RGB24),
    "png of swapped channels": (picture(RGB, "png", "rgb8; png compressed rgb8"), RGB[..., ::-1], PixelFormat.RGB24),
}
THERMAL_CASES: dict[str, tuple[Fields, NDArray[Any], PixelFormat]] = {
    "mono8": (THERMAL, GREY, PixelFormat.GREY),
    "8UC1": (image("8UC1", GREY), GREY, PixelFormat.GREY),
    "mono16": (image("mono16", COUNTS), COUNTS, PixelFormat.Y16),
    "16UC1": (image("16UC1", COUNTS), COUNTS, PixelFormat.Y16),
    "grey in colour": (image("bgr8", np.repeat(GREY[..., None], 3, axis=2)), GREY, PixelFormat.GREY),
    "png": (picture(GREY, "png"), GREY, PixelFormat.GREY),
    "16-bit png": (picture(COUNTS, "png", "16UC1; png compressed "), COUNTS, PixelFormat.Y16),
    "padded mono8": (
        raw("mono8", WIDTH, HEIGHT, np.pad(GREY, ((0, 0), (0, 5))).tobytes(), step=WIDTH + 5), GREY, PixelFormat.GREY,
    ),
    "padded mono16": (
        raw("mono16", WIDTH, HEIGHT, np.pad(COUNTS, ((0, 0), (0, 3))).tobytes(), step=2 * WIDTH + 6), COUNTS,
        PixelFormat.Y16,
    ),
}  # fmt: skip


@pytest.mark.parametrize("write", [write_ros, write_foxglove])
@pytest.mark.parametrize("name", VISIBLE_CASES)
def test_visible_encodings(write: Write, tmp_path: Path, name: str) -> None:
    fields, expected, kind = VISIBLE_CASES[name]
    frame = only_pair(write, tmp_path, fields, THERMAL).visible
    assert (frame.format, frame.size_px) == (kind, (WIDTH, HEIGHT))
    np.testing.assert_array_equal(frame.pixels, expected)


@pytest.mark.parametrize("write", [write_ros, write_foxglove])
@pytest.mark.parametrize("name", THERMAL_CASES)
def test_thermal_encodings(write: Write, tmp_path: Path, name: str) -> None:
    fields, expected, kind = THERMAL_CASES[name]
    frame = only_pair(write, tmp_path, VISIBLE, fields).thermal
    assert (frame.format, frame.size_px) == (kind, (WIDTH, HEIGHT))
    np.testing.assert_array_equal(frame.pixels, expected)


def test_sixteen_bits_in_the_other_byte_order(tmp_path: Path) -> None:
    fields = raw("16UC1", WIDTH, HEIGHT, COUNTS.astype(">u2").tobytes(), big_endian=1)
    np.testing.assert_array_equal(only_pair(write_ros, tmp_path, VISIBLE, fields).thermal.pixels, COUNTS)


@pytest.mark.parametrize("said", ["jpeg", "jpg", "bgr8; jpeg compressed bgr8", "rgb8; jpeg compressed bgr8"])
def test_jpeg_keeps_its_colours(tmp_path: Path, said: str) -> None:
    orange = np.full((32, 32, 3), (250, 120, 10), np.uint8)
    frame = only_pair(write_ros, tmp_path, picture(orange, "jpeg", said), THERMAL).visible
    assert np.abs(frame.pixels.astype(int) - orange).max() < 8


WRONG: dict[str, tuple[Fields, Fields, str]] = {
    "unknown encoding": (image("bayer_rggb8", GREY), THERMAL, "'bayer_rggb8' is not supported; record rgb8, bgr8, "),
    "unknown format": ({"format": "webp", "data": b"x"}, THERMAL, "format 'webp' is not supported; record jpeg"),
    "depth": (VISIBLE, {"format": "16UC1; compressedDepth png", "data": b"x"}, "compressedDepth is not supported"),
    "short": (raw("rgb8", WIDTH, HEIGHT, b"x" * 90, step=30), THERMAL, "90 bytes, where 6 rows of 30 take 180"),
    "short rows": (raw("rgb8", WIDTH, HEIGHT, bytes(174), step=29), THERMAL, "rows of 29 bytes, where 10 pixels"),
    "odd": (raw("yuyv", 5, 6, bytes(60)), THERMAL, "an image of 5x6 in yuyv"),
    "empty": (raw("rgb8", 0, 1, b""), THERMAL, "an image of 0x1 in rgb8"),
    "undecodable": ({"format": "jpeg", "data": b"\xff\xd8 no"}, THERMAL, "not a readable image"),
    "false colour": (VISIBLE, image("rgb8", RGB), "this thermal picture is in false colour"),
    "thermal in colour": (VISIBLE, image("yuyv", YUYV), "thermal images in yuyv; record mono8 or mono16"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_read_is_named_with_its_topic_and_frame(tmp_path: Path, name: str) -> None:
    visible, thermal, message = WRONG[name]
    with pytest.raises(RecordingError, match=r"r\.mcap: /(visible|thermal), frame 0: ") as caught:
        only_pair(write_ros, tmp_path, visible, thermal)
    assert message in str(caught.value)


def test_a_message_that_is_not_what_its_schema_says(tmp_path: Path) -> None:
    path = write_ros(tmp_path / "r.mcap", [Said("/visible", START_NS, VISIBLE), Said("/thermal", START_NS, THERMAL)])
    from mcap.writer import Writer

    with path.open("wb") as stream:
        writer = Writer(stream)
        writer.start()
        for topic in ("/visible", "/thermal"):
            schema = writer.register_schema("foxglove.RawImage", "protobuf", b"nonsense")
            writer.add_message(writer.register_channel(topic, "protobuf", schema), START_NS, b"", START_NS)
        writer.finish()
    with pytest.raises(RecordingError, match=r"/visible: the message at 17.* ns cannot be decoded"):
        open_recording(path, path)
