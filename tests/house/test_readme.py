"""Every command of the README is run here as it stands there; what takes long is cut short."""

from __future__ import annotations

import itertools
import re
import shlex
import shutil
import threading
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import records
from bundles import write_scenes
from click.testing import Result
from detectors import bright_model
from lanes import Run, pairs
from mcaps import write_drive
from scenes import rig_toml, write_folder, write_video

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
SHORTER = {"--steps": 2, "--brake": 1, "--frames": 12, "--count": 4, "--holdout-count": 10, "--duration": 1}
NEEDS_TORCH = ("edgefusion distill", "edgefusion quantize", "--bundle bundle", "inspect bundle", "pack bundle")


def commands() -> Iterator[str]:
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL):
        yield from (line.partition("#")[0].strip() for line in block.splitlines() if line.strip())


ELSEWHERE = "--host"
"""Needs another machine: tests/runtime/test_remote_build.py runs that line of the README, through an sshd."""
COMMANDS = list(dict.fromkeys(commands()))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the README's commands name."""
    folder = tmp_path_factory.mktemp("newcomer")
    write_folder(folder / "drive", ["a", "b"])
    (folder / "drive" / "labels").mkdir()
    for name in ("a", "b"):
        (folder / "drive" / "labels" / f"{name}.txt").write_text("0 0.5 0.5 0.4 0.4\n")
    bright_model(folder / "detector.onnx")
    write_drive(folder / "drive.mcap")
    write_video(folder / "visible.mp4", 8)
    write_video(folder / "thermal.mp4", 8)
    for ride, light in (("day", 0.5), ("night", 0.1)):
        write_scenes(folder / ride, 26, light=light, size=(640, 480))
    (folder / "rig.toml").write_text(rig_toml((3, 2)))
    write_folder(folder / "data" / "pairs" / "roadscene", ["a"], size=(160, 132))
    (folder / "data" / "splits.json").write_text('{"train": {"roadscene": ["a"]}}')
    shutil.copytree(ROOT / "docs" / "runs", folder / "docs" / "runs")
    (folder / "run.json").write_text(records.complete().model_dump_json(by_alias=True))
    return folder


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(
    "command", [line for line in COMMANDS if line.startswith("edgefusion") and ELSEWHERE not in line]
)
def test_a_command_of_the_readme(
    edgefusion: Callable[..., Result], place: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    if any(words in command for words in NEEDS_TORCH) and not find_spec("torch"):
        pytest.skip("torch comes with [train]")
    if "--device rtx" in command and not find_spec("tensorrt_rtx"):
        pytest.skip("TensorRT-RTX comes with [rtx]")
    monkeypatch.chdir(place)
    words = shlex.split(command)[1:]
    for option, fewer in SHORTER.items():
        if option in words and int(words[words.index(option) + 1].rstrip("smh")) > fewer:
            unit = "s" * (option == "--duration")
            words[words.index(option) + 1] = f"{fewer}{unit}"
    if words[0] == "run" and "front.toml" in words:
        words += ["--frames", "12"]
    result = edgefusion(*words)
    assert result.exit_code == 0, result.output


def test_every_other_command_is_run_by_continuous_integration() -> None:
    others = [line for line in COMMANDS if not line.startswith("edgefusion")]
    script = (ROOT / ".ci" / "run").read_text()
    makefile = (ROOT / "Makefile").read_text()
    for line in others:
        if line.startswith("pip install"):
            assert "pip install -q -e '.[train,quantize" in makefile
        else:
            assert line in script, line


def test_the_example_for_perception(ring_name: str) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    seen: list[tuple[int, ...]] = []

    def detect(rgb: np.ndarray) -> None:
        seen.append(rgb.shape)
        if len(seen) == 3:
            raise StopIteration

    run = Run(itertools.cycle(pairs(2)), outputs=(f"ring:{ring_name}",), fps=50)
    thread = threading.Thread(target=run.go)
    thread.start()
    try:
        with pytest.raises(StopIteration):
            exec(code.replace('"front"', repr(ring_name)), {"detect": detect})  # noqa: S102  # what users paste
    finally:
        run.stop.set()
        thread.join()
    assert seen == [(64, 96, 3)] * 3


def test_links_of_the_readme_and_the_docs_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"
