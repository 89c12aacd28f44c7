"""Estimating the registration of a visible and a thermal camera from what they see."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgefusion.core.bend import radial_bend
from edgefusion.core.geometry import Matrix, Registration, Size, check_registration, scale_of
from edgefusion.registration import evidence, refusals
from edgefusion.registration.coarse import Search
from edgefusion.registration.features import Image
from edgefusion.registration.levels import Pair
from edgefusion.registration.projective import Mapping, Model
from edgefusion.registration.refine import KEPT, LAST, SECOND, Candidate, candidates, misfit_px, refine
from edgefusion.registration.refusals import Rejected

OUTLIER = 0.5
"""A pair whose own support is below this share of the median one does not take part at the end."""


@dataclass(frozen=True)
class Estimate:
    """A registration that was estimated.

    Attributes:
        matrix: [3, 3] homography from a visible pixel to a thermal one, both native.
        lens: radial term, applied after it (``Mapping.lens``); 0 unless the model has one.
        thermal_size_px: (width, height) of the thermal images, to which the radial term is relative.
        uncertainty_px: expected displacement in visible pixels, mean over a 9x9 grid: from how differently the blocks
            pull, and from what a richer model would have said.
        support: share of the image's blocks that agree when asked alone, 0..1.
        score: mean match of the blocks, -1..1.
        used: indices of the pairs that it rests on.
        rejected: the others, each with its reason.
    """

    matrix: Matrix
    lens: float
    thermal_size_px: Size
    uncertainty_px: float
    support: float
    score: float
    used: tuple[int, ...]
    rejected: tuple[Rejected, ...]

    def points(self, points: npt.ArrayLike) -> Matrix:
        """Where [N, 2] visible pixels lie in thermal."""
        return Mapping(self.matrix, self.lens).points(points, self.thermal_size_px)

    def registration(self, visible_size_px: Size) -> Registration:
        """The same for ``pack``, within what thermal sees."""
        sizes = {"visible": visible_size_px, "thermal": self.thermal_size_px}
        return Registration(self.matrix, radial_bend(self.lens, self.matrix, **sizes) if self.lens else None)


def estimate(
    pairs: Iterable[tuple[Image, Image]], *, start: Matrix | None = None, model: Model = "homography",
    search: Search | None = None,
) -> Estimate:  # fmt: skip
    """The registration that suits all the pairs together.

    Args:
        pairs: visible luma [H, W] and thermal [h, w], of any integer or real type, all of one size each; 30 of a
            drive, well apart, are plenty.
        start: [3, 3] about which it is sought; by default both cameras see the same view.
        model: what may differ from it.
        search: how far it may differ; by default 24 degrees, a sixth in scale and 30 % of the image.

    Raises:
        InputError: no pair, none with anything to register, sizes that differ, thermal that is mirrored or turned by a
            quarter, or pictures that do not show the same.
    """
    kept, blank = refusals.usable(list(pairs))
    pool = [pair for _, pair in kept]
    begin = refusals.expected(pool[0]) if start is None else check_registration(start)
    best = _best(pool, begin, model=model, search=search or Search())
    sure = refusals.support(pool, best.mapping) if best else 0.0
    if sure < refusals.CLEAR_SUPPORT:
        refusals.check_pose(pool, sure)
    if best is None or sure < refusals.LEAST_SUPPORT:
        raise refusals.unrelated(sure, len(pool))
    agreeing, outliers = _agreeing(kept, best.mapping)
    chosen = [pair for _, pair in agreeing]
    last = refine(chosen, best, LAST, model=model)
    uncertainty = float(np.hypot(last.uncertainty_px, misfit_px(chosen, last, model)))
    return Estimate(
        last.mapping.matrix, last.mapping.lens, pool[0].thermal.size_px, uncertainty, sure, last.score,
        tuple(index for index, _ in agreeing), tuple(sorted((*blank, *outliers), key=lambda each: each.index)),
    )  # fmt: skip


def _best(pairs: Sequence[Pair], begin: Matrix, *, model: Model, search: Search) -> Candidate | None:
    found = candidates(pairs, begin, search=search, model=model)[:KEPT]
    refined = [refine(pairs, each, SECOND, model=model) for each in found]
    return max(refined, key=lambda each: each.score, default=None)


def _agreeing(kept: Sequence[tuple[int, Pair]], mapping: Mapping) -> tuple[list[tuple[int, Pair]], list[Rejected]]:
    """The pairs that the map suits, and those far below the others."""
    if len(kept) < 3:
        return list(kept), []
    levels = [pair.at(evidence.SIDE_PX, scale_of(mapping.matrix)) for _, pair in kept]
    own = np.array([evidence.support([level], level.here(mapping)) for level in levels])
    enough = own >= OUTLIER * np.median(own)
    reason = "does not agree with the other pairs: something hides the view, or the two are not of one moment"
    outliers = [Rejected(index, reason) for (index, _), good in zip(kept, enough, strict=True) if not good]
    return [each for each, good in zip(kept, enough, strict=True) if good], outliers
