"""The writing side of a ring."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from edgefusion.core.errors import InputError
from edgefusion.core.frames import FusedInfo
from edgefusion.core.geometry import Size
from edgefusion.ring import futex, layout, memory, owners
from edgefusion.ring.atomics import atomics
from edgefusion.ring.seats import ReaderFacts, Table

_REAP_NS = 1_000_000_000

Rgb = npt.NDArray[np.uint8]


class Slot:
    """Memory for one frame. Between ``acquire`` and ``publish`` or ``cancel`` its pixels are the writer's to fill.

    Attributes:
        pixels: [H, W, 3] uint8, in the ring.
    """

    def __init__(self, ring: RingWriter, index: int, pixels: Rgb) -> None:
        self.pixels = pixels
        self._ring = ring
        self._index = index

    def publish(self, info: FusedInfo) -> int:
        """Let readers have it; when that was, in ns of CLOCK_MONOTONIC. The pixels do not change from here on."""
        return self._ring._publish(self._index, info)

    def cancel(self) -> None:
        """Nothing came of it."""
        self._ring._cancel(self._index)

    def retain(self) -> None:
        """Keep the pixels as they are until ``free``, once for each call. From any thread."""
        self._ring._hold(self._index, 1)

    def free(self) -> None:
        """Undo one ``retain``. From any thread."""
        self._ring._hold(self._index, -1)


class RingWriter:
    """A ring of fused frames that any number of processes read without copying, and that waits for none of them.

    Used as a context manager, or closed with ``close``. One thread acquires and publishes.

    Args:
        name: what readers subscribe to. None: memory of this process only, which nobody can subscribe to.
        size_px: (width, height) of every frame.
        slots: frames that it holds. Readers hold what they lease: with one slot more than that, and two, none is lost.
        mode: who may read, as of a file, whatever the umask.
        group: the group that it belongs to; None: this user's.

    Attributes:
        memory: [N] uint8, the whole mapped ring, its beginning on a page: for registering with a GPU's driver.
        starved: frames that found no free slot.
        published: frames published.

    Raises:
        UsageError: not a name, too few or too many slots.
        MachineError: the name is taken by a living writer, there is no room, or no such group.
    """

    def __init__(
        self, name: str | None, *, size_px: Size, slots: int = 8, mode: int = 0o600, group: str | None = None
    ) -> None:
        self.name = name
        self.size_px = size_px
        self.starved = 0
        self.published = 0
        self._at = layout.plan(size_px, slots)
        self._atomics = atomics()
        made = memory.make_shared(name, self._at, mode=mode, group=group) if name else memory.make_private(self._at)
        self._frames, self._readers = made
        self.memory = self._frames.bytes
        self._table = Table(self._readers)
        self._slots = [Slot(self, index, self._pixels(index)) for index in range(slots)]
        self._by_age = list(range(slots))
        self._held = [0] * slots
        self._writing: set[int] = set()
        self._lock = threading.Lock()
        self._statuses = 0
        self._reaped_ns = time.monotonic_ns()
        self._closed = False
        self._store(layout.STATE, layout.LIVE)

    def __enter__(self) -> RingWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def acquire(self) -> Slot | None:
        """The slot with the oldest frame that nobody reads, for a new one; None where there is none, which is counted.

        The newest frame is never given up: whoever subscribes now finds it.
        """
        if time.monotonic_ns() - self._reaped_ns > _REAP_NS:
            self._reap()
        slot = self._seize_any()
        if slot is None and self._reap():
            slot = self._seize_any()
        if slot is None:
            self.starved += 1
            self._store(layout.STARVED, self.starved)
            return None
        self._writing.add(slot)
        return self._slots[slot]

    def readers(self) -> tuple[ReaderFacts, ...]:
        """Who subscribes with leases; nobody once it is closed. From any thread."""
        with self._lock:
            return self._table.facts() if self.name and not self._closed else ()

    def set_status(self, status: Mapping[str, Any]) -> None:
        """Let ``edgefusion status`` and ``read_status`` see these facts. From any thread.

        Raises:
            InputError: they are over 32 KiB as JSON.
        """
        text = json.dumps(status, separators=(",", ":")).encode()
        if len(text) + 8 > layout.STATUS_BYTES:
            raise InputError(f"a status of {len(text)} bytes is more than a ring holds", where=self.name or "")
        with self._lock:
            self._write_status(text)

    def close(self) -> None:
        """End the ring: its name is free, readers are told. What they lease stays theirs."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        if self.name:  # first: who hears of the end and opens the ring again must not find this one
            memory.remove(self.name, self._frames)
        self._store(layout.STATE, layout.ENDED)
        if self.name:
            self._wake()
            owners.unlock(self._frames.file, 0)  # last: unlocked before its end it would count as dead
        self._frames.close()
        self._readers.close()

    def _pixels(self, index: int) -> Rgb:
        width, height = self.size_px
        begin = self._at.pixels(index)
        return self.memory[begin : begin + 3 * width * height].reshape(height, width, 3)

    def _seize_any(self) -> int | None:
        leased = self._table.leased()
        free = (slot for slot in self._by_age[:-1] if not (leased >> slot & 1 or self._held[slot]))
        return next((slot for slot in free if slot not in self._writing and self._seize(slot)), None)

    def _seize(self, slot: int) -> bool:
        """Mark a slot as being written, unless a reader leases it in this very moment (see ``Seat.lease``)."""
        word = self._frames.address + self._at.sequence(slot)
        before = self._atomics.load(word)
        self._atomics.store(word, before | 1)
        self._atomics.fence()
        if not self._table.leased() >> slot & 1:
            return True
        self._atomics.store(word, before)
        return False

    def _publish(self, slot: int, info: FusedInfo) -> int:
        published_ns = time.monotonic_ns()
        self._write(self._at.sequence(slot) + 8, layout.pack_record(info, published_ns))
        self._writing.remove(slot)
        self._by_age.remove(slot)
        self._by_age.append(slot)
        self.published += 1
        self._store(self._at.sequence(slot), 2 * self.published)
        self._store(layout.NEWEST, self.published * layout.MAX_SLOTS + slot)
        self._store(layout.PUBLISHED, self.published)
        if self.name:
            self._wake()
        return published_ns

    def _cancel(self, slot: int) -> None:
        self._writing.remove(slot)
        self._by_age.remove(slot)
        self._by_age.insert(0, slot)
        self._store(self._at.sequence(slot), 0)

    def _hold(self, slot: int, change: int) -> None:
        with self._lock:
            self._held[slot] += change

    def _reap(self) -> int:
        self._reaped_ns = time.monotonic_ns()
        return self._table.reap()

    def _write_status(self, text: bytes) -> None:
        """Into the half that is not being read; the count says which one that is."""
        self._statuses += 1
        half = self._at.status_offset + self._statuses % 2 * layout.STATUS_BYTES
        self._atomics.fence()
        self._write(half, len(text).to_bytes(8, "little") + text)
        self._store(layout.STATUS, self._statuses)

    def _wake(self) -> None:
        self._atomics.add(self._frames.address + layout.WAKE, 1)
        futex.wake(self._frames.address + layout.WAKE)

    def _write(self, offset: int, data: bytes) -> None:
        self.memory[offset : offset + len(data)] = np.frombuffer(data, np.uint8)

    def _store(self, offset: int, word: int) -> None:
        self._atomics.store(self._frames.address + offset, word)
