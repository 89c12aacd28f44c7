"""Fine-tuning a student for int8 (quantization-aware training), under the losses that it was distilled with."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  # the name everyone knows it by
from torch import Tensor

from distill import checkpoint
from distill.backbones import Backbone
from distill.examples import Batch, Changes, Course, Ensemble, Lesson
from distill.fake_int8 import check_plain, fake_quantized, rounded
from distill.memory import out_of_memory
from distill.objective import Objective, loss_terms
from distill.prefetch import prefetched
from distill.schedule import annealing
from distill.students.student import Student
from distill.train import FINAL_RATE, Log, options
from edgefusion.core.errors import RunError, UsageError

CALIBRATED = 64
"""Crops whose largest activations are the ranges."""


@dataclass(frozen=True)
class FinetuneSettings(Objective):
    """Everything that decides the outcome, besides the data: the objective's attributes, and these.

    Attributes:
        likeness: weight of the mean squared distance to what the student computed before. The gate compares with
            that, and the distillation losses alone lead away from it (docs/quantization.md).
        steps: of the optimiser.
        batch: crops per step.
        learning_rate: of Adam, at its peak.
        seed: of the order of crops.
    """

    likeness: float = 1e5
    steps: int = 500
    batch: int = 8
    learning_rate: float = 1e-4
    seed: int = 0

    def check(self) -> None:
        """Raises UsageError for settings that make no sense."""
        weights = (self.pixel, self.gradient, self.feature, self.fidelity, self.likeness)
        if min(weights) < 0 or not any(weights):
            raise UsageError(f"loss weights {weights}", remedy="none below 0, and not all of them 0")
        if min(self.steps, self.batch) < 1 or not min(self.tau, self.learning_rate) > 0:
            raise UsageError(f"fine-tuning with {self}", remedy="tau, steps, batch and learning rate above 0")


@out_of_memory("lower --batch")
def finetune(
    student: Path,
    ensemble: Path,
    out: Path,
    settings: FinetuneSettings,
    *,
    backbones: Sequence[Backbone] = (),
    every: int = 50,
    workers: int = 0,
    log: Log = lambda row: None,
) -> None:
    """Fine-tune a student on the aligned, clean crops of an ensemble; nothing is written before the last step.

    What is written computes with weights that int8 holds exactly, once quantized without equalising it again.

    Args:
        student: checkpoint to begin with.
        ensemble: folder of shards.
        out: folder for the checkpoint.
        settings: see ``FinetuneSettings``.
        backbones: those of the feature-space signal; none are needed when its weight is 0.
        every: steps between log rows.
        workers: processes that read ahead of the training; the result is the same with any number.
        log: called with step, the mean of the loss and of each weighted term since the row before, and seconds.

    Raises:
        UsageError: settings that make no sense, or a student that is none of the proxies.
        InputError: no checkpoint, no ensemble, damaged ones, or an ensemble of other backbones.
        RunError: the loss is no longer finite.
        MachineError: modelopt is not installed, or out of memory.
    """
    settings.check()
    eyes = list(backbones) if settings.feature else []
    if settings.feature and not eyes:
        raise UsageError("a feature-space signal without backbones", remedy="give --backbones, or --feature 0")
    begun, config = checkpoint.load_student(student)
    check_plain(begun)
    crops = Ensemble(ensemble, {eye.name: eye.digest for eye in eyes})
    course = Course(crops, range(len(crops)), Changes(None, None), settings.seed)
    tuner = _Tuner(begun, course.batch(range(CALIBRATED), 0.0), eyes, settings)
    lesson = Lesson(course, settings.steps, settings.batch, 1, 0, 1)
    with prefetched(lesson, range(settings.steps), workers=workers) as batches:
        _loop(tuner, batches, every, log)
    about = {"arch": begun.arch, "step": settings.steps, "training": _provenance(settings, crops, eyes, config)}
    checkpoint.save(out, tuner.rounded().state_dict(), about)


def _loop(tuner: _Tuner, batches: Iterator[list[Batch]], every: int, log: Log) -> None:
    start, sums = time.perf_counter(), dict[str, float]()
    while tuner.step < tuner.settings.steps:
        for name, value in tuner.advance(next(batches)[0]).items():
            sums[name] = sums.get(name, 0.0) + value / every
        if tuner.step % every == 0:
            log({"step": tuner.step, **sums, "seconds": time.perf_counter() - start})
            sums = {}


class _Tuner:
    """A student that computes in int8, what it was before, and the optimiser."""

    def __init__(self, begun: Student, first: Batch, eyes: list[Backbone], settings: FinetuneSettings) -> None:
        self.settings, self.step = settings, 0
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._begun = begun
        self._exact = begun.fold().requires_grad_(False).to(self._device)
        self._eyes = [eye.to(self._device) for eye in eyes]
        self._student = fake_quantized(begun, F.pixel_unshuffle(first.inputs, 4)).to(self._device)
        self._optimiser = torch.optim.Adam(self._student.parameters(), settings.learning_rate)

    def advance(self, batch: Batch) -> dict[str, float]:
        """One step of the optimiser; returns the loss and its terms."""
        terms = self._terms(batch.to(self._device))
        loss = torch.stack(list(terms.values())).sum()
        if not torch.isfinite(loss):
            raise RunError(f"the loss is not finite at step {self.step}", remedy="lower --learning-rate")
        for group in self._optimiser.param_groups:
            group["lr"] = self.settings.learning_rate * annealing(self.step, self.settings.steps, FINAL_RATE)
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()
        self.step += 1
        return {name: float(term.detach()) for name, term in {"loss": loss, **terms}.items()}

    def _terms(self, batch: Batch) -> dict[str, Tensor]:
        inputs = F.pixel_unshuffle(batch.inputs, 4)
        phases = self._student.unclipped(inputs)
        terms = loss_terms(F.pixel_shuffle(phases, 4), batch, self._eyes, self.settings)
        if self.settings.likeness:
            terms["likeness"] = self.settings.likeness * F.mse_loss(phases, self._exact.unclipped(inputs))
        return terms

    def rounded(self) -> Student:
        """What was learnt, as a student of the same layout."""
        return rounded(self._begun, self._student.cpu())


def _provenance(
    settings: FinetuneSettings, crops: Ensemble, eyes: list[Backbone], config: dict[str, Any]
) -> dict[str, Any]:
    names = [eye.name for eye in eyes]
    return {
        "objective": f"fine-tuning in int8: likeness {settings.likeness:g}; {settings.in_words()}",
        "command": f"edgefusion distill finetune --student STUDENT --ensemble SHARDS --out OUT {options(settings)}"
        + (f" --backbones {','.join(names)}" if names else ""),
        "seed": settings.seed,
        "data": crops.plan["data"],
        "settings": {**asdict(settings), "ensemble": crops.plan, "backbones": names, "student": config["training"]},
        "versions": {"torch": torch.__version__},
    }
