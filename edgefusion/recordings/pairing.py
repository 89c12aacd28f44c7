"""Pairing two cameras by exposure time, as a stream: nothing is kept but what may still find a partner."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

Side = Literal["visible", "thermal"]
SIDES: tuple[Side, Side] = ("visible", "thermal")

Item = TypeVar("Item")

TOLERANCE_NS = 20_000_000
"""The frames of a pair are at most so far apart: less than the period of a camera of 50 frames per second."""

DISORDER_NS = 100_000_000
"""A frame may come so much later than its exposure's order, in its own camera or behind the other one."""

MOST_WAITING = 32
"""Frames of one camera that wait for the other one; then the oldest is given up."""


@dataclass(order=True, frozen=True)
class Exposure(Generic[Item]):
    """Something that was exposed at ``timestamp_ns``; ``arrival`` tells two of one time apart."""

    timestamp_ns: int
    arrival: int
    item: Item = field(compare=False)


@dataclass(frozen=True)
class Match(Generic[Item]):
    """Two items of one moment, and how many of its camera were exposed before each."""

    visible: Item
    thermal: Item
    visible_number: int
    thermal_number: int


class _Camera(Generic[Item]):
    """The frames of one camera that are not decided on yet, oldest first."""

    def __init__(self) -> None:
        self.waiting: list[Exposure[Item]] = []
        self.arrived = self.decided = 0
        self.newest_ns = self.last_ns = -1

    def add(self, timestamp_ns: int, item: Item) -> bool:
        """Whether it may still be paired: not if a later frame was decided on."""
        self.arrived += 1
        if timestamp_ns < self.last_ns:
            return False
        self.newest_ns = max(self.newest_ns, timestamp_ns)
        heapq.heappush(self.waiting, Exposure(timestamp_ns, self.arrived, item))
        return True

    def take(self) -> Exposure[Item]:
        """The oldest, which is decided on now."""
        self.decided += 1
        oldest = heapq.heappop(self.waiting)
        self.last_ns = oldest.timestamp_ns
        return oldest

    def second_ns(self) -> int | None:
        """When the frame after the oldest one was exposed."""
        rest = self.waiting[1:3]  # of a heap, the second smallest is one of these
        return min(rest).timestamp_ns if rest else None


class Pairing(Generic[Item]):
    """Pairs the nearest frames of two cameras, oldest first, each at most once.

    The older of the two oldest frames is paired with the other one unless they are more than the tolerance apart, or
    the frame after it is nearer: then it is dropped.

    Args:
        tolerance_ns: the frames of a pair are at most so far apart.

    Attributes:
        dropped: frames without a partner so far, by camera.
        nearest_ns: the smallest difference that was too large, or None.
    """

    def __init__(self, tolerance_ns: int = TOLERANCE_NS) -> None:
        self._tolerance_ns = tolerance_ns
        self._cameras: dict[Side, _Camera[Item]] = {"visible": _Camera(), "thermal": _Camera()}
        self.dropped: dict[Side, int] = {"visible": 0, "thermal": 0}
        self.nearest_ns: int | None = None

    def match(self, arrivals: Iterable[tuple[Side, int, Item]]) -> Iterator[Match[Item]]:
        """Pairs in order of exposure.

        Args:
            arrivals: camera, exposure time in ns and frame, about in the order of time (see ``DISORDER_NS``).
        """
        for side, timestamp_ns, item in arrivals:
            if not self._cameras[side].add(timestamp_ns, item):
                self.dropped[side] += 1
            while self._ready():
                yield from self._decide()
        while all(camera.waiting for camera in self._cameras.values()):
            yield from self._decide()
        for side, camera in self._cameras.items():
            self.dropped[side] += len(camera.waiting)

    def _ready(self) -> bool:
        """Whether nothing that may come could change what is decided about the oldest frames."""
        visible, thermal = self._cameras["visible"], self._cameras["thermal"]
        if max(len(visible.waiting), len(thermal.waiting)) > MOST_WAITING:
            return True
        if not (visible.waiting and thermal.waiting):
            return False
        later_ns = max(visible.waiting[0].timestamp_ns, thermal.waiting[0].timestamp_ns)
        return min(visible.newest_ns, thermal.newest_ns) > later_ns + DISORDER_NS

    def _decide(self) -> Iterator[Match[Item]]:
        """Pair the two oldest frames, or drop the older one."""
        visible, thermal = self._cameras["visible"], self._cameras["thermal"]
        side = self._older()
        if not (visible.waiting and thermal.waiting) or not self._belong(side):
            self._cameras[side].take()
            self.dropped[side] += 1
            return
        numbers = visible.decided, thermal.decided
        yield Match(visible.take().item, thermal.take().item, *numbers)

    def _older(self) -> Side:
        visible, thermal = self._cameras["visible"].waiting, self._cameras["thermal"].waiting
        return "visible" if not thermal or (visible and visible[0] <= thermal[0]) else "thermal"

    def _belong(self, side: Side) -> bool:
        """Whether the oldest frame of ``side``, the older one, belongs to that of the other camera."""
        camera = self._cameras[side]
        other_ns = self._cameras["thermal" if side == "visible" else "visible"].waiting[0].timestamp_ns
        apart_ns = other_ns - camera.waiting[0].timestamp_ns
        if apart_ns > self._tolerance_ns:
            self.nearest_ns = apart_ns if self.nearest_ns is None else min(self.nearest_ns, apart_ns)
            return False
        second_ns = camera.second_ns()
        return second_ns is None or abs(second_ns - other_ns) >= apart_ns
