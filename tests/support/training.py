"""Training students in tests: a tiny ensemble, and short runs on it. Needs [train]."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import save_file
from scenes import write_folder

from distill import checkpoint
from distill.backbones import Backbone, load_backbones
from distill.ensemble import EnsembleSettings, write_ensemble
from distill.planes import open_planes
from distill.teachers import open_teacher, prior
from distill.teachers.folder import save_teacher
from distill.teachers.sampling import Sampling
from distill.train import StudentSettings, train_student

SETTINGS = StudentSettings(steps=4, batch=2, fidelity=0.1)
OPTIONS = ["--steps", "4", "--batch", "2", "--fidelity", "0.1", "--workers", "0"]


def draw_ensemble(root: Path) -> None:
    """Leave a tiny teacher, two tiny backbones and an ensemble made with one of them in a folder."""
    write_folder(root / "data" / "pairs" / "roadscene", ["a", "b", "c", "d"])
    split = {"train": {"roadscene": ["a", "b", "c"], "m3svd_clips": []}, "val": {"roadscene": ["d"]}}
    (root / "data" / "splits.json").write_text(json.dumps(split))
    torch.manual_seed(0)
    save_teacher(root / "teacher", prior.network((16, 32)), prior.schedule(), {"kind": "prior"})
    for name in ("eyes", "others"):
        save_file(timm.create_model("test_resnet", pretrained=False).state_dict(), root / f"{name}.safetensors")
    settings = EnsembleSettings(samples=2, crops=2, crop_px=32, per_shard=2, batch=2)
    teacher = open_teacher(str(root / "teacher"), Sampling(steps=2))
    write_ensemble([teacher], [eyes(root)], open_planes(str(root / "data")), root / "shards", settings)
    shutil.rmtree(root / "data")  # a student needs no images


def eyes(place: Path, name: str = "eyes") -> Backbone:
    (found,) = load_backbones([f"test_resnet={place / name}.safetensors"])
    return found


def train(place: Path, out: Path, settings: StudentSettings = SETTINGS, **more: Any) -> list[dict[str, float]]:
    rows: list[dict[str, float]] = []
    given = {"backbones": [eyes(place)], "every": 1, "log": rows.append, "ensemble": place / "shards", **more}
    train_student(given.pop("ensemble"), out, settings, **given)
    return rows


def command(place: Path, out: Path) -> list[str]:
    call = ["-m", "edgefusion.cli", "distill", "student", "--ensemble", str(place / "shards")]
    call += ["--backbones", f"test_resnet={place / 'eyes.safetensors'}", "--out", str(out)]
    return [*call, *OPTIONS]


def same(first: Path, second: Path) -> bool:
    one, two = (checkpoint.load(folder)[0] for folder in (first, second))
    return all(torch.equal(tensor, two[name]) for name, tensor in one.items())
