"""How sure one can be: intervals by bootstrap, ranks, and tests of paired differences."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import stats

from edgefusion.metrics.resampling import LEVEL, RESAMPLES, fitting_block, resampled_means

Figures = npt.NDArray[np.float64]


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
    means = resampled_means(figures, seed=seed, resamples=resamples, block=block)
    low, high = np.percentile(means, LEVEL, axis=0)
    return figures.mean(axis=0), low, high


def share(count: int, total: int) -> tuple[float, float, float]:
    """Share with its 95 % interval (Wilson, Journal of the American Statistical Association 22, 1927).

    Unlike a bootstrap it stays open where all or none of few cases count.
    """
    interval = stats.binomtest(count, total).proportion_ci(0.95, method="wilson")
    return count / total, float(interval.low), float(interval.high)


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
