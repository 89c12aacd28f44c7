"""The main table as the template prints it: one view for all pairs, one for each scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from runtime.evaluate.page.figures import places_of
from runtime.evaluate.page.numbers import chance, fixed, signed
from runtime.evaluate.result import Comparison, EntryResult, Evaluation, Interval
from runtime.evaluate.statistics import ranks
from runtime.evaluate.text import SIGNIFICANT


@dataclass(frozen=True)
class Cell:
    """An entry in a metric: texts, the number it is sorted by, and what a pointer over it says."""

    mean: str
    half: str
    value: float
    best: bool
    level: bool
    details: str


@dataclass(frozen=True)
class Row:
    """An entry, its mean place, and a cell for each metric."""

    entry: EntryResult
    rank: float
    cells: list[Cell]


@dataclass(frozen=True)
class View:
    """The table over some pairs: ``all``, ``day`` or ``night``; rows are in order of rank."""

    scene: str
    pairs: int
    rows: list[Row]


def views(result: Evaluation) -> list[View]:
    """All pairs, then each scene where there are both."""
    scenes = [scene for scene, count in result.scenes.items() if count]
    found = [_view(result, "all", result.pairs, [entry.metrics for entry in result.entries])]
    for scene in scenes if len(scenes) > 1 else []:
        found.append(_view(result, scene, result.scenes[scene], [entry.scenes[scene] for entry in result.entries]))
    return found


def _view(result: Evaluation, scene: str, pairs: int, intervals: list[dict[str, Interval]]) -> View:
    means = np.array([[found[name].mean for name in result.metrics] for found in intervals])
    places = ranks(means, lower_is_better=[name in result.lower_is_better for name in result.metrics])
    decimals = places_of(result)
    rows = [
        Row(
            entry,
            float(places[index].mean()),
            [
                _cell(entry, name, intervals[index][name], place, decimals[name], whole=scene == "all")
                for name, place in zip(result.metrics, places[index].tolist(), strict=True)
            ],
        )
        for index, entry in enumerate(result.entries)
    ]
    return View(scene, pairs, sorted(rows, key=lambda row: row.rank))


def _cell(entry: EntryResult, name: str, interval: Interval, place: int, decimals: int, *, whole: bool) -> Cell:
    against = [found[name] for found in (entry.against_first, entry.against_best) if name in found] if whole else []
    spread = f"95 % interval {fixed(interval.low, decimals)} to {fixed(interval.high, decimals)}"
    return Cell(
        mean=fixed(interval.mean, decimals),
        half=fixed((interval.high - interval.low) / 2, decimals),
        value=interval.mean,
        best=place == 1,
        level=bool(whole and name in entry.against_first and entry.against_first[name].p_holm >= SIGNIFICANT),
        details="\n".join(
            [
                f"{name} of {entry.name}: place {place}",
                spread,
                *dict.fromkeys(_sentence(one, decimals) for one in against),
            ]
        ),
    )


def _sentence(found: Comparison, decimals: int) -> str:
    told = "not told apart" if found.p_holm >= SIGNIFICANT else "told apart"
    return f"{signed(found.difference, decimals)} against {found.against}: {told}, Holm p {chance(found.p_holm)}"
