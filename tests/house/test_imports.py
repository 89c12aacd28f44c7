"""The walls of the house: what may import what, and what an import costs."""

from __future__ import annotations

import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import edgefusion

ROOT = Path(__file__).parents[2]
HEAVY = {"numpy", "torch", "onnx", "numba", "openvino", "scipy", "tensorrt", "cv2", "av", "pydantic", "rich", "mcap"}


def modules_after(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys, json; print(json.dumps([*sys.modules]))"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


@pytest.mark.parametrize(
    "code",
    [
        "import edgefusion",
        "from click.testing import CliRunner; from edgefusion.cli import main; CliRunner().invoke(main, ['--help'])",
        "from click.testing import CliRunner; from edgefusion.cli import main; CliRunner().invoke(main, ['--version'])",
    ],
)
def test_nothing_heavy_is_loaded_before_it_is_used(code: str) -> None:
    assert not modules_after(code) & HEAVY


@pytest.mark.parametrize(
    "command",
    ["run", "build", "estimate", "evaluate", "devices", "doctor", "bundle", "calibrate", "quantize", "distill"],
)
def test_the_help_of_a_command_loads_nothing_heavy(command: str) -> None:
    code = (
        "from click.testing import CliRunner; from edgefusion.cli import main\n"
        f"r = CliRunner().invoke(main, ['{command}', '--help']); assert r.exit_code == 0, r.output"
    )
    assert not modules_after(code) & {"numba", "openvino", "scipy", "torch", "onnx", "mcap"}


def test_measuring_the_drift_loads_no_scipy() -> None:
    assert "scipy" not in modules_after("import runtime.registration.worker")


def test_the_vehicle_runs_without_training_libraries() -> None:
    loaded = modules_after(
        "from click.testing import CliRunner; from edgefusion.cli import main\n"
        "r = CliRunner().invoke(main, ['run', '--frames', '1']); assert r.exit_code == 0, r.output"
    )
    assert not loaded & {"torch", "torchvision", "timm", "diffusers", "accelerate", "onnx", "onnxruntime", "modelopt"}


def test_help_takes_under_a_fifth_of_a_second_of_processor_time() -> None:
    words = [sys.executable, "-m", "edgefusion.cli", "--help"]
    subprocess.run(words, check=True, capture_output=True)
    spent = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(words, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(spent) < 0.2


def test_the_public_face_is_what_all_says() -> None:
    public = {name for name in dir(edgefusion) if not name.startswith("_") and name[0] != "T"}
    modules = {name for name in public if isinstance(vars(edgefusion).get(name), type(os))}
    assert public - modules - {"annotations", "import_module", "Any"} == set(edgefusion.__all__)
    for name in edgefusion.__all__:
        assert getattr(edgefusion, name)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = edgefusion.nothing


def test_every_command_in_the_table_exists() -> None:
    from edgefusion.cli import COMMANDS

    for home, text in COMMANDS.values():
        module, _, attribute = home.partition(":")
        assert getattr(importlib.import_module(module), attribute).help
        assert text.endswith(".")


def test_import_rules_hold() -> None:
    with tempfile.TemporaryDirectory() as cache:
        done = subprocess.run(
            [Path(sys.executable).parent / "lint-imports", "--cache-dir", cache],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stdout
