"""Figures that look at grey levels without their place: histograms and second moments."""

# mypy: disable-error-code="no-untyped-def"
# numba infers the types.

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

Counts = npt.NDArray[np.int64]

FLAT = 1e-9
"""A variance up to this (grey levels squared) is that of a constant image, rounded.

One pixel of a thousand million that differs by one level gives as much.
"""


@njit(cache=True)
def joint_histogram(first, second):
    """Count the pairs of levels in two [H,W] images of bytes: [256,256], rows by the first image's level."""
    counts = np.zeros((256, 256), np.int64)
    for y in range(first.shape[0]):
        for x in range(first.shape[1]):
            counts[first[y, x], second[y, x]] += 1
    return counts


def entropy_bits(counts: Counts) -> float:
    """Entropy of a histogram."""
    share = counts[counts > 0] / counts.sum()
    return max(0.0, -float((share * np.log2(share)).sum()))


def mutual_information_nats(joint: Counts) -> float:
    """Mutual information of the two images behind a joint histogram."""
    total = joint.sum()
    rows, columns = np.nonzero(joint)
    share = joint[rows, columns] / total
    independent = (joint.sum(axis=1) / total)[rows] * (joint.sum(axis=0) / total)[columns]
    return max(0.0, float((share * np.log(share / independent)).sum()))


class Moments(NamedTuple):
    """Variances and covariances, in grey levels squared, of fused (f), visible (v), thermal (t) and differences."""

    f: float
    v: float
    t: float
    f_less_v: float
    f_less_t: float
    f_with_v: float
    f_with_t: float
    f_less_v_with_t: float
    f_less_t_with_v: float


# Sums may be taken in any order, which makes them several lanes wide. NaN and infinity keep their meaning.
@njit(cache=True, fastmath={"reassoc", "contract"})
def _mean(image):
    total = 0.0
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            total += image[y, x]
    return total / image.size


@njit(cache=True, fastmath={"reassoc", "contract"})
def _moments(images):
    fused, visible, thermal = images[0], images[1], images[2]
    mean_f, mean_v, mean_t = _mean(fused), _mean(visible), _mean(thermal)
    ff, vv, tt, dd, ee, fv, ft, dt, ev = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for y in range(fused.shape[0]):
        for x in range(fused.shape[1]):
            f, v, t = fused[y, x] - mean_f, visible[y, x] - mean_v, thermal[y, x] - mean_t
            d, e = f - v, f - t
            ff, vv, tt, dd, ee = ff + f * f, vv + v * v, tt + t * t, dd + d * d, ee + e * e
            fv, ft, dt, ev = fv + f * v, ft + f * t, dt + d * t, ev + e * v
    return ff, vv, tt, dd, ee, fv, ft, dt, ev


def second_moments(images: npt.NDArray[np.float64]) -> Moments:
    """Moments of fused, visible, thermal [3,H,W].

    Those of the differences are summed as such: derived from the others, a constant difference would not cancel.
    """
    return Moments(*(total / images[0].size for total in _moments(images)))


def correlation(covariance: float, variance: float, other_variance: float) -> float:
    """Pearson's coefficient; 0 where one of the two does not vary, for then nothing correlates with it."""
    if min(variance, other_variance) <= FLAT:
        return 0.0
    return float(covariance / np.sqrt(variance * other_variance))
