"""Muon: steps that are orthogonal matrices, so that every direction of a layer's weights learns at the same pace.

Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024. A student's first and last
layers see sixteen phases of nearly the same picture: their gradients have few large directions and many small ones,
which decide about edges. Adam scales weights one by one and leaves the small directions behind (docs/method.md).

PyTorch's own takes no convolutions; timm's rounds to bfloat16 and keeps more than tensors in its state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
BETAS = 0.9, 0.99
BIAS_SHARE = 0.1
"""Biases and scales move by this share of the rate, by Adam."""
QUINTIC, ROUNDS = (3.4445, -4.7750, 2.0315), 5
"""Of the Newton-Schulz iteration: singular values from 0.005 up come to 0.7 to 1.2."""
TINY = 1e-8


class Muon(torch.optim.Optimizer):
    """Muon for weights (convolutions as [out, in * h * w]), Adam for what has one dimension.

    Args:
        parameters: of the network.
        lr: spectral norm of a step of a weight; ``BIAS_SHARE`` of it is a step of a bias.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float) -> None:
        super().__init__(parameters, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]  # there is no closure
        """Move every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    move = self._matrix if parameter.ndim > 1 else self._vector
                    parameter -= group["lr"] * move(parameter.grad, self.state[parameter])

    def _matrix(self, gradient: Tensor, state: dict[str, Tensor]) -> Tensor:
        if not state:
            state["momentum"] = torch.zeros_like(gradient)
        ahead = gradient.lerp(state["momentum"].lerp_(gradient, 1 - MOMENTUM), MOMENTUM)  # Nesterov
        return orthogonal(ahead.flatten(1)).reshape(gradient.shape)

    def _vector(self, gradient: Tensor, state: dict[str, Tensor]) -> Tensor:
        if not state:
            state["steps"] = torch.zeros((), device=gradient.device)
            state |= {name: torch.zeros_like(gradient) for name in ("mean", "square")}
        steps = state["steps"].add_(1)
        mean = state["mean"].lerp_(gradient, 1 - BETAS[0])
        square = state["square"].lerp_(gradient.square(), 1 - BETAS[1])
        size = (square / (1 - BETAS[1] ** steps)).sqrt() + TINY
        return BIAS_SHARE * mean / (1 - BETAS[0] ** steps) / size


def orthogonal(matrix: Tensor) -> Tensor:
    """About the nearest matrix whose singular values are 1: ``U V'`` of ``U S V'``, [rows, columns]; 0 stays 0."""
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    now: Tensor = wide / (wide.norm() + TINY)
    first, third, fifth = QUINTIC
    for _ in range(ROUNDS):
        gram = now @ now.T
        now = first * now + (third * gram + fifth * gram @ gram) @ now
    return now if wide is matrix else now.T
