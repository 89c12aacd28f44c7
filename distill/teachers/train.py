"""Training a diffusion teacher, on one process or many."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event
from typing import Any, Protocol

import diffusers
import torch
from torch import Tensor

from distill.interrupt import interruptible
from distill.memory import out_of_memory
from distill.planes import Planes
from distill.processes import join_processes
from distill.schedule import annealing, follow
from distill.state import load_state, read_facts, save_state
from distill.teachers import prior
from distill.teachers.denoiser import Denoiser
from distill.teachers.folder import save_teacher
from edgefusion.core.errors import InputError, RunError

FINAL_RATE = 0.02
"""The learning rate ends at this share of its peak."""
STATE = "state.safetensors"


@dataclass(frozen=True)
class TeacherSettings:
    """Everything that decides the outcome, besides the data.

    Attributes:
        batch: crops per step of the optimiser, over all processes and accumulated parts.
        accumulate: parts that a process takes its share of the batch in.
        precision: ``no`` (FP32), ``bf16`` or ``fp16``, under autocast.
        average: decay of the moving average of the weights, which is what is kept.
    """

    steps: int = 20_000
    batch: int = 8
    crop_px: int = 96
    widths: tuple[int, ...] = prior.WIDTHS
    patch: int = prior.PATCH
    learning_rate: float = 3e-4
    average: float = 0.999
    accumulate: int = 1
    precision: str = "no"
    seed: int = 0


class Lessons(Protocol):
    """What a kind of teacher is trained on."""

    kind: str
    target: str
    conditions: int

    def batch(self, step: int) -> tuple[Tensor, Tensor | None]:
        """Clean images [N, 1, H, W] in -1..1 and what they are conditioned on, [N, conditions, H, W]."""
        ...


Log = Callable[[dict[str, float]], None]


@out_of_memory("raise --accumulate, or lower --batch or --crop-px")
def train_teacher(
    lessons: Lessons,
    pairs: Planes,
    out: Path,
    settings: TeacherSettings,
    *,
    every: int = 250,
    log: Log = lambda row: None,
) -> None:
    """Train a teacher and leave its moving average in ``out``, as an ordinary diffusers folder.

    Loss: mean squared error of the prediction, steps drawn evenly and stratified over the batch (Ho et al., NeurIPS
    2020; Kingma et al., "Variational diffusion models", NeurIPS 2021, for the strata).

    Every ``every`` steps and at Ctrl-C the state goes to ``OUT.run`` beside ``out`` and the average to ``out``; a
    second call with the same settings goes on from there to the very same weights.

    Args:
        lessons: batches by step.
        pairs: what they are of, for the manifest.
        out: folder of the teacher.
        settings: see ``TeacherSettings``.
        every: steps between log rows and checkpoints.
        log: called with step, loss since the row before, and seconds since the start; in the first process only.

    Raises:
        UsageError: a batch that cannot be shared out evenly.
        InputError: a run with other settings is in ``out``.
        RunError: the loss is no longer finite.
        MachineError: out of memory; names what to lower. Or FP16 on a processor.
    """
    run = _Run(lessons, pairs, out, settings)
    run.restore()
    try:
        with interruptible() as stop:
            _loop(run, every, log, stop)
        run.save()
    finally:
        run.accelerator.end_training()


def _loop(run: _Run, every: int, log: Log, stop: Event) -> None:
    start, total = time.perf_counter(), torch.zeros(())
    while run.step < run.settings.steps:
        total += run.advance()
        if run.step % every == 0:
            row = {"step": run.step, "loss": run.mean(total) / every, "seconds": time.perf_counter() - start}
            total = torch.zeros(())
            run.save()
            run.tell(row, log)
        if stop.is_set():
            run.save()
            raise KeyboardInterrupt


class _Run:
    """Network, moving average and optimiser, which go to disk and come back together."""

    def __init__(self, lessons: Lessons, pairs: Planes, out: Path, settings: TeacherSettings) -> None:
        self.state = out.with_name(f"{out.name}.run")
        self.accelerator = join_processes(
            self.state, precision=settings.precision, batch=settings.batch, accumulate=settings.accumulate
        )
        self.parts = self.accelerator.num_processes * settings.accumulate
        torch.manual_seed(settings.seed)
        self.lessons, self.settings, self.out, self.pairs, self.step = lessons, settings, out, pairs, 0
        unet = prior.network(settings.widths, patch=settings.patch, conditions=lessons.conditions)
        self.denoiser = Denoiser(copy.deepcopy(unet).requires_grad_(False), prior.schedule())
        self.denoiser.unet.to(self.accelerator.device)
        optimiser = torch.optim.AdamW(unet.parameters(), lr=settings.learning_rate, weight_decay=0.0)
        self.unet, self.optimiser = self.accelerator.prepare(unet, optimiser)
        self._saved = -1

    def advance(self) -> Tensor:
        """One step of the optimiser; returns the mean loss of this process."""
        clean, condition = self.lessons.batch(self.step)
        steps, noise = self._noise(clean)
        total = torch.zeros(())
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.learning_rate * annealing(self.step, self.settings.steps, FINAL_RATE)
        for part in self._shares(len(clean)):
            with self.accelerator.accumulate(self.unet):
                given = None if condition is None else self._ours(condition, part)
                loss = self._loss(self._ours(clean, part), given, self._ours(steps, part), self._ours(noise, part))
                self.accelerator.backward(loss)
                if self.accelerator.sync_gradients:
                    self.accelerator.clip_grad_norm_(self.unet.parameters(), 1.0)
                self.optimiser.step()
                self.optimiser.zero_grad()
            total += loss.detach().cpu() / self.settings.accumulate
        if not torch.isfinite(total):
            raise RunError(f"the loss is not finite at step {self.step}", remedy="lower --learning-rate")
        self.step += 1
        raw = self.accelerator.unwrap_model(self.unet)
        follow(self.denoiser.unet, raw, step=self.step, decay=self.settings.average)
        return total

    def _noise(self, clean: Tensor) -> tuple[Tensor, Tensor]:
        """Steps and noise of the whole batch, the same in every process and in every run."""
        draw = torch.Generator().manual_seed(self.settings.seed * 1_000_003 + self.step)
        strata = (torch.arange(len(clean)) + torch.rand(len(clean), generator=draw)) / len(clean)
        order = torch.randperm(len(clean), generator=draw)
        steps = (strata[order] * len(self.denoiser.schedule.alphas_cumprod)).long()
        return steps, torch.randn(clean.shape, generator=draw)

    def _shares(self, count: int) -> list[slice]:
        size, first = count // self.parts, self.accelerator.process_index * self.settings.accumulate
        return [slice((first + part) * size, (first + part + 1) * size) for part in range(self.settings.accumulate)]

    def _ours(self, tensor: Tensor, part: slice) -> Tensor:
        return tensor[part].to(self.accelerator.device)

    def _loss(self, clean: Tensor, condition: Tensor | None, steps: Tensor, noise: Tensor) -> Tensor:
        signal, sigma = self.denoiser.scales(steps)
        with self.accelerator.autocast():
            said = self.denoiser.predict(self.unet, signal * clean + sigma * noise, steps, condition)
        return (said.float() - self.denoiser.wanted(clean, noise, steps)).square().mean()

    def mean(self, total: Tensor) -> float:
        """Mean over the processes."""
        return float(self.accelerator.reduce(total.to(self.accelerator.device), "mean"))

    def tell(self, row: dict[str, float], log: Log) -> None:
        """A row for the log and for TensorBoard."""
        self.accelerator.log({name: value for name, value in row.items() if name != "step"}, step=self.step)
        if self.accelerator.is_main_process:
            log(row)

    def _modules(self) -> dict[str, torch.nn.Module]:
        return {"network": self.accelerator.unwrap_model(self.unet), "average": self.denoiser.unet}

    def save(self) -> None:
        """State and teacher, by the first process, unless this very step is there already."""
        if not self.accelerator.is_main_process or self.step == self._saved:
            return
        scaler = self.accelerator.scaler
        facts = {"step": self.step, "lessons": self.lessons.target, "settings": asdict(self.settings)}
        facts["scaler"] = scaler.state_dict() if scaler else {}
        save_state(self.state / STATE, self._modules(), self.optimiser, facts)
        save_teacher(self.out, self.denoiser.unet, self.denoiser.schedule, self._manifest())
        self._saved = self.step

    def restore(self) -> None:
        """Go on where a run with the same settings stopped."""
        path = self.state / STATE
        if not path.exists():
            return
        facts = read_facts(path)
        mine = {**asdict(self.settings), "widths": list(self.settings.widths)}
        if (facts["settings"], facts["lessons"]) != (mine, self.lessons.target):
            raise InputError("a run with other settings is here", where=path.parent, remedy="choose another --out")
        load_state(path, self._modules(), self.optimiser)
        if facts["scaler"] and self.accelerator.scaler:
            self.accelerator.scaler.load_state_dict(facts["scaler"])
        self.step = self._saved = facts["step"]

    def _manifest(self) -> dict[str, Any]:
        chosen = {**asdict(self.settings), "widths": ",".join(map(str, self.settings.widths))}
        options = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in chosen.items())
        return {
            "kind": self.lessons.kind,
            "target": self.lessons.target,
            "command": f"edgefusion distill teacher --kind {self.lessons.kind} {self.pairs.option} --out OUT {options}",
            "seed": self.settings.seed,
            "step": self.step,
            "data": self.pairs.sources(),
            "settings": asdict(self.settings),
            "versions": {"torch": torch.__version__, "diffusers": diffusers.__version__},
        }
