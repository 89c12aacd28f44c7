"""MCAP files as streams of messages, whole ones and those that a crashed recorder left behind."""

from __future__ import annotations

import os
import struct
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import zstandard
from mcap.exceptions import McapError
from mcap.reader import SeekingReader
from mcap.records import Channel, McapRecord, Message, Schema, Statistics
from mcap.stream_reader import StreamReader
from mcap.summary import Summary

from edgefusion.core.errors import RecordingError

MAGIC = b"\x89MCAP0\r\n"
"""The first and the last bytes of a file."""

_DAMAGE = (McapError, struct.error, ValueError, RuntimeError, LookupError, MemoryError, zstandard.ZstdError)
"""What the libraries raise on bytes that are not what they should be."""


@dataclass(frozen=True)
class Topic:
    """What is known of a topic.

    Attributes:
        name: such as ``/camera/image_raw``.
        type: the name of its messages' schema.
        encoding: of its messages: ``cdr``, ``protobuf`` ...
        messages: how many there are.
    """

    name: str
    type: str
    encoding: str
    messages: int = 0


@dataclass(frozen=True)
class Entry:
    """A message with what it takes to decode it."""

    topic: str
    encoding: str
    schema: Schema | None
    message: Message


class _KnownSummary(SeekingReader):
    """A reader of a file whose summary was read before: that of an hour's drive takes long to parse."""

    def __init__(self, stream: IO[bytes], summary: Summary) -> None:
        super().__init__(stream, validate_crcs=True)
        self._known = summary

    def get_summary(self) -> Summary:
        """What ``iter_messages`` asks for."""
        return self._known


class McapFile:
    """The messages of a file.

    A file without its end, as a crashed recorder leaves it, is read as far as it is whole, with a warning that says
    how far; the index that it lacks is made by reading it once.

    Args:
        path: of the file.

    Attributes:
        topics: those with messages, by name.
        start_ns, end_ns: when its first and its last message were logged.

    Raises:
        RecordingError: missing, no MCAP, damaged, or without one whole message.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._index: Summary | None = None
        with self._opened() as stream:
            self._complete = _ends_whole(stream)
            summary = SeekingReader(stream).get_summary() if self._complete else None
        statistics = _statistics(summary) if summary else None
        if summary and statistics:
            self.topics = _of_summary(summary, statistics)
            self.start_ns, self.end_ns = statistics.message_start_time, statistics.message_end_time
            self._index = summary if summary.chunk_indexes else None
        else:
            self.topics, self.start_ns, self.end_ns = self._scan()
        if not self.topics:
            raise RecordingError("no whole message in it", where=path, remedy="record it again")

    @property
    def seconds(self) -> float:
        """From its first to its last message."""
        return (self.end_ns - self.start_ns) / 1e9

    def read(self, topics: Collection[str]) -> Iterator[Entry]:
        """The messages of some topics: in order of log time if the file has an index, else as they were written.

        Never more is in memory than the chunks that overlap in time.

        Raises:
            RecordingError: damaged.
        """
        with self._opened() as stream:
            yield from self._indexed(stream, topics, self._index) if self._index else self._written(stream, topics)

    def _indexed(self, stream: IO[bytes], topics: Collection[str], index: Summary) -> Iterator[Entry]:
        reader = _KnownSummary(stream, index)
        for schema, channel, message in reader.iter_messages(topics):
            yield Entry(channel.topic, channel.message_encoding, schema, message)

    def _written(self, stream: IO[bytes], topics: Collection[str] | None = None) -> Iterator[Entry]:
        """In the order of the file; of all topics by default."""
        schemas: dict[int, Schema] = {}
        channels: dict[int, Channel] = {}
        for record in self._records(stream):
            if isinstance(record, Schema):
                schemas[record.id] = record
            elif isinstance(record, Channel):
                channels[record.id] = record
            elif isinstance(record, Message):
                channel = channels[record.channel_id]
                if topics is None or channel.topic in topics:
                    yield Entry(channel.topic, channel.message_encoding, schemas.get(channel.schema_id), record)

    def _records(self, stream: IO[bytes]) -> Iterator[McapRecord]:
        """All of them, or, of a file that is cut short, those before the first that is not whole."""
        records = StreamReader(stream, validate_crcs=True).records
        while True:
            try:
                record = next(records, None)
            except _DAMAGE:
                if self._complete:
                    raise
                return
            if record is None:
                return
            self._whole_bytes = stream.tell()
            yield record

    def _scan(self) -> tuple[dict[str, Topic], int, int]:
        topics: dict[str, Topic] = {}
        times: list[int] = []
        self._whole_bytes = 0
        with self._opened() as stream:
            for entry in self._written(stream):
                topic = topics.get(entry.topic) or _topic(entry.topic, entry.encoding, entry.schema)
                topics[entry.topic] = replace(topic, messages=topic.messages + 1)
                now = entry.message.log_time
                times = [min(times[0], now), max(times[1], now)] if times else [now, now]
        start_ns, end_ns = times or (0, 0)
        if topics and not self._complete:
            self._warn((end_ns - start_ns) / 1e9)
        return topics, start_ns, end_ns

    def _warn(self, seconds: float) -> None:
        warnings.warn(
            f"{self.path}: it is cut short, as by a recorder that crashed: {self._whole_bytes} of its "
            f"{self.path.stat().st_size} bytes are whole, {seconds:.1f} s; reading these",
            stacklevel=5,
        )

    @contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        try:
            with self.path.open("rb") as stream:
                yield stream
        except FileNotFoundError:
            raise RecordingError("no such file", where=self.path) from None
        except OSError as error:
            raise RecordingError(f"cannot be read ({error.strerror})", where=self.path) from error
        except _DAMAGE as error:
            raise RecordingError(
                f"damaged ({str(error) or type(error).__name__})", where=self.path, remedy="copy it again"
            ) from error


def _ends_whole(stream: IO[bytes]) -> bool:
    """Whether a file ends as it should; the stream is at its start again.

    Raises:
        RecordingError: it does not even begin so.
    """
    if stream.read(len(MAGIC)) != MAGIC:
        raise RecordingError("not an MCAP file", where=stream.name, remedy="give a recording of ROS 2 or edgefusion")
    size = stream.seek(0, os.SEEK_END)
    stream.seek(-len(MAGIC), os.SEEK_END)
    whole = size > len(MAGIC) and stream.read() == MAGIC
    stream.seek(0)
    return whole


def _statistics(summary: Summary) -> Statistics | None:
    """What a summary counts, if it is about every message and names their topics: not all writers say that much."""
    found = summary.statistics
    if not found or sum(found.channel_message_counts.values()) != found.message_count:
        return None
    channels = [summary.channels.get(number) for number in found.channel_message_counts]
    known = all(channel and channel.schema_id in {0, *summary.schemas} for channel in channels)
    return found if known else None


def _of_summary(summary: Summary, statistics: Statistics) -> dict[str, Topic]:
    topics: dict[str, Topic] = {}
    for number, count in statistics.channel_message_counts.items():
        channel = summary.channels[number]
        known = topics.get(channel.topic)
        topic = known or _topic(channel.topic, channel.message_encoding, summary.schemas.get(channel.schema_id))
        topics[channel.topic] = replace(topic, messages=topic.messages + count)
    return {name: topic for name, topic in topics.items() if topic.messages}


def _topic(name: str, encoding: str, schema: Schema | None) -> Topic:
    return Topic(name, schema.name if schema else "no schema", encoding)
