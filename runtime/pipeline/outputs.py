"""Where one rig's fused frames go: the slots they are written into, and the sinks that read them there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from edgefusion.core import rig
from edgefusion.core.errors import UsageError
from edgefusion.core.frames import FramePair, FusedInfo
from edgefusion.core.geometry import Size
from edgefusion.core.rig import RING
from edgefusion.ring.layout import MAX_SLOTS
from edgefusion.ring.writer import RingWriter, Slot
from runtime.sinks import open_sink
from runtime.sinks.worker import SinkThread

DEPTH = 4
"""So many frames wait for a sink; then a live run leaves out frames for it, and a recording waits."""

Failed = Callable[[str, Exception], None]


class Outputs:
    """One set of slots, in shared memory where a ring is wanted, and a thread for each other output.

    A frame is written once, into its slot; every output reads it there.

    Attributes:
        urls: where outputs are to be seen.

    Args:
        wanted: rings and sinks; at most one ring.
        fps: of videos.
        live: a sink that is slow goes without some frames; otherwise the run waits for it.
        failed: told when one output failed and others go on.

    Raises:
        UsageError: two rings, or what ``open_sink`` refuses.
        MachineError: a place is missing or not writable.
    """

    def __init__(self, wanted: Sequence[rig.Output], *, fps: float, live: bool, failed: Failed) -> None:
        rings = [output for output in wanted if output.to.startswith(RING)]
        if len(rings) > 1:
            raise UsageError("two rings for one rig", remedy="any number of processes can read one ring")
        self._ring = rings[0] if rings else None
        self._writer: RingWriter | None = None
        self._failed, self._live = failed, live
        self._threads = [
            SinkThread(open_sink(output.to, fps=fps), output.to, depth=DEPTH, wait=not live)
            for output in wanted
            if output is not self._ring
        ]
        self._working = list(self._threads)
        self.urls = [url for thread in self._threads if (url := thread.url)]

    @property
    def copies(self) -> int:
        """How many frames of cameras were copied for sinks that need them."""
        return sum(thread.copies for thread in self._threads)

    def prepare(self, size_px: Size) -> RingWriter:
        """The slots for frames of a size; an earlier size's are let go once nobody holds them.

        A ring has frames of one size: that of an earlier size ends, and another one has its name.

        Raises:
            MachineError: the ring's name is taken, or there is no room for it.
        """
        if self._writer is None or self._writer.size_px != size_px:
            self._end()
            self._writer = self._new_writer(size_px)
        return self._writer

    def acquire(self, size_px: Size) -> Slot | None:
        """A free slot for a frame of this size; None if readers hold all of them."""
        return self.prepare(size_px).acquire()

    def _new_writer(self, size_px: Size) -> RingWriter:
        held = len(self._threads) * (DEPTH + 1)
        ring = self._ring
        if ring is None:
            return RingWriter(None, size_px=size_px, slots=3 + held)
        return RingWriter(
            ring.to[len(RING) :],
            size_px=size_px,
            slots=min(ring.slots + held, MAX_SLOTS),
            mode=int(ring.mode, 8),
            group=ring.group,
        )

    def offer(self, slot: Slot, info: FusedInfo, pair: FramePair | None) -> None:
        """Hand a published frame to every sink.

        Raises:
            EdgeFusionError: a sink failed, and it was the only output, or the run is not live.
        """
        for thread in self._working:
            thread.offer(slot.pixels, info, pair if thread.wants_inputs else None, slot)
        if any(thread.error for thread in self._working):
            self._part_with_failed()

    def set_status(self, status: dict[str, Any]) -> None:
        """Write the status into the ring's header, if there is a ring."""
        if self._ring and self._writer:
            self._writer.set_status(status)

    def status(self) -> list[dict[str, Any]]:
        """What became of each output."""
        ring = []
        if self._ring and self._writer:
            ring = [{"to": self._ring.to, "state": "open", "readers": len(self._writer.readers())}]
        return ring + [thread.status() for thread in self._threads]

    def close(self) -> None:
        """Write what waits, finish every output, end the ring.

        Raises:
            EdgeFusionError: a sink failed at its end, and it was the only output, or the run is not live.
        """
        try:
            for thread in self._threads:
                thread.close()
            self._part_with_failed()
        finally:
            self._end()

    def abandon(self) -> None:
        """Give up what waits, end every output: what was written stays."""
        for thread in self._threads:
            thread.abandon()
        self._end()

    def _end(self) -> None:
        if self._writer:
            self._writer.close()

    def _part_with_failed(self) -> None:
        for thread in [thread for thread in self._working if thread.error]:
            self._working.remove(thread)
            assert thread.error is not None  # noqa: S101
            if not self._live or not (self._working or self._ring):
                raise thread.error
            self._failed(thread.name, thread.error)
