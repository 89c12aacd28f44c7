from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from interrupts import interrupt_in
from little_memory import run_with_little_memory
from states import spoil_state
from students import RESNET, spec

torch = pytest.importorskip("torch", reason="torch comes with [train]")
pytest.importorskip("timm", reason="timm comes with [train]")
pytest.importorskip("diffusers", reason="diffusers comes with [train]")

from PIL import Image  # noqa: E402
from training import SETTINGS, command, eyes, same, train  # noqa: E402

from distill import checkpoint  # noqa: E402
from distill.shards import read_plan  # noqa: E402
from distill.state import read_facts  # noqa: E402
from distill.students import build  # noqa: E402
from distill.teachers.folder import load_teacher  # noqa: E402
from distill.teachers.likelihood import Measurement  # noqa: E402
from distill.train import STATE, StudentSettings  # noqa: E402
from edgefusion.core.errors import InputError, MachineError, RunError, UsageError  # noqa: E402


def test_the_loss_falls(place: Path, tmp_path: Path) -> None:
    settings = StudentSettings(steps=40, batch=6, learning_rate=0.1, misalign=None, degrade=0)
    rows = train(place, tmp_path / "out", settings, every=10)
    assert rows[-1]["loss"] < 0.9 * rows[0]["loss"]
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = EventAccumulator(str(tmp_path / "out" / "log")).Reload()
    assert [(event.step, pytest.approx(event.value)) for event in log.Scalars("loss")] == [
        (row["step"], row["loss"]) for row in rows
    ]


def test_a_student_says_how_it_was_made_and_is_shown_on_a_sheet(place: Path, tmp_path: Path) -> None:
    train(place, tmp_path / "out", sheets=2)
    student, config = checkpoint.load_student(tmp_path / "out")
    assert student(torch.rand(1, 32, 8, 8)).isfinite().all()
    training = config["training"]
    assert training["data"] == [{"name": "roadscene", "pairs": 3, "licence": "none stated"}]
    assert training["settings"]["ensemble"] == read_plan(place / "shards")
    assert training["settings"]["backbones"] == ["test_resnet"]
    assert "--misalign 60,20 --aligned 0.9 --degrade 0.015" in training["command"]
    sheets = sorted(path.name for path in (tmp_path / "out" / "sheets").iterdir())
    assert sheets == ["0000002.png", "0000004.png"]
    with Image.open(tmp_path / "out" / "sheets" / sheets[0]) as sheet:
        assert sheet.size == (5 * 36 - 4, 2 * 36 - 4)


@pytest.mark.parametrize(("patience", "arch"), [(0, "proxy-nano"), (9, "proxy-nano"), (0, RESNET)])
def test_a_stopped_run_goes_on_to_the_very_same_weights(place: Path, tmp_path: Path, patience: int, arch: str) -> None:
    settings = dataclasses.replace(SETTINGS, patience=patience, held_out=0.4, arch=spec(arch, tmp_path))

    def stop(row: dict[str, float]) -> None:
        if row["step"] == 2:
            raise KeyboardInterrupt

    whole = train(place, tmp_path / "whole", settings)
    with pytest.raises(KeyboardInterrupt):
        train(place, tmp_path / "parts", settings, log=stop)
    rest = train(place, tmp_path / "parts", settings)
    assert [row["loss"] for row in rest] == [row["loss"] for row in whole[2:]]
    assert same(tmp_path / "whole", tmp_path / "parts")


def test_a_timm_student_keeps_all_it_needs_and_where_its_encoder_began(place: Path, tmp_path: Path) -> None:
    begun = build(spec(RESNET, tmp_path))
    train(place, tmp_path / "out", dataclasses.replace(SETTINGS, arch=spec(RESNET, tmp_path), learning_rate=0.01))
    (tmp_path / "test_resnet.safetensors").unlink()
    student, config = checkpoint.load_student(tmp_path / "out")
    assert config["arch"] == config["training"]["settings"]["arch"] == RESNET
    assert config["training"]["settings"]["pretrained"] == begun.pretrained
    assert f"--arch {RESNET} " in config["training"]["command"]
    after = student.state_dict()
    learnt = {name.rpartition(".")[2] for name, tensor in begun.state_dict().items() if not tensor.equal(after[name])}
    assert learnt == {"weight", "bias"}


def test_ctrl_c_keeps_what_was_learnt_since_the_last_checkpoint(place: Path, tmp_path: Path) -> None:
    settings = dataclasses.replace(SETTINGS, steps=100_000, batch=1)
    with pytest.raises(KeyboardInterrupt):
        train(place, tmp_path / "out", settings, every=20, log=lambda row: interrupt_in(0.03))
    assert 20 < read_facts(tmp_path / "out" / STATE)["step"] < 40


def test_parts_of_a_batch_are_the_batch(place: Path, tmp_path: Path) -> None:
    settings = dataclasses.replace(SETTINGS, batch=6)
    whole = train(place, tmp_path / "one", settings)
    parts = train(place, tmp_path / "three", dataclasses.replace(settings, accumulate=3))
    assert [row["loss"] for row in parts] == pytest.approx([row["loss"] for row in whole], abs=1e-4)


def test_what_is_kept_is_the_moving_average(place: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    train(place, tmp_path / "out", dataclasses.replace(SETTINGS, steps=1, average=0.05))
    state, name = load_file(tmp_path / "out" / STATE), "head.square.bias"
    kept = checkpoint.load(tmp_path / "out")[0][name]
    assert torch.equal(kept, state[f"average/student.{name}"])
    assert torch.allclose(kept, 0.95 * state[f"student/student.{name}"], rtol=1e-5)  # the first state's is 0
    assert kept.abs().sum() > 0


def test_another_run_is_not_gone_on_with(place: Path, tmp_path: Path) -> None:
    train(place, tmp_path / "out")
    with pytest.raises(InputError, match="a run with other settings is here \\(other: settings\\)"):
        train(place, tmp_path / "out", dataclasses.replace(SETTINGS, tau=2.0))


def test_training_ends_when_patience_does(place: Path, tmp_path: Path) -> None:
    settings = dataclasses.replace(SETTINGS, steps=50, learning_rate=1.0, patience=2, held_out=0.4)
    rows = train(place, tmp_path / "out", settings)
    assert len(rows) < 50
    best = min(row["held_out"] for row in rows)
    assert [row["held_out"] for row in rows].index(best) == len(rows) - 3
    with pytest.raises(UsageError, match="no pair would be left"):
        train(place, tmp_path / "none", dataclasses.replace(settings, held_out=0.99))


@pytest.mark.parametrize(
    "wrong",
    [
        {"arch": "none"},
        {"pixel": -1.0},
        {"gradient": -1.0},
        {"tau": 0.0},
        {"aligned": 1.5},
        {"degrade": -0.1},
        {"batch": 3, "accumulate": 2},
    ],
)
def test_settings_that_make_no_sense_are_refused(place: Path, tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        train(place, tmp_path / "out", dataclasses.replace(SETTINGS, **wrong))


def test_a_state_of_broken_weights_is_not_gone_on_with(place: Path, tmp_path: Path) -> None:
    train(place, tmp_path / "out")
    spoil_state(tmp_path / "out" / STATE, "average/student.head.square.bias", float("nan"))
    with pytest.raises(InputError, match=r"not finite: average/student\.head\.square\.bias"):
        train(place, tmp_path / "out")


def test_bf16_stays_near_fp32(place: Path, tmp_path: Path) -> None:
    """Within 1 % of the loss at each step, from the same start."""
    settings = dataclasses.replace(SETTINGS, steps=6, misalign=None)
    exact, half = (
        [row["loss"] for row in train(place, tmp_path / name, dataclasses.replace(settings, precision=name))]
        for name in ("no", "bf16")
    )
    assert half == pytest.approx(exact, rel=0.01)
    assert half != exact


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU trains in fp16")
def test_fp16_without_a_gpu_is_refused(place: Path, tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="does not train in fp16; choose --precision bf16"):
        train(place, tmp_path / "out", dataclasses.replace(SETTINGS, precision="fp16"))


def test_too_large_a_batch_names_what_to_lower(place: Path, tmp_path: Path) -> None:
    words = command(place, tmp_path / "out")[2:]
    run = run_with_little_memory([*words, "--batch", "16384"])
    assert (run.returncode, run.stderr) == (3, "edgefusion: out of memory; raise --accumulate, or lower --batch\n")


def test_a_loss_that_is_not_finite_ends_the_run(place: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not finite at step"):
        train(place, tmp_path / "out", dataclasses.replace(SETTINGS, steps=50, learning_rate=1e38))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # torch's exporter, of its own
@pytest.mark.parametrize("arch", ["proxy-nano", RESNET])
def test_the_command_leaves_a_student_that_export_takes(place: Path, tmp_path: Path, arch: str) -> None:
    pytest.importorskip("onnxscript", reason="onnxscript comes with [train]")
    from distill.export import export

    run = subprocess.run(
        [sys.executable, *command(place, tmp_path / "s"), "--every", "2", "--arch", spec(arch, tmp_path)],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert [json.loads(line)["step"] for line in run.stdout.splitlines() if line.startswith("{")] == [2, 4]
    bundle = export(tmp_path / "s", tmp_path / "b", name="test", size_px=(64, 48), licence="none")
    assert bundle.manifest.student.arch == arch
    assert str(tmp_path) not in bundle.manifest.model_dump_json()
    assert bundle.manifest.student.objective == (
        "distillation of a diffusion ensemble: image-space signal 1 weighted; its gradients 10 weighted; "
        "feature-space signal 0.1 routed, tau 1; source fidelity 0.1"
    )
    told = json.loads((tmp_path / "b" / "manifest.json").read_text())["training"]["settings"]
    assert told["ensemble"]["teachers"][0]["sha256"] == load_teacher(str(place / "teacher")).digest
    assert told["ensemble"]["backbones"] == {"test_resnet": eyes(place).digest}
    assert told["ensemble"]["teachers"][0]["measurement"]["steepness"] == Measurement().steepness


@pytest.mark.slow
def test_two_processes_learn_what_one_does(place: Path, tmp_path: Path) -> None:
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2"]
    launch += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    logs = {}
    for name, before in (("one", [sys.executable]), ("two", launch)):
        run = subprocess.run(
            [*before, *command(place, tmp_path / name), "--every", "1", "--patience", "9", "--held-out", "0.4"],
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            timeout=240,
        )
        assert run.returncode == 0, run.stderr
        rows = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]
        logs[name] = [value for row in rows for key, value in row.items() if key != "seconds"]
    assert len(logs["one"]) == 4 * 7
    assert logs["two"] == pytest.approx(logs["one"], abs=1e-4)
