from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from interrupts import interrupt_in
from little_memory import run_with_little_memory
from states import spoil_state

torch = pytest.importorskip("torch", reason="torch comes with [train]")
pytest.importorskip("diffusers", reason="diffusers comes with [train]")

from safetensors.torch import load_file  # noqa: E402

from distill.planes import open_planes  # noqa: E402
from distill.state import read_facts  # noqa: E402
from distill.teachers import lessons, open_teacher  # noqa: E402
from distill.teachers.folder import load_teacher  # noqa: E402
from distill.teachers.samples import TARGET, save_samples  # noqa: E402
from distill.teachers.train import STATE, TeacherSettings, train_teacher  # noqa: E402
from edgefusion.core.errors import InputError, MachineError, UsageError  # noqa: E402

SETTINGS = TeacherSettings(steps=6, batch=4, crop_px=32, widths=(16, 32))
OPTIONS = ["--steps", "6", "--batch", "4", "--crop-px", "32", "--widths", "16,32"]


def train(sets: Path, out: Path, settings: TeacherSettings = SETTINGS, **more: Any) -> None:
    pairs = open_planes(str(sets))
    material = lessons("prior", pairs, None, crop_px=settings.crop_px, batch=settings.batch, seed=settings.seed)
    train_teacher(material, pairs, out, settings, **more)


def weights(folder: Path) -> dict[str, Any]:
    """All that training goes on from, in FP32."""
    return load_file(folder.with_name(f"{folder.name}.run") / STATE)


def test_a_prior_says_how_it_was_made(sets: Path, tmp_path: Path) -> None:
    rows: list[dict[str, float]] = []
    train(sets, tmp_path / "prior", every=3, log=rows.append)
    assert [row["step"] for row in rows] == [3, 6]
    about = load_teacher(str(tmp_path / "prior")).manifest
    assert "no fused image" in about["target"]
    assert about["data"] == [{"name": "roadscene", "pairs": 4, "licence": "none stated"}]
    assert "--steps 6 --batch 4 --crop-px 32 --widths 16,32" in about["command"]
    assert about["seed"] == 0


def test_the_loss_falls(sets: Path, tmp_path: Path) -> None:
    rows: list[dict[str, float]] = []
    settings = dataclasses.replace(SETTINGS, steps=60, learning_rate=3e-3)
    train(sets, tmp_path / "prior", settings, every=10, log=rows.append)
    assert rows[-1]["loss"] < 0.95 * rows[0]["loss"]
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = EventAccumulator(str(tmp_path / "prior.run" / "log")).Reload()
    assert [event.value for event in log.Scalars("loss")] == pytest.approx([row["loss"] for row in rows])


def test_bf16_stays_near_fp32(sets: Path, tmp_path: Path) -> None:
    """Within 1 % of the loss at each step, from the same start."""
    rows: dict[str, list[float]] = {"no": [], "bf16": []}
    for precision, losses in rows.items():
        settings = dataclasses.replace(SETTINGS, precision=precision)
        train(sets, tmp_path / precision, settings, every=1, log=lambda row, to=losses: to.append(row["loss"]))
    assert rows["bf16"] == pytest.approx(rows["no"], rel=0.01)
    assert rows["bf16"] != rows["no"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU trains in fp16")
def test_fp16_without_a_gpu_is_refused(sets: Path, tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="does not train in fp16; choose --precision bf16"):
        train(sets, tmp_path / "out", dataclasses.replace(SETTINGS, precision="fp16"))


def test_a_stopped_run_goes_on_to_the_very_same_weights(sets: Path, tmp_path: Path) -> None:
    train(sets, tmp_path / "whole")

    def stop(row: dict[str, float]) -> None:
        if row["step"] == 2:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(sets, tmp_path / "parts", every=2, log=stop)
    train(sets, tmp_path / "parts", every=2)
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    for name, tensor in whole.items():
        assert torch.equal(tensor, parts[name]), name


def test_ctrl_c_keeps_what_was_learnt_since_the_last_checkpoint(sets: Path, tmp_path: Path) -> None:
    settings = dataclasses.replace(SETTINGS, steps=100_000)
    with pytest.raises(KeyboardInterrupt):
        train(sets, tmp_path / "out", settings, every=20, log=lambda row: interrupt_in(0.03))
    assert 20 < read_facts(tmp_path / "out.run" / STATE)["step"] < 40


def test_parts_of_a_batch_are_the_batch(sets: Path, tmp_path: Path) -> None:
    train(sets, tmp_path / "one")
    train(sets, tmp_path / "two", dataclasses.replace(SETTINGS, accumulate=2))
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    for name, tensor in one.items():
        assert torch.allclose(tensor, two[name], atol=1e-4), name
    with pytest.raises(UsageError, match="multiples of 3"):
        train(sets, tmp_path / "three", dataclasses.replace(SETTINGS, accumulate=3))


def test_two_processes_learn_what_one_does(sets: Path, tmp_path: Path) -> None:
    launch = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--cpu",
        "--num_processes",
        "2",
        "--num_machines",
        "1",
    ]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    command = ["-m", "edgefusion.cli", "distill", "teacher", "--kind", "prior", "--pairs", str(sets), *OPTIONS]
    logs = {}
    for name, before in (("one", [sys.executable]), ("two", launch)):
        run = subprocess.run(
            [*before, *command, "--out", str(tmp_path / name), "--every", "2"],
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            timeout=120,
        )
        assert run.returncode == 0, run.stderr
        logs[name] = [json.loads(line)["loss"] for line in run.stdout.splitlines() if line.startswith("{")]
    assert len(logs["one"]) == 3
    assert logs["two"] == pytest.approx(logs["one"], abs=1e-4)


def test_a_killed_run_goes_on(sets: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edgefusion.cli", "distill", "teacher", "--pairs", str(sets), *OPTIONS]
    command += ["--out", str(tmp_path / "killed"), "--every", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as run:
        assert run.stdout
        run.stdout.readline()
        run.kill()
    assert subprocess.run(command, capture_output=True, timeout=120).returncode == 0
    train(sets, tmp_path / "whole")
    whole, killed = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    assert all(torch.allclose(tensor, killed[name], atol=1e-5) for name, tensor in whole.items())


def test_another_runs_state_is_not_gone_on_with(sets: Path, tmp_path: Path) -> None:
    train(sets, tmp_path / "prior")
    with pytest.raises(InputError, match="a run with other settings"):
        train(sets, tmp_path / "prior", dataclasses.replace(SETTINGS, steps=7))


def test_a_damaged_state_is_named(sets: Path, tmp_path: Path) -> None:
    train(sets, tmp_path / "prior")
    state = tmp_path / "prior.run" / STATE
    spoil_state(state, "network/conv_in.bias", float("inf"))
    with pytest.raises(InputError, match=r"not finite: network/conv_in\.bias"):
        train(sets, tmp_path / "prior")
    state.write_bytes(state.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"state\.safetensors.*not the state of a run"):
        train(sets, tmp_path / "prior")


def test_too_large_a_batch_names_what_to_lower(sets: Path, tmp_path: Path) -> None:
    words = ["distill", "teacher", "--pairs", sets, "--out", tmp_path / "out", *OPTIONS, "--batch", "16384"]
    run = run_with_little_memory(words)
    assert run.returncode == 3
    assert run.stderr == "edgefusion: out of memory; raise --accumulate, or lower --batch or --crop-px\n"


def stack(count: int) -> Any:
    return np.random.default_rng(0).random((count, 3, 40, 36)).astype(np.float16)


def test_a_conditional_teacher_learns_from_posterior_samples(sets: Path, tmp_path: Path) -> None:
    save_samples(tmp_path / "samples" / "a.safetensors", stack(2), {"teacher": "abc"})
    material = lessons("conditional", open_planes(str(sets)), tmp_path / "samples", crop_px=32, batch=4, seed=0)
    train_teacher(material, open_planes(str(sets)), tmp_path / "fast", SETTINGS)
    about = load_teacher(str(tmp_path / "fast")).manifest
    assert about["target"] == f"conditional: {TARGET}"
    drawn = open_teacher(str(tmp_path / "fast")).draw(torch.rand(1, 1, 20, 24), torch.rand(1, 1, 20, 24), [1])
    assert drawn.shape == (1, 1, 20, 24)


def test_a_conditional_teacher_learns_from_nothing_else(sets: Path, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    (tmp_path / "samples").mkdir()
    with pytest.raises(InputError, match="no samples"):
        lessons("conditional", open_planes(str(sets)), tmp_path / "samples", crop_px=32, batch=4, seed=0)
    save_file({"visible_thermal_fused": stack(1)}, tmp_path / "samples" / "a.safetensors", {"target": "a fuser"})
    with pytest.raises(InputError, match="samples of the posterior teacher only"):
        lessons("conditional", open_planes(str(sets)), tmp_path / "samples", crop_px=32, batch=4, seed=0)
