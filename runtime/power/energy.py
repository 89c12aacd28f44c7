"""What a frame costs: energy per frame from what the meters measured, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.special import stdtrit

from runtime.power.rails import ENOUGH_COVERAGE, SCOPES
from runtime.report import schema

PARTS = ("GPU board", "package")
"""Neither holds the other: together they are most of what a desktop draws."""
LEAST_BLOCKS = 5
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Block:
    """A stretch of the run: what it drew, and the frames it published."""

    joules: float
    frames: int


def energy(
    meters: Sequence[schema.Meter],
    frames: int,
    *,
    seconds: float,
    stages_ms: Mapping[str, float] | None = None,
    blocks: Sequence[Block] = (),
) -> schema.Energy | None:
    """Energy per frame, by the meter whose scope is the widest; None where nothing measured it.

    Args:
        meters: what ``Sampler.end`` returned.
        frames: published between its marks.
        seconds: between its marks.
        stages_ms: how long each stage takes of a frame; the gross energy is shared by it, which is an estimate.
        blocks: of the run, for the confidence interval.
    """
    chosen = choose(meters)
    if not chosen or not frames or seconds <= 0:
        return None
    joules = sum(_joules(meter) for meter in chosen)
    gross_mj = joules * 1e3 / frames
    idle_mw = [meter.idle_mw for meter in chosen]
    return schema.Energy(
        meter=" + ".join(meter.name for meter in chosen),
        scope=" + ".join(meter.scope for meter in chosen),
        frames=frames,
        gross_mj=gross_mj,
        net_mj=None if None in idle_mw else gross_mj - sum(filter(None, idle_mw)) * seconds / frames,
        interval_mj=_around(gross_mj, interval(blocks)),
        fps_per_w=1e3 / gross_mj if gross_mj > 0 else None,
        stages_mj=_shared(gross_mj, stages_ms or {}),
    )


def choose(meters: Sequence[schema.Meter]) -> list[schema.Meter]:
    """The meter of the widest scope that measured enough; on a desktop, GPU and processor together."""
    good = [meter for meter in meters if meter.joules is not None and meter.coverage >= ENOUGH_COVERAGE]
    known = sorted((meter for meter in good if meter.scope in SCOPES), key=lambda meter: SCOPES.index(meter.scope))
    if known and known[0].scope in PARTS:
        return [meter for meter in known if meter.scope in PARTS]
    return known[:1]


def interval(blocks: Sequence[Block]) -> tuple[float, float] | None:
    """95 % confidence interval in mJ per frame, from blocks of one run; None if they are too few.

    Student's t on the ratio of two sums (Cochran, Sampling Techniques, 3rd ed., 6.3 and 6.4), so that a block with
    few frames weighs little.
    """
    frames = sum(block.frames for block in blocks)
    if len(blocks) < LEAST_BLOCKS or not frames:
        return None
    n = len(blocks)
    ratio = sum(block.joules for block in blocks) / frames
    squares = sum((block.joules - ratio * block.frames) ** 2 for block in blocks)
    error = math.sqrt(squares / (n - 1) / n) / (frames / n)
    half = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * error
    return (ratio - half) * 1e3, (ratio + half) * 1e3


def _around(gross_mj: float, found: tuple[float, float] | None) -> tuple[float, float] | None:
    """An interval of blocks as one of the whole, in which what the meter missed counts too."""
    if found is None or sum(found) <= 0:
        return None
    scale = 2 * gross_mj / sum(found)
    return found[0] * scale, found[1] * scale


def _joules(meter: schema.Meter) -> float:
    return (meter.joules or 0.0) / meter.coverage


def _shared(gross_mj: float, stages_ms: Mapping[str, float]) -> dict[str, float]:
    total_ms = sum(stages_ms.values())
    return {stage: gross_mj * ms / total_ms for stage, ms in stages_ms.items()} if total_ms else {}
