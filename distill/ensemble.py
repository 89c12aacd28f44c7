"""Sampling the ensemble: K fused images per pair, kept as their mean and variance."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import torch
from torch import Tensor

from distill.backbones import Backbone
from distill.interrupt import interruptible
from distill.memory import out_of_memory
from distill.planes import Images, Planes
from distill.shards import SCHEMA, Shard, Unit, read_shard, shard_path, write_plan, write_shard
from distill.sheets import write_grey
from distill.teachers.samples import save_samples
from distill.teachers.sampling import sample_seed
from distill.welford import Welford
from edgefusion.core.errors import InputError, UsageError


@dataclass(frozen=True)
class EnsembleSettings:
    """What is drawn.

    Attributes:
        samples: K, per pair or crop.
        crops: random crops of each pair to draw samples for; 0 takes every pair whole.
        crop_px: side of a crop, a multiple of four.
        per_shard: pairs in one shard.
        batch: samples that go through the network together.
        seed: of crops and samples.
    """

    samples: int = 8
    crops: int = 0
    crop_px: int = 96
    per_shard: int = 4
    batch: int = 4
    seed: int = 0


@dataclass(frozen=True)
class Place:
    """A pair as a whole, or a crop of it."""

    name: str
    pair: str
    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True)
class Share:
    """Which part of the work this process does: rank of world."""

    rank: int = 0
    world: int = 1

    @classmethod
    def of_environment(cls) -> Share:
        """What ``accelerate launch`` and torchrun tell each process.

        Nothing is sent between processes, so a rank that died can be started again alone.
        """
        return cls(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))


@out_of_memory("lower --tile-px or --batch")
def write_ensemble(
    teachers: Sequence[Any],
    backbones: Sequence[Backbone],
    pairs: Planes,
    out: Path,
    settings: EnsembleSettings,
    *,
    share: Share | None = None,
    keep_samples: Path | None = None,
    keep_means: Path | None = None,
    log: Callable[[dict[str, Any]], None] = lambda row: None,
) -> None:
    """Draw this process's share of the shards; those that are there already are checked and left.

    Sample k is drawn by teacher k modulo their number, with a seed of pair, k and run. Pairs smaller than a crop are
    left out; the log says how many.

    Args:
        teachers: of ``distill.teachers.open_teacher``.
        backbones: whose features are summed up.
        pairs: what samples are drawn for.
        out: folder of the shards.
        settings: see ``EnsembleSettings``.
        share: of the environment by default.
        keep_samples: folder for the samples themselves, for the conditional teacher.
        keep_means: folder for the mean of each whole pair as an image, which ``edgefusion evaluate --fused`` takes.
        log: called with each shard's name, units, and pairs that were too small.

    Raises:
        UsageError: settings that make no sense.
        InputError: an ensemble of other settings or pairs in ``out``, a damaged shard, a pair that cannot be read, or
            none that is as large as a crop.
        MachineError: out of memory, or a place that cannot be written.
    """
    if min(settings.samples, settings.per_shard, settings.batch) < 1 or settings.crops < 0 or settings.crop_px % 4:
        raise UsageError(f"an ensemble of {settings}", remedy="at least one sample, crops with sides of multiples of 4")
    if keep_means and settings.crops:
        raise UsageError("means of crops are not kept as images", remedy="--crops 0, or leave --keep-means out")
    share = share or Share.of_environment()
    count = -(-len(pairs) // settings.per_shard)
    about = provenance(teachers, backbones, pairs, settings)
    write_plan(out, {**about, "shards": count})
    draw, mine = _Draw(teachers, backbones, settings, keep_samples), range(share.rank, count, share.world)
    units = 0
    with interruptible() as stop:
        for index in mine:
            path = shard_path(out, index, count)
            shard = _found(path)
            if not shard:
                numbers = range(len(pairs))[index * settings.per_shard : (index + 1) * settings.per_shard]
                shard = Shard(*draw.pairs(pairs, numbers), about)
                write_shard(path, shard)
                small = len(numbers) - len(shard.planes)
                log({"shard": path.name, "units": len(shard.units), "too_small": small})
            if keep_means:
                for unit in shard.units:
                    write_grey(keep_means / f"{unit.pair}.png", unit.mean)
            units += len(shard.units)
            if stop.is_set():
                raise KeyboardInterrupt
    if mine and not units:
        raise InputError(f"no pair is as large as {settings.crop_px} px", where=out, remedy="lower --crop-px")


def places(pair: str, size: tuple[int, int], settings: EnsembleSettings) -> list[Place]:
    """What samples of a pair are drawn for: the whole of it, or crops; none if it is smaller than a crop.

    Where its n-th crop lies depends on the seed, its name and n alone, so that any process can draw any pair.

    Args:
        pair: its name.
        size: (height, width).
        settings: see ``EnsembleSettings``.
    """
    side = settings.crop_px
    if not settings.crops:
        return [Place(pair, pair, 0, 0, *size)]
    if min(size) < side:
        return []
    corners = [
        np.random.default_rng(sample_seed(pair, n, settings.seed)).integers(0, np.array(size) - side + 1)
        for n in range(settings.crops)
    ]
    return [Place(f"{pair}@{n}", pair, int(top), int(left), side, side) for n, (top, left) in enumerate(corners)]


def provenance(
    teachers: Sequence[Any], backbones: Sequence[Backbone], pairs: Planes, settings: EnsembleSettings
) -> dict[str, Any]:
    """Where an ensemble comes from; the same for every shard."""
    return {
        "schema": SCHEMA,
        "teachers": [
            {
                "kind": teacher.kind,
                "sha256": teacher.denoiser.digest,
                "sampling": asdict(teacher.sampling),
                "measurement": asdict(teacher.measurement) if teacher.kind == "posterior" else None,
            }
            for teacher in teachers
        ],
        "backbones": {backbone.name: backbone.digest for backbone in backbones},
        "settings": {key: value for key, value in asdict(settings).items() if key != "batch"},
        "seeds": "first 7 bytes of SHA-256 of SEED/NAME/K; of SEED/PAIR/N for the place of a crop",
        "data": pairs.sources(),
        "names": hashlib.sha256("\n".join(pairs.names).encode()).hexdigest(),
    }


def _found(path: Path) -> Shard | None:
    """A shard that is done. What a killed process left half written goes; a damaged one is an error."""
    for part in path.parent.glob(f".{path.name}.*.part"):
        part.unlink()
    return read_shard(path) if path.exists() else None


class _Draw:
    """Samples of one pair after the other, summed up at once."""

    def __init__(
        self, teachers: Sequence[Any], backbones: Sequence[Backbone], settings: EnsembleSettings, keep: Path | None
    ) -> None:
        self._teachers, self._settings, self._keep = teachers, settings, keep
        self._device = torch.device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else "cpu")
        for teacher in teachers:
            teacher.denoiser.unet.to(self._device)
        self._backbones = [backbone.to(self._device) for backbone in backbones]

    def pairs(self, pairs: Planes, numbers: Iterable[int]) -> tuple[dict[str, Tensor], list[Unit]]:
        """Planes and units of some pairs; those that are smaller than a crop are left out."""
        planes, units = {}, list[Unit]()
        for number in numbers:
            whole = pairs.make(number)
            height, width = whole.shape[1:]
            found = places(pairs.names[number], (height, width), self._settings)
            units += [self._unit(place, whole) for place in found]
            if found:
                planes[pairs.names[number]] = torch.from_numpy(whole)
        return planes, units

    def _unit(self, place: Place, whole: Images) -> Unit:
        rows, columns = slice(place.top, place.top + place.height), slice(place.left, place.left + place.width)
        image = np.ascontiguousarray(whole[:, rows, columns])
        luma, layers = Welford(), {backbone.name: list[Welford]() for backbone in self._backbones}
        kept = []
        for sample in self._samples(place.name, torch.from_numpy(image).float().to(self._device)):
            luma.add(sample[0, 0])
            self._look(sample, layers)
            if self._keep:
                kept.append(np.concatenate([image, sample[0].cpu().numpy().astype(np.float16)]))
        if self._keep:
            self._write(self._keep, place.name, np.stack(kept))
        features = {name: [(one.mean, one.variance.mean(dim=0)) for one in all_] for name, all_ in layers.items()}
        return Unit(place.name, place.pair, place.top, place.left, luma.mean, luma.variance, features)

    def _samples(self, name: str, sources: Tensor) -> Iterator[Tensor]:
        """[1, 1, H, W], K times, a batch at a time."""
        visible, thermal = sources[None, :1], sources[None, 1:]
        for number, teacher in enumerate(self._teachers):
            mine = range(number, self._settings.samples, len(self._teachers))
            for first in range(0, len(mine), self._settings.batch):
                seeds = [sample_seed(name, k, self._settings.seed) for k in mine[first : first + self._settings.batch]]
                shape = (len(seeds), -1, -1, -1)
                yield from teacher.draw(visible.expand(shape), thermal.expand(shape), seeds).split(1)

    @torch.no_grad()
    def _look(self, sample: Tensor, layers: dict[str, list[Welford]]) -> None:
        for backbone in self._backbones:
            found = backbone.features(sample)
            sums = layers[backbone.name]
            sums.extend(Welford() for _ in found[len(sums) :])
            for one, feature in zip(sums, found, strict=True):
                one.add(feature[0])

    def _write(self, folder: Path, name: str, stack: Any) -> None:
        about = {"teachers": " ".join(teacher.denoiser.digest for teacher in self._teachers), "name": name}
        if any(teacher.kind != "posterior" for teacher in self._teachers):
            raise UsageError("only samples of the posterior teacher are kept", remedy="leave --keep-samples out")
        save_samples(folder / f"{quote(name, safe='@')}.safetensors", stack, about)
