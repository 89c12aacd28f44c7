"""V4L2 against a real driver: boots one virtual machine and shows what each test under ``guest/`` came to."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

HERE = Path(__file__).parent
GUEST = HERE / "guest"
ROOT = HERE.parents[1]
FILES = sorted(path for path in GUEST.glob("*.py") if path.name != "devices.py")
TESTS = [
    f"{path.stem}.{item.name}"
    for path in FILES
    for item in ast.parse(path.read_text()).body
    if isinstance(item, ast.FunctionDef) and item.name.startswith("test_")
]
DEVICES = " ".join(
    (
        "n_devs=5 node_types=0x1,0x1,0x101,0x1,0x1 num_inputs=1,1,1,1,1 input_types=0,0,3,0,0",
        "num_outputs=1,1,1,1,1 output_types=0,0,1,0,0 allocators=0,0,0,1,0 multiplanar=1,1,1,1,2",
    )
)
"""vivid's options: what ``guest/devices.py`` calls VISIBLE, THERMAL, HDMI, CONTIGUOUS and PLANAR."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What each test of the guest came to: nothing for every case of it that passed, else what went wrong."""
    prepared = subprocess.run([HERE / "vm", "--prepare"], capture_output=True, text=True, timeout=300)
    if prepared.returncode:
        pytest.skip(f"no virtual machine here: {prepared.stderr.strip()}")
    folder = tmp_path_factory.mktemp("vm")
    words = [sys.executable, "-m", "pytest", "-q", "-c", "/dev/null", "--rootdir", str(HERE), "--noconftest"]
    words += ["-p", "no:cacheprovider", "--junitxml=/job/results.xml", "--durations=8", *map(str, FILES)]
    environment = os.environ | {
        "PYTHONPATH": f"{ROOT}:{GUEST}",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "VM_VIVID": DEVICES,
        "VM_SECONDS": "400",
    }
    done = subprocess.run(
        [HERE / "vm", folder, *words], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=450
    )
    report = folder / "results.xml"
    assert report.exists(), f"{done.stdout}\n{done.stderr}"
    return read_results(report)


def read_results(report: Path) -> dict[str, list[str]]:
    """By file and name of the test: what each of its cases came to."""
    found: dict[str, list[str]] = {}
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314 - our own file
        wrong = [part.text or part.get("message", "") for part in case if part.tag in ("failure", "error", "skipped")]
        module = str(case.get("classname")).rpartition(".")[2]
        found.setdefault(f"{module}.{str(case.get('name')).partition('[')[0]}", []).append("\n".join(wrong))
    return found


@pytest.mark.parametrize("name", TESTS)
def test_in_the_guest(results: dict[str, list[str]], name: str) -> None:
    assert name in results, "it did not run"
    wrong = [text for text in results[name] if text]
    assert not wrong, "\n".join(wrong)
