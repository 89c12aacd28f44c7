"""Writing MCAP so that whatever happens, what is on the disk can be read."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mcap.data_stream import RecordBuilder
from mcap.records import DataEnd, Footer
from mcap.writer import CompressionType, Writer
from mcap_protobuf.schema import register_schema

from edgefusion.core.errors import MachineError, UsageError
from edgefusion.core.files import append
from edgefusion.core.frames import Clock, Frame
from edgefusion.recordings.mcap_file import MAGIC
from edgefusion.recordings.mcap_messages import compressed_image, raw_image
from edgefusion.recordings.pairing import Side

CHUNK_BYTES = 256 * 1024
"""So much, or one image, is lost at most when the process is killed."""

SYNC_S = 2.0
"""So often all is forced to the disk: no more is lost when the power is cut."""

RAW_TOPICS: dict[Side, str] = {"visible": "/visible/image_raw", "thermal": "/thermal/image_raw"}
"""What both cameras' topics are called."""

_YEAR_2001_NS = 10**18
_JSON_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}


class McapWriter:
    """A file of image topics, used by one thread.

    It is under its final name from the start. At any time it can be read up to the last whole chunk, also without its
    end; ``close`` adds the index. Chunks are compressed with LZ4: zstd takes five times as long for a fifth less.

    Args:
        path: the file to make.
        replace: a file of that name, instead of refusing.

    Attributes:
        offset_ns: from CLOCK_MONOTONIC to the time of day, as it was when the file was opened. All times are written
            as times of day by this one offset: a clock that is set during the recording does not tear it.

    Raises:
        UsageError: there is such a file.
        MachineError: the folder is missing or not writable.
    """

    def __init__(self, path: Path, *, replace: bool = False) -> None:
        self.path = path
        self.offset_ns = time.time_ns() - time.monotonic_ns()
        self._stream = _Stream(path, replace=replace)
        self._writer = Writer(self._stream, CHUNK_BYTES, CompressionType.LZ4)  # type: ignore[arg-type]
        self._schemas: dict[str, int] = {}
        self._channels: dict[str, int] = {}
        with self._whole():
            self._writer.start(library="edgefusion")
            self.metadata("edgefusion", {"realtime_minus_monotonic_ns": str(self.offset_ns)})

    @property
    def size_bytes(self) -> int:
        """What is in the file so far."""
        return self._stream.tell()

    def time_ns(self, timestamp_ns: int, clock: Clock) -> int:
        """A frame's time as time of day; that of receipt counts on either clock, and their ranges do not meet."""
        is_realtime = clock == "realtime" or (clock == "receive" and timestamp_ns > _YEAR_2001_NS)
        return timestamp_ns if is_realtime else timestamp_ns + self.offset_ns

    def raw(self, topic: str, frame: Frame, *, log_ns: int | None = None) -> None:
        """Append a frame as it is.

        Args:
            topic: such as ``/thermal/image_raw``; its first part becomes the frame of reference.
            frame: whose pixels are free afterwards.
            log_ns: when it arrived, CLOCK_MONOTONIC; by default when it was exposed.

        Raises:
            MachineError: the disk is full, or fails. What was written before can be read; the writer is closed.
        """
        stamp_ns = self.time_ns(frame.timestamp_ns, frame.clock)
        facts = {"pixel_format": frame.format.value, "clock": frame.clock}
        logged_ns = stamp_ns if log_ns is None else log_ns + self.offset_ns
        message = raw_image(frame, stamp_ns, _reference(topic))
        self._append(topic, message, logged_ns, stamp_ns, frame.sequence, facts)

    def picture(self, topic: str, data: bytes, kind: str, *, stamp_ns: int, sequence: int) -> None:
        """Append an encoded picture; ``kind`` is jpeg or png, ``stamp_ns`` a time of day. Raises as ``raw``."""
        message = compressed_image(data, kind, stamp_ns, _reference(topic))
        self._append(topic, message, stamp_ns, stamp_ns, sequence, {})

    def note(self, topic: str, facts: Mapping[str, Any], *, stamp_ns: int, sequence: int) -> None:
        """Append facts as JSON, all of a topic with the same keys. Raises as ``raw``."""
        with self._whole():
            if topic not in self._channels:
                properties = {name: {"type": _JSON_TYPES[type(value)]} for name, value in facts.items()}
                schema = json.dumps({"type": "object", "properties": properties}).encode()
                number = self._writer.register_schema(f"edgefusion{topic.replace('/', '.')}", "jsonschema", schema)
                self._channels[topic] = self._writer.register_channel(topic, "json", number)
            data = json.dumps(facts).encode()
            self._writer.add_message(self._channels[topic], stamp_ns, data, stamp_ns, sequence)

    def metadata(self, name: str, facts: dict[str, str]) -> None:
        """Append named facts. Raises as ``raw``."""
        with self._whole():
            self._writer.add_metadata(name, facts)

    def attach(self, name: str, media_type: str, data: bytes) -> None:
        """Append a file. Raises as ``raw``."""
        with self._whole():
            self._writer.add_attachment(0, time.monotonic_ns() + self.offset_ns, name, media_type, data)

    def close(self) -> None:
        """Write what is left and the index, once. Raises as ``raw``."""
        if self._stream.closed:
            return
        with self._whole():
            self._writer.finish()  # type: ignore[no-untyped-call]
            self._stream.sync()
        self._stream.close()

    def _append(
        self, topic: str, message: Any, log_ns: int, stamp_ns: int, sequence: int, facts: dict[str, str]
    ) -> None:
        with self._whole():
            channel = self._channels.get(topic) or self._register(topic, message, facts)
            data = message.SerializeToString()
            self._writer.add_message(channel, log_ns, data, stamp_ns, max(sequence, 0) & 0xFFFFFFFF)

    def _register(self, topic: str, message: Any, facts: dict[str, str]) -> int:
        kind = message.DESCRIPTOR.full_name
        if kind not in self._schemas:
            self._schemas[kind] = register_schema(self._writer, type(message))
        self._channels[topic] = self._writer.register_channel(topic, "protobuf", self._schemas[kind], facts)
        return self._channels[topic]

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """What fails in it ends the file behind its last whole record."""
        try:
            yield
        except OSError as error:
            self._stream.end_early()
            raise MachineError(
                f"cannot write the recording ({error.strerror or error})", where=self.path,
                remedy="what was written before can be read; choose a writable folder with free space",
            ) from error  # fmt: skip


def _reference(topic: str) -> str:
    return topic.strip("/").partition("/")[0]


class _Stream:
    """A file that grows by whole writes: one that fails leaves nothing behind."""

    def __init__(self, path: Path, *, replace: bool) -> None:
        kind = os.O_TRUNC if replace else os.O_EXCL
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | kind, 0o644)
        except FileExistsError:
            raise UsageError(
                "there is such a file already", where=path, remedy="choose another name, or move it away"
            ) from None
        except OSError as error:
            raise MachineError(
                f"cannot be written ({error.strerror})", where=path, remedy="choose a writable folder"
            ) from error
        self._end = 0
        self._synced_s = time.monotonic()
        self.closed = False

    def write(self, data: bytes) -> int:
        """All of it, or an OSError and the file as it was."""
        self._end = append(self._file, data, end=self._end)
        if time.monotonic() - self._synced_s > SYNC_S:
            self.sync()
        return len(data)

    def tell(self) -> int:
        """Where the file ends."""
        return self._end

    def flush(self) -> None:
        """Nothing is held back."""

    def sync(self) -> None:
        """Wait until all is on the disk."""
        os.fdatasync(self._file)
        self._synced_s = time.monotonic()

    def end_early(self) -> None:
        """End the file as one without an index, where there is room for these 50 bytes, and close it."""
        if self.closed:
            return
        builder = RecordBuilder()
        DataEnd(0).write(builder)
        Footer(0, 0, 0).write(builder)
        with suppress(OSError):  # then it ends without an end, and can be read all the same
            self.write(builder.end() + MAGIC)  # type: ignore[no-untyped-call]
            self.sync()
        self.close()

    def close(self) -> None:
        """Close it."""
        if not self.closed:
            self.closed = True
            os.close(self._file)
