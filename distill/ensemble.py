"""Sampling the ensemble: K fused images per pair, kept as their mean and variance."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distill.backbones import Backbone
from distill.crops import Images, named_images
from distill.interrupt import interruptible
from distill.memory import out_of_memory
from distill.shards import Unit, read_shard, shard_path, write_plan, write_shard
from distill.teachers.samples import save_samples
from distill.teachers.sampling import sample_seed
from distill.welford import Welford
from edgefusion.core.errors import UsageError
from edgefusion.kernels.agc import AgcSpec


@dataclass(frozen=True)
class EnsembleSettings:
    """What is drawn.

    Attributes:
        split: of the data folder.
        samples: K, per pair or crop.
        crops: random crops to draw samples for; 0 takes every image of the split whole.
        crop_px: side of a crop, a multiple of four.
        per_shard: pairs or crops in one shard.
        batch: samples that go through the network together.
        seed: of crops and samples.
    """

    split: str = "train"
    samples: int = 8
    crops: int = 0
    crop_px: int = 96
    per_shard: int = 16
    batch: int = 4
    seed: int = 0


@dataclass(frozen=True)
class Place:
    """One pair, or one crop of it: image ``index``, and where it is cut out."""

    name: str
    index: int
    top: int = 0
    left: int = 0


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
    data: Path,
    out: Path,
    settings: EnsembleSettings,
    *,
    share: Share | None = None,
    keep_samples: Path | None = None,
    log: Callable[[dict[str, Any]], None] = lambda row: None,
) -> None:
    """Draw this process's share of the shards; those that are there already are checked and left.

    Sample k is drawn by teacher k modulo their number, with a seed of pair, k and run.

    Args:
        teachers: of ``distill.teachers.open_teacher``.
        backbones: whose features are summed up.
        data: folder with ``splits.json``.
        out: folder of the shards.
        settings: see ``EnsembleSettings``.
        share: of the environment by default.
        keep_samples: folder for the samples themselves, for the conditional teacher.
        log: called with each shard's name, units and seconds.

    Raises:
        UsageError: settings that make no sense.
        InputError: an ensemble of other settings in ``out``, a damaged shard, data that cannot be read.
        MachineError: out of memory, or a place that cannot be written.
    """
    if min(settings.samples, settings.per_shard, settings.batch) < 1 or settings.crops < 0 or settings.crop_px % 4:
        raise UsageError(f"an ensemble of {settings}", remedy="at least one sample, crops with sides of multiples of 4")
    share = share or Share.of_environment()
    images = list(named_images(data, settings.split, AgcSpec()))
    places = plan_places([(name, image.shape[1:]) for name, image in images], settings)
    count = -(-len(places) // settings.per_shard)
    about = provenance(teachers, backbones, settings)
    write_plan(out, {**about, "units": len(places), "shards": count})
    draw = _Draw(teachers, backbones, settings, keep_samples)
    with interruptible() as stop:
        for index in range(share.rank, count, share.world):
            path = shard_path(out, index, count)
            if _is_there(path):
                continue
            mine = places[index * settings.per_shard : (index + 1) * settings.per_shard]
            write_shard(path, [draw.unit(place, images[place.index][1]) for place in mine], about)
            log({"shard": path.name, "units": len(mine)})
            if stop.is_set():
                raise KeyboardInterrupt


def plan_places(images: list[tuple[str, tuple[int, ...]]], settings: EnsembleSettings) -> list[Place]:
    """What samples are drawn for: every image whole, or crops, large images more often; the same in every process."""
    if not settings.crops:
        return [Place(name, index) for index, (name, _) in enumerate(images)]
    size = settings.crop_px
    fit = [index for index, (_, shape) in enumerate(images) if min(shape) >= size]
    if not fit:
        raise UsageError(f"no image is as large as {size} px", remedy="lower --crop-px")
    odds = np.sqrt([float(np.prod(images[index][1])) for index in fit])
    draw = np.random.default_rng(settings.seed)
    chosen = draw.choice(len(fit), settings.crops, p=odds / odds.sum())
    return [_crop(images[fit[which]], fit[which], size, draw) for which in chosen]


def _crop(image: tuple[str, tuple[int, ...]], index: int, size: int, draw: np.random.Generator) -> Place:
    name, shape = image
    top, left = (int(draw.integers(0, side - size + 1)) for side in shape)
    return Place(f"{name}@{top},{left}", index, top, left)


def provenance(teachers: Sequence[Any], backbones: Sequence[Backbone], settings: EnsembleSettings) -> dict[str, Any]:
    """Where an ensemble comes from; the same for every shard."""
    return {
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
        "seeds": "first 7 bytes of SHA-256 of SEED/NAME/K",
    }


def _is_there(path: Path) -> bool:
    """Whether a shard is done. What a killed process left half written goes; a damaged one is an error."""
    for part in path.parent.glob(f".{path.name}.*.part"):
        part.unlink()
    return path.exists() and bool(read_shard(path))


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

    def unit(self, place: Place, image: Images) -> Unit:
        size = self._settings.crop_px
        if self._settings.crops:
            image = image[:, place.top : place.top + size, place.left : place.left + size]
        sources = torch.from_numpy(np.ascontiguousarray(image))
        luma, layers = Welford(), {backbone.name: list[Welford]() for backbone in self._backbones}
        kept = []
        for sample in self._samples(place.name, sources.float().to(self._device)):
            luma.add(sample[0, 0])
            self._look(sample, layers)
            if self._keep:
                kept.append(np.concatenate([image, sample[0].cpu().numpy().astype(np.float16)]))
        if self._keep:
            self._write(self._keep, place.name, np.stack(kept))
        features = {name: [(one.mean, one.variance.mean(dim=0)) for one in all_] for name, all_ in layers.items()}
        return Unit(place.name, sources, luma.mean, luma.variance, features)

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
        save_samples(folder / f"{name.replace('/', '_')}.safetensors", stack, about)
