"""Energy while a run goes on: marks, and the blocks between them, in constant memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from runtime.journal.snapshot import Block, EnergyOf, Power, Snapshot, Spent
from runtime.report.schema import Energy, Meter

MOST_BLOCKS = 64
"""Beyond, neighbours become one: about 32 to 64 parts, however long the run is."""


class Spending:
    """Sets the marks between which the meters integrate, and knows how many frames were published between them.

    The first mark is set once warm-up is over, together with a count of frames: what follows is counted on both sides.
    """

    def __init__(self, power: Power | None, energy: EnergyOf, clock: Callable[[], int]) -> None:
        self._power, self._energy, self._clock = power, energy, clock
        self._first: int | None = None
        self._blocks: list[Block] = []
        self._before: Block = Block(0, {})

    def begin(self, snapshot: Snapshot) -> None:
        """Set the first mark, if warm-up is over and none is set."""
        if self._power is not None and self._first is None and snapshot.warm_up:
            self._power.begin(self._clock())
            self._first = snapshot.frames

    def so_far(self, snapshot: Snapshot) -> tuple[list[Meter], Energy | None]:
        """What the meters measured between the first mark and now, and what it comes to; ends a block."""
        if self._power is None or self._first is None:
            return [], None
        meters, frames = list(self._power.so_far(self._clock())), snapshot.frames - self._first
        self._end_block(meters, frames)
        spent = Spent(meters, frames, _stages_ms(snapshot), tuple(self._blocks))
        return meters, self._energy(spent) if frames else None

    def rails_mw(self) -> dict[str, tuple[float, float, float]]:
        """Least, mean and most by METER/RAIL since asked last, to a tenth of a mW."""
        if self._power is None:
            return {}
        seen = self._power.second()
        return {rail: (round(low, 1), round(mean, 1), round(high, 1)) for rail, (low, mean, high) in seen.items()}

    def _end_block(self, meters: Sequence[Meter], frames: int) -> None:
        joules = {meter.name: meter.joules for meter in meters if meter.joules is not None}
        block = Block(frames - self._before.frames, _less(joules, self._before.joules))
        self._before = Block(frames, joules)
        if block.frames:
            self._blocks.append(block)
        if len(self._blocks) > MOST_BLOCKS:
            self._blocks = [_joined(*self._blocks[at : at + 2]) for at in range(0, len(self._blocks), 2)]


def _less(joules: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    return {name: value - before.get(name, 0.0) for name, value in joules.items()}


def _joined(first: Block, second: Block | None = None) -> Block:
    if second is None:
        return first
    names = first.joules.keys() & second.joules.keys()
    return Block(first.frames + second.frames, {name: first.joules[name] + second.joules[name] for name in names})


def _stages_ms(snapshot: Snapshot) -> dict[str, float]:
    """Mean by stage over all counted frames, those included in which it did not run."""
    count = snapshot.published.count
    return {name: each.sum_ns / 1e6 / count for name, each in snapshot.stages.items()} if count else {}
