"""What two images say about the fused one: the measurement that posterior sampling is guided by.

Let V and T be the sources, S_z with z in {V, T}, and f the fused luma, all in 0..1. Two things are measured:

    intensity, per pixel p:        p(S | f_p)   = sum_z pi_z(p)  Laplace(f_p - S_z(p); b)
    difference, per direction d:   p(dS | df_p) = sum_z rho_z(p) Laplace(d f_p - d S_z(p); g)

which source is seen where is hidden, and has a prior from the sources alone (as log odds; G blurs by ``coherence_px``):

    log pi_V / pi_T   = k G(V - T)                                       the brighter one: lamps, warm bodies
    log rho_V / rho_T = q/2 log((dV^2 + n^2) / (dT^2 + n^2)) + c log pi_V / pi_T     the stronger structure

Differences below the noise n tell nothing, so that they come from the source of the level: what is flat is copied from
one source, noise of the other stays out, and only structure that stands out is brought in from both.

DDFM (Zhao et al., ICCV 2023, section 3) measures f - T and f - V at once, by Laplace laws whose scales are hidden: an
image that owes both sources the same, that is, close to their average and of low contrast. Here the hidden variable is
the source itself, so that EM chooses rather than averages; gradients as a measurement are those of Poisson editing
(Perez et al., SIGGRAPH 2003) and of gradient transfer fusion (Ma et al., Information Fusion 31, 2016).

Given the prior's estimate x with variance r^2 (pseudoinverse guidance: Song et al., ICLR 2023), one EM iteration is

    E   m_z  = pi_z exp(-|f - S_z| / b) / sum_z' ...               likewise for the differences
        w_z  = m_z / (b |f - S_z|)                                 Laplace as a Gaussian of hidden scale (DDFM, eq. 16)
        h    = sum_z w_z S_z / sum_z w_z,  and so (h_right, h_down) of the differences
    M   f    = argmin |f - x|^2 / r^2 + |f - h|^2 / s_I^2 + |grad f - (h_right, h_down)|^2 / s_G^2

The precision of what is measured is the same at every pixel, so that M is a screened Poisson equation with constant
coefficients, which one Fourier transform solves (half-quadratic splitting: Geman and Yang, IEEE TIP 4, 1995).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  # the name everyone knows it by
from torch import Tensor

from edgefusion.core.errors import UsageError

_FLOOR = 1e-3
"""Distances below a quarter of a grey level are all the same."""


@dataclass(frozen=True)
class Measurement:
    """How the sources are believed; the letters are those of the module's equations.

    The defaults were chosen on pairs of the training split, by the metrics of ``edgefusion.metrics.fusion``.

    Attributes:
        steepness: k; how decidedly the brighter source is taken.
        coherence_px: standard deviation of G; neighbours are of one source.
        intensity_scale: b, in units of full range.
        gradient_scale: g.
        selectivity: q; how decidedly the stronger difference is taken.
        difference_noise: n; a difference of this size may be noise.
        coupling: c; how much the source of the level is that of the differences.
        intensity_noise: s_I.
        gradient_noise: s_G.
        iterations: of EM, each time the prior has spoken.
    """

    steepness: float = 30.0
    coherence_px: float = 2.0
    intensity_scale: float = 0.1
    gradient_scale: float = 0.1
    selectivity: float = 8.0
    difference_noise: float = 0.018
    coupling: float = 0.6
    intensity_noise: float = 0.04
    gradient_noise: float = 0.005
    iterations: int = 3

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            divides = name.endswith(("_scale", "_noise", "iterations"))
            if not 0 <= value < math.inf or (divides and not value):
                raise UsageError(
                    f"a measurement with {name} {value}", remedy=f"choose a number {'above' if divides else 'from'} 0"
                )


def parse_measurement(text: str) -> Measurement:
    """``steepness=10,selectivity=4``; what is not named keeps its default.

    Raises:
        UsageError: an unknown name, or a value that is no number of its kind.
    """
    usual = {field.name: field.default for field in fields(Measurement)}
    chosen: dict[str, Any] = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        if name not in usual:
            raise UsageError(f"--measure {part}", remedy=f"give NAME=NUMBER by comma; names: {', '.join(usual)}")
        try:
            chosen[name] = int(value) if name == "iterations" else float(value)
        except ValueError as error:
            kind = "a whole number" if name == "iterations" else "a number"
            raise UsageError(f"--measure {part}", remedy=f"{name} is {kind}, {usual[name]} by default") from error
    return Measurement(**chosen)


class Likelihood:
    """The measurement for one batch of pairs.

    Args:
        visible: luma [N, 1, H, W] in 0..1.
        thermal: [N, 1, H, W] in 0..1.
        measurement: see ``Measurement``.
    """

    def __init__(self, visible: Tensor, thermal: Tensor, measurement: Measurement) -> None:
        self._law = measurement
        self._odds = measurement.steepness * blurred(visible - thermal, measurement.coherence_px)
        self._sources = visible, thermal
        self._steps = tuple(zip(differences(visible), differences(thermal), strict=True))
        structure = measurement.selectivity / 2
        coupled, noise = measurement.coupling * self._odds, measurement.difference_noise**2
        self._step_odds = [
            structure * torch.log((v.square() + noise) / (t.square() + noise)) + coupled for v, t in self._steps
        ]

    def start(self) -> Tensor:
        """What the measurement says before any prior has: [N, 1, H, W]."""
        visible, thermal = self._sources
        share = torch.sigmoid(self._odds)
        return self.rectify(share * visible + (1 - share) * thermal, math.inf)

    def rectify(self, estimate: Tensor, variance: float) -> Tensor:
        """The most likely fused image, given an estimate of the prior and its variance: [N, 1, H, W].

        Args:
            estimate: x, [N, 1, H, W] in 0..1.
            variance: r^2; infinite where the estimate is only a place to start.
        """
        law, fused = self._law, estimate
        trust = 1 / max(variance, 1e-6)
        level, slope = law.intensity_noise**-2, law.gradient_noise**-2
        for _ in range(law.iterations):
            seen = _chosen(fused, *self._sources, self._odds, law.intensity_scale)
            right, down = (
                _chosen(ours, *theirs, odds, law.gradient_scale)
                for ours, theirs, odds in zip(differences(fused), self._steps, self._step_odds, strict=True)
            )
            wanted = trust * estimate + level * seen + slope * divergence(right, down)
            fused = solve_screened_poisson(wanted, trust + level, slope)
        return fused


def _chosen(fused: Tensor, visible: Tensor, thermal: Tensor, odds: Tensor, scale: float) -> Tensor:
    """The E step: h of the module's equations."""
    far = [(fused - source).abs() for source in (visible, thermal)]
    share = torch.sigmoid(odds - (far[0] - far[1]) / scale)
    weights = share / (far[0] + _FLOOR), (1 - share) / (far[1] + _FLOOR)
    return (weights[0] * visible + weights[1] * thermal) / (weights[0] + weights[1])


def blurred(image: Tensor, sigma_px: float) -> Tensor:
    """Gaussian blur, the border continued by its last pixel: [N, 1, H, W]."""
    if not sigma_px:
        return image
    radius = math.ceil(3 * sigma_px)
    taps = torch.exp(-(torch.arange(-radius, radius + 1).to(image) ** 2) / (2 * sigma_px**2))
    taps = taps / taps.sum()
    padded = F.pad(image, (radius,) * 4, "replicate")
    return F.conv2d(F.conv2d(padded, taps[None, None, None]), taps[None, None, :, None])


def differences(image: Tensor) -> tuple[Tensor, Tensor]:
    """To the right and to the lower neighbour, 0 at the last: two of [N, 1, H, W]."""
    right, down = torch.zeros_like(image), torch.zeros_like(image)
    right[..., :-1] = image[..., 1:] - image[..., :-1]
    down[..., :-1, :] = image[..., 1:, :] - image[..., :-1, :]
    return right, down


def divergence(right: Tensor, down: Tensor) -> Tensor:
    """The adjoint of ``differences``."""
    out = torch.zeros_like(right)
    out[..., :-1] -= right[..., :-1]
    out[..., 1:] += right[..., :-1]
    out[..., :-1, :] -= down[..., :-1, :]
    out[..., 1:, :] += down[..., :-1, :]
    return out


def solve_screened_poisson(wanted: Tensor, level: float, slope: float) -> Tensor:
    """Solves ``level f + slope D'D f = wanted`` for f, D = ``differences``, exactly: [N, 1, H, W].

    The border is free (Neumann), so the image continued by its mirror is periodic, and Fourier diagonalises D'D.
    """
    height, width = wanted.shape[-2:]
    mirrored = torch.cat([wanted, wanted.flip(-1)], dim=-1)
    spectrum = torch.fft.rfft2(torch.cat([mirrored, mirrored.flip(-2)], dim=-2))
    turns_y = torch.arange(2 * height, device=wanted.device) / (2 * height)
    turns_x = torch.arange(width + 1, device=wanted.device) / (2 * width)
    stiffness = 4 - 2 * torch.cos(2 * math.pi * turns_y)[:, None] - 2 * torch.cos(2 * math.pi * turns_x)[None]
    solved: Tensor = torch.fft.irfft2(spectrum / (level + slope * stiffness), s=(2 * height, 2 * width))
    return solved[..., :height, :width]
