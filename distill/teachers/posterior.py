"""The reference teacher: samples of an unconditional prior, held to both images while they are drawn."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from distill.teachers.denoiser import Denoiser
from distill.teachers.likelihood import Likelihood, Measurement
from distill.teachers.sampling import Sampling, reverse

_LUMA = (0.299, 0.587, 0.114)


class Posterior:
    """Training-free posterior sampling in the manner of DDFM (Zhao et al., ICCV 2023, algorithm 1).

    At each reverse step the prior's clean image (Tweedie) is rectified by ``Likelihood``, and the next noisy image is
    drawn from the rectified one. The measurement is that module's; its equations and sources are there. A prior of RGB
    images is measured by its luma alone: the difference is added to all three planes, so their chroma stays its own.

    Args:
        denoiser: any unconditional prior, of one plane or of RGB.
        sampling: how samples are drawn.
        measurement: how the sources are believed.
    """

    kind = "posterior"

    def __init__(
        self, denoiser: Denoiser, sampling: Sampling | None = None, measurement: Measurement | None = None
    ) -> None:
        self.denoiser, self.sampling = denoiser, sampling or Sampling()
        self.measurement = measurement or Measurement()

    def draw(self, visible: Tensor, thermal: Tensor, seeds: Sequence[int]) -> Tensor:
        """One fused luma image per row and seed: [N, 1, H, W] in 0..1.

        Args:
            visible: luma [N, 1, H, W] in 0..1.
            thermal: [N, 1, H, W] in 0..1.
            seeds: one per row, see ``sampling.sample_seed``.
        """
        likelihood = Likelihood(visible, thermal, self.measurement)

        def rectify(clean: Tensor, variance: float) -> Tensor:
            luma = self._luma(clean) / 2 + 0.5
            return clean + 2 * (likelihood.rectify(luma, variance) - luma)

        first = (2 * likelihood.start() - 1).expand(-1, self.denoiser.planes, -1, -1)
        drawn = reverse(self.denoiser, first, seeds, self.sampling, rectify=rectify)
        return (self._luma(drawn) / 2 + 0.5).clamp(0, 1)

    def _luma(self, image: Tensor) -> Tensor:
        if self.denoiser.planes == 1:
            return image
        weights = torch.tensor(_LUMA, device=image.device)[:, None, None]
        return (image * weights).sum(dim=1, keepdim=True)
