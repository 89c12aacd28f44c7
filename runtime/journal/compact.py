"""From a journal to the run record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from edgefusion.core.errors import InputError
from edgefusion.core.files import atomic_write
from edgefusion.core.mistakes import first_mistake
from runtime.journal.checks import FUSION, check
from runtime.journal.file import still_written
from runtime.journal.lines import LINES, Checkpoint, End, Header, Line, Step
from runtime.journal.timeline import TimelineMaker
from runtime.latency import LatencyHistogram
from runtime.report.schema import Counts, Latency, RunRecord

LONGEST_LINE = 1 << 24


def compact(path: Path, *, to: Path | None = None) -> RunRecord:
    """Make ``run.json`` of a journal, which goes once that is written.

    Args:
        path: of the journal; of a killed run, too.
        to: where the record is written; beside the journal by default.

    Raises:
        InputError: the journal is damaged, contradicts itself, or holds no frame.
        MachineError: the record cannot be written; the journal stays.
    """
    record = read_journal(path)
    write_record(to or path.with_suffix(".json"), record)
    path.unlink()
    return record


def write_record(path: Path, record: RunRecord) -> None:
    """Write ``run.json``, whole or not at all.

    Raises:
        MachineError: the place is missing, not writable or full.
    """
    with atomic_write(path) as stream:
        stream.write(to_json(record).encode())


def to_json(*records: RunRecord) -> str:
    """A record as indented JSON; several as an array."""
    texts = [record.model_dump_json(by_alias=True, indent=2) for record in records]
    return (texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]") + "\n"


def read_journal(path: Path) -> RunRecord:
    """What a journal holds, up to its last whole line; without an end, the run was killed.

    Raises:
        InputError: it cannot be read, is damaged before its last line, contradicts itself, or holds no frame.
    """
    journal = _Journal()
    header: Header | None = None
    for number, line in _lines(path):
        if header is None and not isinstance(line, Header):
            raise InputError("not a journal: its first line is no header", where=path)
        if isinstance(line, Header):
            if header is not None:
                raise _damaged(path, number, "a second header")
            header = line
        else:
            journal.take(line, f"{path} line {number}")
    if header is None or journal.checkpoint is None:
        raise InputError("no frame was recorded yet", where=path, remedy="the run ended in its first second: run again")
    try:
        record = _record(header, journal, journal.checkpoint, going_on=journal.end is None and still_written(path))
    except InputError as error:
        raise InputError(f"latency of published: {error.what}", where=path, remedy="record again") from error
    check(record, path)
    return record


@dataclass
class _Journal:
    """What was read so far: the last checkpoint, and the steps after it.

    ``restarted`` are those from the one in which warm-up ended: how many frames it was, the checkpoint that follows
    tells. Where that was not written any more, the run is known up to the step before.
    """

    checkpoint: Checkpoint | None = None
    later: list[Step] = field(default_factory=list)
    restarted: list[Step] = field(default_factory=list)
    end: End | None = None
    timeline: TimelineMaker = field(default_factory=TimelineMaker)

    def take(self, line: Line, where: str) -> None:
        if self.end is not None:
            raise InputError("more after the end", where=where)
        if isinstance(line, Step):
            self._take_step(line, where)
        elif isinstance(line, Checkpoint):
            for step in self.restarted:
                self.timeline.add(step)
            self.checkpoint, self.later, self.restarted = line, [], []
        elif isinstance(line, End):
            self.end = line

    def _take_step(self, step: Step, where: str) -> None:
        end_s = self.restarted[-1].second.t_s if self.restarted else self.timeline.end_s
        if step.second.t_s <= end_s:
            raise InputError(
                f"the clock goes backwards, from {end_s:g} s to {step.second.t_s:g} s",
                where=where,
                remedy="the journal was edited, or is of two runs: record again",
            )
        if self.restarted or _ends_warm_up(step, self.later[-1] if self.later else self.checkpoint):
            self.restarted.append(step)
        else:
            self.timeline.add(step)
            self.later.append(step)


def _ends_warm_up(step: Step, before: Step | Checkpoint | None) -> bool:
    """Whether time counts anew in this step, or it has frames without a latency: those of warm-up."""
    counted = sum(step.latency.counts.values())
    return before is not None and (step.seconds < before.seconds or counted < step.second.frames)


def _lines(path: Path) -> Iterator[tuple[int, Line]]:
    """Number and content of each whole line; what comes after the last line break was torn off, and is left out."""
    try:
        with path.open("rb") as stream:
            number = 0
            while (text := stream.readline(LONGEST_LINE)).endswith(b"\n"):
                number += 1
                yield number, _parsed(text, path, number)
            if len(text) == LONGEST_LINE:
                raise _damaged(path, number + 1, "too long")
    except OSError as error:
        raise InputError(f"cannot read it ({error.strerror})", where=path) from error


def _parsed(text: bytes, path: Path, number: int) -> Line:
    try:
        return LINES.validate_json(text, strict=True)
    except ValidationError as error:
        raise _damaged(path, number, first_mistake(error)) from error


def _damaged(path: Path, number: int, why: str) -> InputError:
    remedy = "cut it off before this line, and what comes before is reported" if number > 2 else "record again"
    return InputError(f"not a line of a journal ({why})", where=f"{path} line {number}", remedy=remedy)


def _record(header: Header, journal: _Journal, checkpoint: Checkpoint, *, going_on: bool) -> RunRecord:
    latency = _latency(checkpoint.latency, journal.later)
    seconds = journal.later[-1].seconds if journal.later else checkpoint.seconds
    counted = latency.published.count
    return RunRecord(
        state=journal.end.state if journal.end else "killed",
        **header.model_dump(include=_COMMON),
        engine=header.engine,
        software=header.software,
        width=checkpoint.width,
        height=checkpoint.height,
        seconds=seconds,
        warm_up_s=checkpoint.warm_up_s,
        fps=round(counted / seconds, 3) if seconds else 0.0,
        fusion_fps=_fusion_fps(latency),
        counts=_counts(checkpoint.counts, journal.later),
        latency=latency,
        meters=checkpoint.meters,
        energy=checkpoint.energy,
        timeline=journal.timeline.timeline(),
        remarks=[*header.remarks, *checkpoint.remarks, *_remarks(journal, checkpoint, going_on=going_on)],
    )


_COMMON = {"started", "command", "rig", "source", "outputs", "bundle", "student", "paced_fps", "quality"}


def _remarks(journal: _Journal, checkpoint: Checkpoint, *, going_on: bool) -> Iterator[str]:
    if going_on:
        yield f"the run still goes on: these are its first {journal.timeline.end_s:g} s"
    elif journal.end is None:
        yield f"the run was killed, or the machine stopped: these are its first {journal.timeline.end_s:g} s"
    if journal.later:
        yield f"stages, intervals, skew, flags, cameras and energy are of the first {checkpoint.t_s:g} s"


def _counts(counts: Counts, later: list[Step]) -> Counts:
    dropped = Counter(counts.dropped)
    for step in later:
        dropped.update(step.dropped)
    published = counts.published + sum(step.second.frames for step in later)
    return counts.model_copy(update={"published": published, "dropped": dict(dropped)})


def _latency(latency: Latency, later: list[Step]) -> Latency:
    if not later:
        return latency
    published = LatencyHistogram.from_model(latency.published)
    for step in later:
        published.merge(step.latency.histogram())
    late = {"deadline_misses": later[-1].misses, "longest_streak": later[-1].streak}
    return latency.model_copy(update={"published": published.to_model(), **late})


def _fusion_fps(latency: Latency) -> float | None:
    """1 / (median pack + execute + unpack), where something was executed."""
    medians = [each.percentiles_ms["p50"] for name, each in latency.stages.items() if name in FUSION]
    total_ms = sum(median or 0.0 for median in medians)
    executed = "execute" in latency.stages and latency.stages["execute"].count
    return float(f"{1e3 / total_ms:.4g}") if executed and total_ms else None
