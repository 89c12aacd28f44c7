"""What the page's script draws, sorts and filters, as plain lists for JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from runtime.evaluate.page.numbers import decimals
from runtime.evaluate.page.thumbnails import Thumbnails, usual_metric
from runtime.evaluate.page.verdict import by_rank, unit_of
from runtime.evaluate.result import BrakingCondition, BrakingRun, Curve, Evaluation, Interval

DIGITS = 5
"""Significant digits in the page: ten thousand pairs stay a few megabytes."""


def names_of(result: Evaluation) -> list[str]:
    """Everything that has a colour: the entries, then what only the other parts know."""
    found = dict.fromkeys(entry.name for entry in result.entries)
    for part in (result.detection, result.stability, result.tracking, *_conditions(result)):
        found.update(dict.fromkeys(part.entries if part else ()))
    return list(found)


def _conditions(result: Evaluation) -> list[BrakingCondition]:
    return result.braking.conditions if result.braking else []


def places_of(result: Evaluation) -> dict[str, int]:
    """Metric -> decimal places of its figures, over all entries."""
    return {
        name: decimals(number for entry in result.entries for number in _triple(entry.metrics[name]))
        for name in result.metrics
    }


def figures(result: Evaluation, thumbnails: Mapping[int, Thumbnails]) -> dict[str, Any]:
    """Everything the script needs, without NaN."""
    order = [entry.name for entry in by_rank(result)]
    first = result.entries[0].name
    return {
        "names": names_of(result),
        "entries": [entry.name for entry in result.entries],
        "metrics": result.metrics,
        "lower": result.lower_is_better,
        "places": places_of(result) if result.pairs else {},
        "first": first,
        "rival": next((name for name in order if name != first), first),
        "metric": usual_metric(result),
        "unit": unit_of(result),
        "charts": {**_sweeps(result), **_flicker(result)},
        "forests": _forests(result),
        "margins": _margins(result),
        "pairs": _pairs(result),
        "thumbnails": {place: asdict(found) for place, found in thumbnails.items()},
    }


def short(value: float | None) -> float | None:
    """A figure with the digits that the page needs; None for what JSON cannot hold."""
    return float(f"{value:.{DIGITS}g}") if value is not None and math.isfinite(value) else None


def _triple(interval: Interval) -> tuple[float, float, float]:
    return interval.mean, interval.low, interval.high


def _triples(interval: Interval) -> list[float | None]:
    return [short(number) for number in _triple(interval)]


def _sweeps(result: Evaluation) -> dict[str, Any]:
    return {
        f"{curve.kind}-{metric}": _sweep(curve, metric, lower=metric in result.lower_is_better)
        for curve in result.curves
        for metric in judged_in(curve)
    }


def judged_in(curve: Curve) -> list[str]:
    """What a sweep has figures of: the metrics and, with a detector, AP50."""
    return list(next(iter(curve.entries.values()), {}))


def _sweep(curve: Curve, metric: str, *, lower: bool) -> dict[str, Any]:
    series = [
        {"name": name, "points": [_triples(step) for step in metrics[metric]]}
        for name, metrics in curve.entries.items()
    ]
    return {
        "title": metric,
        "note": "lower is better" if lower else "higher is better",
        "x": curve.strengths,
        "unit": curve.unit,
        "group": curve.kind,
        "dots": True,
        "series": series,
    }


def _flicker(result: Evaluation) -> dict[str, Any]:
    part = result.stability
    if part is None:
        return {}
    longest = max((len(entry.steps) for entry in part.entries.values()), default=0)
    series = [{"name": name, "points": [[short(step)] for step in entry.steps]} for name, entry in part.entries.items()]
    chart = {
        "title": "flicker of each step, grey levels",
        "note": "lower is better",
        "x": [short((step + 1) / part.fps) for step in range(longest)],
        "unit": "seconds from the clip's start",
        "group": "stability",
        "dots": False,
        "series": series,
    }
    return {"flicker": chart} if longest else {}


def _forests(result: Evaluation) -> dict[str, Any]:
    """Dots with whiskers: (name, mean, low, high)."""
    found: dict[str, Any] = {}
    if result.detection:
        entries = result.detection.entries.items()
        found["ap50"] = _forest("AP50", [(name, entry.overall.figures.get("AP50")) for name, entry in entries])
        against = [(name, entry.against_visible.get("AP50")) for name, entry in entries]
        found["against-visible"] = _forest("AP50 less that of visible alone", against, zero=True)
    if result.stability:
        rows = [(name, entry.flicker) for name, entry in result.stability.entries.items()]
        found["flicker"] = _forest("mean flicker, grey levels", rows)
    for number, condition in enumerate(_conditions(result)):
        rows = [(name, entry.collisions) for name, entry in condition.entries.items()]
        found[f"collisions-{number}"] = _forest("share of runs with a collision", rows, top=1.0)
    return {name: forest for name, forest in found.items() if forest["rows"]}


def _forest(
    title: str, rows: Sequence[tuple[str, Interval | None]], *, zero: bool = False, top: float | None = None
) -> dict[str, Any]:
    known = [[name, *_triples(interval)] for name, interval in rows if interval]
    return {"title": title, "zero": zero, "top": top, "rows": known}


def _margins(result: Evaluation) -> list[dict[str, Any]]:
    """For each condition, the stopping margin of each run."""
    return [
        {
            "rows": [
                {"name": name, "runs": [_run(run) for run in entry.runs]} for name, entry in condition.entries.items()
            ]
        }
        for condition in _conditions(result)
    ]


def _run(run: BrakingRun) -> list[Any]:
    return [run.seed, short(run.margin_m), short(run.impact_mps), f"{run.zone}, {run.manner}"]


def _pairs(result: Evaluation) -> dict[str, Any]:
    """Columns rather than rows: names once, then entry -> metric -> a figure for each pair."""
    values = [
        [[short(pair.values[entry.name][metric]) for pair in result.per_pair] for metric in result.metrics]
        for entry in result.entries
    ]
    return {
        "name": [pair.name for pair in result.per_pair],
        "scene": [pair.scene for pair in result.per_pair],
        "luma": [short(pair.luma) for pair in result.per_pair],
        "values": values,
    }
