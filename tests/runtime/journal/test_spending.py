from __future__ import annotations

import pytest
from journals import LongRehearsal, Rehearsal, energy_of

from runtime.journal.snapshot import Spent
from runtime.journal.spending import MOST_BLOCKS, Spending
from runtime.report.schema import Energy


class Account:
    """Works out nothing, and keeps what it was given."""

    def __init__(self) -> None:
        self.given: list[Spent] = []

    def __call__(self, spent: Spent) -> Energy | None:
        self.given.append(spent)
        return energy_of(spent)


def test_before_warm_up_is_over_nothing_counts() -> None:
    run, account = Rehearsal(), Account()
    spending = Spending(run, account, run.clock)
    run.frame(0.03)
    spending.begin(run.snapshot())
    assert spending.so_far(run.snapshot()) == ([], None)
    assert account.given == []


def test_frames_and_joules_are_of_the_same_time() -> None:
    run, account = Rehearsal(), Account()
    spending = Spending(run, account, run.clock)
    run.drive(2)
    spending.begin(run.snapshot())
    run.watts = 6.0
    run.drive(5)
    meters, energy = spending.so_far(run.snapshot())
    assert meters[0].joules == pytest.approx(30)
    assert energy is not None
    assert (energy.frames, energy.gross_mj) == (150, pytest.approx(200))
    assert account.given[0].seconds == pytest.approx(5)
    assert account.given[0].stages_ms["execute"] == pytest.approx(3, rel=0.1)


def test_blocks_are_equally_long_and_never_more_than_a_few() -> None:
    run, account = LongRehearsal(), Account()
    spending = Spending(run, account, run.clock)
    spending.begin(run.snapshot())
    for _ in range(1000):
        run.pass_by(10)
        spending.so_far(run.snapshot())
    for number, spent in enumerate(account.given, 1):
        blocks = spent.blocks
        assert len(blocks) <= MOST_BLOCKS
        assert len({round(block.seconds) for block in blocks[:-1]}) <= 1
        assert sum(block.seconds for block in blocks) == pytest.approx(10 * number)
        assert sum(block.frames for block in blocks) == spent.frames
        assert sum(block.joules["hwmon"] for block in blocks) == pytest.approx(spent.meters[0].joules)
    assert len(account.given[-1].blocks) > MOST_BLOCKS / 2
