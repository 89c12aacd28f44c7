"""The run record, ``run.json``: what one run did, on what, and how fast."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from edgefusion.core.bundle import Bundle
from edgefusion.core.files import atomic_write
from runtime.engines.openvino import processor
from runtime.pipeline.lane import Lane

SCHEMA = 2


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Machine(_Part):
    """Where it ran."""

    edgefusion: str
    python: str
    system: str
    processor: str


class RunRecord(_Part):
    """One run of one rig, schema 2. Times are in ms unless named otherwise; None where nothing was measured.

    ``latency_ms`` counts to the moment a frame is published, from ``latency_from``: the exposure (cameras, paced runs)
    or the moment the source handed the pair over. ``dropped`` counts by cause, ``flagged`` published frames by what was
    unusual about them, ``copies_per_frame`` copies of pixels beyond pack and unpack. ``fps`` is frames by wall-clock
    time after warm-up; ``fusion_fps`` is 1 / (median pack + execute + unpack).
    """

    schema_version: int = Field(alias="schema")
    frames: int
    dropped: dict[str, int]
    flagged: dict[str, int]
    deadline_misses: int
    copies_per_frame: float
    warm_up_frames: int
    interrupted: bool
    width: int
    height: int
    source: str
    outputs: list[str]
    bundle: str
    student: str
    device: str
    backend: str
    precision: str
    compute: str
    paced_fps: float | None
    seconds: float
    fps: float
    fusion_fps: float | None
    latency_from: str
    latency_ms: dict[str, float | None]
    stages_ms: dict[str, dict[str, float | None]]
    power: str = "not measured"
    machine: Machine


def make_record(lane: Lane, bundle: Bundle, *, source: str, outputs: list[str], paced_fps: float | None) -> RunRecord:
    """The record of a lane that has ended."""
    statistics, facts = lane.statistics, lane.fusion.built.facts
    latency = statistics.latency
    return RunRecord(
        schema=SCHEMA,
        frames=statistics.frames,
        dropped=lane.dropped,
        flagged=dict(statistics.flagged),
        deadline_misses=statistics.missed,
        copies_per_frame=lane.copies_per_frame(),
        warm_up_frames=statistics.warm_up_frames,
        interrupted=statistics.interrupted,
        width=statistics.size_px[0],
        height=statistics.size_px[1],
        source=source,
        outputs=outputs,
        bundle=bundle.manifest.name,
        student=bundle.manifest.student.arch,
        device=facts["device"],
        backend=facts["backend"],
        precision=facts["precision"],
        compute=facts["compute"],
        paced_fps=paced_fps,
        seconds=round(statistics.seconds, 4),
        fps=round(statistics.fps, 2),
        fusion_fps=round(statistics.fusion_fps, 2) if statistics.fusion_fps else None,
        latency_from="exposure" if lane.moments.paced else "receive",
        latency_ms={**latency.summary(50, 90, 99), "max": latency.max_ms},
        stages_ms={name: histogram.summary(50, 99) for name, histogram in statistics.stages.items()},
        machine=Machine(
            edgefusion=version("edgefusion"),
            python=platform.python_version(),
            system=f"{platform.system()} {platform.release()} {platform.machine()}",
            processor=processor(),
        ),
    )


def write_record(path: Path, record: RunRecord) -> None:
    """Write ``run.json``, whole or not at all.

    Raises:
        MachineError: the place is missing, not writable or full.
    """
    with atomic_write(path) as stream:
        stream.write(to_json(record).encode())


def to_json(*records: RunRecord) -> str:
    """The record as indented JSON; several as an array."""
    texts = [record.model_dump_json(by_alias=True, indent=2) for record in records]
    return (texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]") + "\n"
