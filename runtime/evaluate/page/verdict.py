"""What a result says, in sentences: who is first, whether that is more than noise, and what speaks against it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from edgefusion.metrics.resampling import holm
from runtime.evaluate.page.numbers import fixed, percent, plural, signed
from runtime.evaluate.result import (
    Braking,
    BrakingCondition,
    ClassScores,
    Detection,
    EntryResult,
    Evaluation,
    Interval,
    Stability,
    Tracking,
)
from runtime.evaluate.statistics import Figures, block_means, paired_p
from runtime.evaluate.text import SIGNIFICANT

FEW_PAIRS = 20
"""Under this many a bootstrap interval is too narrow."""

LEAST_PAIRS = 6
"""Under this many Wilcoxon's test cannot fall below 0.05 whatever the figures are."""


@dataclass(frozen=True)
class Duel:
    """One entry against another: metrics in which it is better, worse, and not told apart."""

    better: list[str] = field(default_factory=list)
    worse: list[str] = field(default_factory=list)
    level: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Verdict:
    """Sentences, the most important first.

    Attributes:
        headline: who is first.
        lines: by how much and how surely.
        cautions: why not to believe it yet.
        findings: (heading, sentence) of the other parts.
    """

    headline: str
    lines: list[str]
    cautions: list[str]
    findings: list[tuple[str, str]]


def verdict(result: Evaluation) -> Verdict:
    """The verdict on a result."""
    findings = _findings(result)
    if not result.pairs:
        headline = "Simulated approaches to a pedestrian" if result.braking else "No pairs were judged"
        lines = ["No pairs were judged: there are no fusion metrics, ranks or tests here, only what follows."]
        return Verdict(f"{headline}.", lines, [], findings)
    order = by_rank(result)
    if len(order) == 1:
        lines = ["There is nothing to compare it with: add --fused, another --bundle, or leave the baselines in."]
        return Verdict(f"Only {order[0].name} was judged.", lines, _cautions(result, order[0]), findings)
    first, second = order[:2]
    shared = first.rank == second.rank
    headline = (
        f"{first.name} and {second.name} share the first place of {len(order)} by mean rank."
        if shared
        else f"{first.name} is first of {len(order)} by mean rank."
    )
    lines = [*_margin(result, first, second), *_best_own(result, order)]
    return Verdict(headline, lines, _cautions(result, first), findings)


def _findings(result: Evaluation) -> list[tuple[str, str]]:
    return [
        *([_detection(result.detection)] if result.detection else []),
        *([_stability(result.stability)] if result.stability else []),
        *([_tracking(result.tracking)] if result.tracking and result.tracking.entries else []),
        *(_braking(result.braking) if result.braking else []),
    ]


def unit_of(result: Evaluation) -> str:
    """What is judged: pairs, or frames of a clip."""
    return "frame" if result.block > 1 else "pair"


def by_rank(result: Evaluation) -> list[EntryResult]:
    """The entries, best mean place first."""
    return sorted(result.entries, key=lambda entry: entry.rank)


def duel(result: Evaluation, one: str, other: str) -> Duel:
    """Where ``one`` is told apart from ``other``.

    Wilcoxon's p, corrected (Holm) for the comparisons of every entry with ``one`` in every metric: the same numbers as
    ``against_first`` where ``one`` is the first entry given.
    """
    rivals = [entry.name for entry in result.entries if entry.name != one]
    keys = [(rival, metric) for rival in rivals for metric in result.metrics]
    p_values = [paired_p(_blocks(result, one, metric), _blocks(result, rival, metric)) for rival, metric in keys]
    found = Duel()
    for (rival, metric), p in zip(keys, holm(p_values), strict=True):
        if rival == other:
            sign = -1 if metric in result.lower_is_better else 1
            gain = sign * (_column(result, one, metric) - _column(result, other, metric)).mean()
            (found.level if p >= SIGNIFICANT else found.better if gain > 0 else found.worse).append(metric)
    return found


def _column(result: Evaluation, name: str, metric: str) -> Figures:
    return np.array([pair.values[name][metric] for pair in result.per_pair])


def _blocks(result: Evaluation, name: str, metric: str) -> Figures:
    """What is drawn as one: pairs, or blocks of a clip's frames."""
    return block_means(_column(result, name, metric), result.block)


def _margin(result: Evaluation, first: EntryResult, second: EntryResult) -> list[str]:
    count, found = len(result.metrics), duel(result, first.name, second.name)
    told = len(found.better) + len(found.worse)
    next_one = "" if first.rank == second.rank else f"; next is {second.name} with {second.rank:.2f}"
    whose = "Their" if first.rank == second.rank else "Its"
    places = f"{whose} mean place over {plural(count, 'metric')} is {first.rank:.2f}{next_one}."
    if not told:
        return [places, "The two are told apart in no metric: which of them comes first may be chance."]
    parts = [
        f"{first.name} is better in {_listed(found.better)}" if found.better else "",
        f"{second.name} is better in {_listed(found.worse)}" if found.worse else "",
        f"not told apart in {_listed(found.level)}" if found.level else "",
    ]
    return [
        places,
        f"The two are told apart in {told} of {plural(count, 'metric')}: {'; '.join(part for part in parts if part)}.",
    ]


def _listed(names: list[str]) -> str:
    return f"{len(names)} ({', '.join(names)})"


def _best_own(result: Evaluation, order: list[EntryResult]) -> list[str]:
    """Where baselines take the first two places: what is the best of the others."""
    own = next((place for place, entry in enumerate(order) if entry.kind != "baseline"), 0)
    if own < 2:
        return []
    found = duel(result, order[own].name, order[0].name)
    better = f"better than {order[0].name} in {_listed(found.better)}" if found.better else "better in none"
    return [
        f"The first that is no baseline is {order[own].name}, place {own + 1} with {order[own].rank:.2f}: "
        f"told apart and {better} of {plural(len(result.metrics), 'metric')}."
    ]


def _cautions(result: Evaluation, first: EntryResult) -> list[str]:
    found = []
    drawn = len(_blocks(result, first.name, result.metrics[0]))
    what = ("block of frames", "blocks of frames") if result.block > 1 else ("pair", "pairs")
    if drawn < LEAST_PAIRS:
        found.append(f"With {plural(drawn, *what)} no difference can be told from chance: judge more of them.")
    elif drawn < FEW_PAIRS:
        found.append(f"{drawn} {what[1]} are few: intervals of fewer than about {FEW_PAIRS} are too narrow.")
    if result.detection and result.detection.images < FEW_PAIRS:
        found.append(f"A detector was judged on {plural(result.detection.images, 'image')}: too few to conclude from.")
    if first.kind == "baseline" and len(result.entries) > 1:
        found.append(
            f"{first.name} is a plain rule without a network: read below what the metrics it wins reward, before "
            "concluding anything about the others."
        )
    if result.left_out:
        found.append(f"{plural(len(result.left_out), unit_of(result))} left out, see the facts below.")
    return found


def _detection(part: Detection) -> tuple[str, str]:
    scores = {name: entry.overall.figures.get("AP50") for name, entry in part.entries.items()}
    known = {name: interval for name, interval in scores.items() if interval}
    if not known:
        return "Detection", f"{part.detector} had nothing to find in {plural(part.images, 'image')}."
    best = max(known, key=lambda name: known[name].mean)
    overall = part.entries[best].overall
    against = part.entries[best].against_visible.get("AP50")
    return "Detection", (
        f"{part.detector} does best on {best}: AP50 {_spread(known[best])} over {_truths(overall, part)}"
        + (f"; against visible alone {signed(against.mean)}, {_surely(against)}" if against else "")
        + "."
    )


def _truths(scores: ClassScores, part: Detection) -> str:
    return f"{plural(scores.truths, 'true box', 'true boxes')} in {plural(part.images, 'image')}"


def _spread(interval: Interval) -> str:
    return f"{fixed(interval.mean)} ({fixed(interval.low)} to {fixed(interval.high)})"


def _surely(interval: Interval) -> str:
    noise = interval.low <= 0 <= interval.high
    return f"{signed(interval.low)} to {signed(interval.high)}" + (": that may be chance" if noise else "")


def _stability(part: Stability) -> tuple[str, str]:
    names = sorted(part.entries, key=lambda name: part.entries[name].flicker.mean)
    texts = [
        f"{name} {fixed(part.entries[name].flicker.mean, 2)} ({fixed(part.entries[name].flicker.low, 2)} to "
        f"{fixed(part.entries[name].flicker.high, 2)})"
        for name in [names[0], *(["visible"] if "visible" in names[1:] else [])]
    ]
    return "Flicker", f"least, in grey levels from frame to frame: {', against '.join(texts)}."


def _tracking(part: Tracking) -> tuple[str, str]:
    known = {name: entry.accuracy for name, entry in part.entries.items() if entry.accuracy is not None}
    if known:
        best = max(known, key=lambda name: known[name])
        found = part.entries[best]
        switches = plural(found.switches or 0, "identity switch", "identity switches")
        boxes = plural(found.truths or 0, "true box", "true boxes")
        accuracy = f"most accurate on {best}: MOTA {fixed(found.accuracy)}"
        return "Tracking", f"{accuracy}, {switches}, {boxes}. No interval: one clip."
    best = max(part.entries, key=lambda name: part.entries[name].median_frames)
    frames = f"{part.entries[best].median_frames:g}"
    return "Tracking", f"longest tracks on {best}: median {frames} frames. No true identities: longer is not yet right."


def _braking(part: Braking) -> list[tuple[str, str]]:
    return [_condition(condition) for condition in part.conditions if condition.entries]


def _condition(condition: BrakingCondition) -> tuple[str, str]:
    """The entry with the fewest collisions beside visible, or beside the next if that is visible."""
    entries = condition.entries
    order = sorted(entries, key=lambda name: entries[name].collisions.mean)
    best, others = order[0], order[1:]
    shown = [best, *(["visible"] if "visible" in others else others[:1])]
    told = "; ".join(
        f"{name} {_share(entries[name].collisions)}, braking for nobody in {percent(entries[name].false_brakes.mean)}"
        for name in shown
    )
    level = entries[best].collisions.high >= entries[shown[-1]].collisions.low and others
    runs = plural(len(entries[best].runs), "run")
    chance = " The intervals overlap: that may be chance." if level else ""
    return f"Braking, {condition.name}", f"fewest collisions in {runs} of our simulation: {told}.{chance}"


def _share(share: Interval) -> str:
    return f"{percent(share.mean)} ({percent(share.low)} to {percent(share.high)})"
