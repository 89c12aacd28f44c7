"""Foxglove's image messages, made from frames; their classes come from a table here, not from a package."""

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2

from edgefusion.core.frames import Frame, PixelFormat

_Field = descriptor_pb2.FieldDescriptorProto
_STAMP, _TEXT, _BYTES, _NUMBER = _Field.TYPE_MESSAGE, _Field.TYPE_STRING, _Field.TYPE_BYTES, _Field.TYPE_FIXED32

_MESSAGES: dict[str, dict[str, tuple[int, int]]] = {
    "RawImage": {
        "timestamp": (1, _STAMP), "frame_id": (7, _TEXT), "width": (2, _NUMBER), "height": (3, _NUMBER),
        "encoding": (4, _TEXT), "step": (5, _NUMBER), "data": (6, _BYTES),
    },
    "CompressedImage": {"timestamp": (1, _STAMP), "frame_id": (4, _TEXT), "data": (2, _BYTES), "format": (3, _TEXT)},
}  # fmt: skip
"""Field -> number and type, as in foxglove/RawImage.proto and foxglove/CompressedImage.proto."""

RAW_ENCODINGS = {
    PixelFormat.RGB24: "rgb8",
    PixelFormat.NV12: "nv12",
    PixelFormat.YUYV: "yuv422_yuy2",
    PixelFormat.UYVY: "uyvy",
    PixelFormat.GREY: "mono8",
    PixelFormat.Y16: "16UC1",
    PixelFormat.Y16_BE: "16UC1",
}
"""What Foxglove calls a format. 16UC1 is little-endian there: swapped readings are put right as they are written."""


@cache
def message_class(name: str) -> Any:
    """The class of ``foxglove.NAME``."""
    file = descriptor_pb2.FileDescriptorProto(name=f"foxglove/{name}.proto", package="foxglove", syntax="proto3")
    file.dependency.append("google/protobuf/timestamp.proto")
    message = file.message_type.add(name=name)
    for field, (number, kind) in _MESSAGES[name].items():
        added = message.field.add(name=field, number=number, type=kind, label=_Field.LABEL_OPTIONAL)
        if kind == _STAMP:
            added.type_name = ".google.protobuf.Timestamp"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"foxglove.{name}"))


def raw_image(frame: Frame, stamp_ns: int, frame_id: str) -> Any:
    """A RawImage with the frame's own bytes, but for swapped readings, which become little-endian."""
    pixels = frame.readings
    width, height = frame.size_px
    return message_class("RawImage")(
        timestamp=_stamp(stamp_ns), frame_id=frame_id, width=width, height=height, data=pixels.tobytes(),
        encoding=RAW_ENCODINGS[frame.format], step=pixels.nbytes // pixels.shape[0],
    )  # fmt: skip


def compressed_image(data: bytes, kind: str, stamp_ns: int, frame_id: str) -> Any:
    """A CompressedImage of an encoded picture; ``kind`` is jpeg or png."""
    return message_class("CompressedImage")(timestamp=_stamp(stamp_ns), frame_id=frame_id, data=data, format=kind)


def _stamp(stamp_ns: int) -> dict[str, int]:
    seconds, nanos = divmod(stamp_ns, 10**9)
    return {"seconds": seconds, "nanos": nanos}
