"""Training a student on source fidelity alone: the baseline that distillation has to beat."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  # the name everyone knows it by
from torch import Tensor

from distill import checkpoint
from distill.crops import CropSampler
from distill.interrupt import interruptible
from distill.losses import fidelity
from distill.planes import Planes
from distill.schedule import annealing, follow
from distill.students import build
from edgefusion.core.errors import InputError, RunError

FINAL_RATE = 0.005
"""The learning rate ends at this share of its peak."""


@dataclass(frozen=True)
class BaselineSettings:
    """Everything that decides the outcome, besides the data.

    ``intensity``, ``gradient`` and ``ssim`` weigh the terms of ``losses.fidelity``.
    """

    arch: str = "proxy-nano"
    steps: int = 22_000
    batch: int = 12
    crop_px: int = 128
    learning_rate: float = 2.5e-4
    average: float = 0.998
    intensity: float = 1.0
    gradient: float = 20.0
    ssim: float = 0.3
    seed: int = 0


def train_baseline(
    pairs: Planes,
    out: Path,
    settings: BaselineSettings,
    *,
    every: int = 500,
    log: Callable[[dict[str, float]], None] = lambda row: None,
) -> None:
    """Train a student and leave its moving average in ``out``.

    A checkpoint is written every ``every`` steps and at Ctrl-C; a second call with the same settings goes on
    from there and ends with the same weights.

    Args:
        pairs: what crops are drawn from.
        out: folder for the checkpoint.
        settings: see ``BaselineSettings``.
        every: steps between log rows.
        log: called with the step, its mean loss terms since the row before, and seconds since the start.

    Raises:
        UsageError: no such student.
        InputError: a checkpoint of other settings is in ``out``, a pair that cannot be read, none as large as a crop,
            or a ``timm:`` student that cannot be one.
        MachineError: no pretrained weights for a ``timm:`` student.
        RunError: the loss is no longer finite.
    """
    trainer = _Trainer(settings)
    if (out / "state" / checkpoint.CONFIG).exists():
        trainer.restore(out / "state")
    sampler = CropSampler(pairs, size=settings.crop_px, batch=settings.batch, seed=settings.seed)
    start, sums = time.perf_counter(), dict[str, float]()
    with interruptible() as stop:
        while trainer.step < settings.steps and not stop.is_set():
            for name, value in trainer.advance(sampler).items():
                sums[name] = sums.get(name, 0.0) + value / every
            if trainer.step % every == 0:
                trainer.save(out / "state")
                log({"step": trainer.step, **sums, "seconds": time.perf_counter() - start})
                sums = {}
        trainer.save(out / "state")
        if stop.is_set():
            raise KeyboardInterrupt
    checkpoint.save(
        out, trainer.average.state_dict(), {"arch": trainer.average.arch, "training": _provenance(pairs, trainer)}
    )


class _Trainer:
    """A student, its optimiser and its moving average, which go to disk and come back together."""

    def __init__(self, settings: BaselineSettings) -> None:
        torch.manual_seed(settings.seed)
        self.settings, self.step = settings, 0
        self.student = build(settings.arch)
        self.average = copy.deepcopy(self.student)
        self.optimiser = torch.optim.Adam(self.student.parameters(), lr=settings.learning_rate)

    def advance(self, sampler: CropSampler) -> dict[str, float]:
        """One step of the optimiser; returns the loss terms."""
        crops = torch.from_numpy(sampler.batch(self.step))
        terms = self._terms(crops)
        loss = torch.stack(list(terms.values())).sum()
        if not torch.isfinite(loss):
            raise RunError(f"the loss is not finite at step {self.step}", remedy="lower --learning-rate")
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.learning_rate * annealing(self.step, self.settings.steps, FINAL_RATE)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.step += 1
        follow(self.average, self.student, step=self.step, decay=self.settings.average)
        return {name: float(term.detach()) for name, term in terms.items()}

    def _terms(self, crops: Tensor) -> dict[str, Tensor]:
        fused = F.pixel_shuffle(self.student.unclipped(F.pixel_unshuffle(crops, 4)), 4)
        weights = (self.settings.intensity, self.settings.gradient, self.settings.ssim)
        return fidelity(fused, crops[:, :1], crops[:, 1:], weights)

    def save(self, folder: Path) -> None:
        tensors = {f"student.{name}": tensor for name, tensor in self.student.state_dict().items()}
        tensors |= {f"average.{name}": tensor for name, tensor in self.average.state_dict().items()}
        for index, moments in self.optimiser.state_dict()["state"].items():
            tensors |= {f"adam.{index}.{name}": tensor for name, tensor in moments.items()}
        checkpoint.save(folder, tensors, {"step": self.step, "settings": asdict(self.settings)})

    def restore(self, folder: Path) -> None:
        tensors, config = checkpoint.load(folder)
        if config["settings"] != asdict(self.settings):
            raise InputError("a run with other settings is here", where=folder, remedy="choose another --out")
        self.step = config["step"]
        for prefix, module in (("student.", self.student), ("average.", self.average)):
            module.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("adam."):
                _, index, moment = name.split(".")
                state.setdefault(int(index), {})[moment] = tensor
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": state})


def _provenance(pairs: Planes, trainer: _Trainer) -> dict[str, Any]:
    student = trainer.average
    settings = replace(trainer.settings, arch=student.arch)  # without the path of a file of weights
    options = ("arch", "steps", "learning_rate", "intensity", "gradient", "ssim", "seed")
    chosen = " ".join(f"--{name.replace('_', '-')} {getattr(settings, name)}" for name in options)
    return {
        "objective": "baseline: source fidelity (intensity maximum, gradient maximum, SSIM), no teacher",
        "command": f"edgefusion distill baseline {pairs.option} --out OUT {chosen}",
        "seed": settings.seed,
        "data": pairs.sources(),
        "settings": {**asdict(settings), "pretrained": student.pretrained},
        "versions": {"torch": torch.__version__},
    }
