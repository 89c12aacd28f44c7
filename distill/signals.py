"""The two training signals: what the teacher's samples agree on, in image space and inside frozen backbones.

Symbols as in docs/method.md: ``y_1..y_K`` are the ensemble's samples of one pair, ``p`` a pixel, ``b`` a backbone,
``l`` one of its layers. Source: FusionProxy (arXiv 2605.06010).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812  # the name everyone knows it by
from torch import Tensor

from distill.losses import gradient

TINY = 1e-12


class LayerStatistics(NamedTuple):
    """What the ensemble looks like to one layer of a backbone.

    Attributes:
        mean: [N, C, h, w], ``mean_k f_bl(y_k)``.
        variance: [N, h, w], ``mean_c var_k f_bl(y_k)``.
    """

    mean: Tensor
    variance: Tensor


def pixel_weights(variance: Tensor) -> Tensor:
    """Weights that fall where samples disagree: ``w(p) = 1 / (s2(p) + mean_p s2)``, scaled to a mean of 1.

    The optimal weights of measurements with that variance (weighted least squares), with the image's mean as a floor:
    certain pixels count at most twice what a pixel of mean variance does. Equal variance everywhere gives ones.

    Args:
        variance: [N, 1, H, W], ``s2(p) = var_k`` of luma.

    Returns:
        [N, 1, H, W], mean 1 for each image.
    """
    weights = 1 / (variance + variance.mean(dim=(1, 2, 3), keepdim=True) + TINY)
    return weights / weights.mean(dim=(1, 2, 3), keepdim=True)


def pixel_loss(student: Tensor, mean: Tensor, weights: Tensor) -> Tensor:
    """``L_pix = mean_p w(p) |student(p) - mu(p)|``.

    Args:
        student: [N, 1, H, W], fused luma, not yet clipped.
        mean: [N, 1, H, W], ``mu = mean_k y_k``.
        weights: [N, 1, H, W], ``w`` of ``pixel_weights``, or ones (ablation).
    """
    return (weights * (student - mean).abs()).mean()


def gradient_loss(student: Tensor, mean: Tensor, weights: Tensor) -> Tensor:
    """``L_grad = mean_p,d w(p) |d student(p) - d mu(p)|``, over differences d to the right and to the lower neighbour.

    ``L_pix`` hardly feels whether an edge is sharp: a student as small as these blurs it for less than its level costs.

    Args:
        student: [N, 1, H, W], fused luma, not yet clipped.
        mean: [N, 1, H, W], ``mu``.
        weights: as in ``pixel_loss``; a difference has that of its left or upper pixel.
    """
    right, down = (ours - theirs for ours, theirs in zip(gradient(student), gradient(mean), strict=True))
    return ((weights[..., :-1] * right.abs()).mean() + (weights[..., :-1, :] * down.abs()).mean()) / 2


def relative_variance(layer: LayerStatistics) -> Tensor:
    """``v_bl(p) = mean_c var_k f_bl(p) / E_bl``, [N, h, w]; the energy ``E_bl`` is the mean of squares over p, c and k.

    ``mean_k f^2 = (mean_k f)^2 + var_k f``, so that v is 0 where samples agree, 1 on average where they have nothing
    in common, and does not depend on the layer's scale.
    """
    energy = layer.mean.square().mean(dim=(1, 2, 3)) + layer.variance.mean(dim=(1, 2))
    return layer.variance / (energy[:, None, None] + TINY)


def routing(layers: Sequence[LayerStatistics], tau: float, grid: tuple[int, int]) -> Tensor:
    """``r_bl(p) = softmax_bl(-v_bl(p) / tau)``: each pixel listens to the layers that are sure there.

    Args:
        layers: of all backbones.
        tau: temperature, above 0; a large one listens to all layers alike.
        grid: (height, width) on which layers are compared.

    Returns:
        [N, layers, height, width], sum 1 over layers.
    """
    maps = torch.stack([_on_grid(relative_variance(layer)[:, None], grid)[:, 0] for layer in layers], dim=1)
    return torch.softmax(-maps / tau, dim=1)


def feature_loss(student: Sequence[Tensor], layers: Sequence[LayerStatistics], routes: Tensor | None) -> Tensor:
    """``L_feat = sum_bl mean_p r_bl(p) (1 - cos(f_bl(student)(p), mean_k f_bl(y_k)(p)))``.

    Args:
        student: [N, C, h, w] for each layer, what it sees in the student's image.
        layers: the ensemble's statistics, in the same order.
        routes: of ``routing``; None listens to all layers alike (ablation).
    """
    grid = tuple(layers[0].mean.shape[2:]) if routes is None else tuple(routes.shape[2:])
    distances = [
        _on_grid(1 - F.cosine_similarity(ours, layer.mean, dim=1)[:, None], (grid[0], grid[1]))[:, 0]
        for ours, layer in zip(student, layers, strict=True)
    ]
    stacked = torch.stack(distances, dim=1)
    weighted = stacked / len(layers) if routes is None else stacked * routes
    return weighted.sum(dim=1).mean()


def _on_grid(maps: Tensor, grid: tuple[int, int]) -> Tensor:
    """[N, 1, h, w] -> [N, 1, *grid]: means where the grid is coarser, in between where it is finer."""
    if maps.shape[2] >= grid[0] and maps.shape[3] >= grid[1]:
        return F.adaptive_avg_pool2d(maps, grid)
    return F.interpolate(maps, grid, mode="bilinear", align_corners=False)
