"""Losses on luma images [N, 1, H, W] in 0..1."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812  # the name everyone knows it by
from torch import Tensor

SSIM_WINDOW, SSIM_STRIDE = 8, 2
SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2


def gradient(image: Tensor) -> tuple[Tensor, Tensor]:
    """Differences to the right and to the lower neighbour: [N, 1, H, W - 1] and [N, 1, H - 1, W]."""
    return image[..., 1:] - image[..., :-1], image[..., 1:, :] - image[..., :-1, :]


def stronger_gradient(visible: Tensor, thermal: Tensor) -> tuple[Tensor, Tensor]:
    """Per pixel and direction the one of the two gradients that is larger in size."""
    pairs = zip(gradient(visible), gradient(thermal), strict=True)
    right, down = (torch.where(v.abs() >= t.abs(), v, t) for v, t in pairs)
    return right, down


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity (Wang et al., 2004), mean over the batch, in box windows at every second pixel.

    On a CPU a box is some five times as fast as the Gaussian of the paper, and as good a loss.
    """
    moments = F.avg_pool2d(torch.cat([a, b, a * a, b * b, a * b], dim=1), SSIM_WINDOW, SSIM_STRIDE)
    mean_a, mean_b, square_a, square_b, product = moments.unbind(dim=1)
    var_a, var_b, covariance = square_a - mean_a**2, square_b - mean_b**2, product - mean_a * mean_b
    light = (2 * mean_a * mean_b + SSIM_C1) / (mean_a**2 + mean_b**2 + SSIM_C1)
    structure = (2 * covariance + SSIM_C2) / (var_a + var_b + SSIM_C2)
    return (light * structure).mean()


def fidelity(fused: Tensor, visible: Tensor, thermal: Tensor, weights: tuple[float, float, float]) -> dict[str, Tensor]:
    """Source fidelity: the fused image keeps what either source shows, without any teacher.

    ``L = a |F - max(V, T)| + b |dF - dS| + c (1 - (ssim(F, V) + ssim(F, T)) / 2)``, where ``dS`` is, per pixel and
    direction, the stronger of the two source gradients (the terms of SeAFusion, Information Fusion 2022,
    and of U2Fusion, TPAMI 2022). Colour needs no term: chroma is copied from visible.

    Args:
        fused: [N, 1, H, W], not yet clipped.
        visible: [N, 1, H, W] in 0..1.
        thermal: [N, 1, H, W] in 0..1.
        weights: a, b and c.

    Returns:
        The weighted terms ``intensity``, ``gradient`` and ``ssim``; the loss is their sum.
    """
    wanted = stronger_gradient(visible, thermal)
    missed = [(ours - theirs).abs().mean() for ours, theirs in zip(gradient(fused), wanted, strict=True)]
    likeness = (ssim(fused, visible) + ssim(fused, thermal)) / 2
    return {
        "intensity": weights[0] * (fused - torch.maximum(visible, thermal)).abs().mean(),
        "gradient": weights[1] * (missed[0] + missed[1]) / 2,
        "ssim": weights[2] * (1 - likeness),
    }
