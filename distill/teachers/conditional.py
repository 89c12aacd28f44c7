"""The amortised teacher: a network conditioned on both images, trained on posterior samples only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from distill.planes import Planes
from distill.teachers.denoiser import Denoiser
from distill.teachers.samples import TARGET, load_samples
from distill.teachers.sampling import Sampling, reverse
from edgefusion.core.errors import InputError


class Conditional:
    """Draws what the posterior teacher would, without its likelihood steps.

    Args:
        denoiser: a network conditioned on two planes, visible and thermal.
        sampling: how samples are drawn.

    Raises:
        InputError: a network of another kind, or one that was trained on anything but posterior samples.
    """

    kind = "conditional"

    def __init__(self, denoiser: Denoiser, sampling: Sampling | None = None) -> None:
        if denoiser.conditions != 2 or denoiser.planes != 1:
            raise InputError(f"a network of {denoiser.conditions} conditions and {denoiser.planes} planes, not 2 and 1")
        if denoiser.manifest.get("target") != Lessons.target:
            raise InputError("a conditional teacher that was not trained on posterior samples")
        self.denoiser, self.sampling = denoiser, sampling or Sampling()

    def draw(self, visible: Tensor, thermal: Tensor, seeds: Sequence[int]) -> Tensor:
        """One fused luma image per row and seed: [N, 1, H, W] in 0..1.

        Args:
            visible: luma [N, 1, H, W] in 0..1.
            thermal: [N, 1, H, W] in 0..1.
            seeds: one per row, see ``sampling.sample_seed``.
        """
        condition = torch.cat([visible, thermal], dim=1) * 2 - 1
        drawn = reverse(self.denoiser, condition.mean(dim=1, keepdim=True), seeds, self.sampling, condition=condition)
        return (drawn / 2 + 0.5).clamp(0, 1)


class Lessons:
    """Training data of the conditional teacher: crops of posterior samples with their sources, flipped and turned.

    Args:
        pairs: what the samples were drawn for; they bring their planes, so none is read.
        samples: folder of posterior samples, see ``samples.save_samples``.
        crop_px: side of a crop.
        batch: crops per step over all processes.
        seed: of the whole run.

    Raises:
        InputError: samples of anything but the posterior teacher, or smaller than a crop.
    """

    kind = "conditional"
    target = f"conditional: {TARGET}"
    conditions = 2

    def __init__(self, pairs: Planes, *, samples: Path, crop_px: int, batch: int, seed: int) -> None:
        self._samples = load_samples(samples)
        self._size, self._batch, self._seed = crop_px, batch, seed
        if min(min(sample.shape[1:]) for sample in self._samples) < crop_px:
            raise InputError(f"samples smaller than {crop_px} px", where=samples, remedy="lower --crop-px")

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Fused [N, 1, crop_px, crop_px] and sources [N, 2, crop_px, crop_px] in -1..1 for one step."""
        draw = np.random.default_rng((self._seed, step))
        crops = torch.from_numpy(np.stack([self._crop(draw) for _ in range(self._batch)])) * 2 - 1
        return crops[:, 2:], crops[:, :2]

    def _crop(self, draw: np.random.Generator) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        sample = self._samples[int(draw.integers(len(self._samples)))]
        top, left = (int(draw.integers(0, side - self._size + 1)) for side in sample.shape[1:])
        crop = sample[:, top : top + self._size, left : left + self._size][:, :, :: draw.choice((-1, 1))]
        turned = crop.transpose(0, 2, 1) if draw.random() < 0.25 else crop
        return np.ascontiguousarray(turned, dtype=np.float32)
