from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from ringed import running

from runtime import status

STATUS: dict[str, Any] = {
    "state": "running",
    "since_ns": 0,
    "rig": "front",
    "fps": 29.97,
    "frames": 3,
    "flagged": {"stale": 2, "thermal_lost": 0},
    "latency_ms": {"p50": 12.5, "p90": 13.0, "p99": 15.25, "max": 20.0},
    "deadline_misses": 1,
    "dropped": {"late": 4, "unpaired": 0, "no free slot": 7},
    "copies_per_frame": 0.0,
    "skew_ms": {"p50": 1.5, "p99": None, "max": 3.0, "mean": -1.0},
    "cameras": {
        "visible": {"state": "live", "frames": 5, "memory": "userptr", "dropped": {"late": 4, "frozen": 0}},
        "thermal": {"state": "frozen", "frames": 2, "reconnects": 3, "rate": 9.0},
    },
    "outputs": [{"to": "ring:front", "state": "open", "readers": []}, {"to": "fused.mp4", "written": 3, "dropped": 0}],
    "bundle": "proxy-nano",
    "precision": "fp16",
    "device": "cpu",
}


@pytest.fixture(autouse=True)
def own_rings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rings of a test are nobody else's; none is left at its end."""
    monkeypatch.setenv("EDGEFUSION_SHM", str(tmp_path))


def test_a_running_instance_is_described(edgefusion: Callable[..., Result]) -> None:
    with running("front", STATUS | {"since_ns": time.time_ns() - 3_725_000_000_000}) as writer:
        result = edgefusion("status", "front")
    assert result.exit_code == 0, result.output
    text = " ".join(result.stdout.split())
    for part in (
        f"front: running, process {writer.pid}, for 1 h 2 min",
        "frames 3 published, 64x48, 30.0 per second",
        "latency p50 12.50 ms, p99 15.25 ms, max 20.00 ms; deadlines missed: 1",
        "skew p50 1.50 ms, max 3.00 ms",
        "copies 0 per frame",
        "dropped 4 late marked 2 stale",
        "engine proxy-nano fp16 cpu",
        "ring 8 slots, mode 0600",
        "userptr",
        "4 late",
        "fused.mp4",
    ):
        assert part in text, f"{part!r} not in {text}"


def test_all_rings_are_listed_as_json(edgefusion: Callable[..., Result]) -> None:
    with running("front", STATUS), running("rear", {}) as rear:
        found = json.loads(edgefusion("status", "--json").stdout)["rings"]
    assert [(ring["ring"], ring["health"], ring["published"]) for ring in found] == [
        ("front", "running", 3), ("rear", "running", 3),
    ]  # fmt: skip
    assert (found[1]["pid"], found[1]["alive"], found[1]["size_px"]) == (rear.pid, True, [64, 48])
    assert found[0]["latency_ms"]["p99"] == 15.25


@pytest.mark.parametrize("state", ["stuck", "thermal_lost", "degraded"])
def test_what_is_wrong_is_the_exit_code(edgefusion: Callable[..., Result], state: str) -> None:
    with running("front", STATUS | {"state": state}):
        result = edgefusion("status")
    assert result.exit_code == 5
    assert f"front: {state.upper().replace('_', ' ')}" in result.stdout


@pytest.mark.parametrize("state", ["lost", "reconnecting"])
def test_a_lost_camera_is_no_health(edgefusion: Callable[..., Result], state: str) -> None:
    with running("front", STATUS | {"cameras": {"visible": {"state": "live"}, "thermal": {"state": state}}}):
        result = edgefusion("status")
    assert result.exit_code == 5
    assert "front: THERMAL LOST" in result.stdout


def test_a_killed_writer_is_called_dead(edgefusion: Callable[..., Result]) -> None:
    with running("front", STATUS) as writer:
        writer.kill()
        writer.wait()
        result = edgefusion("status", "front")
    assert result.exit_code == 5
    assert f"front: DEAD: its writer, process {writer.pid}, is gone" in result.stdout
    assert "3 published" in result.stdout


def test_a_process_that_hangs_is_called_silent(
    edgefusion: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    with running("front", STATUS | {"beats": True}):
        assert edgefusion("status", "front").exit_code == 0
        monkeypatch.setattr(status, "SILENT_S", 0.0)
        result = edgefusion("status", "front")
    assert result.exit_code == 5
    assert "front: SILENT" in result.stdout


def test_nothing_that_runs_is_no_error(edgefusion: Callable[..., Result]) -> None:
    result = edgefusion("status")
    assert result.exit_code == 0
    assert "no ring is here" in result.stdout


def test_a_ring_that_is_named_must_be_there(edgefusion: Callable[..., Result]) -> None:
    result = edgefusion("status", "rear")
    assert result.exit_code == 5
    assert "rear" in result.stderr


def test_a_file_that_is_no_ring_does_not_hide_the_others(edgefusion: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "edgefusion.broken").write_bytes(b"x" * 10_000)
    with running("front", STATUS):
        result = edgefusion("status")
    assert result.exit_code == 5
    assert "broken: " in result.stdout
    assert "front: running" in result.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
def test_a_ring_of_another_user_is_not_well_and_ones_own_can_be_named(
    edgefusion: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # noqa: S103 (another user is to look)
        monkeypatch.setenv("EDGEFUSION_SHM", folder)
        with running("front", STATUS), running("private", STATUS):
            os.chmod(Path(folder, "edgefusion.front"), 0o644)
            edgefusion("status")  # imports all, where the other user may not look
            os.seteuid(65534)
            try:
                everything, own, private = (
                    edgefusion("status"),
                    edgefusion("status", "front"),
                    edgefusion("status", "private"),
                )
            finally:
                os.seteuid(0)
    assert [result.exit_code for result in (everything, own, private)] == [5, 0, 3]
    assert "front: running" in everything.stdout
    assert "private: " in everything.stdout
    assert "may not be read by this user" in private.stderr


def test_watching_follows_a_ring_until_it_is_interrupted() -> None:
    words = [sys.executable, "-m", "edgefusion.cli", "status", "front", "--watch", "--json"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) as watcher:
        assert watcher.stdout
        assert json.loads(watcher.stdout.readline())["rings"][0]["health"] == "unknown"
        with running("front", STATUS):
            while json.loads(watcher.stdout.readline())["rings"][0]["health"] != "running":
                pass
            watcher.send_signal(signal.SIGINT)
            watcher.communicate()
    assert watcher.returncode == 0
