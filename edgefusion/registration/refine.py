"""From a rough start to the final map: coarse to fine, many pairs together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from edgefusion.core.geometry import Matrix, grid, scale_of
from edgefusion.registration.coarse import Search, starts
from edgefusion.registration.fit import fit
from edgefusion.registration.levels import Pair
from edgefusion.registration.projective import PARAMETERS, Mapping, Model
from edgefusion.registration.surfaces import surfaces

T = TypeVar("T")

COARSE_PX = 160
STARTS, KEPT = 6, 3
"""Starts that are refined at the smallest size, and those followed to the next."""

APART = 0.012
"""Maps nearer to one another than this share of the visible image's longer side are one."""


@dataclass(frozen=True)
class Step:
    """One size of the refinement.

    Attributes:
        side_px: of the visible image's longer side.
        block_px, radius_px: of the blocks, and how far each is sought at first.
        blur_px: of the surfaces at first.
        rounds: how often thermal is warped anew.
        most: pairs that take part.
        rigid: only a similarity is fitted.
    """

    side_px: int
    block_px: int
    radius_px: int
    blur_px: float
    rounds: int
    most: int
    rigid: bool = False


FIRST = (Step(COARSE_PX, 40, 10, 2.0, 1, 4, rigid=True), Step(COARSE_PX, 32, 6, 1.0, 2, 4))
SECOND = (Step(320, 48, 8, 1.5, 2, 10),)
MISFIT = (Step(320, 48, 6, 0.5, 1, 10),)
"""One more, to learn what a richer model would have said."""
LAST = (Step(640, 64, 5, 0.5, 1, 16),)


@dataclass(frozen=True)
class Candidate:
    """A map that may be the one, between the images' own pixels.

    Attributes:
        mapping: the map.
        had: [P] what was changed since its start, a similarity.
        score: mean match of the blocks at the last step.
        uncertainty_px: expected displacement in visible pixels.
    """

    mapping: Mapping
    had: Matrix
    score: float
    uncertainty_px: float


def spread(items: Sequence[T], most: int) -> list[T]:
    """At most so many of them, evenly chosen."""
    chosen = np.linspace(0, len(items) - 1, min(most, len(items))).round().astype(int)
    return [items[index] for index in chosen]


def candidates(
    pairs: Sequence[Pair], expected: Matrix, *, search: Search, model: Model, most: int = STARTS, pool: int = 4
) -> list[Candidate]:
    """Maps that suit the pairs at the smallest size, best first, all different.

    Args:
        pairs: all of one size.
        expected: [3, 3] about which they are sought.
        search: how far.
        model: what may change.
        most: starts that are tried.
        pool: pairs that take part in finding them.
    """
    levels = [pair.at(COARSE_PX, scale_of(expected)) for pair in spread(pairs, pool)]
    found = starts(levels, levels[0].here(Mapping(expected)).matrix, search=search, most=most)
    begun = [
        Candidate(levels[0].native(Mapping(each.registration)), np.zeros(PARAMETERS[model]), each.score, np.inf)
        for each in found
    ]
    return distinct([refine(pairs, each, FIRST, model=model) for each in begun], pairs[0])


def refine(pairs: Sequence[Pair], begun: Candidate, steps: Sequence[Step], *, model: Model) -> Candidate:
    """A candidate after further steps."""
    for step in steps:
        begun = _step(spread(pairs, step.most), begun, step, "similarity" if step.rigid else model)
    return begun


def misfit_px(pairs: Sequence[Pair], found: Candidate, model: Model) -> float:
    """How far the next richer model would move the map, mean over a 9x9 grid, in visible pixels."""
    if model == "lens":
        return 0.0
    richer: Model = "homography" if model == "similarity" else "lens"
    begun = Candidate(found.mapping, np.zeros(PARAMETERS[richer]), found.score, found.uncertainty_px)
    other = refine(pairs, begun, MISFIT, model=richer)
    points, thermal = grid(pairs[0].visible.size_px), pairs[0].thermal.size_px
    apart = found.mapping.points(points, thermal) - other.mapping.points(points, thermal)
    return float(np.hypot(*apart.T).mean()) / scale_of(found.mapping.matrix)


def _step(pairs: Sequence[Pair], begun: Candidate, step: Step, model: Model) -> Candidate:
    scale = scale_of(begun.mapping.matrix)
    levels = [pair.at(step.side_px, scale) for pair in pairs]
    first = levels[0]
    mapping, had = first.here(begun.mapping), begun.had
    for number in range(step.rounds):
        radius, blur = (step.radius_px, step.blur_px) if number == 0 else (max(step.radius_px // 2, 3), 0.5)
        given = surfaces(levels, mapping, block_px=step.block_px, radius_px=radius)
        before = had if len(had) == PARAMETERS[model] else np.zeros(PARAMETERS[model])
        last = fit(given, first, mapping, model=model, before=before, blur_px=blur)
        mapping = last.mapping
        had = had + last.parameters if len(had) == PARAMETERS[model] else had
    return Candidate(first.native(mapping), had, last.score, last.uncertainty_px / first.shrink)


def distinct(found: Sequence[Candidate], pair: Pair) -> list[Candidate]:
    """The best of each group that means the same map, best first."""
    size = pair.visible.size_px
    points = grid(size)
    kept: list[tuple[Candidate, Matrix]] = []
    for each in sorted(found, key=lambda one: -one.score):
        here = each.mapping.points(points, pair.thermal.size_px)
        apart = APART * max(size) * scale_of(each.mapping.matrix)
        if all(np.hypot(*(here - there).T).mean() > apart for _, there in kept):
            kept.append((each, here))
    return [each for each, _ in kept]
