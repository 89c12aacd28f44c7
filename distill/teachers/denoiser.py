"""A diffusion network as what it is for: an estimate of the clean image behind a noisy one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  # the name everyone knows it by
from torch import Tensor

from edgefusion.core.errors import InputError

LAYOUTS = {1: (1, 1), 3: (3, 1), 4: (1, 2), 12: (3, 2), 16: (1, 4), 48: (3, 4)}
"""Channels a network gives out -> (planes of the image, side of the pixel block that became channels)."""


@dataclass(frozen=True)
class Denoiser:
    """A UNet with its noise schedule.

    Images are [N, planes, H, W] in -1..1, as diffusers has them, of any size: they are continued by reflection to
    what the network's strides ask for. A network of ``patch`` p works on p x p blocks of pixels as channels, which
    costs a p^2-th of the time at full resolution and little quality (Luhman and Luhman, arXiv 2207.04316;
    Hoogeboom et al., "simple diffusion", ICML 2023).

    Attributes:
        unet: a ``UNet2DModel``, in evaluation mode. diffusers is not typed.
        schedule: a ``DDPMScheduler``: ``alphas_cumprod`` and the kind of prediction.
        digest: SHA-256 of weights and configs, in hexadecimal.
        manifest: what the folder says about its training; empty for a foreign checkpoint.
    """

    unet: Any
    schedule: Any
    digest: str = ""
    manifest: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.unet.config.out_channels not in LAYOUTS:
            known = ", ".join(map(str, LAYOUTS))
            raise InputError(f"a network of {self.unet.config.out_channels} output channels", remedy=f"known: {known}")

    @property
    def planes(self) -> int:
        """1 for luma or thermal, 3 for RGB."""
        return LAYOUTS[self.unet.config.out_channels][0]

    @property
    def patch(self) -> int:
        """Side in pixels of the block that the network sees as channels."""
        return LAYOUTS[self.unet.config.out_channels][1]

    @property
    def conditions(self) -> int:
        """Planes the network is conditioned on: none, or visible and thermal."""
        return int(self.unet.config.in_channels - self.unet.config.out_channels) // self.patch**2

    @property
    def stride(self) -> int:
        """What height and width must be multiples of, in pixels."""
        return int(self.patch * 2 ** (len(self.unet.config.block_out_channels) - 1))

    def clean(self, noisy: Tensor, step: int, *, condition: Tensor | None = None) -> Tensor:
        """The expected clean image (Tweedie): ``E[x_0 | x_t]``.

        Args:
            noisy: [N, planes, H, W], x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) e.
            step: t, 0..999.
            condition: [N, conditions, H, W], as the network was trained.
        """
        steps = torch.full((len(noisy),), step, device=noisy.device)
        return self.clean_of(noisy, self.predict(self.unet, noisy, steps, condition), steps)

    def predict(self, unet: Any, noisy: Tensor, steps: Tensor, condition: Tensor | None = None) -> Tensor:
        """What a network of this layout says, as an image: noise, v or the clean image itself."""
        height, width = noisy.shape[-2:]
        parts = noisy if condition is None else torch.cat([noisy, condition], dim=1)
        tall, wide = (-side % self.stride for side in (height, width))
        mode = "reflect" if tall < height and wide < width else "replicate"
        blocks = F.pixel_unshuffle(F.pad(parts, (0, wide, 0, tall), mode), self.patch)
        image: Tensor = F.pixel_shuffle(unet(blocks, steps).sample.float(), self.patch)
        return image[..., :height, :width]

    def clean_of(self, noisy: Tensor, predicted: Tensor, steps: Tensor) -> Tensor:
        """The clean image that a prediction stands for (v: Salimans and Ho, ICLR 2022)."""
        signal, noise = self.scales(steps)
        kind = self.schedule.config.prediction_type
        if kind == "epsilon":
            return (noisy - noise * predicted) / signal.clamp_min(1e-4)
        return predicted if kind == "sample" else signal * noisy - noise * predicted

    def wanted(self, clean: Tensor, noise: Tensor, steps: Tensor) -> Tensor:
        """What the network should predict in training."""
        signal, sigma = self.scales(steps)
        kinds = {"sample": clean, "epsilon": noise, "v_prediction": signal * noise - sigma * clean}
        target: Tensor = kinds[self.schedule.config.prediction_type]
        return target

    def scales(self, steps: Tensor) -> tuple[Tensor, Tensor]:
        """sqrt(a_t) and sqrt(1 - a_t), [N, 1, 1, 1]."""
        share: Tensor = self.schedule.alphas_cumprod.to(steps.device)[steps][:, None, None, None]
        return share.sqrt(), (1 - share).sqrt()
