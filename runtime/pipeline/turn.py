"""One turn of the loop that published a frame: when each part of it began and ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from edgefusion.core.frames import FusedInfo


class Turn(NamedTuple):
    """Times of one frame, CLOCK_MONOTONIC in ns, in the order in which they pass.

    Attributes:
        info: what travels with the frame.
        exposure_ns: when it was exposed, or would have been.
        asked_ns, taken_ns: the source was asked for a moment, and gave it.
        begin_ns, packed_ns, executed_ns, unpacked_ns: the stages; one that did not run begins and ends at once.
        published_ns: readers of the ring have it.
        offered_ns, ended_ns: the other outputs are given it.
    """

    info: FusedInfo
    exposure_ns: int
    asked_ns: int
    taken_ns: int
    begin_ns: int
    packed_ns: int
    executed_ns: int
    unpacked_ns: int
    published_ns: int
    offered_ns: int
    ended_ns: int

    @property
    def stages_ns(self) -> tuple[int, int, int, int, int]:
        """How long each of ``statistics.STAGES`` took; sink is publishing, and giving it to the other outputs."""
        return (
            self.taken_ns - self.asked_ns,
            self.packed_ns - self.begin_ns,
            self.executed_ns - self.packed_ns,
            self.unpacked_ns - self.executed_ns,
            self.published_ns - self.unpacked_ns + self.ended_ns - self.offered_ns,
        )


Timed = Callable[[Turn], None]


def untimed(turn: Turn) -> None:
    """Nobody wants to know."""
