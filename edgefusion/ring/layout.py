"""Where everything in a ring is. ``edgefusion_ring.c`` says the same in C, docs/ring.md in words.

A ring is two files in shared memory: ``edgefusion.NAME`` holds the frames and is written by the writer alone;
``edgefusion.NAME.readers`` holds the table in which readers note what they lease. So a reader cannot spoil a frame.
All numbers are little-endian. A word is 64 bits, and its address a multiple of 8.
"""

from __future__ import annotations

import mmap
import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from edgefusion.core.errors import InputError, UsageError
from edgefusion.core.frames import Clock, Flag, FusedInfo
from edgefusion.core.geometry import Size

SCHEMA = 1
MAGIC = b"EFUSRING"
READERS_MAGIC = b"EFUSREAD"
MAX_SLOTS = 64
"""A reader's leases are the bits of one word."""
MIN_SLOTS = 3
"""One that is read, one that is newest, one that is written."""
SEATS = 32
"""Readers that can hold leases at a time."""

# Words of the header that change, by their offset.
NEWEST, WAKE, STATE, PUBLISHED, STARVED, STATUS = 128, 136, 144, 152, 160, 168
LIVE, ENDED = 1, 2

RECORDS = 256
"""Offset of the slots' records, and the size of one."""
NAME_BYTES = 128
STATUS_BYTES = 32 << 10
"""Room for the status, of which there are two: the one being read and the one being written."""

SEAT_BYTES = 64
SEATS_OFFSET = 64
# Words of a reader's seat, by their offset in it.
OWNER, LEASES, RECEIVED, MISSED, NAMESPACE = 0, 8, 16, 24, 32
READERS_BYTES = SEATS_OFFSET + SEATS * SEAT_BYTES

_HEADER = struct.Struct("<8s5I4x7Q3Q")
_RECORD = struct.Struct(f"<6q3I{NAME_BYTES}s")
_READERS = struct.Struct("<8s2IQ")
_CLOCKS = get_args(Clock)
_RGB24 = 1
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""Of a ring, whole."""


@dataclass(frozen=True)
class Geometry:
    """Sizes and offsets of one ring, in bytes."""

    size_px: Size
    slots: int
    pixels_offset: int
    slot_bytes: int
    status_offset: int
    total_bytes: int

    def sequence(self, slot: int) -> int:
        """Offset of a slot's record, which its sequence word begins."""
        return RECORDS * (1 + slot)

    def pixels(self, slot: int) -> int:
        """Offset of a slot's pixels."""
        return self.pixels_offset + slot * self.slot_bytes


@dataclass(frozen=True)
class Header:
    """What a ring says about itself once, when it is made.

    Attributes:
        instance: a random number, the same in both files.
        owner: the writer, as ``owners.token`` names a process.
        namespace: the inode of its process namespace.
    """

    geometry: Geometry
    instance: int
    owner: int
    namespace: int


def plan(size_px: Size, slots: int) -> Geometry:
    """Where things are in a ring of so many frames of this size.

    Raises:
        UsageError: too few or too many slots, or no such size.
    """
    if not MIN_SLOTS <= slots <= MAX_SLOTS:
        raise UsageError(f"a ring has {MIN_SLOTS} to {MAX_SLOTS} slots, not {slots}")
    width, height = size_px
    if width < 1 or height < 1:
        raise UsageError(f"a frame of {width}x{height} pixels cannot be")
    status = RECORDS * (1 + slots)
    pixels = _pages(status + 2 * STATUS_BYTES)
    slot = _pages(3 * width * height)
    return Geometry(size_px, slots, pixels, slot, status, pixels + slots * slot)


def _pages(size: int) -> int:
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE


def pack_header(header: Header) -> bytes:
    """The first 128 bytes of a ring."""
    at = header.geometry
    return _HEADER.pack(
        MAGIC, SCHEMA, at.slots, *at.size_px, _RGB24, at.pixels_offset, at.slot_bytes, RECORDS, RECORDS,
        at.status_offset, STATUS_BYTES, at.total_bytes, header.instance, header.owner, header.namespace,
    )  # fmt: skip


def unpack_header(head: bytes, *, where: str, size: int) -> Header:
    """What the first bytes of a file of ``size`` bytes say.

    Raises:
        InputError: not a ring, of another schema, or cut short.
    """
    if len(head) < RECORDS or head[:8] != MAGIC:
        raise InputError("not a ring of edgefusion's", where=where)
    schema = int.from_bytes(head[8:12], "little")
    if schema != SCHEMA:
        remedy = f"use the same version of edgefusion on both sides; this one reads schema {SCHEMA}"
        raise InputError(f"a ring of schema {schema}", where=where, remedy=remedy)
    _, _, slots, width, height, _, pixels, slot, _, _, status, _, total, instance, owner, namespace = (
        _HEADER.unpack_from(head)
    )
    if total > size:
        raise InputError(f"a ring of {total} bytes, but the file has {size}", where=where)
    return Header(Geometry((width, height), slots, pixels, slot, status, total), instance, owner, namespace)


def pack_readers(instance: int) -> bytes:
    """The beginning of the table of readers."""
    return _READERS.pack(READERS_MAGIC, SCHEMA, SEATS, instance)


def readers_instance(head: bytes) -> int | None:
    """Which ring a table of readers belongs to; None where it is no such table."""
    if len(head) < _READERS.size or head[:8] != READERS_MAGIC:
        return None
    return int(_READERS.unpack_from(head)[3])


def pack_record(info: FusedInfo, published_ns: int) -> bytes:
    """A slot's record but for its sequence word. A name is cut where it is too long."""
    name = info.name.encode()[:NAME_BYTES].decode(errors="ignore").encode()
    return _RECORD.pack(
        info.frame_id, info.timestamp_ns, published_ns, info.visible_sequence, info.thermal_sequence,
        info.thermal_age_ns, int(info.flags), _CLOCKS.index(info.clock), len(name), name,
    )  # fmt: skip


def unpack_record(record: bytes) -> tuple[FusedInfo, int]:
    """(what travels with the frame, when it was published) of a slot's record after its sequence word."""
    frame_id, timestamp, published, visible, thermal, age, flags, clock, length, name = _RECORD.unpack(record)
    info = FusedInfo(
        frame_id=frame_id, timestamp_ns=timestamp, clock=_CLOCKS[clock], visible_sequence=visible,
        thermal_sequence=thermal, thermal_age_ns=age, flags=Flag(flags), name=name[:length].decode(errors="replace"),
    )  # fmt: skip
    return info, published


RECORD_BYTES = _RECORD.size


def folder() -> Path:
    """Where rings are: ``EDGEFUSION_SHM``, else /dev/shm."""
    return Path(os.environ.get("EDGEFUSION_SHM") or "/dev/shm")  # noqa: S108 (this is POSIX shared memory's home)


def paths(name: str) -> tuple[Path, Path]:
    """The two files of a ring: its frames, its readers.

    Raises:
        UsageError: not a name for a ring.
    """
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot name a ring", remedy="use up to 64 letters, digits, - and _")
    return folder() / f"edgefusion.{name}", folder() / f"edgefusion.{name}.readers"


def names() -> list[str]:
    """The rings that are in shared memory, dead ones included."""
    found = (path.name.partition(".")[2] for path in folder().glob("edgefusion.*"))
    return sorted(name for name in found if NAME.fullmatch(name))
