"""Writing a journal, step by step; the thread that calls it is in recorder.py."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from edgefusion.core.errors import MachineError, UsageError
from runtime.journal.file import JournalFile
from runtime.journal.lines import Added, Checkpoint, End, Header, Line, Step, to_line
from runtime.journal.snapshot import EnergyOf, Power, Readings, Snapshot
from runtime.journal.spending import Spending
from runtime.latency import LatencyHistogram, jitter_ms
from runtime.report.schema import Counts, Histogram, Latency, Second, State

STEP_S = 1.0
CHECKPOINT_STEPS = 10
LEVEL_STEPS = 2048
"""So many steps are of one length, then they are twice as long: a day takes about 11,000, the longest of 32 s."""


def journal_path(record: Path) -> Path:
    """Where the journal of ``run.json`` is while the run goes on: ``run.jsonl``.

    Raises:
        UsageError: ``record`` has the journal's own name.
    """
    if record.suffix == ".jsonl":
        raise UsageError("that is the name of a journal", where=record, remedy=f"name {record.with_suffix('.json')}")
    return record.with_suffix(".jsonl")


class Recording:
    """Writes what happened since the step before, whenever ``step`` is called; memory does not grow.

    A line that cannot be written is said once; what it held is in the next one that can be.

    Args:
        path: of the journal.
        header: what is known at the start.
        snapshot: what the run has done so far; called by the thread that calls ``step``.
        power, readings: None where they are not measured.
        energy: works out the cost of a frame.
        clock: monotonic, in ns.
        say: told what an operator should know.

    Raises:
        MachineError: nothing can be written there.
    """

    def __init__(
        self,
        path: Path,
        header: Header,
        snapshot: Callable[[], Snapshot],
        *,
        power: Power | None = None,
        readings: Readings | None = None,
        energy: EnergyOf = lambda spent: None,
        clock: Callable[[], int] = time.monotonic_ns,
        say: Callable[[str], None],
    ) -> None:
        self.path, self.step_s = path, STEP_S
        self._header, self._snapshot, self._readings, self._clock, self._say = header, snapshot, readings, clock, say
        self._spending = Spending(power, energy, clock)
        self._file = JournalFile(path, say)
        self._file.begin(to_line(header))
        self._start_ns = clock()
        self._t_s = 0.0
        self._before = Snapshot(LatencyHistogram())
        self._frames = self._steps = 0
        self._unsaved = CHECKPOINT_STEPS
        self._lost_since: float | None = None
        self._lost_said = False
        self._remarks: list[str] = []

    def step(self) -> None:
        """Write a step, and a checkpoint if it is time."""
        now = self._snapshot()
        warmed_up = now.warm_up != self._before.warm_up
        self._spending.begin(now)
        if now.frames == self._frames:  # they stopped, maybe for good: their end is still recent enough for a mark
            self._spending.so_far(now)
        written = self._write_step(now, restarted=warmed_up)
        if written and (warmed_up or self._unsaved >= CHECKPOINT_STEPS):
            self._write_checkpoint(now)

    def remark(self, what: str) -> None:
        """Have this in the record."""
        self._remarks.append(what)

    def end(self, state: State) -> None:
        """Write the last step, checkpoint and line, and close the journal.

        Raises:
            MachineError: the end could not be written: the journal reads as a killed run's.
        """
        try:
            self._unsaved = CHECKPOINT_STEPS
            self.step()
            if not self._write(End(state=state)):
                raise MachineError(
                    "the end of the run could not be written",
                    where=self.path,
                    remedy=f"make space; edgefusion report {self.path} shows what is there",
                )
            self._sync()
        finally:
            self.close()

    def close(self) -> None:
        """Close the journal as it is."""
        self._file.close()

    def _write_step(self, now: Snapshot, *, restarted: bool) -> bool:
        """Whether it is written: a checkpoint counts what the steps before it do."""
        t_s = max(round((self._clock() - self._start_ns) / 1e9, 3), round(self._t_s + 0.001, 3))
        before = self._before
        added = now.published.copy() if restarted else now.published.since(before.published)
        dropped = {cause: count - before.dropped.get(cause, 0) for cause, count in now.dropped.items()}
        step = Step(
            step_s=self.step_s,
            second=self._second(t_s, max(now.frames - self._frames, 0), sum(dropped.values()), added),
            seconds=round(now.seconds, 4),
            dropped={cause: count for cause, count in dropped.items() if count},
            misses=now.deadline_misses,
            streak=now.longest_streak,
            latency=Added.of(added),
        )
        if not self._write(step):
            return False
        self._before, self._t_s, self._frames = now, t_s, max(now.frames, self._frames)
        self._steps, self._unsaved = self._steps + 1, self._unsaved + 1
        if self._steps % LEVEL_STEPS == 0:
            self.step_s *= 2
        return True

    def _second(self, t_s: float, frames: int, dropped: int, added: LatencyHistogram) -> Second:
        percentiles = added.summary(50, 99)
        return Second(
            t_s=t_s,
            frames=frames,
            dropped=dropped,
            p50_ms=percentiles["p50"],
            p99_ms=percentiles["p99"],
            rails_mw=self._spending.rails_mw(),
            **(vars(self._readings.read()) if self._readings else {}),
        )

    def _write_checkpoint(self, now: Snapshot) -> None:
        meters, energy = self._spending.so_far(now)
        checkpoint = Checkpoint(
            t_s=self._t_s,
            warm_up_s=round(now.warm_up_s, 4),
            seconds=round(now.seconds, 4),
            width=now.size_px[0],
            height=now.size_px[1],
            counts=_counts(now),
            latency=_latency(now, self._header),
            meters=meters,
            energy=energy,
            remarks=self._remarks,
        )
        if self._write(checkpoint):
            self._unsaved = 0
            self._sync()

    def _write(self, line: Line) -> bool:
        """Whether it is written."""
        try:
            self._file.write(to_line(line))
        except OSError as error:
            self._lose(error)
            return False
        self._recover()
        return True

    def _sync(self) -> None:
        try:
            self._file.sync()
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError) -> None:
        if self._lost_since is None:
            self._lost_since = self._t_s
        if not self._lost_said:
            self._lost_said = True
            self._say(f"{self.path}: cannot write ({error.strerror}); the run goes on, and is recorded when it can be")

    def _recover(self) -> None:
        if self._lost_since is None:
            return
        since, self._lost_since = self._lost_since, None
        self._remarks.append(f"nothing could be written for a time after {since:g} s: one entry stands for all of it")
        self._unsaved = CHECKPOINT_STEPS


def _counts(now: Snapshot) -> Counts:
    return Counts(
        published=now.frames,
        warm_up=now.warm_up,
        dropped=dict(now.dropped),
        flagged=dict(now.flagged),
        cameras=dict(now.cameras),
        copies_per_frame=now.copies_per_frame,
    )


def _latency(now: Snapshot, header: Header) -> Latency:
    return Latency(
        since=header.since,
        published=now.published.to_model(),
        stages={name: each.to_model() for name, each in now.stages.items()},
        interval=_model(now.intervals),
        jitter_ms=None if now.intervals is None else jitter_ms(now.intervals),
        skew=_model(now.skew),
        deadline_ms=header.deadline_ms,
        deadline_misses=now.deadline_misses,
        longest_streak=now.longest_streak,
    )


def _model(histogram: LatencyHistogram | None) -> Histogram | None:
    return histogram.to_model() if histogram is not None and histogram.count else None
