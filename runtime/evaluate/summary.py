"""From figures of single pairs to a result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgefusion.metrics.fusion import LOWER_IS_BETTER
from edgefusion.metrics.resampling import holm
from runtime.evaluate.entries import Entry
from runtime.evaluate.measure import Measured, Plan
from runtime.evaluate.pairs import Subject
from runtime.evaluate.result import Comparison, Curve, EntryResult, Interval, PairResult, Scene
from runtime.evaluate.statistics import block_means, bootstrap, paired_p, ranks
from runtime.evaluate.sweep import KINDS, Condition

Figures = npt.NDArray[np.float64]
SCENES: tuple[Scene, ...] = ("day", "night")


def bare_results(entries: Sequence[Entry]) -> list[EntryResult]:
    """Every entry where there are no pairs to judge it on."""
    empty: dict[str, Any] = {"metrics": {}, "scenes": {}, "ranks": {}, "against_first": {}, "against_best": {}}
    return [EntryResult(name=each.name, kind=each.kind, facts=each.facts, rank=0.0, **empty) for each in entries]


def entry_results(plan: Plan, measured: Measured, scenes: Sequence[Scene]) -> list[EntryResult]:
    """Means, ranks and tests of every entry, for the pairs as they are."""
    figures = measured.figures[0]
    means = figures.mean(axis=1)
    places = ranks(means, lower_is_better=[name in LOWER_IS_BETTER for name in plan.metrics])
    whole = _intervals(plan, figures)
    by_scene = {
        scene: _intervals(plan, figures[:, [found == scene for found in scenes]]) for scene in SCENES if scene in scenes
    }
    first = _comparisons(plan, figures, lambda entry, metric: 0 if entry else None)
    best = _comparisons(plan, figures, lambda entry, metric: _best_other(places[:, metric], entry))
    return [
        EntryResult(
            name=entry.name,
            kind=entry.kind,
            facts=entry.facts,
            metrics=whole[index],
            scenes={scene: found[index] for scene, found in by_scene.items()},
            ranks=dict(zip(plan.metrics, places[index].tolist(), strict=True)),
            rank=float(places[index].mean()),
            against_first=first[index],
            against_best=best[index],
        )
        for index, entry in enumerate(plan.entries)
    ]


def _best_other(places: npt.NDArray[np.int64], entry: int) -> int | None:
    others = [index for index in range(len(places)) if index != entry]
    return min(others, key=lambda index: int(places[index])) if others else None


def _intervals(plan: Plan, figures: Figures) -> list[dict[str, Interval]]:
    """For each entry of figures [entry, pair, metric]: metric -> mean over pairs."""
    entries, pairs, metrics = figures.shape
    columns = figures.transpose(1, 0, 2).reshape(pairs, entries * metrics)
    rows = np.stack(bootstrap(columns, seed=plan.seed, block=plan.block), axis=-1).reshape(entries, metrics, 3)
    return [
        {
            name: Interval(mean=mean, low=low, high=high)
            for name, (mean, low, high) in zip(plan.metrics, row.tolist(), strict=True)
        }
        for row in rows
    ]


def _comparisons(
    plan: Plan, figures: Figures, against: Callable[[int, int], int | None]
) -> list[dict[str, Comparison]]:
    """For each entry: metric -> its comparison with the entry that ``against`` chooses."""
    keys, p_values, differences = [], [], []
    for entry in range(len(plan.entries)):
        for metric in range(len(plan.metrics)):
            other = against(entry, metric)
            if other is not None:
                keys.append((entry, metric, other))
                own, others = (block_means(figures[number, :, metric], plan.block) for number in (entry, other))
                p_values.append(paired_p(own, others))
                differences.append(float((figures[entry, :, metric] - figures[other, :, metric]).mean()))
    found: list[dict[str, Comparison]] = [{} for _ in plan.entries]
    for (entry, metric, other), p, p_holm, difference in zip(keys, p_values, holm(p_values), differences, strict=True):
        found[entry][plan.metrics[metric]] = Comparison(
            against=plan.entries[other].name, difference=difference, p=p, p_holm=p_holm
        )
    return found


def curves(
    plan: Plan, measured: Measured, sweeps: dict[str, tuple[float, ...]], ap50: Mapping[tuple[int, int], Interval]
) -> list[Curve]:
    """A curve for each sweep, of the entries that can be swept; AP50 by (condition, entry) if a detector looked."""
    numbers = {condition: number for number, condition in enumerate(plan.conditions)}
    swept = [index for index, entry in enumerate(plan.entries) if entry.fuses]
    found = []
    for kind, strengths in sweeps.items():
        at = [numbers[condition_of(kind, strength)] for strength in strengths]
        steps = [_intervals(plan, measured.figures[number][swept]) for number in at] if swept else []
        entries = {
            plan.entries[index].name: {
                **{name: [step[place][name] for step in steps] for name in plan.metrics},
                **({"AP50": [ap50[number, index] for number in at]} if ap50 else {}),
            }
            for place, index in enumerate(swept)
        }
        found.append(Curve(kind=kind, unit=KINDS[kind].unit, strengths=[*strengths], entries=entries))
    return found


def condition_of(kind: str, strength: float) -> Condition:
    """The condition of a sweep's step; strength 0 is the pair as it is, whatever the kind."""
    return Condition(kind, strength) if strength else Condition()


def pair_results(
    plan: Plan, measured: Measured, subjects: Sequence[Subject], scenes: Sequence[Scene]
) -> list[PairResult]:
    """What each pair got from each entry."""
    return [
        PairResult(
            name=subject.pair.name,
            visible=str(subject.pair.visible),
            thermal=str(subject.pair.thermal),
            scene=scenes[index],
            luma=float(measured.luma[index]),
            values={
                entry.name: dict(zip(plan.metrics, measured.figures[0, number, index].tolist(), strict=True))
                for number, entry in enumerate(plan.entries)
            },
        )
        for index, subject in enumerate(subjects)
    ]
