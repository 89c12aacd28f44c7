"""What a profile found: ``summary.json``, one row for each combination."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from edgefusion.core.bundle import Bundle
from edgefusion.core.errors import InputError
from runtime.journal.load import load_record
from runtime.profile.plan import Combination
from runtime.report.figures import percentile
from runtime.report.schema import RunRecord

SCHEMA = 1
ACROSS = "all"
"""The class of scenes whose figures are shown."""

PREFERRED = ("VIF", "Qabf", "SSIM")
"""The metric of the chart: the first that the bundle has."""


class Part(BaseModel):
    """Frozen, and nothing unknown in it."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Row(Part):
    """One combination; None where nothing was measured.

    Attributes:
        state: finished; failed, and ``why``; or pending: the profile was interrupted before.
        file: the run record, beside the summary.
        size_px: of the fused frames.
        dropped, deadline_misses: frames; no misses are counted where there is no deadline.
        energy_mj, net_mj: of a frame, gross and above idle, by the meter of ``power_of``.
        quality: the bundle's own figures of this precision, computed in f32; they do not depend on size or power mode.
        front: no finished combination of this size is better in one respect and as good in all others.
    """

    name: str
    precision: str
    power_mode: str | None
    state: Literal["finished", "failed", "pending"]
    why: str = ""
    file: str | None = None
    size_px: tuple[int, int] | None = None
    compute: str | None = None
    frames: int | None = None
    fps: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    dropped: int | None = None
    deadline_misses: int | None = None
    energy_mj: float | None = None
    net_mj: float | None = None
    fps_per_w: float | None = None
    power_of: str | None = None
    quality: dict[str, float] = {}
    front: bool = False


class Summary(Part):
    """A profile: how it was made, and its rows.

    Attributes:
        latency_from: exposure (cameras, paced) or receive (as fast as it goes).
        metric: which of the quality figures is charted; None: the bundle has none.
        rules: how warm-up, cooling down and the idle baseline were done, in words.
    """

    schema_version: int = Field(SCHEMA, alias="schema")
    bundle: str
    device: str
    source: str
    duration_s: float
    warm_up_s: float
    paced_fps: float | None
    latency_from: str | None
    metric: str | None
    rules: list[str]
    rows: list[Row]

    @property
    def measured_power(self) -> bool:
        """Whether any combination has a figure for energy."""
        return any(row.energy_mj is not None for row in self.rows)


def quality_of(bundle: Bundle) -> dict[str, dict[str, float]]:
    """Precision -> metric -> mean figure on the pairs that the bundle's gates were judged on; what it has of them."""
    if "quality.json" not in bundle.manifest.files:
        return {}
    found: dict[str, dict[str, float]] = {}
    for precision, report in json.loads((bundle.path / "quality.json").read_text()).items():
        metrics = report.get("classes", {}).get(ACROSS, {}).get("metrics", {})
        found[precision] = {name: float(figures["mean"]) for name, figures in metrics.items()}
        found.setdefault("fp32", {name: float(figures["fp32"]) for name, figures in metrics.items()})
    return found


def metric_of(quality: Mapping[str, Mapping[str, float]]) -> str | None:
    """Which metric is charted."""
    return next((name for name in PREFERRED if any(name in figures for figures in quality.values())), None)


def finished(combination: Combination, path: Path, quality: Mapping[str, Mapping[str, float]]) -> Row:
    """The row of a run record.

    Raises:
        InputError: the record cannot be read, or contradicts itself.
    """
    return Row(
        **_common(combination),
        state="finished",
        file=path.name,
        **figures(path),
        quality=dict(quality.get(combination.precision, {})),
    )


def unfinished(combination: Combination, why: str = "") -> Row:
    """The row of a run that failed, or has not been made yet."""
    return Row(**_common(combination), size_px=combination.size_px, state="failed" if why else "pending", why=why)


def figures(path: Path) -> dict[str, Any]:
    """What a summary takes from a run record.

    Raises:
        InputError: it is none, of a schema that is not known here, or its figures contradict each other.
    """
    try:
        record = load_record(path)
    except InputError as error:
        raise InputError(f"no run record to take: {error.what}", where=path, remedy="--force runs it again") from error
    return _figures(record)


def _common(combination: Combination) -> dict[str, Any]:
    mode = combination.power_mode
    return {
        "name": combination.name,
        "precision": combination.precision,
        "power_mode": mode.name if mode else None,
    }


def _figures(record: RunRecord) -> dict[str, Any]:
    latency, energy = record.latency, record.energy
    return {
        "size_px": (record.width, record.height),
        "compute": record.engine.compute,
        "frames": record.counts.published,
        "fps": record.fps,
        "p50_ms": percentile(latency.published, "p50"),
        "p99_ms": percentile(latency.published, "p99"),
        "dropped": sum(record.counts.dropped.values()),
        "deadline_misses": None if latency.deadline_ms is None else latency.deadline_misses,
        "energy_mj": energy.gross_mj if energy else None,
        "net_mj": energy.net_mj if energy else None,
        "fps_per_w": energy.fps_per_w if energy else None,
        "power_of": f"{energy.meter}, {energy.scope}" if energy else None,
    }


def with_front(rows: Sequence[Row], metric: str | None) -> list[Row]:
    """The rows, marked where no other finished one of the same size is better in all respects that both know."""
    return [row.model_copy(update={"front": _on_front(row, rows, metric)}) for row in rows]


def costs(row: Row, metric: str | None) -> tuple[float | None, ...]:
    """What is to be small: latency, energy, and the quality with its sign turned."""
    quality = row.quality.get(metric) if metric else None
    return row.p50_ms, row.energy_mj, None if quality is None else -quality


def dominates(better: Sequence[float | None], worse: Sequence[float | None]) -> bool:
    """Whether the first is as good in every respect that both know, and better in one."""
    known = [(one, other) for one, other in zip(better, worse, strict=True) if one is not None and other is not None]
    return all(one <= other for one, other in known) and any(one < other for one, other in known)


def _on_front(row: Row, rows: Sequence[Row], metric: str | None) -> bool:
    rivals = [each for each in rows if each.state == "finished" and each.size_px == row.size_px]
    return row.state == "finished" and not any(dominates(costs(each, metric), costs(row, metric)) for each in rivals)
