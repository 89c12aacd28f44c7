"""The one small change of a registration that suits all blocks best, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edgefusion.core.geometry import Matrix, Size
from edgefusion.registration.projective import NAMES, Model, change, moved, normaliser
from edgefusion.registration.surfaces import Stack, Surfaces

STEP_PX = 0.5
ROUNDS = 30
PRIOR = 0.02
"""Of shear and perspective, against the mean match of a block: a rig's cameras look nearly the same way."""

USUAL = 0.05
"""Shear and perspective of a rig, as displacement of a corner by the half diagonal."""


@dataclass(frozen=True)
class Fit:
    """A change of a registration.

    Attributes:
        parameters: in normalised coordinates.
        matrix: [3, 3] in pixels of the working size: to be applied before the registration.
        covariance: [P, P] of the parameters, from how much the blocks disagree.
        score: mean match of the blocks, as far as they have edges.
        matches: [B] match of each block.
    """

    parameters: Matrix
    matrix: Matrix
    covariance: Matrix
    score: float
    matches: Matrix


class _Sampler:
    """Surfaces between their samples, with slopes and curvatures."""

    def __init__(self, values: Stack, blur_px: float) -> None:
        count, side, _ = values.shape
        self.side, self.middle = side, side // 2
        smooth = [cv2.GaussianBlur(each, (0, 0), blur_px) for each in values] if blur_px else values
        padded = [cv2.copyMakeBorder(each, 4, 4, 4, 4, cv2.BORDER_REPLICATE) for each in smooth]
        self.atlas = np.concatenate(padded).astype(np.float32)
        self.rows = np.arange(count) * (side + 8) + 4 + self.middle

    def at(self, shifts: Matrix) -> Matrix:
        """[B] values at shifts [B, 2]; beyond the surface, its edge's."""
        inside = np.clip(shifts, -self.middle - 1, self.middle + 1)
        x = (inside[:, 0] + 4 + self.middle).astype(np.float32)[None]
        y = (inside[:, 1] + self.rows).astype(np.float32)[None]
        return np.asarray(cv2.remap(self.atlas, x, y, cv2.INTER_CUBIC)[0], np.float64)

    def near(self, shifts: Matrix) -> tuple[Matrix, Matrix, Matrix]:
        """Values [B], slopes [B, 2] and curvatures [B, 2, 2] at shifts [B, 2]."""
        s = STEP_PX
        (v, r, l, d, u, rd, ru, ld, lu) = (  # noqa: E741
            self.at(shifts + np.array(step))
            for step in ((0, 0), (s, 0), (-s, 0), (0, s), (0, -s), (s, s), (s, -s), (-s, s), (-s, -s))
        )
        slopes = np.stack([r - l, d - u], axis=1) / (2 * s)
        xx, yy, xy = (r - 2 * v + l) / s**2, (d - 2 * v + u) / s**2, (rd - ru - ld + lu) / (4 * s * s)
        return v, slopes, np.stack([np.stack([xx, xy], -1), np.stack([xy, yy], -1)], -2)


def fit(
    given: Surfaces, size_px: Size, *, model: Model, blur_px: float = 0.0, before: Matrix | None = None,
    include: Matrix | None = None,
) -> Fit:  # fmt: skip
    """The change with the highest sum of the blocks' matches: a block whose match lies elsewhere does not pull.

    Args:
        given: the surfaces.
        size_px: the working size.
        model: what may change.
        blur_px: of the surfaces: to come from farther away.
        before: [P] shear and perspective that the registration has already, which the prior holds against it.
        include: [B] weights of the blocks.
    """
    norm = normaliser(size_px)
    points = given.centres @ norm[:2, :2].T + norm[:2, 2]
    sampler = _Sampler(given.values, blur_px)
    weights = np.ones(len(points)) if include is None else include
    scale = 1 / norm[0, 0]
    parameters, had = np.zeros(NAMES[model]), np.zeros(NAMES[model]) if before is None else before
    prior = _prior(model) * PRIOR * max(float(np.mean(np.maximum(given.values.max(axis=(1, 2)), 0))), 1e-6) * weights.sum()

    def look(p: Matrix) -> tuple[float, Matrix, Matrix, Matrix, Matrix]:
        mapped, slopes = moved(p, points)
        values, gradient, curvature = sampler.near((mapped - points) * scale)
        pulls = np.einsum("bi,bip->bp", gradient, slopes) * scale * weights[:, None]
        bends = _concave(curvature) * weights[:, None, None]
        hessian = np.einsum("bip,bij,bjq->pq", slopes, bends, slopes) * scale**2 + np.diag(prior)
        total = float((values * weights).sum() - 0.5 * (prior * (had + p) ** 2).sum())
        return total, pulls, pulls.sum(axis=0) - prior * (had + p), hessian, values

    now, damping = look(parameters), 1e-3
    for _ in range(ROUNDS):
        lifted = now[3] + damping * np.diag(np.diag(now[3]) + 1e-9 * np.trace(now[3]) + 1e-12)
        step = np.linalg.solve(lifted, now[2])
        after = look(parameters + step)
        if after[0] > now[0]:
            parameters, now, damping = parameters + step, after, max(damping / 5, 1e-6)
            if np.abs(step).max() * scale < 1e-3:
                break
        else:
            damping *= 6
            if damping > 1e6:
                break
    _, pulls, _, hessian, values = now
    inverse = np.linalg.pinv(hessian, hermitian=True)
    covariance = inverse @ (pulls.T @ pulls) @ inverse
    matrix = np.linalg.inv(norm) @ change(parameters) @ norm
    return Fit(parameters, np.asarray(matrix), covariance, float((values * weights).sum() / weights.sum()), values)


def _prior(model: Model) -> Matrix:
    """[P] how strongly each parameter is held to 0."""
    if model == "similarity":
        return np.zeros(4)
    return np.array([0.02, 0.02, 0, 0.02, 0.02, 0, 1.0, 1.0]) / USUAL**2


def _concave(curvature: Matrix) -> Matrix:
    """[B, 2, 2]: minus the curvature where it is a peak's, else what keeps a step short."""
    values, axes = np.linalg.eigh(-curvature)
    return np.asarray((axes * np.maximum(values, 0)[:, None, :]) @ np.swapaxes(axes, 1, 2))
