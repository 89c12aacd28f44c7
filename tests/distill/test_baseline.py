from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from interrupts import interrupt_in
from scenes import noise, write_folder, write_video
from students import RESNET, spec

torch = pytest.importorskip("torch", reason="torch comes with [train]")

from distill import checkpoint  # noqa: E402
from distill.baseline import BaselineSettings, train_baseline  # noqa: E402
from distill.crops import CropSampler  # noqa: E402
from distill.losses import fidelity  # noqa: E402
from distill.planes import open_planes, prepare  # noqa: E402
from distill.students import build  # noqa: E402
from edgefusion.core.errors import InputError, UsageError  # noqa: E402
from edgefusion.core.frames import FramePair, PixelFormat  # noqa: E402
from edgefusion.kernels.agc import AgcSpec  # noqa: E402

SETTINGS = BaselineSettings(steps=6, batch=2, crop_px=32)


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    """A small data folder: four pairs, one clip, and their split."""
    root = tmp_path / "data"
    write_folder(root / "pairs" / "roadscene", ["a", "b", "c", "d"])
    for half in ("visible", "thermal"):
        (root / "recordings" / "m3svd" / half).mkdir(parents=True)
        write_video(root / "recordings" / "m3svd" / half / "clip.mp4", 21)
    split = {"roadscene": ["a", "b", "c"], "m3fd": [], "m3svd_clips": ["clip"]}
    (root / "splits.json").write_text(json.dumps({"train": split, "val": {"roadscene": ["d"]}}))
    return root


def test_training_leaves_a_student_that_says_how_it_was_made(sets: Path, tmp_path: Path) -> None:
    rows: list[dict[str, float]] = []
    train_baseline(open_planes(str(sets)), tmp_path / "out", SETTINGS, every=2, log=rows.append)
    assert [row["step"] for row in rows] == [2, 4, 6]
    student, config = checkpoint.load_student(tmp_path / "out")
    assert student(torch.rand(1, 32, 8, 8)).isfinite().all()
    training = config["training"]
    assert training["data"] == [
        {"name": "roadscene", "pairs": 3, "licence": "none stated"},
        {"name": "m3svd", "pairs": 3, "licence": "MIT"},
    ]
    assert "--steps 6" in training["command"]


def test_a_timm_student_is_trained_too(sets: Path, tmp_path: Path) -> None:
    train_baseline(open_planes(str(sets)), tmp_path / "out", dataclasses.replace(SETTINGS, arch=spec(RESNET, tmp_path)))
    student, config = checkpoint.load_student(tmp_path / "out")
    assert student(torch.rand(1, 32, 8, 8)).isfinite().all()
    assert config["training"]["settings"]["pretrained"] == build(spec(RESNET, tmp_path)).pretrained
    assert str(tmp_path) not in json.dumps(config)


def test_an_unknown_student_is_refused(sets: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown student 'none'"):
        train_baseline(open_planes(str(sets)), tmp_path / "out", dataclasses.replace(SETTINGS, arch="none"))


def test_a_stopped_run_goes_on_to_the_very_same_weights(sets: Path, tmp_path: Path) -> None:
    train_baseline(open_planes(str(sets)), tmp_path / "whole", SETTINGS)

    def stop(row: dict[str, float]) -> None:
        if row["step"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_baseline(open_planes(str(sets)), tmp_path / "parts", SETTINGS, every=2, log=stop)
    train_baseline(open_planes(str(sets)), tmp_path / "parts", SETTINGS, every=2)
    whole, parts = (checkpoint.load(tmp_path / name)[0] for name in ("whole", "parts"))
    for name, tensor in whole.items():
        assert torch.equal(tensor, parts[name]), name


def test_ctrl_c_keeps_what_was_learnt_since_the_last_checkpoint(sets: Path, tmp_path: Path) -> None:
    settings = BaselineSettings(steps=100_000, batch=1, crop_px=32)
    with pytest.raises(KeyboardInterrupt):
        train_baseline(
            open_planes(str(sets)), tmp_path / "out", settings, every=100, log=lambda row: interrupt_in(0.03)
        )
    assert 100 < checkpoint.load(tmp_path / "out" / "state")[1]["step"] < 200


def test_another_runs_checkpoint_is_not_gone_on_with(sets: Path, tmp_path: Path) -> None:
    train_baseline(open_planes(str(sets)), tmp_path / "out", SETTINGS)
    with pytest.raises(InputError, match="a run with other settings"):
        train_baseline(open_planes(str(sets)), tmp_path / "out", BaselineSettings(steps=7, batch=2, crop_px=32))


def test_images_are_prepared_as_the_vehicle_does(sets: Path) -> None:
    from scenes import frame

    pixels = noise(PixelFormat.RGB24, (32, 24))
    counts = noise(PixelFormat.Y16, (32, 24))
    images = prepare(FramePair(frame(pixels, PixelFormat.RGB24), frame(counts, PixelFormat.Y16)), AgcSpec())
    np.testing.assert_allclose(images[0], pixels @ [0.299, 0.587, 0.114] / 255, atol=1e-3)
    low, median, high = np.percentile(counts, [0.5, 50, 99.5])
    low = max(low, (median - 0.4 * high) / 0.6)
    np.testing.assert_allclose(images[1], np.clip((counts - low) / (high - low), 0, 1), atol=0.01)


def test_a_batch_depends_on_its_step_alone() -> None:
    images = [np.random.default_rng(k).random((2, 64, 80)).astype(np.float16) for k in range(3)]
    first, second = (CropSampler(images, size=32, batch=4, seed=7) for _ in range(2))
    second.batch(0)
    np.testing.assert_array_equal(first.batch(5), second.batch(5))
    assert not np.array_equal(first.batch(5), first.batch(6))


def test_fidelity_is_lowest_where_every_detail_is_kept() -> None:
    torch.manual_seed(0)
    visible, thermal = torch.rand(2, 1, 1, 32, 32).unbind()
    terms = {
        name: fidelity(fused, visible, thermal, (1.0, 1.0, 1.0))
        for name, fused in {"maximum": torch.maximum(visible, thermal), "mean": (visible + thermal) / 2}.items()
    }
    assert terms["maximum"]["intensity"] == 0
    assert terms["maximum"]["gradient"] < terms["mean"]["gradient"]


@pytest.mark.parametrize("damage", ["none", "truncated", "nan"])
def test_a_damaged_checkpoint_is_named(sets: Path, tmp_path: Path, damage: str) -> None:
    train_baseline(open_planes(str(sets)), tmp_path / "out", SETTINGS)
    weights = tmp_path / "out" / checkpoint.WEIGHTS
    if damage == "none":
        shutil.rmtree(tmp_path / "out")
    elif damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:-40])
    else:
        tensors, config = checkpoint.load(tmp_path / "out")
        next(iter(tensors.values())).view(-1)[0] = float("nan")
        checkpoint.save(tmp_path / "out", tensors, config)
    with pytest.raises(InputError, match="weights that are not finite" if damage == "nan" else "not a student"):
        checkpoint.load(tmp_path / "out")
