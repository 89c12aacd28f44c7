"""What a student is asked for: the ensemble's two signals and, if wanted, its sources; each can be switched off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from distill.backbones import Backbone
from distill.examples import Batch
from distill.losses import fidelity
from distill.signals import feature_loss, gradient_loss, pixel_loss, pixel_weights, routing

SOURCE_TERMS = (1.0, 20.0, 0.3)
"""Intensity, gradient and SSIM inside the fidelity term: those of the baseline."""


@dataclass(frozen=True)
class Objective:
    """Weights and switches of the loss; see ``loss_terms``.

    Attributes:
        pixel: weight of L_pix.
        gradient: weight of L_grad.
        feature: weight of L_feat.
        fidelity: weight of source fidelity.
        tau: temperature of the routing.
        weights: whether variance weighs L_pix and L_grad.
        routing: whether variance routes L_feat.
    """

    pixel: float = 1.0
    gradient: float = 10.0
    feature: float = 0.1
    fidelity: float = 0.0
    tau: float = 1.0
    weights: bool = True
    routing: bool = True

    def in_words(self) -> str:
        """What is asked for, for the manifest: the terms that are on, with their switches."""
        terms, how = [], "weighted" if self.weights else "unweighted"
        if self.pixel:
            terms.append(f"image-space signal {self.pixel:g} {how}")
        if self.gradient:
            terms.append(f"its gradients {self.gradient:g} {how}")
        if self.feature:
            how = f"routed, tau {self.tau:g}" if self.routing else "unrouted"
            terms.append(f"feature-space signal {self.feature:g} {how}")
        if self.fidelity:
            terms.append(f"source fidelity {self.fidelity:g}")
        return f"distillation of a diffusion ensemble: {'; '.join(terms)}"


def loss_terms(fused: Tensor, batch: Batch, eyes: Sequence[Backbone], objective: Objective) -> dict[str, Tensor]:
    """``L = pixel L_pix + gradient L_grad + feature L_feat + fidelity L_fid``.

    ``L_pix``, ``L_grad`` and ``L_feat`` as in ``distill.signals``; without ``weights`` the first two are plain L1 to
    the mean, without ``routing`` L_feat listens to all layers alike. ``L_fid`` is ``losses.fidelity`` on the clean,
    aligned sources. A term of weight 0 is neither computed nor named.

    Args:
        fused: [N, 1, H, W], not yet clipped, so that there is a gradient everywhere.
        batch: what was fused.
        eyes: the backbones of ``batch.layers``, in that order.
        objective: see ``Objective``.

    Returns:
        The weighted terms; the loss is their sum.
    """
    terms: dict[str, Tensor] = {}
    weights = pixel_weights(batch.variance) if objective.weights else torch.ones_like(batch.variance)
    if objective.gradient:
        terms["gradient"] = objective.gradient * gradient_loss(fused, batch.mean, weights)
    if objective.pixel:
        terms["pixel"] = objective.pixel * pixel_loss(fused, batch.mean, weights)
    if objective.feature:
        grid = (batch.layers[0].mean.shape[2], batch.layers[0].mean.shape[3])
        routes = routing(batch.layers, objective.tau, grid) if objective.routing else None
        seen = [layer.float() for eye in eyes for layer in eye.features(fused)]
        terms["feature"] = objective.feature * feature_loss(seen, batch.layers, routes)
    if objective.fidelity:
        parts = fidelity(fused, batch.sources[:, :1], batch.sources[:, 1:], SOURCE_TERMS)
        terms["fidelity"] = objective.fidelity * torch.stack(list(parts.values())).sum()
    return terms
