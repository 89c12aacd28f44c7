"""The result in the terminal and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from edgefusion.core.files import atomic_write
from runtime.evaluate.measure import Plan
from runtime.evaluate.result import (
    Braking,
    Curve,
    Detection,
    EntryDetection,
    EntryResult,
    Evaluation,
    Interval,
    Stability,
    Tracking,
)

SIGNIFICANT = 0.05
WIDTH = 200


def describe(result: Evaluation) -> str:
    """Tables of all that was asked for."""
    parts = _pairs(result) if result.pairs else []
    parts += braking_parts(result.braking) if result.braking else []
    return "\n".join(parts)


def _pairs(result: Evaluation) -> list[str]:
    """Tables of means, of differences to the first entry, of scenes, of each sweep, and of what a detector found."""
    scenes = ", ".join(f"{count} {scene}" for scene, count in result.scenes.items() if count)
    what, drawn = ("frames", "blocks of a second") if result.block > 1 else ("pairs", "pairs")
    parts = [
        f"{result.pairs} {what} ({scenes}) of {result.source}; {result.computed} images judged, the rest from the "
        "cache",
        _render(_means(result)),
        f"mean over {what} ± half the 95 % interval (bootstrap over {drawn}); rank: mean place over the metrics; "
        + f"↓: lower is better; best in brackets; ~: not told apart from {result.entries[0].name} (p >= {SIGNIFICANT})",
    ]
    parts += [_render(_scene_table(result))] if sum(count > 0 for count in result.scenes.values()) > 1 else []
    parts += [_render(_curve_table(result, curve)) for curve in result.curves]
    drawn = drawn if result.block > 1 else f"the {result.detection.images if result.detection else 0} images"
    parts += _detection_parts(result.detection, drawn) if result.detection else []
    parts += _stability_parts(result.stability) if result.stability else []
    return parts + (_tracking_parts(result.tracking) if result.tracking else [])


def braking_parts(braking: Braking) -> list[str]:
    """A table of both conditions, and what was assumed."""
    title = f"{braking.approaches} approaches to a pedestrian at {3.6 * braking.speed_mps:.0f} km/h, "
    title += f"{braking.detector} at a score of {braking.least_score:g}"
    table = Table("condition", "entry", "collisions", "margin, m", "impact, km/h", "false brakes", title=title)
    for condition in braking.conditions:
        for name, entry in condition.entries.items():
            margin, impact = entry.margin_m, entry.impact_mps.mean * 3.6
            shown = f"{margin.mean:.1f} ({margin.low:.1f} to {margin.high:.1f})"
            table.add_row(
                condition.name, name, _percent(entry.collisions), shown, f"{impact:.1f}", _percent(entry.false_brakes)
            )
    return [_render(table), f"{braking.model} Means and 95 % intervals over approaches."]


def _percent(share: Interval) -> str:
    return f"{100 * share.mean:.0f} % ({100 * share.low:.0f} to {100 * share.high:.0f})"


def _heading(result: Evaluation) -> list[str]:
    return [f"{name} ↓" if name in result.lower_is_better else name for name in result.metrics]


def _means(result: Evaluation) -> Table:
    table = Table("entry", "rank", *_heading(result))
    for entry in sorted(result.entries, key=lambda entry: entry.rank):
        table.add_row(entry.name, f"{entry.rank:.2f}", *(_cell(entry, name) for name in result.metrics))
    return table


def _cell(entry: EntryResult, name: str) -> str:
    interval, against = entry.metrics[name], entry.against_first.get(name)
    mean, _, spread = _number(interval).partition("\n")
    mean = f"[{mean}]" if entry.ranks[name] == 1 else mean
    return f"{mean}{' ~' if against and against.p_holm >= SIGNIFICANT else ''}\n{spread}"


def _number(interval: Interval) -> str:
    return f"{interval.mean:.4g}\n±{(interval.high - interval.low) / 2:.2g}"


def _scene_table(result: Evaluation) -> Table:
    table = Table("entry", "scene", *_heading(result))
    for entry in result.entries:
        for scene, metrics in entry.scenes.items():
            table.add_row(entry.name, scene, *(_number(metrics[name]) for name in result.metrics))
    return table


def _curve_table(result: Evaluation, curve: Curve) -> Table:
    more = ["AP50"] if result.detection else []
    table = Table("entry", curve.kind, *_heading(result), *more, title=f"{curve.kind}: {curve.unit}")
    for name, metrics in curve.entries.items():
        for step, strength in enumerate(curve.strengths):
            numbers = (_number(metrics[metric][step]) for metric in [*result.metrics, *more])
            table.add_row(name, f"{strength:g}", *numbers)
    return table


def _detection_parts(detection: Detection, drawn: str) -> list[str]:
    unknown = f"; not judged, as it has no such class: {', '.join(detection.unknown_classes)}"
    return [
        f"detector {detection.detector} ({detection.layout}), frozen, on {detection.images} images; true boxes of "
        f"{detection.truth}{unknown if detection.unknown_classes else ''}",
        _render(_detection_table(detection)),
        f"mean over classes ± half the 95 % interval (bootstrap over {drawn}); "
        "recall at an overlap of 0.5, by size of box; last column: AP50 less that of visible, with its interval",
        _render(_class_table(detection)),
    ]


def _detection_table(detection: Detection) -> Table:
    names = ["AP50", "AP50:95", *(f"recall50{size}" for size in ("", " small", " medium", " large"))]
    table = Table("entry", "boxes", *(name.replace("recall50", "recall") for name in names), "AP50 - visible")
    for name, entry in detection.entries.items():
        figures = entry.overall.figures
        numbers = (_found(figures[figure]) for figure in names)
        table.add_row(name, str(entry.overall.truths), *numbers, _difference(entry))
    return table


def _class_table(detection: Detection) -> Table:
    classes = next(iter(detection.entries.values())).classes
    table = Table("entry", *(f"{name} ({scores.truths})" for name, scores in classes.items()))
    table.title = "AP50 by class (true boxes)"
    for name, entry in detection.entries.items():
        table.add_row(name, *(_found(scores.figures["AP50"]) for scores in entry.classes.values()))
    return table


def _stability_parts(stability: Stability) -> list[str]:
    table = Table("entry", "flicker ↓", "p95")
    for name, entry in sorted(stability.entries.items(), key=lambda item: item[1].flicker.mean):
        half = (entry.flicker.high - entry.flicker.low) / 2
        table.add_row(name, f"{entry.flicker.mean:.3f} ±{half:.2g}", f"{entry.p95:.3f}")
    steps = next(iter(stability.entries.values())).steps
    return [
        _render(table),
        f"flicker: mean change from frame to frame that is not motion, grey levels, over {len(steps)} steps "
        f"({steps.count(None)} of them cuts, left out) at {stability.fps:g} a second; motion found in the "
        + stability.guide,
    ]


def _tracking_parts(tracking: Tracking) -> list[str]:
    figures = ("truths", "matches", "misses", "false_positives", "switches") if tracking.truth else ()
    table = Table("entry", "tracks", "median frames", *(name.replace("_", " ") for name in figures))
    if tracking.truth:
        table.add_column("MOTA")
    for name, entry in tracking.entries.items():
        accuracy = ["-" if entry.accuracy is None else f"{entry.accuracy:.3f}"] if tracking.truth else []
        counts = [str(getattr(entry, figure)) for figure in figures]
        table.add_row(name, str(entry.tracks), f"{entry.median_frames:g}", *counts, *accuracy)
    classes = ", ".join(tracking.classes) or "nothing"
    truth = f"true identities of {tracking.truth}" if tracking.truth else "true identities are not known"
    return [_render(table), f"tracks of {classes}; {tracking.tracker}; {truth}"]


def _found(interval: Interval | None) -> str:
    return f"{interval.mean:.3f} ±{(interval.high - interval.low) / 2:.2g}" if interval else "-"


def _difference(entry: EntryDetection) -> str:
    gain = entry.against_visible.get("AP50")
    return f"{gain.mean:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})" if gain else "-"


def _render(table: Table) -> str:
    # Markup off: the brackets are ours.
    console = Console(file=io.StringIO(), width=WIDTH, markup=False)
    console.print(table)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text.rstrip()


def to_json(result: Evaluation) -> str:
    """The result as indented JSON."""
    return result.model_dump_json(by_alias=True, indent=2)


def write_csv(
    path: Path, plan: Plan, figures: npt.NDArray[np.float64], names: Sequence[str], scenes: Sequence[str], *,
    stability: Stability | None = None,
) -> None:  # fmt: skip
    """A row for each pair, entry and condition, of a clip with its flicker; whole or not at all.

    Raises:
        MachineError: the place is not writable or full.
    """
    with atomic_write(path) as stream:
        text = io.TextIOWrapper(stream, "utf-8", newline="")
        rows = csv.writer(text)
        flicker = ["flicker"] if stability else []
        rows.writerow(["pair", "scene", "entry", "sweep", "strength", *plan.metrics, *flicker])
        for (condition, entry, index), row in _rows(plan, figures):
            step = plan.conditions[condition]
            start = [names[index], scenes[index], plan.entries[entry].name, step.kind, f"{step.strength:g}"]
            steps = [_step(stability, plan.entries[entry].name, index)] if stability else []
            rows.writerow([*start, *(repr(value) for value in row), *steps])
        text.flush()
        text.detach()


def _step(stability: Stability, entry: str, frame: int) -> str:
    """The change from the frame before; nothing for the first frame and at cuts."""
    step = stability.entries[entry].steps[frame - 1] if frame else None
    return "" if step is None else repr(step)


def _rows(plan: Plan, figures: npt.NDArray[np.float64]) -> list[tuple[tuple[int, int, int], list[float]]]:
    return [
        ((condition, entry, index), figures[condition, entry, index].tolist())
        for condition, entry, index in np.ndindex(figures.shape[:3])
        if plan.applies(entry, condition)
    ]
