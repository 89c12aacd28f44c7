"""Energy while a run goes on: marks, and the blocks between them, in constant memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from runtime.journal.snapshot import Block, EnergyOf, Power, Snapshot, Spent
from runtime.power.watch import LAG_NS
from runtime.report.schema import Energy, Meter

MOST_BLOCKS = 40
BLOCK_S = 10.0
"""Blocks are so long at first; where there are more, neighbours become one, and new ones are twice as long."""


class Spending:
    """Sets the marks between which the meters integrate, and knows how many frames were published between them.

    The first mark is set once warm-up is over, together with a count of frames: what follows is counted on both sides.
    The last mark is the last frame, so that nothing counts that is drawn while no frames come and outputs are finished.
    """

    def __init__(self, power: Power | None, energy: EnergyOf, clock: Callable[[], int]) -> None:
        self._power, self._energy, self._clock = power, energy, clock
        self._first: int | None = None
        self._first_ns = 0
        self._blocks: list[Block] = []
        self._block_s = BLOCK_S
        self._before = Block(0, {}, 0.0)
        self._told: tuple[list[Meter], Energy | None] | None = None

    def begin(self, snapshot: Snapshot) -> None:
        """Set the first mark, if warm-up is over and none is set."""
        if self._power is not None and self._first is None and snapshot.warm_up:
            self._first, self._first_ns = snapshot.frames, self._clock()
            self._power.begin(self._first_ns)

    def so_far(self, snapshot: Snapshot) -> tuple[list[Meter], Energy | None]:
        """What the meters measured between the first mark and the last frame, and what it comes to; ends a block.

        Meters do not remember long: it is to be asked soon after frames have stopped, and says the same from then on.
        """
        if self._power is None or self._first is None:
            return [], None
        frames = snapshot.frames - self._first
        if self._told is None or frames != self._before.frames:
            self._told = self._measured(self._power, snapshot, frames)
        return self._told

    def _measured(self, power: Power, snapshot: Snapshot, frames: int) -> tuple[list[Meter], Energy | None]:
        mark_ns = max(snapshot.last_ns or 0, self._clock() - LAG_NS, self._first_ns)
        meters, seconds = list(power.so_far(mark_ns)), (mark_ns - self._first_ns) / 1e9
        if not frames:  # what was drawn so far belongs to the frames that come
            return meters, None
        self._extend(Block(frames, _joules(meters), seconds))
        return meters, self._energy(Spent(meters, frames, seconds, _stages_ms(snapshot), tuple(self._blocks)))

    def rails_mw(self) -> dict[str, tuple[float, float, float]]:
        """Least, mean and most by METER/RAIL since asked last, to a tenth of a mW."""
        if self._power is None:
            return {}
        seen = self._power.second()
        return {rail: (round(low, 1), round(mean, 1), round(high, 1)) for rail, (low, mean, high) in seen.items()}

    def _extend(self, so_far: Block) -> None:
        """Put what came since the last time into the last block, or into a new one if that is long enough."""
        block, self._before = _less(so_far, self._before), so_far
        if self._blocks and self._blocks[-1].seconds < self._block_s * 0.99:
            self._blocks[-1] = _joined(self._blocks[-1], block)
        else:
            self._blocks.append(block)
        if len(self._blocks) > MOST_BLOCKS:
            pairs = zip(self._blocks[:-1:2], self._blocks[1::2], strict=True)
            self._blocks = [*(_joined(*pair) for pair in pairs), self._blocks[-1]]
            self._block_s *= 2


def _joules(meters: Sequence[Meter]) -> dict[str, float]:
    return {meter.name: meter.joules for meter in meters if meter.joules is not None}


def _less(now: Block, before: Block) -> Block:
    joules = {name: value - before.joules.get(name, 0.0) for name, value in now.joules.items()}
    return Block(now.frames - before.frames, joules, now.seconds - before.seconds)


def _joined(first: Block, second: Block) -> Block:
    both = first.joules.keys() & second.joules.keys()
    joules = {name: first.joules[name] + second.joules[name] for name in both}
    return Block(first.frames + second.frames, joules, first.seconds + second.seconds)


def _stages_ms(snapshot: Snapshot) -> dict[str, float]:
    """Mean by stage over all counted frames, those included in which it did not run."""
    count = snapshot.published.count
    return {name: each.sum_ns / 1e6 / count for name, each in snapshot.stages.items()} if count else {}
