"""MCAP files as ROS 2 and Foxglove write them."""

from __future__ import annotations

import io
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2
from mcap.reader import make_reader
from mcap.writer import CompressionType
from mcap.writer import Writer as PlainWriter
from mcap_protobuf.writer import Writer as ProtobufWriter
from mcap_ros2.writer import Writer as Ros2Writer
from PIL import Image

HEADER = """
================================================================================
MSG: std_msgs/Header
builtin_interfaces/Time stamp
string frame_id
================================================================================
MSG: builtin_interfaces/Time
int32 sec
uint32 nanosec
"""
DEFINITIONS = {
    "sensor_msgs/msg/Image": "std_msgs/Header header\nuint32 height\nuint32 width\nstring encoding\n"
    "uint8 is_bigendian\nuint32 step\nuint8[] data" + HEADER,
    "sensor_msgs/msg/CompressedImage": "std_msgs/Header header\nstring format\nuint8[] data" + HEADER,
    "std_msgs/msg/String": "string data",
}
START_NS = 1_700_000_000_000_000_000
MS = 1_000_000


class Said(NamedTuple):
    """A message: topic, time of exposure, fields, and, if it is another one, the time at which it was logged."""

    topic: str
    stamp_ns: int
    fields: dict[str, Any]
    log_ns: int | None = None

    @property
    def logged_ns(self) -> int:
        return self.stamp_ns if self.log_ns is None else self.log_ns


def raw(encoding: str, width: int, height: int, data: bytes, *, step: int = 0, big_endian: int = 0) -> dict[str, Any]:
    """Fields of a raw image; rows without padding by default."""
    return {
        "encoding": encoding, "width": width, "height": height, "data": data, "is_bigendian": big_endian,
        "step": step or len(data) // height,
    }  # fmt: skip


def image(encoding: str, pixels: npt.NDArray[Any]) -> dict[str, Any]:
    """Fields of a raw image of these pixels [H, W, ...]."""
    return raw(encoding, pixels.shape[1], pixels.shape[0], pixels.tobytes())


def picture(pixels: npt.NDArray[Any], kind: str, said: str | None = None) -> dict[str, Any]:
    """Fields of a compressed image."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return {"format": said or kind, "data": stream.getvalue()}


def write_ros(path: Path, said: Iterable[Said], *, compression: str = "ZSTD", chunk_size: int = 1 << 20) -> Path:
    """As ROS 2 records it; returns the path. Compression is NONE, LZ4 or ZSTD."""
    with path.open("wb") as stream:
        writer = Ros2Writer(stream, chunk_size, CompressionType[compression])
        schemas = {name: writer.register_msgdef(name, text) for name, text in DEFINITIONS.items()}
        for number, each in enumerate(said):
            stamp = {"sec": each.stamp_ns // 10**9, "nanosec": each.stamp_ns % 10**9}
            message = {"header": {"stamp": stamp, "frame_id": "camera"}, **each.fields}
            writer.write_message(each.topic, schemas[_ros_type(each.fields)], message, each.logged_ns, sequence=number)
        writer.finish()
    return path


def _ros_type(fields: dict[str, Any]) -> str:
    if "encoding" in fields:
        return "sensor_msgs/msg/Image"
    return "sensor_msgs/msg/CompressedImage" if "format" in fields else "std_msgs/msg/String"


@cache
def foxglove(name: str) -> Any:
    """A class of Foxglove's, compiled from its fields."""
    field = descriptor_pb2.FieldDescriptorProto
    kinds = {"width": field.TYPE_FIXED32, "height": field.TYPE_FIXED32, "step": field.TYPE_FIXED32,
             "data": field.TYPE_BYTES, "timestamp": field.TYPE_MESSAGE}  # fmt: skip
    names = {
        "RawImage": ("timestamp", "width", "height", "encoding", "step", "data", "frame_id"),
        "CompressedImage": ("timestamp", "data", "format", "frame_id"),
    }[name]
    file = descriptor_pb2.FileDescriptorProto(name=f"foxglove/{name}.proto", package="foxglove", syntax="proto3")
    file.dependency.append("google/protobuf/timestamp.proto")
    message = file.message_type.add(name=name)
    for number, each in enumerate(names, start=1):
        added = message.field.add(name=each, number=number, label=field.LABEL_OPTIONAL)
        added.type = kinds.get(each, field.TYPE_STRING)
        if each == "timestamp":
            added.type_name = ".google.protobuf.Timestamp"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"foxglove.{name}"))


def write_foxglove(path: Path, said: Iterable[Said], *, compression: str = "ZSTD") -> Path:
    """As Foxglove's tools record it; returns the path."""
    with path.open("wb") as stream, ProtobufWriter(stream, compression=CompressionType[compression]) as writer:
        for each in said:
            kind = foxglove("RawImage" if "encoding" in each.fields else "CompressedImage")
            known = {key: value for key, value in each.fields.items() if key in kind.DESCRIPTOR.fields_by_name}
            message = kind(**known)
            message.timestamp.seconds, message.timestamp.nanos = divmod(each.stamp_ns, 10**9)
            writer.write_message(each.topic, message, each.logged_ns, each.logged_ns)
    return path


def rewrite(path: Path, target: Path, **options: Any) -> Path:
    """The same messages, written with other options of ``mcap.writer.Writer``."""
    with path.open("rb") as source, target.open("wb") as stream:
        writer, channels = PlainWriter(stream, **options), {}
        writer.start()
        for schema, channel, message in make_reader(source).iter_messages():
            if channel.id not in channels:
                number = writer.register_schema(schema.name, schema.encoding, schema.data)
                channels[channel.id] = writer.register_channel(channel.topic, channel.message_encoding, number)
            writer.add_message(channels[channel.id], message.log_time, message.data, message.publish_time)
        writer.finish()
    return target


def pairs_said(
    count: int, *, size: tuple[int, int] = (64, 48), fps: float = 30, visible: str = "/camera/image_raw",
    thermal: str = "/thermal/image_raw",
) -> list[Said]:  # fmt: skip
    """Both cameras of a rig: rgb8 of value ``n``, and 2 ms later mono16 of value 1000 + ``n``."""
    said = []
    for number in range(count):
        now_ns = START_NS + round(number * 1e9 / fps)
        colour = np.full((size[1], size[0], 3), number % 256, np.uint8)
        said.append(Said(visible, now_ns, image("rgb8", colour)))
        said.append(Said(thermal, now_ns + 2 * MS, image("mono16", np.full(size[::-1], 1000 + number, np.uint16))))
    return said


def write_drive(path: Path, count: int = 8) -> Path:
    """A recording of pictures that are worth fusing: noise in both."""
    draw, said = np.random.default_rng(0), []
    for each in pairs_said(count):
        fields = dict(each.fields)
        kind = np.uint16 if fields["encoding"] == "mono16" else np.uint8
        fields["data"] = draw.integers(0, 250, len(fields["data"]) // np.dtype(kind).itemsize).astype(kind).tobytes()
        said.append(each._replace(fields=fields))
    return write_ros(path, said)
