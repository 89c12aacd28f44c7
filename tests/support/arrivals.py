"""Drives the synchronizer through arrivals that a test wrote down, on a clock of its own."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from small_rigs import small_frame

from edgefusion.core.frames import Clock
from edgefusion.core.rig import Rig
from edgefusion.recordings.pairing import Side
from runtime.sync.moments import Moment
from runtime.sync.synchronizer import Synchronizer

MS = 1_000_000
START_NS = 1_000_000 * MS
REALTIME_NS = 1_700_000_000_000 * MS


@dataclass(frozen=True, order=True)
class Arrival:
    """A frame that arrives at ``at_ms`` and says it was exposed at ``exposed_ms``."""

    at_ms: float
    side: Side
    exposed_ms: float
    picture: int | None = None
    clock: Clock = "monotonic"


def stream(
    side: Side, fps: float, seconds: float, *, offset_ms: float = 0, delay_ms: float = 5, picture: int | None = None
) -> list[Arrival]:
    """A camera that keeps its rate."""
    times = [offset_ms + 1000 * number / fps for number in range(round(seconds * fps))]
    return [Arrival(time + delay_ms, side, time, picture) for time in times]


@dataclass
class Loop:
    """Plays arrivals into a synchronizer and takes moments, as a loop that needs ``busy_ms`` for each.

    Attributes:
        moments: each moment with the time (ms) at which the loop got it.
        released: how often each frame was released.
        most_alive: the most frames of each camera that were out at once.
    """

    rig: Rig
    busy_ms: float = 0
    moments: list[tuple[float, Moment]] = field(default_factory=list)
    released: Counter[tuple[Side, int]] = field(default_factory=Counter)
    alive: Counter[Side] = field(default_factory=Counter)
    most_alive: Counter[Side] = field(default_factory=Counter)
    now_ms: float = 0

    def __post_init__(self) -> None:
        self.sync = Synchronizer(self.rig, START_NS)
        self._free_at_ms = 0.0
        self._in_use: Moment | None = None
        self._sequences: Counter[Side] = Counter()

    def play(self, arrivals: list[Arrival]) -> Loop:
        for arrival in sorted(arrivals, key=lambda arrival: arrival.at_ms):
            self.turn_until(arrival.at_ms)
            self.arrive(arrival)
            self.turn()
        return self

    def arrive(self, arrival: Arrival) -> None:
        side, number = arrival.side, self._sequences[arrival.side]
        self._sequences[side] += 1
        self.alive[side] += 1

        def release() -> None:
            self.released[side, number] += 1
            self.alive[side] -= 1

        origin_ns = REALTIME_NS if arrival.clock == "realtime" else START_NS
        frame = small_frame(
            side,
            origin_ns + round(arrival.exposed_ms * MS),
            sequence=number,
            clock=arrival.clock,
            picture=arrival.picture,
            release=release,
        )
        self.sync.add(side, frame, self.now_ns, realtime_ns=REALTIME_NS + round(self.now_ms * MS))
        self._release()
        self.most_alive[side] = max(self.most_alive[side], self.alive[side])

    @property
    def now_ns(self) -> int:
        return START_NS + round(self.now_ms * MS)

    def turn_until(self, ms: float) -> None:
        """Let time pass, waking when the synchronizer asks for it and when the loop is free again."""
        while True:
            self.turn()
            wait_ns = self.sync.wait_ns(self.now_ns)
            waits = [] if wait_ns is None else [self.now_ms + max(wait_ns / MS, 0.001)]
            nxt = min([*waits, *([self._free_at_ms] if self._in_use else [])], default=ms)
            if nxt >= ms:
                break
            self.now_ms = max(nxt, self._free_at_ms if self._in_use else 0)
            if self.now_ms >= ms:
                break
        self.now_ms = ms
        self.turn()

    def turn(self) -> None:
        """What the loop does when it has the time: give back, take the next."""
        while self.now_ms >= self._free_at_ms:
            self._give_back()
            self._in_use = self.sync.next(self.now_ns)
            self._release()
            if self._in_use is None:
                return
            self.moments.append((self.now_ms, self._in_use))
            self._free_at_ms = self.now_ms + self.busy_ms

    def close(self) -> None:
        self._give_back()
        self.sync.close()
        self._release()

    def _give_back(self) -> None:
        if self._in_use:
            self._in_use.release()
            self._in_use.release()  # a second time does nothing
            self._release()
            self._in_use = None

    def _release(self) -> None:
        for frame in self.sync.take_freed():
            frame.release()

    def drops(self, side: Side) -> dict[str, int]:
        return {str(cause): count for cause, count in self.sync.queues[side].dropped.items()}
