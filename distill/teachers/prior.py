"""The prior: what single luma and thermal images look like, learnt without any fused image."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from diffusers import DDPMScheduler, UNet2DModel
from torch import Tensor

from distill.crops import CropSampler
from distill.planes import Planes

WIDTHS = (48, 96, 128)
PATCH = 2


def network(widths: tuple[int, ...] = WIDTHS, *, patch: int = PATCH, conditions: int = 0) -> Any:
    """A ``UNet2DModel`` without attention on ``patch`` x ``patch`` blocks of one plane: 3.2 million parameters.

    Attention would tie it to the size it was trained at, and full frames are several times that.

    Args:
        widths: channels per resolution, multiples of 16.
        patch: side in pixels of the block that becomes channels.
        conditions: further planes it sees.
    """
    depth = len(widths)
    return UNet2DModel(
        sample_size=96 // patch,
        in_channels=(1 + conditions) * patch**2,
        out_channels=patch**2,
        block_out_channels=widths,
        layers_per_block=1,
        norm_num_groups=16,
        down_block_types=("DownBlock2D",) * depth,
        up_block_types=("UpBlock2D",) * depth,
        add_attention=False,
    )


def schedule() -> Any:
    """A ``DDPMScheduler``: cosine (Nichol and Dhariwal, ICML 2021) with v-prediction (Salimans and Ho, ICLR 2022).

    Its last step has a signal-to-noise ratio of 2e-9, so it needs no rescaling to zero (Lin et al., WACV 2024);
    epsilon says nothing there, v does. ``trailing`` steps begin at that last one however few are taken.
    """
    return DDPMScheduler(
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        clip_sample=False,
    )


class Lessons:
    """Training data of the prior: crops of visible luma and of thermal in equal parts, flipped and turned.

    Args:
        pairs: what crops are drawn from.
        crop_px: side of a crop.
        batch: crops per step over all processes.
        seed: of the whole run.
    """

    kind = "prior"
    target = "prior: single luma or thermal planes, unconditional; no fused image, no other network's output"
    conditions = 0

    def __init__(self, pairs: Planes, *, crop_px: int, batch: int, seed: int) -> None:
        self._sampler = CropSampler(pairs, size=crop_px, batch=batch, seed=seed, degraded=False)

    def batch(self, step: int) -> tuple[Tensor, None]:
        """[N, 1, crop_px, crop_px] in -1..1 for one step, and no condition."""
        crops = self._sampler.batch(step)
        planes = crops[np.arange(len(crops)), np.arange(len(crops)) % 2]
        return torch.from_numpy(planes)[:, None] * 2 - 1, None
