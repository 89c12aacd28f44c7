from __future__ import annotations

from pathlib import Path

import pytest
from journals import LongRehearsal, Rehearsal, energy_of

from runtime.journal.begin import cost
from runtime.journal.compact import compact
from runtime.journal.snapshot import Spent
from runtime.journal.spending import MOST_BLOCKS, Spending
from runtime.power.watch import LAG_NS
from runtime.report.schema import Energy, Meter, RunRecord


class Account:
    """Works out nothing, and keeps what it was given."""

    def __init__(self) -> None:
        self.given: list[Spent] = []

    def __call__(self, spent: Spent) -> Energy | None:
        self.given.append(spent)
        return energy_of(spent)


class Drawing(Rehearsal):
    """Draws the same whether frames come or not; its meter remembers as long as a real one."""

    def so_far(self, timestamp_ns: int) -> list[Meter]:
        assert self.now_ns - LAG_NS <= timestamp_ns <= self.now_ns
        self._mj = self.watts * (timestamp_ns - self._joules_from_ns) / 1e6
        return super().so_far(timestamp_ns)

    def wait(self, seconds: float) -> None:
        """Publish nothing for so long."""
        self.now_ns += round(seconds * 1e9)


def recorded(path: Path, *parts: tuple[str, int]) -> RunRecord:
    """Of a run that drives and waits so many seconds each, with a step in every second."""
    run = Drawing()
    recording = run.recording(path, energy=cost)
    for what, seconds in parts:
        for _ in range(seconds):
            run.drive(1) if what == "drive" else run.wait(1)
            recording.step()
    recording.end("complete")
    return compact(path)


def energy_in(record: RunRecord) -> Energy:
    assert record.energy is not None
    return record.energy


def test_energy_ends_with_the_last_frame_however_long_outputs_take_to_finish(tmp_path: Path) -> None:
    record = recorded(tmp_path / "run.jsonl", ("drive", 81), ("wait", 20))
    energy = energy_in(record)
    assert (energy.frames, energy.gross_mj) == (2400, pytest.approx(300))
    assert energy.interval_mj == pytest.approx((300, 300), rel=1e-3)
    assert record.meters[0].rails[0].mean_mw == pytest.approx(9000)


def test_energy_ends_with_a_last_frame_between_two_steps(tmp_path: Path) -> None:
    run = Drawing()
    recording = run.recording(tmp_path / "run.jsonl", energy=cost)
    for seconds in (1, 1, 1, 0.5, 0, 0, 0, 0):
        run.drive(seconds)
        run.wait(1 - seconds)
        recording.step()
    recording.end("complete")
    energy = energy_in(compact(tmp_path / "run.jsonl"))
    assert (energy.frames, energy.gross_mj) == (75, pytest.approx(300))


def test_what_is_drawn_while_a_camera_is_lost_counts_in_the_whole_and_in_its_blocks(tmp_path: Path) -> None:
    energy = energy_in(recorded(tmp_path / "run.jsonl", ("drive", 41), ("wait", 30), ("drive", 50)))
    assert (energy.frames, energy.gross_mj) == (2700, pytest.approx(120 * 9e3 / 2700))
    assert energy.interval_mj is not None
    low, high = energy.interval_mj
    assert low < energy.gross_mj < high
    assert (low + high) / 2 == pytest.approx(energy.gross_mj)


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
