"""How sure one can be: intervals by bootstrap, ranks, and tests of paired differences."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import stats

from edgefusion.metrics.resampling import draw_counts, fitting_block

Figures = npt.NDArray[np.float64]

RESAMPLES = 2000
CHUNK = 100
LEVEL = (2.5, 97.5)


def bootstrap(
    figures: Figures, *, seed: int, resamples: int = RESAMPLES, block: int = 1
) -> tuple[Figures, Figures, Figures]:
    """Mean over pairs with its 95 % interval.

    Pairs are drawn with replacement and the percentiles of the resampled means taken (Efron, Annals of Statistics 7,
    1979); every column sees the same draws. Of fewer than about 20 pairs such intervals are too narrow.

    Frames in a row are drawn in blocks (``draw_counts``), of a quarter of a short clip at most.

    Args:
        figures: [pairs, columns], at least one pair, no NaN.
        seed: of the draws.
        resamples: how many.
        block: so many in a row depend on each other; 1 where each pair stands for itself.

    Returns:
        mean, low, high: [columns] each.
    """
    pairs = len(figures)
    draw = np.random.default_rng(seed)
    mean = figures.mean(axis=0)
    means = np.empty((resamples, figures.shape[1]))
    block = fitting_block(pairs, block)
    for start in range(0, resamples, CHUNK):
        part = means[start : start + CHUNK]
        part[:] = _weights(draw, pairs, len(part), block) @ (figures - mean)
    low, high = np.percentile(means, LEVEL, axis=0)
    return mean, mean + low, mean + high


def share(count: int, total: int) -> tuple[float, float, float]:
    """Share with its 95 % interval (Wilson, Journal of the American Statistical Association 22, 1927).

    Unlike a bootstrap it stays open where all or none of few cases count.
    """
    interval = stats.binomtest(count, total).proportion_ci(0.95, method="wilson")
    return count / total, float(interval.low), float(interval.high)


def _weights(draw: np.random.Generator, pairs: int, draws: int, block: int) -> Figures:
    """[draws, pairs]: the share each pair has in each draw."""
    if block == 1:
        return draw.multinomial(pairs, np.full(pairs, 1 / pairs), size=draws) / pairs
    return np.stack([draw_counts(draw, pairs, block) for _ in range(draws)]) / pairs


def block_means(figures: Figures, block: int) -> Figures:
    """Means [blocks] of figures [pairs] over blocks in a row, for tests that take what they compare as independent."""
    starts = np.arange(0, len(figures), fitting_block(len(figures), block))
    return np.asarray(np.add.reduceat(figures, starts) / np.diff(np.append(starts, len(figures))))


def ranks(means: Figures, *, lower_is_better: Sequence[bool]) -> npt.NDArray[np.int64]:
    """Place of each entry in each metric, 1 the best; equal means share the better place.

    Args:
        means: [entries, metrics].
        lower_is_better: for each metric.
    """
    turned = np.where(lower_is_better, means, -means)
    return np.asarray(stats.rankdata(turned, method="min", axis=0), np.int64)


def paired_p(figures: Figures, others: Figures) -> float:
    """p-value of Wilcoxon's signed-rank test (two-sided): could the differences be symmetric about zero?

    Pairs without a difference say nothing and are left out; without any difference p is 1.

    Args:
        figures: [pairs].
        others: [pairs], of the same pairs.
    """
    differences = figures - others
    differences = differences[differences != 0]
    if not len(differences):
        return 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some versions of SciPy warn of small samples; p is then large anyway
        return float(stats.wilcoxon(differences).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for being several (Holm, Scandinavian Journal of Statistics 6, 1979)."""
    order = np.argsort(p_values)
    factors = len(p_values) - np.arange(len(p_values))
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(np.maximum.accumulate(np.asarray(p_values, float)[order] * factors), 1)
    return [float(p) for p in corrected]
