"""``make hardware-check`` on the machine that the tests run on, whatever it has."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hardware import missing

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("check") / "hardware-check.json"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    command = [sys.executable, ROOT / "tests" / "hardware" / "check.py", path]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"{path}: please send it back" in done.stdout
    return dict(json.loads(path.read_text()))


def test_it_says_what_the_machine_is_and_what_each_command_found(record: dict[str, Any]) -> None:
    assert record["machine"]["processor"] == os.uname().machine
    assert record["packages"]["numpy"]
    steps = record["steps"]
    assert {steps[name]["exit_code"] for name in ("doctor", "build", "estimate", "run")} == {0}
    assert steps["doctor"]["output"]["findings"]
    assert steps["build"]["output"]["timings"]
    assert steps["run"]["output"]["engine"]["device"]


def test_what_could_not_run_is_there_with_its_reason(record: dict[str, Any]) -> None:
    cases = record["steps"]["tests"]["cases"]
    assert any("test_engines" in case["name"] for case in cases)
    assert any("test_dla" in case["name"] for case in cases)
    if missing({"gpu"}):
        assert record["steps"]["tests"]["exit_code"] == 0
        assert {case["outcome"] for case in cases} == {"skipped"}
        assert all(missing({"jetson"}) in case["why"] for case in cases)
