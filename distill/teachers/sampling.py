"""Drawing images by reverse diffusion: schedulers, seeds and tiles."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler
from torch import Tensor

from distill.teachers.denoiser import Denoiser
from edgefusion.core.errors import UsageError

PRECISIONS = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
Rectify = Callable[[Tensor, float], Tensor]
"""(clean estimate [N, planes, H, W] in -1..1, its variance in 0..1 units) -> a better one."""


@dataclass(frozen=True)
class Sampling:
    """How samples are drawn.

    Attributes:
        scheduler: ``ddim`` (Song et al., ICLR 2021) or ``dpmsolver`` (DPM-Solver++, Lu et al., 2022) of diffusers.
        steps: evaluations of the network per sample.
        start: share of the noise schedule to begin at; 1 is pure noise, less begins at the diffused first guess
            ("come closer, diffuse faster", Chung et al., CVPR 2022).
        eta: of DDIM; 1 draws new noise at each step, 0 none.
        tile_px: side of a tile; images up to this size go through the network whole.
        overlap_px: pixels that neighbouring tiles share, blended linearly.
        precision: ``no`` (FP32), ``bf16`` or ``fp16``, of the network under autocast.
    """

    scheduler: str = "ddim"
    steps: int = 10
    start: float = 0.5
    eta: float = 1.0
    tile_px: int = 256
    overlap_px: int = 64
    precision: str = "no"

    def __post_init__(self) -> None:
        if self.scheduler not in ("ddim", "dpmsolver"):
            raise UsageError(f"no scheduler {self.scheduler!r}", remedy="choose ddim or dpmsolver")
        if self.precision not in PRECISIONS:
            raise UsageError(f"no precision {self.precision!r}", remedy=f"choose from {', '.join(PRECISIONS)}")
        if not 0 <= self.eta <= 1:
            raise UsageError(f"an eta of {self.eta}", remedy="choose 0 (no new noise) to 1")
        if self.steps < 1 or not 0 < self.start <= 1 or not 0 <= self.overlap_px < self.tile_px:
            raise UsageError(
                f"{self.steps} steps from {self.start}, tiles of {self.tile_px} px sharing {self.overlap_px}",
                remedy="steps from 1, start above 0 and up to 1, an overlap smaller than the tile",
            )


def sample_seed(pair: str, sample: int, seed: int) -> int:
    """The seed of one sample of one pair: the same in whatever batch, process or order it is drawn."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{pair}/{sample}".encode()).digest()[:7], "big")


class Noise:
    """One stream of noise per sample, drawn at the size of the whole image, so that tiles share it."""

    def __init__(self, seeds: Sequence[int], shape: Sequence[int], device: torch.device) -> None:
        self._draws = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._shape, self._device = tuple(shape), device

    def field(self) -> Tensor:
        """[N, planes, H, W] of standard normal noise."""
        return torch.stack([torch.randn(self._shape, generator=draw) for draw in self._draws]).to(self._device)


@torch.no_grad()
def reverse(
    denoiser: Denoiser,
    first: Tensor,
    seeds: Sequence[int],
    sampling: Sampling,
    *,
    rectify: Rectify = lambda clean, variance: clean,
    condition: Tensor | None = None,
) -> Tensor:
    """One image per seed, [N, planes, H, W] in -1..1.

    At each step the network's clean image is rectified, and the scheduler is told that one.

    Args:
        denoiser: the network and its noise schedule.
        first: [N, planes, H, W] in -1..1, the first guess; what is left of it at ``start`` 1 is nothing.
        seeds: one per image.
        sampling: see ``Sampling``.
        rectify: makes a clean estimate agree with what is measured.
        condition: [N, conditions, H, W].
    """
    scheduler, times = _schedule(denoiser, sampling, first.device)
    noise = Noise(seeds, first.shape[1:], first.device)
    signal, sigma = denoiser.scales(times[:1])
    noisy = signal * first + sigma * noise.field()
    for time in times:
        clean = tiled(denoiser, noisy, int(time), sampling, condition)
        better = rectify(clean, _variance(denoiser, time))
        noisy = _step(scheduler, better, time, noisy, noise, sampling)
    return noisy


def tiled(denoiser: Denoiser, noisy: Tensor, time: int, sampling: Sampling, condition: Tensor | None = None) -> Tensor:
    """The clean estimate of an image of any size, from overlapping tiles: [N, planes, H, W].

    Tiles are blended at every step rather than at the end, so that all go on from one image and no seam can grow
    (MultiDiffusion: Bar-Tal et al., ICML 2023).
    """
    total, weight = torch.zeros_like(noisy), torch.zeros_like(noisy[:1, :1])
    for rows, ramp_y in _spans(noisy.shape[-2], sampling):
        for columns, ramp_x in _spans(noisy.shape[-1], sampling):
            window = (ramp_y[:, None] * ramp_x).to(noisy)
            part = None if condition is None else condition[..., rows, columns]
            with torch.autocast(noisy.device.type, PRECISIONS[sampling.precision], enabled=sampling.precision != "no"):
                clean = denoiser.clean(noisy[..., rows, columns], time, condition=part)
            total[..., rows, columns] += clean.float() * window
            weight[..., rows, columns] += window
    return total / weight


def _spans(length: int, sampling: Sampling) -> Iterator[tuple[slice, Tensor]]:
    """Where the tiles of one side lie, with the weights that blend them."""
    tile, overlap = sampling.tile_px, sampling.overlap_px
    if length <= tile:
        yield slice(0, length), torch.ones(length)
        return
    count = -(-(length - overlap) // (tile - overlap))
    for index in range(count):
        first = round(index * (length - tile) / (count - 1))
        ramp = torch.ones(tile)
        rising = (torch.arange(overlap) + 1) / (overlap + 1)
        if index > 0:
            ramp[:overlap] = rising
        if index < count - 1:
            ramp[tile - overlap :] = rising.flip(0)
        yield slice(first, first + tile), ramp


def _schedule(denoiser: Denoiser, sampling: Sampling, device: torch.device) -> tuple[Any, Tensor]:
    """The scheduler of diffusers, told clean images, and the times of the steps from ``start`` on."""
    kind = DDIMScheduler if sampling.scheduler == "ddim" else DPMSolverMultistepScheduler
    scheduler = kind.from_config(
        denoiser.schedule.config,
        prediction_type="sample",
        timestep_spacing="trailing",
        clip_sample=False,
        thresholding=False,
    )
    with warnings.catch_warnings():  # DPM-Solver hands tensors to NumPy 2 the old way
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        scheduler.set_timesteps(max(sampling.steps, round(sampling.steps / sampling.start)), device=device)
    skipped = len(scheduler.timesteps) - sampling.steps
    if sampling.scheduler == "dpmsolver":
        scheduler.set_begin_index(skipped)
    return scheduler, scheduler.timesteps[skipped:]


def _variance(denoiser: Denoiser, time: Tensor, spread: float = 0.25) -> float:
    """r^2 of the clean image given the noisy one, in 0..1 units, for images of standard deviation ``spread``."""
    signal, sigma = denoiser.scales(time[None])
    noise = float(sigma / signal.clamp_min(1e-4)) ** 2 / 4
    return noise * spread**2 / (noise + spread**2)


def _step(scheduler: Any, clean: Tensor, time: Tensor, noisy: Tensor, noise: Noise, sampling: Sampling) -> Tensor:
    if sampling.scheduler == "dpmsolver":
        stepped: Tensor = scheduler.step(clean, time, noisy).prev_sample
        return stepped
    fresh = noise.field() if sampling.eta else None
    drawn: Tensor = scheduler.step(clean, time, noisy, eta=sampling.eta, variance_noise=fresh).prev_sample
    return drawn
