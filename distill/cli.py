"""Commands of the distill room."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from edgefusion.core.geometry import parse_size
from edgefusion.core.optional import require

_PATH = click.Path(path_type=Path)
_PAIRS = (
    click.option(
        "--pairs",
        required=True,
        help="Folder with splits.json, or with visible/ and thermal/; or WebDataset tars: paths, patterns, {000..009} "
        "or URLs, by comma.",
    ),
    click.option("--split", default="train", show_default=True, help="Of a folder with splits.json."),
    click.option("--intersect", is_flag=True, help="Leave pictures without a partner out instead of refusing."),
)
_OBJECTIVE = (
    click.option("--pixel", default=1.0, show_default=True, help="Weight of the image-space signal."),
    click.option(
        "--gradient", default=10.0, show_default=True, help="Weight of the mean's gradients, likewise weighted."
    ),
    click.option("--feature", default=0.1, show_default=True, help="Weight of the feature-space signal."),
    click.option("--fidelity", default=0.0, show_default=True, help="Weight of source fidelity."),
    click.option("--tau", default=1.0, show_default=True, help="Temperature of the routing."),
    click.option("--weights/--no-weights", default=True, help="Whether variance weighs the image-space signal."),
    click.option("--routing/--no-routing", default=True, help="Whether variance routes the feature-space signal."),
)


def _takes_pairs(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_PAIRS):
        command = option(command)
    return command


def _asks(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_OBJECTIVE):
        command = option(command)
    return command


@click.group()
def distill() -> None:
    """Train a student and export it as a bundle (needs the [train] extra)."""


@distill.command()
@_takes_pairs
@click.option("--out", type=_PATH, required=True, help="Folder for the checkpoint.")
@click.option(
    "--arch", default="proxy-nano", show_default=True, help="proxy-nano, -small, -base, timm:NAME or timm:NAME=FILE."
)
@click.option("--steps", default=22_000, show_default=True)
@click.option("--learning-rate", default=2.5e-4, show_default=True)
@click.option("--intensity", default=1.0, show_default=True, help="Weight of the intensity term.")
@click.option("--gradient", default=20.0, show_default=True, help="Weight of the gradient term.")
@click.option("--ssim", default=0.3, show_default=True, help="Weight of the SSIM term.")
@click.option("--seed", default=0, show_default=True)
def baseline(pairs: str, split: str, intersect: bool, out: Path, **chosen: Any) -> None:
    """Train a student on source fidelity alone; repeat the command to go on after a stop."""
    require("torch", "train")
    from distill.baseline import BaselineSettings, train_baseline
    from distill.planes import open_planes

    train_baseline(
        open_planes(pairs, split, intersect=intersect),
        out,
        dataclasses.replace(BaselineSettings(), **chosen),
        log=_say_row,
    )
    click.echo(f"student: {out}")


@distill.command()
@click.option("--kind", type=click.Choice(["prior", "conditional"]), default="prior", show_default=True)
@_takes_pairs
@click.option("--out", type=_PATH, required=True, help="Folder for the teacher; its run is kept in OUT.run.")
@click.option("--samples", type=_PATH, help="For conditional: folder of shards with posterior samples.")
@click.option("--steps", default=20_000, show_default=True)
@click.option("--batch", default=8, show_default=True, help="Crops per step over all processes.")
@click.option("--crop-px", default=96, show_default=True, help="Side of a crop.")
@click.option("--widths", default="48,96,128", show_default=True, help="Channels per resolution.")
@click.option("--patch", type=click.Choice(["1", "2", "4"]), default="2", show_default=True, help="Pixels per block.")
@click.option("--learning-rate", default=3e-4, show_default=True)
@click.option("--average", default=0.999, show_default=True, help="Decay of the moving average.")
@click.option("--accumulate", default=1, show_default=True, help="Parts to take a batch in.")
@click.option("--precision", type=click.Choice(["no", "bf16", "fp16"]), default="no", show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--every", default=250, show_default=True, help="Steps between checkpoints and log lines.")
def teacher(
    kind: str, pairs: str, split: str, intersect: bool, out: Path, samples: Path | None, every: int, **chosen: Any
) -> None:
    """Train a diffusion teacher; repeat the command to go on after a stop."""
    require("diffusers", "train")
    from distill.planes import open_planes
    from distill.teachers import lessons
    from distill.teachers.train import TeacherSettings, train_teacher

    chosen["widths"] = tuple(int(width) for width in chosen["widths"].split(","))
    settings = dataclasses.replace(TeacherSettings(), **{**chosen, "patch": int(chosen["patch"])})
    planes = open_planes(pairs, split, intersect=intersect)
    material = lessons(kind, planes, samples, crop_px=settings.crop_px, batch=settings.batch, seed=settings.seed)
    train_teacher(material, planes, out, settings, every=every, log=_say_row)
    click.echo(f"teacher: {out}")


@distill.command()
@click.option("--teacher", "sources", multiple=True, required=True, help="Folder or id of the Hub; several share K.")
@_takes_pairs
@click.option("--out", type=_PATH, required=True, help="Folder for the shards.")
@click.option(
    "--backbones", default="tf_efficientnet_lite0", show_default=True, help="timm names or NAME=FILE, by comma."
)
@click.option("--samples", default=8, show_default=True, help="K, per pair or crop.")
@click.option("--crops", default=0, show_default=True, help="Random crops of each pair; 0: every pair whole.")
@click.option("--crop-px", default=96, show_default=True, help="Side of a crop.")
@click.option("--per-shard", default=4, show_default=True, help="Pairs in a shard.")
@click.option("--batch", default=4, show_default=True, help="Samples drawn together.")
@click.option("--seed", default=0, show_default=True)
@click.option("--keep-samples", type=_PATH, help="Folder for the samples themselves, for a conditional teacher.")
@click.option("--keep-means", type=_PATH, help="Folder for each whole pair's mean as a PNG, for evaluate --fused.")
@click.option("--scheduler", type=click.Choice(["ddim", "dpmsolver"]), default="ddim", show_default=True)
@click.option("--steps", default=10, show_default=True, help="Network evaluations per sample.")
@click.option("--start", default=0.5, show_default=True, help="Share of the noise schedule to begin at.")
@click.option("--eta", default=1.0, show_default=True, help="Of DDIM: share of new noise at each step.")
@click.option("--tile-px", default=256, show_default=True)
@click.option("--overlap-px", default=64, show_default=True, help="Pixels that neighbouring tiles share.")
@click.option("--measure", help="How the sources are believed, such as steepness=10,selectivity=4.")
@click.option("--precision", type=click.Choice(["no", "bf16", "fp16"]), default="no", show_default=True)
def ensemble(
    sources: tuple[str, ...],
    pairs: str,
    split: str,
    intersect: bool,
    out: Path,
    keep_samples: Path | None,
    keep_means: Path | None,
    **chosen: Any,
) -> None:
    """Draw an ensemble and keep its statistics; repeat the command to go on after a stop."""
    require("diffusers", "train")
    from distill.backbones import load_backbones
    from distill.ensemble import EnsembleSettings, write_ensemble
    from distill.planes import open_planes
    from distill.teachers import open_teacher
    from distill.teachers.likelihood import parse_measurement
    from distill.teachers.sampling import Sampling

    how = Sampling(**{field.name: chosen.pop(field.name) for field in dataclasses.fields(Sampling)})
    measure = chosen.pop("measure")
    law = parse_measurement(measure) if measure else None
    eyes = load_backbones([spec for spec in chosen.pop("backbones").split(",") if spec])
    teachers = [open_teacher(source, how, law) for source in sources]
    write_ensemble(
        teachers,
        eyes,
        open_planes(pairs, split, intersect=intersect),
        out,
        EnsembleSettings(**chosen),
        keep_samples=keep_samples,
        keep_means=keep_means,
        log=lambda row: click.echo(json.dumps(row)),
    )
    click.echo(f"ensemble: {out}")


@distill.command()
@click.option(
    "--arch", default="proxy-nano", show_default=True, help="proxy-nano, -small, -base, timm:NAME or timm:NAME=FILE."
)
@click.option("--ensemble", type=_PATH, required=True, help="Folder of shards, of distill ensemble.")
@click.option("--out", type=_PATH, required=True, help="Folder for the checkpoint, its state and sheets.")
@click.option(
    "--backbones", default="tf_efficientnet_lite0", show_default=True, help="timm names or NAME=FILE, by comma."
)
@click.option("--steps", default=15_000, show_default=True)
@click.option("--batch", default=8, show_default=True, help="Crops per step over all processes.")
@click.option("--learning-rate", default=0.003, show_default=True, help="Peak rate of Muon.")
@click.option("--average", default=0.998, show_default=True, help="Decay of the moving average.")
@_asks
@click.option(
    "--misalign", default="60,20", show_default=True, help="Pixels and degrees the curriculum ends at, or none."
)
@click.option("--aligned", default=0.9, show_default=True, help="Share of examples that the curriculum leaves aligned.")
@click.option(
    "--degrade", default=0.015, show_default=True, help="Chance of each of night, fog, noise, stripes and gain."
)
@click.option("--accumulate", default=1, show_default=True, help="Parts to take a batch in.")
@click.option("--precision", type=click.Choice(["no", "bf16", "fp16"]), default="no", show_default=True)
@click.option(
    "--patience", default=0, show_default=True, help="Log lines without a better held-out loss; 0: all steps."
)
@click.option("--held-out", default=0.1, show_default=True, help="Share of the pairs held out for --patience.")
@click.option("--seed", default=0, show_default=True)
@click.option("--every", default=250, show_default=True, help="Steps between checkpoints and log lines.")
@click.option("--sheets", default=1000, show_default=True, help="Steps between sample sheets; 0: none.")
@click.option(
    "--workers", type=int, help="Processes that read and warp ahead of the training; 0: none. By default up to 4."
)
def student(
    ensemble: Path,
    out: Path,
    backbones: str,
    misalign: str,
    every: int,
    sheets: int,
    workers: int | None,
    **chosen: Any,
) -> None:
    """Distil an ensemble into a student; repeat the command to go on after a stop."""
    require("accelerate", "train")
    from distill.backbones import load_backbones
    from distill.misalignment import parse_range
    from distill.prefetch import default_workers
    from distill.train import StudentSettings, train_student

    settings = StudentSettings(misalign=parse_range(misalign), **chosen)
    settings.check()
    eyes = load_backbones([spec for spec in backbones.split(",") if spec]) if settings.feature else []
    workers = default_workers() if workers is None else workers
    train_student(ensemble, out, settings, backbones=eyes, every=every, sheets=sheets, workers=workers, log=_say_row)
    click.echo(f"student: {out}")


@distill.command()
@click.option("--student", type=_PATH, required=True, help="Folder of the checkpoint to begin with.")
@click.option("--ensemble", type=_PATH, required=True, help="Folder of shards, of distill ensemble.")
@click.option("--out", type=_PATH, required=True, help="Folder for the checkpoint.")
@click.option(
    "--backbones", default="tf_efficientnet_lite0", show_default=True, help="timm names or NAME=FILE, by comma."
)
@click.option("--steps", default=500, show_default=True)
@click.option("--batch", default=8, show_default=True, help="Crops per step.")
@click.option("--learning-rate", default=1e-4, show_default=True, help="Peak rate of Adam.")
@_asks
@click.option("--likeness", default=1e5, show_default=True, help="Weight of staying what the student was.")
@click.option("--seed", default=0, show_default=True)
@click.option("--every", default=50, show_default=True, help="Steps between log lines.")
@click.option("--workers", type=int, help="Processes that read ahead of the training; 0: none. By default up to 4.")
def finetune(
    student: Path, ensemble: Path, out: Path, backbones: str, every: int, workers: int | None, **chosen: Any
) -> None:
    """Fine-tune a student for int8, which edgefusion quantize --qat does (needs the [quantize] extra)."""
    require("accelerate", "train")
    from distill.backbones import load_backbones
    from distill.finetune import FinetuneSettings
    from distill.finetune import finetune as tune
    from distill.prefetch import default_workers

    settings = FinetuneSettings(**chosen)
    settings.check()
    eyes = load_backbones([spec for spec in backbones.split(",") if spec]) if settings.feature else []
    workers = default_workers() if workers is None else workers
    tune(student, ensemble, out, settings, backbones=eyes, every=every, workers=workers, log=_say_row)
    click.echo(f"student: {out}")


@distill.command()
@click.option("--student", type=_PATH, required=True, help="Folder of the checkpoint.")
@click.option("--out", type=_PATH, required=True, help="Bundle to write.")
@click.option("--size", default="640x480", show_default=True, help="Image size the model is stored for.")
@click.option("--name", help="What the bundle is called; that of --out by default.")
@click.option("--licence", default="not stated", show_default=True, help="Licence of the weights.")
def export(student: Path, out: Path, size: str, name: str | None, licence: str) -> None:
    """Write a student as a bundle with its fp32 model."""
    require("torch", "train")
    from distill.export import export as write

    bundle = write(student, out, name=name or out.name, size_px=parse_size(size), licence=licence)
    click.echo(f"bundle: {bundle.path}")


def _say_row(row: dict[str, float]) -> None:
    click.echo(json.dumps({name: round(value, 6) for name, value in row.items()}))
