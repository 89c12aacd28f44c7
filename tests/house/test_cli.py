from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize("command", ["devices", "doctor", ("bundle", "inspect")])
def test_listings_are_tables_or_json(edgefusion, command: str | tuple[str, ...]) -> None:
    words = [command] if isinstance(command, str) else [*command]
    assert edgefusion(*words).exit_code == 0
    assert json.loads(edgefusion(*words, "--json").stdout)


def test_devices_has_every_module() -> None:
    from edgefusion.core.devices import load_devices

    names = {device.name for device in load_devices()}
    orin = {"orin-nano-4", "orin-nano-8", "orin-nx-8", "orin-nx-16", "agx-orin-32", "agx-orin-64"}
    assert names >= orin | {"cpu", "thor-t4000", "thor-t5000", "xavier"}


def test_doctor_names_what_is_missing_and_what_to_do(edgefusion) -> None:
    findings = json.loads(edgefusion("doctor", "--json").stdout)["findings"]
    assert {finding["name"] for finding in findings} >= {
        "Python", "CPU", "OpenVINO", "CUDA driver", "TensorRT", "pycuda", "cameras", "power meters", "jtop",
    }  # fmt: skip
    assert all(finding["ok"] or finding["remedy"] for finding in findings)


def test_build_says_what_it_built_and_where(edgefusion) -> None:
    words = ("build", "--device", "cpu", "--size", "96x64", "--precision", "fp32")
    first, second = (json.loads(edgefusion(*words, *force, "--json").stdout) for force in (["--force"], []))
    assert (first["built"], second["built"], first["key"]) == (True, False, second["key"])
    assert os.path.isdir(first["engine"])
    assert "in the cache already" in edgefusion(*words).stdout


def test_version_and_usage_errors(edgefusion) -> None:
    assert edgefusion("--version").stdout.startswith("edgefusion, version ")
    assert edgefusion("fly").exit_code == 2
    assert edgefusion("run", "--frames", "many").exit_code == 2


def test_shell_completion_knows_the_commands() -> None:
    environment = {
        **os.environ,
        "_EDGEFUSION_COMPLETE": "bash_complete",
        "COMP_WORDS": "edgefusion d",
        "COMP_CWORD": "1",
    }
    script = "from edgefusion.cli import main; main(prog_name='edgefusion')"
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert {line.rpartition(",")[2] for line in done.stdout.split()} == {"devices", "doctor", "distill"}


def test_a_missing_extra_is_named(edgefusion, tmp_path) -> None:
    pytest.importorskip("click")
    if importlib_has("torch"):
        pytest.skip("torch is installed here")
    result = edgefusion("distill", "baseline", "--pairs", tmp_path, "--out", tmp_path)
    assert result.exit_code == 3
    assert "pip install 'edgefusion[train]'" in result.stderr


def importlib_has(name: str) -> bool:
    from importlib.util import find_spec

    return find_spec(name) is not None
