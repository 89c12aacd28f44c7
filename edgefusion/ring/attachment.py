"""One opened ring, as one reader sees it."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgefusion.core.frames import FusedInfo
from edgefusion.ring import layout, memory
from edgefusion.ring.atomics import atomics
from edgefusion.ring.frame import Lease, Rgb, RingFrame
from edgefusion.ring.seats import Seat


class Attachment:
    """A mapped ring and, for leases, a seat at it. Frames keep it alive.

    Args:
        name: of the ring.
        lease: take a seat, so that frames can be leased.

    Raises:
        RingLostError: there is no such ring.
        MachineError: not permitted, or no seat is free.
        InputError: not a ring of this version.
    """

    def __init__(self, name: str, *, lease: bool) -> None:
        self.name = name
        self._atomics = atomics()
        self._frames, self.header = memory.open_frames(name)
        try:
            self._seat = Seat(memory.open_readers(name, self.header), name=name) if lease else None
        except BaseException:
            self._frames.close()
            raise
        self._at = self.header.geometry
        width, height = self._at.size_px
        self.shape = (height, width, 3)
        self.registered: Any = None  # the memory as the GPU's driver knows it, see ring.cuda

    @property
    def memory(self) -> Rgb:
        """[N] uint8, the whole ring."""
        return self._frames.bytes

    @property
    def wake_address(self) -> int:
        """Address of the word that changes with every frame, and at the end."""
        return self._frames.address + layout.WAKE

    def word(self, offset: int) -> int:
        """A word of the header."""
        return self._atomics.load(self._frames.address + offset)

    def lives(self) -> bool:
        """Whether the writer is alive."""
        return memory.lives(self._frames.file, self.header)

    def newest(self) -> tuple[int, int]:
        """(number of the newest frame, counted from 1; its slot). 0 where there is none yet."""
        return divmod(self.word(layout.NEWEST), layout.MAX_SLOTS)

    def oldest_after(self, number: int) -> tuple[int, int]:
        """(number, slot) of the oldest frame after this one that is still there, else (0, 0)."""
        sequences = ((self.word(self._at.sequence(slot)), slot) for slot in range(self._at.slots))
        later = [(word // 2, slot) for word, slot in sequences if word > 2 * number and not word & 1]
        return min(later, default=(0, 0))

    def take(self, number: int, slot: int) -> RingFrame | None:
        """The frame of this number; None where the writer was faster."""
        return self._lease(number, slot) if self._seat else self._copy(number, slot)

    def _lease(self, number: int, slot: int) -> RingFrame | None:
        assert self._seat is not None  # noqa: S101 (for the type checker)
        word = self._frames.address + self._at.sequence(slot)
        if not self._seat.lease(slot, sequence=word, expected=2 * number):
            return None
        lease = Lease(self, slot)
        info, published_ns = self._record(slot)
        return RingFrame(info, published_ns, attachment=self, at=(number, slot), pixels=lease)

    def _copy(self, number: int, slot: int) -> RingFrame | None:
        if not self.holds(number, slot):
            return None
        begin, record = self._at.pixels(slot), bytes(self._record_bytes(slot))
        pixels = self.memory[begin : begin + int(np.prod(self.shape))].reshape(self.shape).copy()
        if not self.holds(number, slot):
            return None
        pixels.flags.writeable = False
        info, published_ns = layout.unpack_record(record)
        return RingFrame(info, published_ns, attachment=self, at=(number, slot), pixels=pixels)

    def holds(self, number: int, slot: int) -> bool:
        """Whether a slot has had this frame in all that was read before this call."""
        self._atomics.fence()
        return self.word(self._at.sequence(slot)) == 2 * number

    def pixels(self, slot: int) -> int:
        """Address of a slot's pixels."""
        return self._frames.address + self._at.pixels(slot)

    def free(self, slot: int) -> None:
        """End the lease on a slot."""
        if self._seat:
            self._seat.free(slot)

    def count(self, *, received: int, missed: int) -> None:
        """Tell whoever looks at the table of readers."""
        if self._seat:
            self._seat.count(received=received, missed=missed)

    def close(self) -> None:
        """Give back the seat (with the last lease) and the file. What is leased stays mapped."""
        if self._seat:
            self._seat.close()
        self._frames.close()

    def _record(self, slot: int) -> tuple[FusedInfo, int]:
        return layout.unpack_record(bytes(self._record_bytes(slot)))

    def _record_bytes(self, slot: int) -> Rgb:
        begin = self._at.sequence(slot) + 8
        return self.memory[begin : begin + layout.RECORD_BYTES]
