"""The table of readers: who reads a ring, and which slots they lease."""

from __future__ import annotations

import os
from dataclasses import dataclass

from edgefusion.core.errors import MachineError
from edgefusion.ring import layout, owners
from edgefusion.ring.atomics import atomics
from edgefusion.ring.memory import Mapped


@dataclass(frozen=True)
class ReaderFacts:
    """One subscriber that can hold leases.

    Attributes:
        pid: its process, in its own namespace.
        alive: False until the writer has noticed that it died.
        leased: slots that it holds now.
        received: frames that it was given.
        missed: frames that were published and overwritten before it asked.
    """

    pid: int
    alive: bool
    leased: int
    received: int
    missed: int


def _offset(seat: int) -> int:
    return layout.SEATS_OFFSET + seat * layout.SEAT_BYTES


class Table:
    """The table as its writer, and whoever asks for the state of a ring, sees it."""

    def __init__(self, readers: Mapped) -> None:
        self._readers = readers
        self._atomics = atomics()

    def leased(self) -> int:
        """The slots that are leased, as bits."""
        return self._atomics.leased(self._readers.address + layout.SEATS_OFFSET, layout.SEATS, layout.SEAT_BYTES)

    def reap(self) -> int:
        """Free the seats of readers that died; how many there were.

        Leases of a free seat count for nothing, so only the owner is cleared: by the time this writes, the seat may
        have been taken by somebody else, whose leases must not be touched.
        """
        if self._readers.file < 0:
            return 0
        dead = [(seat, owner) for seat, owner in self._taken() if not self._lives(seat, owner)]
        for seat, owner in dead:
            self._atomics.exchange(self._word(seat, layout.OWNER), owner, 0)
        return len(dead)

    def facts(self) -> tuple[ReaderFacts, ...]:
        """Everybody in the table."""
        load = self._atomics.load
        return tuple(
            ReaderFacts(
                pid=owners.pid_of(owner),
                alive=self._lives(seat, owner),
                leased=load(self._word(seat, layout.LEASES)).bit_count(),
                received=load(self._word(seat, layout.RECEIVED)),
                missed=load(self._word(seat, layout.MISSED)),
            )
            for seat, owner in self._taken()
        )

    def _taken(self) -> list[tuple[int, int]]:
        owned = ((seat, self._atomics.load(self._word(seat, layout.OWNER))) for seat in range(layout.SEATS))
        return [(seat, owner) for seat, owner in owned if owner]

    def _lives(self, seat: int, owner: int) -> bool:
        where = self._atomics.load(self._word(seat, layout.NAMESPACE))
        return owners.locked(self._readers.file, _offset(seat)) and not owners.gone(owner, where)

    def _word(self, seat: int, word: int) -> int:
        return self._readers.address + _offset(seat) + word


class Seat:
    """This reader's own place in the table. It stays taken until it is given back and no lease is left.

    Args:
        readers: the mapped table, which this now owns.

    Raises:
        MachineError: there are as many readers as the table holds.
    """

    def __init__(self, readers: Mapped, *, name: str) -> None:
        self._atomics = atomics()
        self._readers = readers
        self._pid = os.getpid()
        seat = next((seat for seat in range(layout.SEATS) if owners.lock(readers.file, _offset(seat))), None)
        if seat is None:
            readers.close()
            remedy = "end one, or subscribe with lease=False"
            raise MachineError(f"ring {name} has {layout.SEATS} readers already", remedy=remedy)
        self._byte = _offset(seat)
        self._at = readers.address + self._byte
        self._closed = False
        self._open = [readers.file]
        self._begin()

    def _begin(self) -> None:
        """The owner last: until then the bits that a dead reader left lease nothing."""
        for word in (layout.LEASES, layout.RECEIVED, layout.MISSED):
            self._atomics.store(self._at + word, 0)
        self._atomics.store(self._at + layout.NAMESPACE, owners.namespace())
        self._atomics.store(self._at + layout.OWNER, owners.token())

    def lease(self, slot: int, *, sequence: int, expected: int) -> bool:
        """Keep the writer off a slot; False where it no longer holds what the word at ``sequence`` should say.

        The writer marks the word and then looks for leases, we note a lease and then look at the word, each with a
        fence between: one of the two sees the other.
        """
        self._atomics.set_bits(self._at + layout.LEASES, 1 << slot)
        self._atomics.fence()
        if self._atomics.load(sequence) == expected:
            return True
        self._atomics.clear_bits(self._at + layout.LEASES, 1 << slot)
        return False

    def free(self, slot: int) -> None:
        """End a lease. From any thread; of a child made by fork, nothing: the lease is its parent's."""
        if os.getpid() != self._pid:
            return
        self._atomics.clear_bits(self._at + layout.LEASES, 1 << slot)
        if self._closed:
            self._leave()

    def count(self, *, received: int, missed: int) -> None:
        """Tell whoever looks at the table."""
        self._atomics.store(self._at + layout.RECEIVED, received)
        self._atomics.store(self._at + layout.MISSED, missed)

    def close(self) -> None:
        """Give the seat back, now or with the last lease."""
        if os.getpid() == self._pid:
            self._closed = True
            self._leave()

    def _leave(self) -> None:
        if self._atomics.load(self._at + layout.LEASES):
            return
        try:
            file = self._open.pop()  # one thread gets it
        except IndexError:
            return
        self._atomics.store(self._at + layout.OWNER, 0)
        owners.unlock(file, self._byte)
        os.close(file)
