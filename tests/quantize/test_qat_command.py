from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bundles import small_bundle
from click.testing import Result
from interrupts import gone
from students import RESNET, SHIPPED

pytest.importorskip("timm", reason="timm comes with [train]")
pytest.importorskip("diffusers", reason="diffusers comes with [train]")
pytest.importorskip("onnxscript", reason="onnxscript comes with [train]")

from training import draw_ensemble

from edgefusion.core.bundle import Bundle
from edgefusion.core.calibration import CalibrationSet
from edgefusion.core.errors import InputError
from quantize import qat
from quantize.gate import Judge
from quantize.holdout import of_calibration
from quantize.job import Made, QuantizeSettings

Call = Callable[..., Result]
TIGHT = ("--max-drop", "0.001%", "--method", "max")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ensemble")
    draw_ensemble(root)
    return root


def words(bundle: Bundle, calibration: CalibrationSet, place: Path) -> list[object]:
    tuning = ["--qat", SHIPPED, "--ensemble", place / "shards", "--qat-steps", 2]
    tuning += ["--backbones", f"test_resnet={place / 'eyes.safetensors'}"]
    return ["--bundle", bundle.path, "--calibration", calibration.path, "--precision", "int8", *tuning]


def files(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


@pytest.mark.slow
def test_over_the_budget_the_student_is_fine_tuned_and_the_bundle_says_so(
    edgefusion: Call, bundle: Bundle, calibration: CalibrationSet, place: Path
) -> None:
    result = edgefusion("quantize", *words(bundle, calibration, place), *TIGHT, "--accept-drop", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads((bundle.path / "quality.json").read_text())["int8"]["qat"]
    assert json.loads(result.stdout)["precisions"]["int8"]["qat"] == found
    assert (found["run"], found["used"], found["steps"], found["seed"]) == (True, False, 2, 0)
    assert "distill finetune --student STUDENT --ensemble SHARDS --out OUT " in found["command"]
    assert "--steps 2 " in found["command"]
    assert not found["without"]["passed"]
    assert not found["tuned"]["passed"]
    assert found["tuned"]["psnr_db"] != found["without"]["psnr_db"]
    assert "student: " in result.stderr  # what distill says is passed on


def test_within_the_budget_nothing_is_fine_tuned(
    edgefusion: Call, bundle: Bundle, calibration: CalibrationSet, place: Path
) -> None:
    result = edgefusion("quantize", *words(bundle, calibration, place), "--method", "max", "--max-drop", "5%")
    assert result.exit_code == 0, result.output
    assert "not fine-tuned: it passes without" in result.stdout
    found = json.loads((bundle.path / "quality.json").read_text())["int8"]["qat"]
    assert found == {"run": False, "used": False}


def test_without_the_option_nothing_is_said_of_it(
    edgefusion: Call, bundle: Bundle, calibration: CalibrationSet
) -> None:
    plain = ("--bundle", bundle.path, "--calibration", calibration.path, "--precision", "int8", "--method", "max")
    result = edgefusion("quantize", *plain, "--max-drop", "5%")
    assert "fine-tuned" not in result.output
    assert "qat" not in json.loads((bundle.path / "quality.json").read_text())["int8"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--precision", "int8"), "--qat needs --ensemble"),
        (("--precision", "fp16", "--ensemble", "e"), "--qat is for int8"),
        (("--precision", "int8", "--ensemble", "e", "--qat-steps", "0"), "--qat-steps 0"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(
    edgefusion: Call, bundle: Bundle, calibration: CalibrationSet, options: tuple[str, ...], message: str
) -> None:
    plain = ("quantize", "--bundle", bundle.path, "--calibration", calibration.path, "--qat", SHIPPED)
    result = edgefusion(*plain, *options)
    assert result.exit_code == 2
    assert message in result.output


def test_a_fine_tuning_that_fails_is_one_line_and_leaves_the_bundle(
    edgefusion: Call, bundle: Bundle, calibration: CalibrationSet, place: Path, tmp_path: Path
) -> None:
    before = files(bundle.path)
    result = edgefusion("quantize", *words(bundle, calibration, place), *TIGHT, "--ensemble", tmp_path)
    assert result.exit_code == 5
    assert "edgefusion: edgefusion distill finetune failed: " in result.stderr.splitlines()[-1]
    assert "no ensemble here" in result.stderr.splitlines()[-1]
    assert files(bundle.path) == before


@pytest.mark.slow
def test_ctrl_c_during_the_fine_tuning_leaves_the_bundle(
    bundle: Bundle, calibration: CalibrationSet, place: Path
) -> None:
    before = files(bundle.path)
    call = ["quantize", *map(str, words(bundle, calibration, place)), *TIGHT, "--qat-steps", "100000"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [sys.executable, "-m", "edgefusion.cli", *call]
    with subprocess.Popen(command, **pipes, text=True, start_new_session=True) as run:
        assert run.stderr
        assert any('"step": 50' in line for line in run.stderr)
        os.kill(run.pid, signal.SIGINT)  # this process alone; the one it began must end too
        assert run.stderr.read().strip().endswith("Aborted!")
    assert run.returncode == 1
    assert gone(run.pid)
    assert files(bundle.path) == before


@pytest.fixture(scope="module")
def judged(calibration: CalibrationSet, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Made]:
    """An int8 model as the gate found it: passed or not, with some layers in FP16."""
    bundle = small_bundle(tmp_path_factory.mktemp("judged") / "bundle")
    fp32 = bundle.model("fp32").read_bytes()
    verdict = Judge(fp32, of_calibration(calibration), max_drop=0.01, seed=0)(fp32)
    scenes = verdict.classes[0]
    over = dataclasses.replace(scenes, changes=(dataclasses.replace(scenes.changes[0], high=1.0), *scenes.changes[1:]))

    def make(passed: bool, kept: int, model: bytes) -> Made:
        classes = verdict.classes if passed else (over, *verdict.classes[1:])
        found = dataclasses.replace(verdict, classes=classes)
        return Made(model, found, agreement=None, kept=tuple("abcd"[:kept]))  # type: ignore[arg-type]

    return make


@pytest.mark.parametrize(
    ("without", "tuned", "used"),
    [
        ((False, 3), (True, 3), True),
        ((True, 2), (True, 1), True),
        ((True, 2), (True, 2), False),
        ((True, 2), (False, 0), False),
        ((False, 3), (False, 1), False),
    ],
)
def test_the_fine_tuned_model_is_used_where_it_is_better(
    bundle: Bundle,
    judged: Callable[..., Made],
    monkeypatch: pytest.MonkeyPatch,
    without: Any,
    tuned: Any,
    used: bool,
) -> None:
    monkeypatch.setattr(qat, "_distill", lambda words, say: small_bundle(Path(words[words.index("--out") + 1])))
    settings = QuantizeSettings(bundle.path, qat=SHIPPED, ensemble=Path("shards"))
    made = qat.improve(
        judged(*without, b"old"), bundle, settings, lambda content: judged(*tuned, b"new"), lambda line: None
    )
    assert made.model == (b"new" if used else b"old")
    assert made.qat
    assert (made.qat.run, made.qat.used) == (True, used)
    assert made.qat.tuned == qat.Result(tuned[0], tuple("abcd"[: tuned[1]]), made.qat.tuned.psnr_db)


def test_another_student_than_the_bundles_is_refused(
    bundle: Bundle, judged: Callable[..., Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qat, "_distill", lambda words, say: small_bundle(Path(words[words.index("--out") + 1])))
    student = bundle.manifest.student.model_copy(update={"arch": RESNET})
    other = dataclasses.replace(bundle, manifest=bundle.manifest.model_copy(update={"student": student}))
    settings = QuantizeSettings(bundle.path, qat=SHIPPED, ensemble=Path("shards"))
    with pytest.raises(InputError, match="a proxy-nano, and the bundle's student is a timm:test_resnet"):
        qat.improve(judged(False, 3, b"old"), other, settings, lambda content: judged(True, 0, b""), print)
