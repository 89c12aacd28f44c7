"""What all training loops share: the learning rate over the steps, and the moving average of the weights."""

from __future__ import annotations

import math

import torch
from torch import nn

WARM_UP_STEPS = 200


def annealing(step: int, steps: int, final: float) -> float:
    """Share of the peak learning rate: linear warm-up, then half a cosine that ends at ``final``."""
    cosine = (1 + math.cos(math.pi * step / steps)) / 2
    return min(1.0, (step + 1) / WARM_UP_STEPS) * (final + (1 - final) * cosine)


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, *, step: int, decay: float) -> None:
    """Move an average towards the network's weights; early on faster than ``decay`` has it."""
    keep = min(decay, step / (step + 10))
    for ours, theirs in zip(average.parameters(), network.parameters(), strict=True):
        ours.lerp_(theirs, 1 - keep)
