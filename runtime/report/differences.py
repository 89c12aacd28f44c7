"""How two runs were made differently: what their figures' differences may come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from runtime.report.figures import main_meters, seconds_of
from runtime.report.numbers import duration, short, signed
from runtime.report.schema import RunRecord

WARMER_C = 5.0
LONGER = 2.0

FACTS: dict[str, Callable[[RunRecord], object]] = {
    "device": lambda run: run.engine.device,
    "module": lambda run: run.software.module,
    "processor": lambda run: run.software.processor,
    "power mode": lambda run: run.software.power_mode,
    "governors": lambda run: (
        ", ".join(f"{name} {value}" for name, value in sorted(run.software.governors.items())) or None
    ),
    "precision": lambda run: run.engine.precision,
    "compute": lambda run: run.engine.compute,
    "backend": lambda run: run.engine.backend,
    "backend version": lambda run: run.software.backend_version,
    "engine": lambda run: run.engine.key,
    "bundle": lambda run: run.bundle,
    "student": lambda run: run.student,
    "size": lambda run: f"{run.width}x{run.height}",
    "source": lambda run: run.source,
    "rig": lambda run: run.rig,
    "outputs": lambda run: ", ".join(run.outputs) or "none",
    "pace": lambda run: f"{short(run.paced_fps)} fps" if run.paced_fps else "none",
    "deadline": lambda run: f"{short(run.latency.deadline_ms)} ms" if run.latency.deadline_ms else "none",
    "start of latency": lambda run: run.latency.since,
    "meter": lambda run: " + ".join(meter.name for meter in main_meters(run)) or "none",
    "scope of power": lambda run: " + ".join(meter.scope for meter in main_meters(run)) or "not measured",
    "JetPack": lambda run: run.software.jetpack,
    "driver": lambda run: run.software.driver,
    "edgefusion": lambda run: run.software.edgefusion,
}
"""What two runs should have in common for their figures to be compared."""


def warnings_between(first: RunRecord, other: RunRecord) -> list[str]:
    """What differs, each in a sentence; the most telling first."""
    return [*_facts(first, other), *_states(first, other), *_warmth(first, other)]


def _facts(first: RunRecord, other: RunRecord) -> Iterator[str]:
    for name, of in FACTS.items():
        mine, theirs = of(first), of(other)
        if mine != theirs:
            yield f"{name} differs: {theirs or 'unknown'} here, {mine or 'unknown'} in the first run"


def _states(first: RunRecord, other: RunRecord) -> Iterator[str]:
    for run, which in ((first, "the first run"), (other, "this run")):
        if run.state != "complete":
            yield f"{which} was {run.state} after {duration(run.seconds)}"
    lengths = sorted((first.seconds, other.seconds))
    if lengths[1] > LONGER * lengths[0]:
        yield f"lengths differ: {duration(other.seconds)} here, {duration(first.seconds)} in the first run"


def _warmth(first: RunRecord, other: RunRecord) -> Iterator[str]:
    mine, theirs = ({} if not seconds_of(run) else seconds_of(run)[0].temperatures_c for run in (first, other))
    changes = {name: theirs[name] - mine[name] for name in mine if name in theirs}
    if changes:
        name = max(changes, key=lambda one: abs(changes[one]))
        if abs(changes[name]) > WARMER_C:
            yield f"temperature at the start differs: {signed(changes[name])} °C ({name}) against the first run"
