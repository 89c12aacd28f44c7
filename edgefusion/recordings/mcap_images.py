"""Image messages of ROS 2 and Foxglove: their time, and their pixels as this project has them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from mcap_protobuf.decoder import DecoderFactory as ProtobufDecoders
from mcap_ros2.decoder import DecoderFactory as Ros2Decoders

from edgefusion.core.errors import RecordingError
from edgefusion.core.frames import THERMAL_FORMATS, PixelFormat, Pixels
from edgefusion.recordings import images
from edgefusion.recordings.mcap_file import Entry, Topic
from edgefusion.recordings.pairing import Side

Layout = tuple[Pixels, PixelFormat]

TYPES = (
    ("sensor_msgs/msg/Image", "cdr"),
    ("sensor_msgs/msg/CompressedImage", "cdr"),
    ("foxglove.RawImage", "protobuf"),
    ("foxglove.CompressedImage", "protobuf"),
)
"""What an image message may be: name of its schema and encoding of the message."""


class _Raw(NamedTuple):
    """Bytes of one pixel in a row, the format they become, and which of the bytes that takes, in order."""

    size: int
    format: PixelFormat
    order: slice = slice(None)


_BACKWARDS = slice(None, None, -1)
_MONO8 = _Raw(1, PixelFormat.GREY)
_MONO16 = _Raw(2, PixelFormat.Y16)
_BGR = _Raw(3, PixelFormat.RGB24, _BACKWARDS)
_YUYV = _Raw(2, PixelFormat.YUYV)
_UYVY = _Raw(2, PixelFormat.YUYV, _BACKWARDS)

ENCODINGS = {
    "rgb8": _Raw(3, PixelFormat.RGB24),
    "bgr8": _BGR,
    "8UC3": _BGR,
    "rgba8": _Raw(4, PixelFormat.RGB24, slice(3)),
    "bgra8": _Raw(4, PixelFormat.RGB24, slice(2, None, -1)),
    "mono8": _MONO8,
    "8UC1": _MONO8,
    "mono16": _MONO16,
    "16UC1": _MONO16,
    "yuv422_yuy2": _YUYV,
    "yuyv": _YUYV,
    "yuv422": _UYVY,
    "uyvy": _UYVY,
    "nv12": _Raw(1, PixelFormat.NV12),
}
"""Of raw images, by ROS 2's image_encodings.hpp and Foxglove's RawImage; both take 8UC3 as BGR."""

CODECS = ("jpeg", "jpg", "png")
"""Of compressed images."""


def is_image(topic: Topic) -> bool:
    """Whether its messages are images that can be read here."""
    return (topic.type, topic.encoding) in TYPES


class Decoder:
    """Takes messages apart, except for the pixels."""

    def __init__(self) -> None:
        self._factories = (Ros2Decoders(), ProtobufDecoders())

    def __call__(self, entry: Entry) -> Any:
        """The message, with its fields as attributes.

        Raises:
            RecordingError: it is not what its schema says, or the schema is in a language not known here.
        """
        try:
            for factory in self._factories:
                if decode := factory.decoder_for(entry.encoding, entry.schema):
                    return decode(entry.message.data)
        except Exception as error:  # each library has errors of its own
            raise RecordingError(
                f"the message at {entry.message.log_time} ns cannot be decoded ({str(error) or type(error).__name__})",
                where=entry.topic, remedy="copy the recording again, or record it again",
            ) from error  # fmt: skip
        raise RecordingError(
            f"its messages are described in {entry.schema.encoding if entry.schema else 'nothing'}",
            where=entry.topic, remedy="record with ros2msg or protobuf schemas",
        )  # fmt: skip


def stamp_ns(message: Any) -> int:
    """When the image was exposed, as its source says; 0 if it does not."""
    if hasattr(message, "header"):
        return int(message.header.stamp.sec) * 10**9 + int(message.header.stamp.nanosec)
    return int(message.timestamp.seconds) * 10**9 + int(message.timestamp.nanos)


def side_by_encoding(message: Any, where: str) -> Side | None:
    """Which camera alone can have made the image: 16 bits are thermal, colours visible; None for 8 grey bits.

    Raises:
        RecordingError: a compressed image that cannot be decoded.
    """
    compressed = hasattr(message, "format")
    name = message.format.partition(";")[0].strip() if compressed else message.encoding
    if name in ENCODINGS:
        kind = ENCODINGS[name].format
        return "thermal" if kind is PixelFormat.Y16 else None if kind is PixelFormat.GREY else "visible"
    if not compressed or not _codec(message.format):
        return None
    mode = images.open_image(_Encoded(bytes(message.data), where)).mode
    return "thermal" if mode.startswith("I") else "visible" if mode == "RGB" else None


def pixels_of(message: Any, side: Side, where: str) -> Layout:
    """The pixels, in one of the formats that ``side`` may have.

    Args:
        message: a decoded message.
        side: what the camera is; a colour image of a thermal one must be grey, and becomes so.
        where: says which frame of which topic it is.

    Raises:
        RecordingError: an encoding that is not supported, too few bytes, or a picture that cannot be decoded.
    """
    layout = _compressed(message, side, where) if hasattr(message, "format") else _raw(message, where)
    return _visible(*layout) if side == "visible" else _thermal(*layout, message, where)


def _visible(pixels: Pixels, kind: PixelFormat) -> Layout:
    if kind is PixelFormat.Y16:
        return (pixels >> 8).astype(np.uint8), PixelFormat.GREY
    return pixels, kind


def _thermal(pixels: Pixels, kind: PixelFormat, message: Any, where: str) -> Layout:
    if kind is PixelFormat.RGB24:
        return images.grey(pixels.astype(np.uint8, copy=False), where), PixelFormat.GREY
    if kind not in THERMAL_FORMATS:
        raise RecordingError(
            f"thermal images in {message.encoding}", where=where, remedy="record mono8 or mono16, or swap --topics"
        )
    return pixels, kind


def _raw(message: Any, where: str) -> Layout:
    known = ENCODINGS.get(message.encoding)
    if known is None:
        raise RecordingError(
            f"encoding {message.encoding!r} is not supported", where=where, remedy=f"record {', '.join(ENCODINGS)}"
        )
    width, height, kind = int(message.width), int(message.height), known.format
    order = _BACKWARDS if kind is PixelFormat.Y16 and getattr(message, "is_bigendian", False) else known.order
    chosen = np.array(_rows(message, known, where)[..., order], order="C")
    pixels: Pixels = chosen.view(kind.dtype).reshape(kind.array_shape(width, height))
    return pixels, kind


def _rows(message: Any, raw: _Raw, where: str) -> npt.NDArray[np.uint8]:
    """[rows, W, bytes of a pixel], without what pads the rows."""
    width, height, step, data = int(message.width), int(message.height), int(message.step), message.data
    if not width or not height or not raw.format.fits(width, height):
        raise RecordingError(f"an image of {width}x{height} in {message.encoding}", where=where)
    rows = height * 3 // 2 if raw.format is PixelFormat.NV12 else height
    if step < width * raw.size:
        raise RecordingError(f"rows of {step} bytes, where {width} pixels take {width * raw.size}", where=where)
    if len(data) < rows * step:
        raise RecordingError(f"{len(data)} bytes, where {rows} rows of {step} take {rows * step}", where=where)
    padded = np.frombuffer(data, np.uint8, rows * step).reshape(rows, step)
    return padded[:, : width * raw.size].reshape(rows, width, raw.size)


@dataclass(frozen=True)
class _Encoded:
    """A picture inside a message."""

    content: bytes
    where: str

    def read_bytes(self) -> bytes:
        return self.content

    def __str__(self) -> str:
        return self.where


def _codec(text: str) -> str | None:
    found = re.search(rf"\b({'|'.join(CODECS)})\b", text.lower())
    return found[1] if found and "compresseddepth" not in text.lower() else None


def _compressed(message: Any, side: Side, where: str) -> Layout:
    """Decoded; ``compressed rgb8`` in a ROS format says that red and blue were swapped before, as BGR is the rule."""
    if not _codec(message.format):
        what = "compressedDepth" if "compressedDepth" in message.format else f"format {message.format!r}"
        raise RecordingError(f"{what} is not supported", where=where, remedy=f"record {', '.join(CODECS)}")
    picture = _Encoded(bytes(message.data), where)
    if side == "visible":
        rgb = images.read_visible(picture)
        swapped = "compressed rgb8" in message.format
        return np.ascontiguousarray(rgb[..., ::-1]) if swapped else rgb, PixelFormat.RGB24
    pixels = images.read_thermal(picture)
    return pixels, PixelFormat.GREY if pixels.dtype == np.uint8 else PixelFormat.Y16
