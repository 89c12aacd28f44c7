from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from interrupts import interrupt_in
from little_memory import run_with_little_memory
from scenes import write_folder
from states import spoil_state
from students import RESNET, spec

torch = pytest.importorskip("torch", reason="torch comes with [train]")
timm = pytest.importorskip("timm", reason="timm comes with [train]")
pytest.importorskip("diffusers", reason="diffusers comes with [train]")

from PIL import Image  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from distill import checkpoint  # noqa: E402
from distill.backbones import Backbone, load_backbones  # noqa: E402
from distill.ensemble import EnsembleSettings, write_ensemble  # noqa: E402
from distill.examples import Changes, Course, Ensemble  # noqa: E402
from distill.misalignment import WarpRange  # noqa: E402
from distill.planes import open_planes  # noqa: E402
from distill.shards import PLAN, read_ensemble, read_plan, read_shard, shard_path, write_shard  # noqa: E402
from distill.state import read_facts  # noqa: E402
from distill.students import build  # noqa: E402
from distill.teachers import open_teacher, prior  # noqa: E402
from distill.teachers.folder import load_teacher, save_teacher  # noqa: E402
from distill.teachers.likelihood import Measurement  # noqa: E402
from distill.teachers.sampling import Sampling  # noqa: E402
from distill.train import STATE, StudentSettings, train_student  # noqa: E402
from edgefusion.core.errors import InputError, MachineError, RunError, UsageError  # noqa: E402

SETTINGS = StudentSettings(steps=4, batch=2, fidelity=0.1)
OPTIONS = ["--steps", "4", "--batch", "2", "--fidelity", "0.1", "--workers", "0"]
PLAIN = Changes(None, None)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data set, a tiny teacher, two tiny backbones, and an ensemble made with one of them."""
    root = tmp_path_factory.mktemp("student")
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
    return root


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


def test_each_term_can_be_switched_off(place: Path, tmp_path: Path) -> None:
    def first(name: str, **changed: Any) -> dict[str, float]:
        settings = dataclasses.replace(SETTINGS, steps=1, batch=6, misalign=None, degrade=0, **changed)
        return train(place, tmp_path / name, settings)[0]

    whole = first("whole")
    terms = {"pixel", "gradient", "feature", "fidelity"}
    assert whole["loss"] == pytest.approx(sum(whole[term] for term in terms), rel=1e-5)
    for term in terms:
        row = first(term, **{term: 0.0})
        assert terms & row.keys() == terms - {term}
        assert all(row[other] == pytest.approx(whole[other]) for other in terms - {term})
    assert first("double", pixel=2.0)["pixel"] == pytest.approx(2 * whole["pixel"])
    for switch, changed in (("weights", {"pixel", "gradient"}), ("routing", {"feature"})):
        row = first(switch, **{switch: False})
        assert {term for term in terms if row[term] != pytest.approx(whole[term], rel=1e-4)} == changed


def test_without_weights_the_pixel_term_is_the_distance_to_the_mean(place: Path, tmp_path: Path) -> None:
    settings = StudentSettings(steps=1, batch=6, weights=False, feature=0, misalign=None, degrade=0)
    row = train(place, tmp_path / "out", settings, backbones=())[0]
    torch.manual_seed(0)
    distances = []
    for shard in read_ensemble(place / "shards"):
        for unit in shard.units:
            visible, thermal = shard.planes[unit.pair][unit.window].float()
            soft = torch.sigmoid(10 * (visible - thermal))
            distances.append(float((soft * visible + (1 - soft) * thermal - unit.mean).abs().mean()))
    assert row["pixel"] == pytest.approx(np.mean(distances), rel=1e-4)


def test_other_backbones_than_the_ensembles_are_refused(place: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="other backbones than test_resnet"):
        train(place, tmp_path / "out", backbones=[eyes(place, "others")])
    with pytest.raises(UsageError, match="without backbones"):
        train(place, tmp_path / "out", backbones=[])


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


def test_an_ensemble_that_is_empty_or_not_finite_is_refused(place: Path, tmp_path: Path) -> None:
    whole = read_shard(shard_path(place / "shards", 0, 2))
    (tmp_path / PLAN).write_text(json.dumps({**(read_plan(place / "shards") or {}), "shards": 1}))
    broken = dataclasses.replace(whole.units[1], mean=torch.full((32, 32), torch.nan))
    for units, message in (([whole.units[0], broken], "roadscene/a@1 is not finite"), ([], "the ensemble is empty")):
        write_shard(shard_path(tmp_path, 0, 1), dataclasses.replace(whole, units=units))
        with pytest.raises(InputError, match=message):
            train(place, tmp_path / "out", ensemble=tmp_path)


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


def test_an_aligned_example_is_the_plain_crop_and_each_comes_once_a_round(place: Path) -> None:
    ensemble = Ensemble(place / "shards", {})
    units = [unit for shard in read_ensemble(place / "shards") for unit in shard.units]
    course = Course(ensemble, range(len(ensemble)), PLAIN, seed=0)
    batch = course.batch(range(len(ensemble)), 1.0)
    assert torch.equal(batch.inputs, batch.sources)
    wanted = torch.stack([unit.mean for unit in units])
    assert sorted(batch.mean.sum((1, 2, 3)).tolist()) == pytest.approx(sorted(wanted.sum((1, 2)).tolist()))
    still = Course(ensemble, range(len(ensemble)), Changes(WarpRange(), None), seed=0).batch(range(6), 0.0)
    assert torch.equal(still.inputs, batch.inputs)


def test_a_moved_thermal_shows_what_lies_beside_the_crop_and_the_target_stays(place: Path) -> None:
    ensemble = Ensemble(place / "shards", {})
    only = WarpRange(shift_px=6, turn_deg=0, scale=0, perspective=0, aligned=0)
    course = Course(ensemble, range(len(ensemble)), Changes(only, None), seed=0)
    batch = course.batch(range(6), 1.0)
    assert torch.equal(batch.inputs[:, 0], batch.sources[:, 0])
    assert not torch.equal(batch.inputs[:, 1], batch.sources[:, 1])
    plain = Course(ensemble, range(len(ensemble)), PLAIN, seed=0).batch(range(6), 1.0)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(batch[1:4], plain[1:4], strict=True))
    assert torch.equal(course.batch([4], 1.0).inputs, batch.inputs[4:5])


def test_any_number_of_workers_leads_to_the_very_same_weights(place: Path, tmp_path: Path) -> None:
    settings = dataclasses.replace(SETTINGS, steps=7, accumulate=2)
    alone = train(place, tmp_path / "alone", settings)
    helped = train(place, tmp_path / "helped", settings, workers=2)
    assert [row["loss"] for row in helped] == [row["loss"] for row in alone]
    assert same(tmp_path / "alone", tmp_path / "helped")
    assert not multiprocessing.active_children()


def test_what_is_wrong_in_a_worker_is_said_as_it_is_here(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "shards", tmp_path / "shards")

    def lose(row: dict[str, float]) -> None:
        for path in (tmp_path / "shards").glob("shard-*"):
            path.unlink()

    with pytest.raises(
        InputError, match=r"shard-0000\d-of-00002\.safetensors: the shard changed during the run"
    ) as said:
        settings = dataclasses.replace(SETTINGS, steps=40)
        train(place, tmp_path / "out", settings, ensemble=tmp_path / "shards", workers=1, log=lose)
    assert said.value.remedy.startswith("delete it and repeat")
    assert not multiprocessing.active_children()
    with pytest.raises(UsageError, match="give --workers 0 or more"):
        train(place, tmp_path / "none", workers=-1)


def gone(group: int) -> bool:
    """Whether no process of a group is left, or will be in a moment."""
    for _ in range(300):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_the_training_however_it_ends(place: Path, tmp_path: Path, end: signal.Signals) -> None:
    call = [sys.executable, *command(place, tmp_path / "out"), "--every", "1", "--steps", "100000", "--workers", "1"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(call, **pipes, text=True, start_new_session=True) as run:
        assert run.stdout
        run.stdout.readline()
        if end == signal.SIGINT:
            os.killpg(run.pid, end)  # as a terminal does: to everyone
        else:
            run.kill()
        said = run.communicate(timeout=120)[1]
    assert gone(run.pid)
    if end == signal.SIGINT:
        assert run.returncode == 1
        assert said.strip() == "Aborted!"
        assert read_facts(tmp_path / "out" / STATE)["step"] > 0


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
