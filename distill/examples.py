"""What a student is distilled on: the ensemble's crops, with a thermal that may lie elsewhere and inputs made worse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from distill.crops import Images, named_images
from distill.degradation import DegradationRange, degrade_thermal, degrade_visible
from distill.misalignment import WarpRange, random_warp, warped_crop
from distill.shards import Unit, ensemble_paths, read_plan, read_shard, read_unit
from distill.signals import LayerStatistics
from edgefusion.core.errors import InputError
from edgefusion.kernels.agc import AgcSpec

Plane = npt.NDArray[np.float32]


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
    """Where a unit is kept, and where it was cut out."""

    path: Path
    number: int
    pair: str
    top: int
    left: int


class Ensemble:
    """An ensemble that was checked once, unit by unit against the images; units are read as they are needed.

    Attributes:
        plan: what it is made of.

    Args:
        folder: of ``edgefusion distill ensemble``.
        data: the folder of images that it was drawn for.
        backbones: name -> digest of the backbones whose features are asked for.

    Raises:
        InputError: no ensemble, an empty or damaged one, one of other images or of other backbones.
    """

    def __init__(self, folder: Path, data: Path, backbones: dict[str, str]) -> None:
        paths = ensemble_paths(folder)
        self.plan: dict[str, Any] = read_plan(folder) or {}
        self._folder, self._backbones = folder, list(backbones)
        _check_backbones(folder, self.plan["backbones"], backbones)
        images = dict(named_images(data, self.plan["settings"]["split"], AgcSpec()))
        self._units = [address for path in paths for address in _checked(path, images)]
        if not self._units:
            raise InputError("the ensemble is empty", where=folder, remedy="make one: edgefusion distill ensemble")
        self._images = {name: images[name] for name in {unit.pair for unit in self._units}}

    def __len__(self) -> int:
        return len(self._units)

    def pairs(self) -> list[str]:
        """Names of the pairs that units were cut from, sorted."""
        return sorted(self._images)

    def of_pairs(self, names: Sequence[str]) -> list[int]:
        """Numbers of the units that were cut from these pairs."""
        return [number for number, unit in enumerate(self._units) if unit.pair in set(names)]

    def example(self, number: int, draw: np.random.Generator, *, level: float, changes: Changes) -> Batch:
        """A batch of one.

        Args:
            number: of the unit.
            draw: source of chance.
            level: of the misalignment curriculum, 0..1.
            changes: what happens to the input.
        """
        address = self._units[number]
        unit = read_unit(address.path, address.number)
        sources = unit.sources.float()
        visible, thermal = sources.numpy()
        thermal, covered = self._thermal(address, thermal, draw, level, changes.warps)
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

    def _thermal(
        self, address: _Address, aligned: Plane, draw: np.random.Generator, level: float, warps: WarpRange | None
    ) -> tuple[Plane, Plane]:
        """What thermal shows in the crop, and where it shows anything (1) rather than black (0)."""
        plane = self._images[address.pair][1]
        size_px = (plane.shape[1], plane.shape[0])
        warp = random_warp(draw, size_px, level=level, most=warps) if warps else np.eye(3)
        if np.array_equal(warp, np.eye(3)):
            return aligned, np.ones_like(aligned)
        size_px = (aligned.shape[1], aligned.shape[0])
        thermal, covered = (
            warped_crop(whole, warp, top=address.top, left=address.left, size_px=size_px)
            for whole in (plane.astype(np.float32), np.ones(plane.shape, np.float32))
        )
        return thermal, covered

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


def _check_backbones(folder: Path, made: dict[str, str], asked: dict[str, str]) -> None:
    wrong = [name for name, digest in asked.items() if made.get(name) != digest]
    if wrong:
        raise InputError(
            f"made with other backbones than {', '.join(wrong)} of these weights: it has {', '.join(made) or 'none'}",
            where=folder,
            remedy="give the same --backbones as distill ensemble had, or --feature 0",
        )


def _checked(path: Path, images: dict[str, Images]) -> list[_Address]:
    return [_address(path, index, unit, images) for index, unit in enumerate(read_shard(path)[0])]


def _address(path: Path, index: int, unit: Unit, images: dict[str, Images]) -> _Address:
    """Where a unit comes from; its sources must be what the image shows there."""
    pair, _, place = unit.name.partition("@")
    top, left = map(int, place.split(",")) if place else (0, 0)
    height, width = unit.mean.shape
    found = images[pair][:, top : top + height, left : left + width] if pair in images else None
    if found is None or not np.array_equal(found, unit.sources.numpy()):
        raise InputError(
            f"{unit.name} is not what --data shows", where=path, remedy="give the --data of distill ensemble"
        )
    if not (torch.isfinite(unit.mean).all() and torch.isfinite(unit.variance).all()):
        raise InputError(f"{unit.name} is not finite", where=path, remedy="draw the ensemble anew")
    return _Address(path, index, pair, top, left)
