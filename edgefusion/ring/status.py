"""Looking at rings from outside: what ``edgefusion status`` prints."""

from __future__ import annotations

import json
import os
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from edgefusion.core.errors import MachineError, RingLostError
from edgefusion.core.geometry import Size
from edgefusion.ring import layout, memory, owners
from edgefusion.ring.atomics import atomics
from edgefusion.ring.layout import Header
from edgefusion.ring.memory import Mapped
from edgefusion.ring.seats import ReaderFacts, Table

_TRIES = 100


@dataclass(frozen=True)
class RingStatus:
    """A ring as it is now.

    Attributes:
        pid: the writer's process.
        alive: whether it runs. A ring of a dead writer stays until the next one of its name.
        size_px: (width, height) of the frames.
        slots: frames that it holds.
        published: frames published.
        starved: frames dropped because readers held every slot.
        mode: who may read it, as of a file.
        status: what the writer says about itself, see ``RingWriter.set_status``.
        readers: who holds or may hold leases; None where this user may not read the table.
    """

    name: str
    pid: int
    alive: bool
    size_px: Size
    slots: int
    published: int
    starved: int
    mode: int
    status: dict[str, Any]
    readers: tuple[ReaderFacts, ...] | None


def list_rings() -> list[str]:
    """Names of the rings on this machine, dead ones and those of other users included."""
    return layout.names()


def read_status(name: str) -> RingStatus:
    """What a ring says about itself, without disturbing writer or readers.

    Raises:
        UsageError: not a name for a ring.
        RingLostError: there is no such ring.
        MachineError: this user may not read it.
        InputError: not a ring of this version.
    """
    frames, header = memory.open_frames(name)
    with closing(frames):
        load = atomics().load
        return RingStatus(
            name=name,
            pid=owners.pid_of(header.owner),
            alive=memory.lives(frames.file, header),
            size_px=header.geometry.size_px,
            slots=header.geometry.slots,
            published=load(frames.address + layout.PUBLISHED),
            starved=load(frames.address + layout.STARVED),
            mode=os.fstat(frames.file).st_mode & 0o777,
            status=_status(frames, header),
            readers=_readers(name, header),
        )


def _status(frames: Mapped, header: Header) -> dict[str, Any]:
    """Read again where the writer came to the same half meanwhile; empty where it says nothing."""
    load, count = atomics().load, frames.address + layout.STATUS
    for _ in range(_TRIES):
        before = load(count)
        begin = header.geometry.status_offset + before % 2 * layout.STATUS_BYTES
        text = frames.bytes[begin : begin + layout.STATUS_BYTES].tobytes()
        atomics().fence()
        if load(count) == before:
            length = int.from_bytes(text[:8], "little")
            return dict(json.loads(text[8 : 8 + length])) if before else {}
    return {}


def _readers(name: str, header: Header) -> tuple[ReaderFacts, ...] | None:
    try:
        readers = memory.open_readers(name, header)
    except (MachineError, RingLostError):
        return None
    with closing(readers):
        return Table(readers).facts()
