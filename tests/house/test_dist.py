"""What is shipped: built as `make dist` does, installed where nothing else is, and run from an empty folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
PACKAGES = ("edgefusion", "calibrate", "quantize", "runtime", "distill")
NOT_SHIPPED = "distill/runs/"
TRAINING = {"torch", "torchvision", "timm", "diffusers", "accelerate", "onnx", "onnxruntime-gpu", "nvidia-modelopt"}


def tracked(*folders: str) -> list[str]:
    done = subprocess.run(["git", "ls-files", "-z", *folders], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both files, of what git tracks alone."""
    folder = tmp_path_factory.mktemp("dist")
    for name in tracked():
        (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / "source" / name)
    words = [sys.executable, "-m", "build", "--outdir", folder, folder / "source"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (path,) = dist.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new virtual environment with the wheel and what it requires."""
    folder = tmp_path_factory.mktemp("clean") / "venv"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    run(folder / "bin", folder, "pip", "install", "-q", str(wheel))
    return folder / "bin"


def run(environment: Path, folder: Path, *words: str) -> str:
    """Standard output of a command of the clean environment, called in ``folder`` as a user would."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV", "VIRTUAL_ENV"))}
    mine["EDGEFUSION_CACHE"] = str(environment.parent / "cache")
    done = subprocess.run([environment / words[0], *words[1:]], cwd=folder, env=mine, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_has_every_file_of_the_packages_and_no_other(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == {name for name in tracked(*PACKAGES) if not name.startswith(NOT_SHIPPED)}


def test_the_sdist_has_what_a_build_reads(dist: Path) -> None:
    (path,) = dist.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed = {"setup.cfg", "pyproject.toml", "README.md", "LICENSE"}
    assert names >= needed | {name for name in tracked(*PACKAGES) if not name.startswith(NOT_SHIPPED)}


def test_the_base_install_requires_no_training_library(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (path,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    lines = message_from_bytes(archive.read(path)).get_all("Requires-Dist") or []
    base = {line.partition(">")[0] for line in lines if "extra ==" not in line}
    assert "openvino" in base
    assert not base & TRAINING


def test_the_demo_runs_from_the_wheel_in_an_empty_folder(environment: Path, tmp_path: Path) -> None:
    outputs = "--output", "fused.mp4", "--preview", "preview.png", "--record", "run.json"
    printed = json.loads(run(environment, tmp_path, "edgefusion", "run", "--frames", "30", *outputs, "--json"))
    assert printed == json.loads((tmp_path / "run.json").read_text())
    assert {path.name for path in tmp_path.iterdir()} == {"fused.mp4", "preview.png", "run.json"}
    assert all(path.stat().st_size > 500 for path in tmp_path.iterdir())
    counted = "import av; print(sum(1 for _ in av.open('fused.mp4').decode(video=0)))"
    assert run(environment, tmp_path, "python", "-c", counted).strip() == "30"


def test_the_bundle_and_the_page_come_with_the_wheel(environment: Path, tmp_path: Path) -> None:
    facts = json.loads(run(environment, tmp_path, "edgefusion", "bundle", "inspect", "--json"))
    assert facts["name"] == "proxy-nano"
    where = run(environment, tmp_path, "python", "-c", "import edgefusion; print(edgefusion.__file__)")
    assert where.startswith(str(environment.parent))
    words = "--simulated", "--frames", "2", "--metrics", "EN,SD", "--workers", "1", "--html", "page.html"
    run(environment, tmp_path, "edgefusion", "evaluate", *words)
    assert "proxy-nano" in (tmp_path / "page.html").read_text()


def test_nothing_that_was_installed_is_for_training(environment: Path, tmp_path: Path) -> None:
    listed = run(environment, tmp_path, "pip", "list", "--format=freeze").lower()
    installed = {line.partition("==")[0] for line in listed.split()}
    assert "edgefusion" in installed
    assert not installed & TRAINING
