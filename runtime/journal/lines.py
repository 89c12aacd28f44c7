"""The lines of ``run.jsonl``: a header, then steps and checkpoints, and an end. Each is one JSON object."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, TypeAdapter

from runtime.latency import BUCKETS, LatencyHistogram
from runtime.report.schema import (
    SCHEMA,
    Amount,
    Count,
    Counts,
    Energy,
    Engine,
    Latency,
    Meter,
    Part,
    Second,
    Since,
    Software,
    State,
)


class Header(Part):
    """What is known when a run begins; the fields are those of the run record."""

    kind: Literal["header"] = "header"
    schema_version: Literal[3] = Field(default=SCHEMA, alias="schema")
    started: str
    command: list[str] = Field(default=[])
    rig: str
    source: str
    outputs: list[str]
    bundle: str
    student: str
    paced_fps: Amount | None
    since: Since
    deadline_ms: Amount | None = None
    engine: Engine
    software: Software
    quality: dict[str, Any] = Field(default={})
    remarks: list[str] = Field(default=[])


class Added(Part):
    """Durations that a histogram has counted since the step before."""

    mean_ms: Amount | None = None
    max_ms: Amount | None = None
    counts: dict[Annotated[int, Field(ge=0, lt=BUCKETS)], Count] = Field(default={})

    @classmethod
    def of(cls, histogram: LatencyHistogram) -> Added:
        """Of a histogram that has counted only those."""
        return cls(mean_ms=histogram.mean_ms, max_ms=histogram.max_ms, counts=histogram.counts)

    def histogram(self) -> LatencyHistogram:
        """As a histogram again."""
        return LatencyHistogram.from_counts(self.counts, mean_ms=self.mean_ms, max_ms=self.max_ms)


class Step(Part):
    """A second; more where the run is long.

    Attributes:
        step_s: how long it should be; how long it is, is told by ``second.t_s`` of this one and the one before.
        seconds: since warm-up.
        dropped: in this step, by cause.
        misses, streak: deadlines missed since warm-up, and the most in a row.
        latency: of the frames of this step.
    """

    kind: Literal["step"] = "step"
    step_s: PositiveFloat
    second: Second
    seconds: Amount
    dropped: dict[str, Count] = Field(default={})
    misses: Count = 0
    streak: Count = 0
    latency: Added = Field(default=Added())


class Checkpoint(Part):
    """Everything since the start; on the disk when the next line is written."""

    kind: Literal["checkpoint"] = "checkpoint"
    t_s: Amount
    warm_up_s: Amount
    seconds: Amount
    width: Count
    height: Count
    counts: Counts
    latency: Latency
    meters: list[Meter] = Field(default=[])
    energy: Energy | None = None
    remarks: list[str] = Field(default=[])


class End(Part):
    """The run ended; a journal without it is of a run that was killed, or still goes on."""

    kind: Literal["end"] = "end"
    state: State


Line = Header | Step | Checkpoint | End
LINES: TypeAdapter[Line] = TypeAdapter(Annotated[Line, Field(discriminator="kind")])


def to_line(line: Line) -> bytes:
    """One line of JSON, without what is as by default."""
    body = line.model_dump_json(by_alias=True, exclude_defaults=True)
    return f'{{"kind":"{line.kind}",{body[1:]}\n'.encode()
