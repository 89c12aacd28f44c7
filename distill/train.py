"""Distilling an ensemble into a student, on one process or many."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # the name everyone knows it by
from torch import Tensor, nn

from distill import checkpoint
from distill.backbones import Backbone
from distill.degradation import DegradationRange
from distill.examples import Batch, Changes, Course, Ensemble, Lesson
from distill.interrupt import interruptible
from distill.memory import out_of_memory
from distill.misalignment import WarpRange, level_at
from distill.muon import Muon
from distill.objective import Objective, loss_terms
from distill.prefetch import prefetched
from distill.processes import join_processes
from distill.schedule import annealing, follow
from distill.sheets import write_sheet
from distill.state import load_state, read_facts, save_state
from distill.students import build, check_arch
from distill.students.student import Student
from edgefusion.core.errors import InputError, RunError, UsageError

FINAL_RATE = 0.005
"""The learning rate ends at this share of its peak."""
STATE = Path("state", "state.safetensors")
SHEET_ROWS = 4
HELD_OUT_LEVEL = 1.0
"""Held-out examples are as far off as the curriculum ends, so that losses of different steps compare."""

Log = Callable[[dict[str, float]], None]


@dataclass(frozen=True)
class StudentSettings(Objective):
    """Everything that decides the outcome, besides the data: the objective's attributes, and these.

    Attributes:
        learning_rate: of ``muon.Muon``, at its peak.
        batch: crops per step of the optimiser, over all processes and accumulated parts.
        average: decay of the moving average of the weights, which is what is kept.
        misalign: pixels and degrees that the curriculum ends at; None leaves thermal where it is.
        aligned: share of examples whose thermal stays where it is all the same.
        degrade: chance of each kind of degradation of an input; 0 leaves all as they are.
        accumulate: parts that a process takes its share of the batch in.
        precision: ``no`` (FP32), ``bf16`` or ``fp16``, under autocast.
        patience: log rows without a better held-out loss after which training ends; 0 holds nothing out.
        held_out: share of the pairs for that.
    """

    arch: str = "proxy-nano"
    steps: int = 15_000
    batch: int = 8
    learning_rate: float = 0.003
    average: float = 0.998
    misalign: tuple[float, float] | None = (60.0, 20.0)
    aligned: float = WarpRange.aligned
    degrade: float = DegradationRange.odds
    accumulate: int = 1
    precision: str = "no"
    patience: int = 0
    held_out: float = 0.1
    seed: int = 0

    def check(self) -> None:
        """Raises UsageError for settings that make no sense."""
        check_arch(self.arch)
        terms = (self.pixel, self.gradient, self.feature, self.fidelity)
        if min(terms) < 0 or not any(terms):
            raise UsageError(f"loss weights {terms}", remedy="none below 0, and not all of them 0")
        if not self.tau > 0 or min(self.steps, self.batch, self.accumulate) < 1 or not 0 < self.held_out < 1:
            raise UsageError(f"training with {self}", remedy="tau, steps, batch and parts above 0, held_out in 0..1")
        if not (0 <= self.aligned <= 1 and 0 <= self.degrade <= 1):
            raise UsageError(f"chances {(self.aligned, self.degrade)}", remedy="--aligned and --degrade are in 0..1")


@out_of_memory("raise --accumulate, or lower --batch")
def train_student(
    ensemble: Path,
    out: Path,
    settings: StudentSettings,
    *,
    backbones: Sequence[Backbone] = (),
    every: int = 250,
    sheets: int = 0,
    workers: int = 0,
    log: Log = lambda row: None,
) -> None:
    """Distil an ensemble and leave the student's moving average in ``out``.

    Every ``every`` steps and at Ctrl-C the state goes to ``OUT/state`` and the average to ``out``; a second call with
    the same settings goes on from there to the very same weights. With ``patience`` the best average is kept.

    Args:
        ensemble: folder of shards; nothing else is read.
        out: folder for the checkpoint.
        settings: see ``StudentSettings``.
        backbones: those of the feature-space signal; none are needed when its weight is 0.
        every: steps between log rows and checkpoints.
        sheets: steps between sample sheets, in ``OUT/sheets``; 0 for none.
        workers: processes that read and warp ahead of the training; the result is the same with any number.
        log: called with step, the mean of the loss and of each weighted term since the row before, the held-out loss
            if there is one, and seconds since the start; in the first process only.

    Raises:
        UsageError: settings that make no sense, or a batch that cannot be shared out evenly.
        InputError: no such ensemble, a damaged one, one of other backbones, another run in ``out``, or a ``timm:``
            student that cannot be one.
        RunError: the loss is no longer finite.
        MachineError: out of memory; names what to lower. Or FP16 on a processor, or no pretrained weights for a
            ``timm:`` student.
    """
    settings.check()
    eyes = list(backbones) if settings.feature else []
    if settings.feature and not eyes:
        raise UsageError("a feature-space signal without backbones", remedy="give --backbones, or --feature 0")
    run = _Run(Ensemble(ensemble, {eye.name: eye.digest for eye in eyes}), eyes, out, settings)
    run.restore()
    try:
        steps = range(run.step, settings.steps)
        with interruptible() as stop, prefetched(run.lesson(), steps, workers=workers) as batches:
            _loop(run, batches, every, sheets, log, stop)
    finally:
        run.accelerator.end_training()


def _loop(run: _Run, batches: Iterator[list[Batch]], every: int, sheets: int, log: Log, stop: Event) -> None:
    start, sums, count = time.perf_counter(), dict[str, Tensor](), 0
    while run.step < run.settings.steps and not run.patience_over():
        for name, term in run.advance(next(batches)).items():
            sums[name] = sums.get(name, torch.zeros(())) + term
        count += 1
        if run.step % every == 0:
            row = {"step": run.step, **{name: run.mean(total) / count for name, total in sums.items()}, **run.judge()}
            sums, count = {}, 0
            run.save()
            run.tell({**row, "seconds": time.perf_counter() - start}, log)
        if sheets and run.step % sheets == 0:
            run.draw_sheet()
        if run.stopped(stop):
            run.save()
            raise KeyboardInterrupt
    run.save()


class _Learner(nn.Module):
    """The student as a loop sees it: unshuffled images in, unclipped luma out."""

    def __init__(self, student: Student) -> None:
        super().__init__()
        self.student = student

    def forward(self, images: Tensor) -> Tensor:
        """[N, 2, H, W] -> [N, 1, H, W]."""
        return F.pixel_shuffle(self.student.unclipped(F.pixel_unshuffle(images, 4)), 4)


class _Run:
    """Student, moving averages and optimiser, which go to disk and come back together."""

    def __init__(self, ensemble: Ensemble, eyes: list[Backbone], out: Path, settings: StudentSettings) -> None:
        self.accelerator = join_processes(
            out, precision=settings.precision, batch=settings.batch, accumulate=settings.accumulate
        )
        self.parts = self.accelerator.num_processes * settings.accumulate
        torch.manual_seed(settings.seed)
        self.settings, self.out, self.step = settings, out, 0
        self._ensemble = ensemble
        self._eyes = [eye.to(self.accelerator.device) for eye in eyes]
        self._held_out, self._course = self._split()
        student = _Learner(build(settings.arch))
        self.average, self.best = (copy.deepcopy(student).to(self.accelerator.device) for _ in range(2))
        optimiser = Muon(student.parameters(), settings.learning_rate)
        self.student, self.optimiser = self.accelerator.prepare(student, optimiser)
        self._saved, self._lowest, self._waited = -1, float("inf"), 0

    def _split(self) -> tuple[list[int], Course]:
        """Numbers of the held-out units, and the course over all others."""
        names = self._ensemble.pairs()
        order = np.random.default_rng((self.settings.seed, 2)).permutation(len(names))
        count = max(1, round(self.settings.held_out * len(names))) if self.settings.patience else 0
        if count >= len(names):
            raise UsageError("no pair would be left to train on", remedy="lower --held-out, or --patience 0")
        held, rest = ([names[index] for index in part] for part in (order[:count], order[count:]))
        units = self._ensemble.of_pairs(rest)
        return self._ensemble.of_pairs(held), Course(self._ensemble, units, self._changes(), self.settings.seed)

    def _changes(self) -> Changes:
        most = self.settings.misalign
        warps = WarpRange(shift_px=most[0], turn_deg=most[1], aligned=self.settings.aligned) if most else None
        return Changes(warps, DegradationRange(odds=self.settings.degrade) if self.settings.degrade else None)

    def lesson(self) -> Lesson:
        """What this process learns from at each step."""
        chosen, accelerator = self.settings, self.accelerator
        share = (accelerator.process_index, accelerator.num_processes)
        return Lesson(self._course, chosen.steps, chosen.batch, chosen.accumulate, *share)

    def advance(self, batches: Sequence[Batch]) -> dict[str, Tensor]:
        """One step of the optimiser; returns this process's mean of the loss and of its terms."""
        totals: dict[str, Tensor] = {}
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.learning_rate * annealing(self.step, self.settings.steps, FINAL_RATE)
        for batch in (batch.to(self.accelerator.device) for batch in batches):
            with self.accelerator.accumulate(self.student):
                terms = self._terms(self.student, batch)
                self.accelerator.backward(terms["loss"])
                self.optimiser.step()
                self.optimiser.zero_grad()
            for name, term in terms.items():
                totals[name] = totals.get(name, torch.zeros(())) + term.detach().cpu() / self.settings.accumulate
        if not torch.isfinite(totals["loss"]):
            raise RunError(f"the loss is not finite at step {self.step}", remedy="lower --learning-rate")
        self.step += 1
        follow(self.average, self.accelerator.unwrap_model(self.student), step=self.step, decay=self.settings.average)
        return totals

    def _terms(self, student: nn.Module, batch: Batch) -> dict[str, Tensor]:
        with self.accelerator.autocast():
            fused = student(batch.inputs)
            terms = loss_terms(fused.float(), batch, self._eyes, self.settings)
        return {"loss": torch.stack(list(terms.values())).sum(), **terms}

    @torch.no_grad()
    def judge(self) -> dict[str, float]:
        """Loss of the moving average on what was held out, if anything was; the best average so far is kept."""
        if not self._held_out:
            return {}
        total = torch.zeros(2, device=self.accelerator.device)
        for number in self._held_out[self.accelerator.process_index :: self.accelerator.num_processes]:
            batch = self._fixed(number, HELD_OUT_LEVEL).to(self.accelerator.device)
            total += torch.stack([self._terms(self.average, batch)["loss"], torch.ones_like(total[0])])
        loss, count = self.accelerator.reduce(total, "sum").tolist()
        self._waited += 1
        if loss / count < self._lowest:
            self._lowest, self._waited = loss / count, 0
            self.best.load_state_dict(self.average.state_dict())
        return {"held_out": loss / count}

    def _fixed(self, number: int, level: float) -> Batch:
        """A unit changed in the same way whenever it is looked at."""
        draw = np.random.default_rng((self.settings.seed, 3, number))
        return self._ensemble.example(number, draw, level=level, changes=self._changes())

    def patience_over(self) -> bool:
        """Whether the held-out loss has not fallen for too long."""
        return 0 < self.settings.patience <= self._waited

    @torch.no_grad()
    def draw_sheet(self) -> None:
        """``OUT/sheets/STEP.png`` of the first held-out units, or of the first units, by the first process."""
        if not self.accelerator.is_main_process:
            return
        rows = min(SHEET_ROWS, self.settings.batch // self.parts)  # as many as surely share a size
        chosen = (self._held_out or range(len(self._ensemble)))[:rows]
        level = level_at(self.step / self.settings.steps)
        batch = self._ensemble.collate([self._fixed(number, level) for number in chosen]).to(self.accelerator.device)
        write_sheet(self.out / "sheets" / f"{self.step:07d}.png", batch, self.average(batch.inputs))

    def mean(self, total: Tensor) -> float:
        """Mean over the processes."""
        return float(self.accelerator.reduce(total.to(self.accelerator.device), "mean"))

    def tell(self, row: dict[str, float], log: Log) -> None:
        """A row for the log and for TensorBoard."""
        self.accelerator.log({name: value for name, value in row.items() if name != "step"}, step=self.step)
        if self.accelerator.is_main_process:
            log(row)

    def stopped(self, stop: Event) -> bool:
        """Whether any process was asked to stop: all of them then stop after the same step."""
        if self.accelerator.num_processes == 1:
            return stop.is_set()
        asked = torch.tensor(float(stop.is_set()), device=self.accelerator.device)
        return bool(self.accelerator.reduce(asked, "sum") > 0)

    def _modules(self) -> dict[str, nn.Module]:
        raw = self.accelerator.unwrap_model(self.student)
        kept = {"best": self.best} if self.settings.patience else {}
        return {"student": raw, "average": self.average, **kept}

    def save(self) -> None:
        """State and student, by the first process, unless this very step is there already."""
        if not self.accelerator.is_main_process or self.step == self._saved:
            return
        scaler = self.accelerator.scaler
        facts = {**self._identity(), "step": self.step, "lowest": self._lowest, "waited": self._waited}
        facts["scaler"] = scaler.state_dict() if scaler else {}
        save_state(self.out / STATE, self._modules(), self.optimiser, facts)
        judged = self._lowest < float("inf")
        kept = self.best if judged else self.average
        about = {"arch": kept.student.arch, "step": self.step, "training": self._provenance()}
        checkpoint.save(self.out, kept.student.state_dict(), about)
        self._saved = self.step

    def restore(self) -> None:
        """Go on where a run with the same settings on the same ensemble stopped."""
        path = self.out / STATE
        if not path.exists():
            return
        facts = read_facts(path)
        mine = json.loads(json.dumps(self._identity()))
        if other := [name for name in mine if facts.get(name) != mine[name]]:
            raise InputError(
                f"a run with other settings is here (other: {', '.join(other)})",
                where=path.parent,
                remedy="choose another --out",
            )
        load_state(path, self._modules(), self.optimiser)
        if facts["scaler"] and self.accelerator.scaler:
            self.accelerator.scaler.load_state_dict(facts["scaler"])
        self.step = self._saved = facts["step"]
        self._lowest, self._waited = facts["lowest"], facts["waited"]

    def _identity(self) -> dict[str, Any]:
        eyes = {eye.name: eye.digest for eye in self._eyes}
        return {"settings": asdict(self.settings), "ensemble": self._ensemble.plan, "backbones": eyes}

    def _provenance(self) -> dict[str, Any]:
        eyes = ",".join(eye.name for eye in self._eyes)
        settings = replace(self.settings, arch=self.average.student.arch)  # without the path of a file of weights
        return {
            "objective": self.settings.in_words(),
            "command": f"edgefusion distill student --ensemble SHARDS --out OUT {options(settings)}"
            + (f" --backbones {eyes}" if eyes else ""),
            "seed": self.settings.seed,
            "data": self._ensemble.plan["data"],
            "settings": {
                **asdict(settings),
                "pretrained": self.average.student.pretrained,
                "ensemble": self._ensemble.plan,
                "backbones": [eye.name for eye in self._eyes],
            },
            "versions": {"torch": torch.__version__},
        }


def options(settings: Objective) -> str:
    """Settings as the command line takes them."""
    words = []
    for name, value in asdict(settings).items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{option}" if value else f"--no-{option}")
        elif name == "misalign":
            words.append(f"--misalign {','.join(f'{part:g}' for part in value) if value else 'none'}")
        else:
            words.append(f"--{option} {value}")
    return " ".join(words)
