"""What a student is distilled on: the ensemble's crops, with a thermal that may lie elsewhere and inputs made worse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from distill.degradation import DegradationRange, degrade_thermal, degrade_visible
from distill.misalignment import Matrix, Plane, WarpRange, level_at, random_warp, warped_crop
from distill.shards import Unit, ensemble_paths, open_shard, read_plan, read_shard
from distill.signals import LayerStatistics
from edgefusion.core.errors import InputError


class Batch(NamedTuple):
    """Examples for one step.

    Attributes:
        inputs: [N, 2, H, W] luma and thermal as the student sees them, in 0..1.
        sources: [N, 2, H, W] the same as they are: aligned, not degraded.
        mean: [N, 1, H, W] of the ensemble of ``sources``.
        variance: [N, 1, H, W] of that ensemble.
        layers: what it looks like to each layer of each backbone.
    """

    inputs: Tensor
    sources: Tensor
    mean: Tensor
    variance: Tensor
    layers: list[LayerStatistics]

    def to(self, device: torch.device) -> Batch:
        """On another device."""
        layers = [LayerStatistics(*(tensor.to(device) for tensor in layer)) for layer in self.layers]
        inputs, sources, mean, variance = (tensor.to(device) for tensor in self[:4])
        return Batch(inputs, sources, mean, variance, layers)


@dataclass(frozen=True)
class Changes:
    """What happens to the student's input: either kind of change, or None for none of it."""

    warps: WarpRange | None
    degradations: DegradationRange | None


class _Address(NamedTuple):
    """Where a unit is kept, and the pair it is of."""

    path: Path
    number: int
    pair: str


class Ensemble:
    """An ensemble that was checked once; units, and the planes they were cut from, are read as they are needed.

    Attributes:
        plan: what it is made of.

    Args:
        folder: of ``edgefusion distill ensemble``.
        backbones: name -> digest of the backbones whose features are asked for.

    Raises:
        InputError: no ensemble, an empty or damaged one, one of an older layout or of other backbones.
    """

    def __init__(self, folder: Path, backbones: dict[str, str]) -> None:
        paths = ensemble_paths(folder)
        self.plan: dict[str, Any] = read_plan(folder) or {}
        self._folder, self._backbones = folder, list(backbones)
        _check_backbones(folder, self.plan["backbones"], backbones)
        self._units = [address for path in paths for address in _checked(path)]
        if not self._units:
            raise InputError("the ensemble is empty", where=folder, remedy="make one: edgefusion distill ensemble")

    def __len__(self) -> int:
        return len(self._units)

    def pairs(self) -> list[str]:
        """Names of the pairs that units were cut from, sorted."""
        return sorted({unit.pair for unit in self._units})

    def of_pairs(self, names: Sequence[str]) -> list[int]:
        """Numbers of the units that were cut from these pairs."""
        wanted = set(names)
        return [number for number, unit in enumerate(self._units) if unit.pair in wanted]

    def example(self, number: int, draw: np.random.Generator, *, level: float, changes: Changes) -> Batch:
        """A batch of one.

        Args:
            number: of the unit.
            draw: source of chance.
            level: of the misalignment curriculum, 0..1.
            changes: what happens to the input.
        """
        with open_shard(self._units[number].path) as shard:
            unit = shard.unit(self._units[number].number)
            sources = shard.sources(unit).float()
            warp = _warp(draw, shard.size_px(unit), level, changes.warps)
            plane = None if warp is None else shard.thermal(unit).float().numpy()
        visible, thermal = sources.numpy()
        covered = np.ones_like(thermal)
        if warp is not None and plane is not None:
            thermal, covered = (_cut(whole, warp, unit) for whole in (plane, np.ones_like(plane)))
        if changes.degradations:
            visible = degrade_visible(visible, draw, changes.degradations)
            thermal = degrade_thermal(thermal, draw, changes.degradations) * covered
        inputs = torch.from_numpy(np.stack([visible, thermal]))
        layers = [
            LayerStatistics(mean.float()[None], variance.float()[None])
            for name in self._backbones
            for mean, variance in unit.features[name]
        ]
        return Batch(inputs[None], sources[None], unit.mean[None, None], unit.variance[None, None], layers)

    def collate(self, examples: Sequence[Batch]) -> Batch:
        """One batch of several.

        Raises:
            InputError: units of different sizes.
        """
        if len({example.mean.shape for example in examples}) > 1:
            raise InputError(
                "units of different sizes cannot share a batch",
                where=self._folder,
                remedy="draw the ensemble with --crops, or train with --batch 1",
            )
        layers = [
            LayerStatistics(*(torch.cat(parts) for parts in zip(*layer, strict=True)))
            for layer in zip(*(example.layers for example in examples), strict=True)
        ]
        parts = zip(*(example[:4] for example in examples), strict=True)
        inputs, sources, mean, variance = (torch.cat(part) for part in parts)
        return Batch(inputs, sources, mean, variance, layers)


class Course:
    """Which example comes when: every unit once per round, in an order of its own each round.

    What happens to an example depends on the seed and its number in the run alone, so it is the same in one process
    or many and after a stop.
    """

    def __init__(self, ensemble: Ensemble, units: Sequence[int], changes: Changes, seed: int) -> None:
        self._ensemble, self._units, self._changes, self._seed = ensemble, list(units), changes, seed
        self._round, self._order = -1, np.arange(len(self._units))

    def batch(self, numbers: Sequence[int], level: float) -> Batch:
        """The examples of these numbers in the run, at a level of the curriculum."""
        return self._ensemble.collate([self._example(number, level) for number in numbers])

    def _example(self, number: int, level: float) -> Batch:
        turn, place = divmod(number, len(self._units))
        if turn != self._round:
            self._round = turn
            self._order = np.random.default_rng((self._seed, 0, turn)).permutation(len(self._units))
        draw = np.random.default_rng((self._seed, 1, number))
        return self._ensemble.example(self._units[self._order[place]], draw, level=level, changes=self._changes)


@dataclass(frozen=True)
class Lesson:
    """The batches that one process takes at a step, which follow from the step alone.

    Attributes:
        course: which example comes when.
        steps: of the whole run.
        batch: examples per step, over all processes.
        accumulate: batches that a process takes its share in.
        process: number of this one.
        processes: how many there are.
    """

    course: Course
    steps: int
    batch: int
    accumulate: int
    process: int
    processes: int

    def __call__(self, step: int) -> list[Batch]:
        """One batch per accumulated part.

        Raises:
            InputError: a shard that changed during the run, or units of different sizes.
        """
        size = self.batch // (self.processes * self.accumulate)
        first = step * self.batch + self.process * self.accumulate * size
        parts = [range(first + part * size, first + (part + 1) * size) for part in range(self.accumulate)]
        return [self.course.batch(numbers, level_at(step / self.steps)) for numbers in parts]


def _check_backbones(folder: Path, made: dict[str, str], asked: dict[str, str]) -> None:
    wrong = [name for name, digest in asked.items() if made.get(name) != digest]
    if wrong:
        raise InputError(
            f"made with other backbones than {', '.join(wrong)} of these weights: it has {', '.join(made) or 'none'}",
            where=folder,
            remedy="give the same --backbones as distill ensemble had, or --feature 0",
        )


def _checked(path: Path) -> list[_Address]:
    units = read_shard(path).units
    for unit in units:
        if not (torch.isfinite(unit.mean).all() and torch.isfinite(unit.variance).all()):
            raise InputError(f"{unit.name} is not finite", where=path, remedy="draw the ensemble anew")
    return [_Address(path, index, unit.pair) for index, unit in enumerate(units)]


def _warp(draw: np.random.Generator, size_px: tuple[int, int], level: float, most: WarpRange | None) -> Matrix | None:
    """Where thermal is moved to, if it is moved."""
    warp = random_warp(draw, size_px, level=level, most=most) if most else np.eye(3)
    return None if np.array_equal(warp, np.eye(3)) else warp


def _cut(plane: Plane, warp: Matrix, unit: Unit) -> Plane:
    """A unit's part of a plane that was moved; a warp brings in what lies beside the crop."""
    height, width = unit.mean.shape
    return warped_crop(plane, warp, top=unit.top, left=unit.left, size_px=(width, height))
