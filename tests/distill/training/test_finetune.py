from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from students import RESNET, SHIPPED, shaken

torch = pytest.importorskip("torch", reason="torch comes with [train]")
pytest.importorskip("timm", reason="timm comes with [train]")
pytest.importorskip("diffusers", reason="diffusers comes with [train]")
pytest.importorskip("modelopt", reason="modelopt comes with [quantize]")

from training import eyes, same  # noqa: E402

from distill import checkpoint  # noqa: E402
from distill.fake_int8 import equalize, fake_quantized  # noqa: E402
from distill.finetune import FinetuneSettings, finetune  # noqa: E402
from edgefusion.core.errors import InputError, RunError, UsageError  # noqa: E402

SETTINGS = FinetuneSettings(steps=4, batch=2)


def tune(place: Path, out: Path, settings: FinetuneSettings = SETTINGS, **more: Any) -> list[dict[str, float]]:
    rows: list[dict[str, float]] = []
    given = {"student": SHIPPED, "ensemble": place / "shards", "backbones": [eyes(place)], **more}
    finetune(given.pop("student"), given.pop("ensemble"), out, settings, every=1, log=rows.append, **given)
    return rows


@pytest.fixture(scope="module")
def inputs() -> Any:
    torch.manual_seed(0)
    return torch.rand(4, 32, 12, 12)


@pytest.fixture(scope="module")
def student() -> Any:
    return checkpoint.load_student(SHIPPED)[0]


@torch.no_grad()
def test_equalised_channels_compute_the_same_and_share_a_range(student: Any, inputs: Any) -> None:
    folded = student.fold()
    equalize(folded, inputs)
    assert torch.allclose(folded(inputs), student(inputs), atol=1e-5)
    largest = folded.body(inputs).amax(dim=(0, 2, 3))
    assert largest[largest > 1e-2].allclose(torch.ones(()), atol=1e-4)
    assert student.fold().body(inputs).amax(dim=(0, 2, 3)).std() > 0.05


@torch.no_grad()
def test_a_fake_quantized_student_multiplies_whole_steps(student: Any, inputs: Any) -> None:
    made = fake_quantized(student, inputs)
    assert 1e-3 < (made(inputs) - student(inputs)).abs().mean() < 0.1
    seen: list[Any] = []
    for convolution in [layer for layer in made.modules() if isinstance(layer, torch.nn.Conv2d)]:
        for values, steps in (
            (convolution.weight_quantizer(convolution.weight), convolution.weight.abs().amax((1, 2, 3), True) / 127),
            (convolution.input_quantizer(inputs), convolution.input_quantizer.amax / 127),
        ):
            levels = values / steps
            assert torch.allclose(levels, levels.round(), atol=1e-2)
            seen.append(levels.round().unique())
    assert len(seen) == 8
    assert all(20 < len(levels) <= 255 for levels in seen)


def test_the_loss_falls_and_what_is_kept_is_near_and_exact_in_int8(place: Path, tmp_path: Path, student: Any) -> None:
    rows = tune(place, tmp_path / "out", dataclasses.replace(SETTINGS, steps=40, batch=6))
    assert rows[-1]["loss"] < 0.7 * rows[0]["loss"]
    tuned, config = checkpoint.load_student(tmp_path / "out")
    x = torch.rand(1, 32, 8, 8)
    assert 1e-4 < (tuned(x) - student(x)).abs().mean() < 0.02
    for convolution in [layer for layer in tuned.fold().modules() if isinstance(layer, torch.nn.Conv2d)]:
        levels = convolution.weight / (convolution.weight.abs().amax((1, 2, 3), keepdim=True) / 127)
        assert torch.allclose(levels, levels.round(), atol=1e-2)
    training = config["training"]
    assert training["command"].startswith("edgefusion distill finetune --student STUDENT --ensemble SHARDS --out OUT")
    assert "--likeness " in training["command"]
    assert training["settings"]["student"]["command"].startswith("edgefusion distill student")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # torch's exporter, of its own
def test_the_command_leaves_a_student_that_export_takes(edgefusion: Any, place: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="onnxscript comes with [train]")
    words = ("--student", SHIPPED, "--ensemble", place / "shards", "--steps", 2, "--every", 1, "--workers", 0)
    backbones = ("--backbones", f"test_resnet={place / 'eyes.safetensors'}")
    result = edgefusion("distill", "finetune", *words, *backbones, "--out", tmp_path / "s")
    assert result.exit_code == 0, result.output
    assert [line.startswith('{"step": ') for line in result.output.splitlines()] == [True, True, False]
    result = edgefusion("distill", "export", "--student", tmp_path / "s", "--out", tmp_path / "b", "--size", "64x48")
    assert result.exit_code == 0, result.output


def test_the_same_seed_gives_the_same_bytes(place: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        tune(place, tmp_path / name)
    tune(place, tmp_path / "other", dataclasses.replace(SETTINGS, seed=1))
    assert same(tmp_path / "one", tmp_path / "two")
    assert not same(tmp_path / "one", tmp_path / "other")


def test_what_cannot_be_fine_tuned_is_refused_and_nothing_is_written(place: Path, tmp_path: Path) -> None:
    encoder = tmp_path / "encoder"
    encoder.mkdir()
    checkpoint.save(encoder, shaken(RESNET, encoder).state_dict(), {"arch": RESNET, "training": {}})
    for error, message, settings, more in (
        (UsageError, "timm:test_resnet cannot be fine-tuned in int8", SETTINGS, {"student": encoder}),
        (UsageError, "without backbones", SETTINGS, {"backbones": []}),
        (UsageError, "loss weights", dataclasses.replace(SETTINGS, likeness=-1.0), {}),
        (UsageError, "steps, batch", dataclasses.replace(SETTINGS, steps=0), {}),
        (InputError, "other backbones than test_resnet", SETTINGS, {"backbones": [eyes(place, "others")]}),
        (InputError, "not a student checkpoint", SETTINGS, {"student": tmp_path}),
        (InputError, "no ensemble here", SETTINGS, {"ensemble": tmp_path}),
        (RunError, "not finite at step", dataclasses.replace(SETTINGS, learning_rate=1e38), {}),
    ):
        with pytest.raises(error, match=message):
            tune(place, tmp_path / "out", settings, **more)
    assert not (tmp_path / "out").exists()
