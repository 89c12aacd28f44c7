"""Ensemble shards: what a teacher's samples have in common, as files that say where they come from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from edgefusion.core.errors import InputError
from edgefusion.core.files import atomic_write

PLAN = "ensemble.json"
SCHEMA = 2
"""Layout of plan and shards."""
_WHERE = ("name", "pair", "top", "left")
_DAMAGED = "delete it and repeat the command that made it: only this shard is drawn again"


@dataclass(frozen=True)
class Unit:
    """The ensemble of one pair, or of one crop of it.

    Attributes:
        name: of the pair, with ``@N`` for its N-th crop.
        pair: name of the pair.
        top: first row of the crop.
        left: first column of it.
        mean: [H, W] of the samples, FP32.
        variance: [H, W] of the samples.
        features: per backbone and layer the mean [C, h, w] (FP16), and the mean over channels of the variance, [h, w].
    """

    name: str
    pair: str
    top: int
    left: int
    mean: Tensor
    variance: Tensor
    features: dict[str, list[tuple[Tensor, Tensor]]]

    @property
    def window(self) -> tuple[slice, slice, slice]:
        """What it was drawn for, of the pair's planes."""
        height, width = self.mean.shape
        return slice(None), slice(self.top, self.top + height), slice(self.left, self.left + width)


@dataclass(frozen=True)
class Shard:
    """The ensembles of some pairs, with the pairs themselves: whoever learns from it needs no other file.

    Attributes:
        planes: pair name -> [2, H, W] luma and thermal in 0..1 of the whole pair, FP16, once however many units it has.
        units: of these pairs.
        provenance: where it comes from.
    """

    planes: dict[str, Tensor]
    units: list[Unit]
    provenance: dict[str, Any]


class OpenShard:
    """A shard of which only what is asked for is read."""

    def __init__(self, stored: Any) -> None:
        self._stored, self._about = stored, json.loads(stored.metadata()["provenance"])

    def unit(self, number: int) -> Unit:
        """One unit."""
        mine = [key for key in self._stored.keys() if key.startswith(f"units/{number}/")]  # noqa: SIM118  # it is no dict
        return _unit(self._about["units"][number], number, {key: self._stored.get_tensor(key) for key in mine})

    def sources(self, unit: Unit) -> Tensor:
        """[2, H, W] of what a unit was drawn for."""
        sources: Tensor = self._planes(unit)[unit.window]
        return sources

    def thermal(self, unit: Unit) -> Tensor:
        """[H, W], the whole thermal plane of the pair that a unit is of."""
        thermal: Tensor = self._planes(unit)[1:]
        return thermal[0]

    def size_px(self, unit: Unit) -> tuple[int, int]:
        """(width, height) of that plane."""
        _, height, width = self._planes(unit).get_shape()
        return width, height

    def _planes(self, unit: Unit) -> Any:
        return self._stored.get_slice(f"planes/{self._about['pairs'].index(unit.pair)}")


def shard_path(folder: Path, index: int, count: int) -> Path:
    """Where the ``index``-th of ``count`` shards lies."""
    return folder / f"shard-{index:05d}-of-{count:05d}.safetensors"


def write_shard(path: Path, shard: Shard) -> None:
    """Write a shard so that it is whole or not there.

    Raises:
        MachineError: the place is not writable or full.
    """
    tensors = {f"planes/{index}": planes for index, planes in enumerate(shard.planes.values())}
    for index, unit in enumerate(shard.units):
        tensors |= {f"units/{index}/{key}": tensor for key, tensor in _tensors(unit).items()}
    tensors = {key: tensor.contiguous().cpu() for key, tensor in tensors.items()}
    units = [{key: getattr(unit, key) for key in _WHERE} for unit in shard.units]
    about = json.dumps({**shard.provenance, "pairs": list(shard.planes), "units": units}, sort_keys=True)
    with atomic_write(path) as stream:
        stream.write(save(tensors, {"provenance": about, "sha256": _digest(tensors, about)}))


def read_shard(path: Path) -> Shard:
    """A whole shard, checked.

    Raises:
        InputError: not a shard, a truncated one, or one in which any byte changed.
    """
    try:
        with safe_open(path, "pt") as stored:
            header = stored.metadata() or {}
            tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118  # it is no dict
        about, wanted = header["provenance"], header["sha256"]
    except (OSError, SafetensorError, KeyError, ValueError, UnicodeDecodeError) as error:
        raise InputError(f"not an ensemble shard ({error})", where=path, remedy=_DAMAGED) from error
    if _digest(tensors, about) != wanted:
        raise InputError("the shard is damaged: its content is not what was written", where=path, remedy=_DAMAGED)
    provenance: dict[str, Any] = json.loads(about)
    planes = {name: tensors[f"planes/{index}"] for index, name in enumerate(provenance.pop("pairs"))}
    units = [_unit(where, index, tensors) for index, where in enumerate(provenance.pop("units"))]
    return Shard(planes, units, provenance)


@contextmanager
def open_shard(path: Path) -> Iterator[OpenShard]:
    """A shard that was checked before.

    Raises:
        InputError: the shard is gone, or another one.
    """
    try:
        with safe_open(path, "pt") as stored:
            yield OpenShard(stored)
    except (OSError, SafetensorError, KeyError, TypeError, IndexError, ValueError) as error:
        raise InputError(f"the shard changed during the run ({error})", where=path, remedy=_DAMAGED) from error


def read_ensemble(folder: Path) -> Iterator[Shard]:
    """Every shard of an ensemble, in order.

    Raises:
        InputError: no ensemble there, a shard missing or damaged.
    """
    yield from map(read_shard, ensemble_paths(folder))


def ensemble_paths(folder: Path) -> list[Path]:
    """Every shard of a whole ensemble, in order.

    Raises:
        InputError: no ensemble there, or a shard missing.
    """
    plan = read_plan(folder)
    if plan is None:
        raise InputError("no ensemble here", where=folder, remedy="make one: edgefusion distill ensemble")
    paths = [shard_path(folder, index, plan["shards"]) for index in range(plan["shards"])]
    if missing := [path.name for path in paths if not path.exists()]:
        raise InputError(
            f"{len(missing)} of {len(paths)} shards are missing: {', '.join(missing[:3])}",
            where=folder,
            remedy="repeat the command that was stopped",
        )
    return paths


def read_plan(folder: Path) -> dict[str, Any] | None:
    """What an ensemble is made of; None if there is none.

    Raises:
        InputError: a damaged plan, or one of another layout.
    """
    path = folder / PLAN
    if not path.exists():
        return None
    try:
        plan: dict[str, Any] = json.loads(path.read_text())
        int(plan["shards"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"not the plan of an ensemble ({error})", where=path) from error
    if plan.get("schema") != SCHEMA:
        raise InputError(
            f"an ensemble of layout {plan.get('schema', 1)}, and this version reads {SCHEMA}",
            where=path,
            remedy="draw it anew into another folder: edgefusion distill ensemble",
        )
    return plan


def write_plan(folder: Path, plan: dict[str, Any]) -> None:
    """Write the plan, or find the same one.

    Raises:
        InputError: an ensemble of another plan is there.
        MachineError: the place is not writable or full.
    """
    before = read_plan(folder)
    if before is None:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(folder / PLAN) as stream:
            stream.write((json.dumps(plan, indent=2) + "\n").encode())
    elif other := [key for key in plan if before.get(key) != plan[key]]:
        raise InputError(
            f"an ensemble with other settings is here (other: {', '.join(other)})",
            where=folder,
            remedy="choose another --out",
        )


def _tensors(unit: Unit) -> dict[str, Tensor]:
    tensors = {"mean": unit.mean, "variance": unit.variance}
    for backbone, layers in unit.features.items():
        for layer, (mean, variance) in enumerate(layers):
            tensors |= {f"{backbone}/{layer}/mean": mean.half(), f"{backbone}/{layer}/variance": variance}
    return tensors


def _unit(where: dict[str, Any], index: int, tensors: dict[str, Tensor]) -> Unit:
    prefix = f"units/{index}/"
    mine = {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}
    features: dict[str, list[tuple[Tensor, Tensor]]] = {}
    for key in sorted((key for key in mine if key.endswith("/mean")), key=lambda key: int(key.split("/")[1])):
        features.setdefault(key.split("/")[0], []).append((mine[key], mine[key.replace("/mean", "/variance")]))
    return Unit(**where, mean=mine["mean"], variance=mine["variance"], features=features)


def _digest(tensors: dict[str, Tensor], about: str) -> str:
    digest = hashlib.sha256(about.encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tuple(tensors[name].shape)} {tensors[name].dtype}".encode())
        digest.update(tensors[name].flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
