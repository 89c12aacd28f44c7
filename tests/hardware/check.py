"""Everything that waits for hardware, run on it: ``make hardware-check`` writes one JSON file to send back.

It needs nothing but Python to begin with, and goes on where a step fails: that too is worth knowing. Serial numbers
and the host's name are not read; paths in error messages may hold a user's name.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
EDGEFUSION = [sys.executable, "-m", "edgefusion.cli"]
PYTEST = [sys.executable, "-m", "pytest", "-q", "-m", "jetson or gpu", "-p", "no:cacheprovider", "-W", "default"]
PYTEST += ["-p", "pytest_benchmark.plugin"]
"""What a vendor's packages deprecate is no failure of ours; plugins are those we name, since ROS brings its own."""
STEPS = {
    "doctor": [*EDGEFUSION, "doctor", "--json"],
    "build": [*EDGEFUSION, "build", "--device", "auto", "--precision", "auto", "--explain", "--json"],
    "estimate": [*EDGEFUSION, "estimate", "--device", "auto", "--json"],
    "run": [*EDGEFUSION, "run", "--frames", "300", "--prerender", "30", "--json"],
    "power mode": ["nvpmodel", "-q"],
    "GPU": ["nvidia-smi", "--query-gpu=name,driver_version,compute_cap,power.limit", "--format=csv"],
}
"""Name -> command. The last two are tools that only some machines have."""
FILES = {
    "model": "/proc/device-tree/model",
    "compatible": "/proc/device-tree/compatible",
    "l4t": "/etc/nv_tegra_release",
    "system": "/etc/os-release",
    "memory": "/proc/meminfo",
}
TAIL = 4000
TIMEOUT_S = 3600


def main(path: Path) -> None:
    """Run everything, write ``path`` and say what was skipped."""
    with tempfile.TemporaryDirectory(prefix="hardware-check-") as folder:
        environment = {**os.environ, "EDGEFUSION_CACHE": folder, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        steps = {name: run(command, environment) for name, command in STEPS.items()}
        report = Path(folder) / "junit.xml"
        tests = run([*PYTEST, f"--junitxml={report}"], environment)
        tests["cases"] = cases(report) if report.is_file() else []
    record = {"schema": 1, "machine": machine(), "packages": packages(), "steps": {**steps, "tests": tests}}
    path.write_text(json.dumps(record, indent=2) + "\n")
    print("\n".join([*summary(record["steps"]), f"{path}: please send it back"]))


def run(command: Sequence[str], environment: dict[str, str]) -> dict[str, Any]:
    """What became of a command: exit code (None: it could not run, or not end), seconds, output, end of its errors."""
    print("$", " ".join(command), flush=True)
    start, words = time.monotonic(), [Path(word).name if word == sys.executable else word for word in command]
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"command": words, "exit_code": None, "output": "", "errors": str(error)[-TAIL:]}
    seconds = round(time.monotonic() - start, 1)
    facts = {"command": words, "exit_code": done.returncode, "seconds": seconds}
    return {**facts, "output": parsed(done.stdout), "errors": done.stderr[-TAIL:]}


def parsed(text: str) -> Any:
    """The JSON a command printed, else the end of its text."""
    try:
        return json.loads(text)
    except ValueError:
        return text[-TAIL:]


def cases(report: Path) -> list[dict[str, Any]]:
    """Every test: passed, failed, error or skipped, and why. Files that could not be collected are none."""
    listed = ElementTree.parse(report).iter("testcase")  # noqa: S314  # pytest wrote it
    return [case_facts(case) for case in listed if case.get("classname")]


def case_facts(case: ElementTree.Element) -> dict[str, Any]:
    """What became of one test."""
    mark = next((mark for mark in case if mark.tag in ("failure", "error", "skipped")), None)
    outcome = "passed" if mark is None else mark.tag
    facts = {"name": f"{case.get('classname')}.{case.get('name')}", "outcome": outcome}
    why = "" if mark is None else (mark.get("message") or "") + "\n" + (mark.text or "")[-TAIL:]
    return {**facts, "seconds": float(case.get("time") or 0), "why": why.strip()}


def machine() -> dict[str, Any]:
    """Processor, system, module and the commit that was checked."""
    facts: dict[str, Any] = {"processor": platform.machine(), "kernel": platform.release(), "cores": os.cpu_count()}
    facts["python"] = platform.python_version()
    for name, path in FILES.items():
        text = Path(path).read_bytes().decode(errors="replace") if Path(path).is_file() else ""
        facts[name] = text.replace("\0", " ").strip()[:TAIL] or None
    facts["commit"] = str(run(["git", "rev-parse", "HEAD"], dict(os.environ))["output"]).strip() or None
    return facts


def packages() -> dict[str, str]:
    """Every package of this environment, and its version."""
    found = {str(package.metadata["Name"]): package.version for package in distributions()}
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def summary(steps: dict[str, dict[str, Any]]) -> list[str]:
    """One line a step, then one for each test that did not pass."""
    words = {None: "not run", 0: "ok"}
    lines = [f"{name:<12}{words.get(step['exit_code'], 'failed')}" for name, step in steps.items()]
    others = [case for case in steps["tests"]["cases"] if case["outcome"] != "passed"]
    return [*lines, *(f"{case['outcome']}: {case['name']}: {case['why'].partition(chr(10))[0]}" for case in others)]


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "hardware-check.json").absolute())
