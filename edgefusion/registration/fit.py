"""The one small change of a registration that suits all blocks best, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edgefusion.core.geometry import Matrix, Size, apply, grid, inverse, normaliser
from edgefusion.registration.levels import Level
from edgefusion.registration.projective import PARAMETERS, Mapping, Model, change, moved
from edgefusion.registration.surfaces import Stack, Surfaces

STEP_PX, ROUNDS, MARGIN = 0.5, 30, 4

PRIOR = 0.02
"""Of what a rig seldom shows, against the best match of a mean block: its cameras look nearly the same way."""

USUAL = 0.05
"""That, as the displacement of a corner in half diagonals."""


@dataclass(frozen=True)
class Fit:
    """A change of a map.

    Attributes:
        parameters: [P] in normalised coordinates.
        mapping: the map after the change, at the working size.
        uncertainty_px: expected displacement, mean over a 9x9 grid, in working pixels: from how differently the blocks
            pull.
        score: mean match of the blocks, -1..1.
    """

    parameters: Matrix
    mapping: Mapping
    uncertainty_px: float
    score: float


class _Sampler:
    """Surfaces between their samples, with slopes and curvatures."""

    def __init__(self, values: Stack, blur_px: float) -> None:
        count, side, _ = values.shape
        self.middle = side // 2
        if blur_px:
            spread = cv2.GaussianBlur(np.eye(side, dtype=np.float32), (1, 0), blur_px, sigmaY=blur_px)
            values = np.asarray(spread @ values @ spread.T)
        padded = np.pad(values, ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)), mode="edge")
        self.atlas = padded.reshape(-1, side + 2 * MARGIN)
        self.rows = np.arange(count) * (side + 2 * MARGIN)

    def at(self, shifts: Matrix) -> Matrix:
        """[N, B] values at shifts [N, B, 2]; beyond a surface, its edge's."""
        places = np.clip(shifts, -self.middle - 1, self.middle + 1) + MARGIN + self.middle
        x, y = places[..., 0], places[..., 1] + self.rows
        sampled = cv2.remap(self.atlas, x.astype(np.float32), y.astype(np.float32), cv2.INTER_CUBIC)
        return np.asarray(sampled, np.float64)

    def near(self, shifts: Matrix) -> tuple[Matrix, Matrix, Matrix]:
        """Values [B], slopes [B, 2] and curvatures [B, 2, 2] at shifts [B, 2]."""
        steps = STEP_PX * np.stack(np.meshgrid((-1, 0, 1), (-1, 0, 1)), -1).reshape(9, 1, 2)
        v = self.at(shifts + steps)
        slopes = np.stack([v[5] - v[3], v[7] - v[1]], axis=1) / (2 * STEP_PX)
        across, down = v[5] - 2 * v[4] + v[3], v[7] - 2 * v[4] + v[1]
        mixed = (v[8] - v[6] - v[2] + v[0]) / 4
        bends = np.stack([across, mixed, mixed, down], -1).reshape(-1, 2, 2) / STEP_PX**2
        return v[4], slopes, bends


@dataclass(frozen=True)
class _State:
    """The sum of the matches at some parameters."""

    total: float
    pulls: Matrix
    gradient: Matrix
    hessian: Matrix
    score: float


class _Objective:
    """What is made as large as can be: the blocks' matches, less what a rig seldom shows."""

    def __init__(self, given: Surfaces, level: Level, mapping: Mapping, *, before: Matrix, blur_px: float) -> None:
        norm = normaliser(level.size_px)
        self.points = given.centres @ norm[:2, :2].T + norm[:2, 2]
        self.scale_px, self.before = 1 / norm[0, 0], before
        self.bend = mapping.bend(given.centres, level.thermal.size_px) * norm[0, 0]
        self.sampler = _Sampler(given.values, blur_px)
        self.prior = _prior(len(before)) * PRIOR * float(np.maximum(given.values.max(axis=(1, 2)), 0).sum() + 1e-6)

    def at(self, parameters: Matrix) -> _State:
        shifts, slopes = moved(parameters, self.points, self.bend)
        values, gradients, bends = self.sampler.near(shifts * self.scale_px)
        slopes = slopes * self.scale_px
        pulls = np.einsum("bi,bip->bp", gradients, slopes)
        hessian = np.einsum("bip,bij,bjq->pq", slopes, _concave(bends), slopes) + np.diag(self.prior)
        off = self.before + parameters
        total = float(values.sum() - 0.5 * (self.prior * off**2).sum())
        return _State(total, pulls, pulls.sum(axis=0) - self.prior * off, hessian, float(values.mean()))


def fit(given: Surfaces, level: Level, mapping: Mapping, *, model: Model, before: Matrix, blur_px: float) -> Fit:
    """The change with the highest sum of the blocks' matches, by Levenberg and Marquardt's steps.

    A block whose match lies elsewhere, for something moves there or stands nearer, has no slope here and does not pull.

    Args:
        given: the surfaces.
        level: any of the pairs that they were made of.
        mapping: about which they were made.
        model: what may change.
        before: [P] of that model: what was changed already since the start, a similarity.
        blur_px: of the surfaces: to come from farther away.
    """
    objective = _Objective(given, level, mapping, before=before, blur_px=blur_px)
    parameters = np.zeros(PARAMETERS[model])
    now, damping = objective.at(parameters), 1e-3
    for _ in range(ROUNDS):
        diagonal = np.diag(now.hessian)
        step = np.linalg.solve(now.hessian + damping * np.diag(diagonal + 1e-9 * diagonal.sum() + 1e-12), now.gradient)
        after = objective.at(parameters + step)
        if after.total > now.total:
            parameters, now, damping = parameters + step, after, max(damping / 5, 1e-6)
            if np.abs(step).max() * objective.scale_px < 1e-3:
                break
        else:
            damping *= 6
    after_all = _changed(mapping, parameters, level.size_px)
    return Fit(parameters, after_all, _uncertainty_px(now, level, mapping), now.score)


def _changed(mapping: Mapping, parameters: Matrix, size_px: Size) -> Mapping:
    norm = normaliser(size_px)
    matrix = mapping.matrix @ inverse(norm) @ change(parameters) @ norm
    lens = mapping.lens + (float(parameters[8]) if len(parameters) == PARAMETERS["lens"] else 0.0)
    return Mapping(np.asarray(matrix / matrix[2, 2]), lens)


def _uncertainty_px(state: _State, level: Level, mapping: Mapping) -> float:
    """From the sandwich covariance of M-estimation, each block's pull being one observation."""
    inverse = np.linalg.pinv(state.hessian, hermitian=True)
    covariance = inverse @ (state.pulls.T @ state.pulls) @ inverse
    norm, places = normaliser(level.size_px), grid(level.size_px)
    bend = mapping.bend(places, level.thermal.size_px) * norm[0, 0]
    _, slopes = moved(np.zeros(len(covariance)), apply(norm, places), bend)
    variances = np.einsum("bip,pq,biq->b", slopes, covariance, slopes)
    return float(np.sqrt(np.maximum(variances, 0)).mean() / norm[0, 0])


def _prior(count: int) -> Matrix:
    """[P] how strongly each parameter is held to 0."""
    strengths = np.array([0.02, 0.02, 0, 0.02, 0.02, 0, 1.0, 1.0, 0.25]) / USUAL**2
    return np.zeros(count) if count == PARAMETERS["similarity"] else strengths[:count]


def _concave(bends: Matrix) -> Matrix:
    """[B, 2, 2]: minus the curvature where it is a peak's, 0 along directions in which it is not."""
    values, axes = np.linalg.eigh(-bends)
    return np.asarray((axes * np.maximum(values, 0)[:, None, :]) @ np.swapaxes(axes, 1, 2))
