"""Mean and variance of samples that are seen once and never kept."""

from __future__ import annotations

import torch
from torch import Tensor


class Welford:
    """Running mean and variance (Welford, Technometrics 4, 1962).

    Attributes:
        count: samples seen.
        mean: of any shape; 0 before the first sample.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.zeros(())
        self._squares = torch.zeros(())

    def add(self, sample: Tensor) -> None:
        """Take one sample in; all are of one shape."""
        self.count += 1
        before = sample - self.mean
        self.mean = self.mean + before / self.count
        self._squares = self._squares + before * (sample - self.mean)

    @property
    def variance(self) -> Tensor:
        """Over K - 1, so that it does not grow with K; 0 of a single sample."""
        return self._squares / max(self.count - 1, 1)
