"""Drawing pictures again for a bootstrap, one by one or in blocks of frames in a row; and correcting many p-values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

RESAMPLES = 2000
CHUNK = 100
LEVEL = (2.5, 97.5)
"""Percentiles of an interval of 95 %."""

Figures = npt.NDArray[np.float64]


def fitting_block(pictures: int, block: int) -> int:
    """The block's length, or a quarter of a clip shorter than four of them: of a single block nothing can be learnt."""
    return max(min(block, pictures // 4), 1)


def draw_counts(draw: np.random.Generator, pictures: int, block: int = 1) -> npt.NDArray[np.int64]:
    """How often each picture counts in one draw of as many, [pictures].

    Frames in a row are alike: they are drawn as blocks that start anywhere (Künsch, Annals of Statistics 17, 1989), the
    clip closed to a ring so that each frame counts alike (Politis and Romano, in "Exploring the limits of bootstrap",
    1992). The last block is cut.

    Args:
        draw: the random numbers.
        pictures: how many there are.
        block: so many in a row depend on each other; 1 where each stands for itself.
    """
    starts = draw.integers(pictures, size=-(-pictures // block))
    places = (starts[:, None] + np.arange(block)) % pictures
    return np.bincount(places.reshape(-1)[:pictures], minlength=pictures)


def resampled_means(figures: Figures, *, seed: int, resamples: int = RESAMPLES, block: int = 1) -> Figures:
    """Means [resamples, columns] over pictures drawn with replacement; every column sees the same draws.

    Args:
        figures: [pictures, columns], at least one picture, no NaN.
        seed: of the draws.
        resamples: how many.
        block: so many in a row depend on each other; 1 where each picture stands for itself.
    """
    draw = np.random.default_rng(seed)
    mean = figures.mean(axis=0)
    means = np.empty((resamples, figures.shape[1]))
    block = fitting_block(len(figures), block)
    for start in range(0, resamples, CHUNK):
        part = means[start : start + CHUNK]
        part[:] = mean + _weights(draw, len(figures), len(part), block) @ (figures - mean)
    return means


def _weights(draw: np.random.Generator, pictures: int, draws: int, block: int) -> Figures:
    """[draws, pictures]: the share each picture has in each draw."""
    if block == 1:
        return draw.multinomial(pictures, np.full(pictures, 1 / pictures), size=draws) / pictures
    return np.stack([draw_counts(draw, pictures, block) for _ in range(draws)]) / pictures


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for being several (Holm, Scandinavian Journal of Statistics 6, 1979)."""
    order = np.argsort(p_values)
    factors = len(p_values) - np.arange(len(p_values))
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(np.maximum.accumulate(np.asarray(p_values, float)[order] * factors), 1)
    return [float(p) for p in corrected]
