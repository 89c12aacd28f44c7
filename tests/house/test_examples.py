from __future__ import annotations

import ast
import configparser
import inspect
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from gst_taps import needs_gstreamer
from waiting import until

import edgefusion
from edgefusion.core.frames import FusedInfo
from edgefusion.core.rig import examine_rig
from edgefusion.ring.writer import RingWriter
from runtime.rig import begin
from runtime.rig.check import check_static

EXAMPLES = Path(__file__).parents[2] / "examples"
UNIT = EXAMPLES / "systemd" / "edgefusion@.service"
RUNTIME_CODE = ("MemoryDenyWriteExecute", "PrivateDevices", "PrivateIPC", "ProtectProc", "ProcSubset", "PrivateNetwork")


def unit() -> dict[str, dict[str, str]]:
    parser = configparser.RawConfigParser(strict=False, delimiters=("=",), comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(UNIT.read_text())
    return {name: dict(parser[name]) for name in parser.sections()}


def test_the_rig_is_sound() -> None:
    path = EXAMPLES / "rig.toml"
    report = check_static(path, examine_rig(path))
    assert report.name == "front"
    assert report.coverage == pytest.approx(0.97, abs=0.03)
    assert {finding.field for finding in report.findings} <= {"visible.device", "thermal.device"}


def test_the_recording_that_a_rig_suggests_has_a_new_name_at_each_start() -> None:
    """With a fixed one a service that starts again is refused: a recording is not overwritten."""
    for text in ((EXAMPLES / "rig.toml").read_text(), inspect.getsource(begin)):
        (name,) = re.findall(r'^# to = "(.*\.mcap)"', text, re.MULTILINE)
        assert name.endswith("drive-%Y%m%d-%H%M%S.mcap")


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not here")
    runnable = UNIT.read_text().replace("/opt/edgefusion/bin/edgefusion", sys.executable)
    path = tmp_path / "edgefusion@front.service"
    path.write_text(runnable)
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", path], capture_output=True, text=True, timeout=60)
    assert [line for line in done.stderr.splitlines() if "edgefusion@front" in line] == []


def test_the_unit_does_what_the_runtime_needs() -> None:
    service = unit()["Service"]
    assert (service["Type"], service["Restart"], service["RestartPreventExitStatus"]) == ("notify", "on-failure", "2 4")
    assert float(service["WatchdogSec"]) > 2 * 10.0  # twice the default of policy.watchdog_s
    assert "video" in service["SupplementaryGroups"].split()
    assert not set(service) & set(RUNTIME_CODE)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_is_python_and_uses_what_there_is(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 10))
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "edgefusion"
    }
    assert "subscribe" in used
    assert used <= set(edgefusion.__all__)


@needs_gstreamer
def test_gstreamer_gets_every_frame_of_a_ring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEFUSION_SHM", str(tmp_path))
    words = [
        sys.executable,
        EXAMPLES / "gstreamer_shmsink.py",
        "film",
        "--pipeline",
        f"filesink location={tmp_path}/out",
    ]
    with RingWriter("film", size_px=(64, 48)) as writer, subprocess.Popen(words, stderr=subprocess.PIPE) as feeder:
        until(writer.readers, process=feeder)
        for number in range(20):
            slot = writer.acquire()
            assert slot
            slot.pixels[:] = number
            slot.publish(FusedInfo(number, number * 10**7, "monotonic", number, number))
            time.sleep(0.02)
        feeder.send_signal(signal.SIGINT)
        _, said = feeder.communicate(timeout=30)
    assert feeder.returncode == 0, said
    frames = np.fromfile(tmp_path / "out", np.uint8).reshape(-1, 48 * 64 * 3)
    assert (frames == frames[:, :1]).all()
    numbers = frames[:, 0].tolist()
    assert numbers == sorted(set(numbers))
    assert len(numbers) > 5


def test_every_example_is_listed() -> None:
    text = (EXAMPLES / "README.md").read_text()
    for path in (each for each in EXAMPLES.rglob("*") if "__pycache__" not in each.parts):
        if path.is_file() and path.name != "README.md":
            assert f"]({path.relative_to(EXAMPLES)})" in text
