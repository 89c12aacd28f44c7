"""``edgefusion run --rig``: the whole of it, in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rig_files import write_rig
from waiting import until

import edgefusion as ef
from edgefusion.ring.status import read_status
from runtime.report.schema import RunRecord
from runtime.report.verdict import verdict


def ring(name: str, **more: str) -> str:
    return f'[[output]]\nto = "ring:{name}"\n' + "".join(f'{key} = "{value}"\n' for key, value in more.items())


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Start:
    begun: list[subprocess.Popen[str]] = []

    def begin(*words: object, **options) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "edgefusion.cli", "run", "--precision", "fp32", *map(str, words)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
        )  # fmt: skip
        begun.append(process)
        return process

    yield begin
    for process in begun:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str], seconds: float = 60.0) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out, err


def until_frames(name: str, count: int, process: subprocess.Popen[str]) -> None:
    until(lambda: name in ef.list_rings() and read_status(name).published >= count, process=process)


def test_frames_come_out_of_the_ring_in_order(start: Start, tmp_path: Path, ring_name: str) -> None:
    process = start("--rig", write_rig(tmp_path / "front.toml", more=ring(ring_name)), "--json")
    until_frames(ring_name, 5, process)
    with ef.subscribe(ring_name, timeout_s=20, every=True) as frames:
        seen = []
        for _ in range(10):
            with next(frames) as frame:
                seen.append((frame.frame_id, frame.timestamp_ns, frame.rgb.shape))
    ids, times, shapes = zip(*seen, strict=True)
    process.send_signal(signal.SIGTERM)
    code, out, err = ended(process)
    record = json.loads(out)
    assert (code, set(shapes)) == (0, {(48, 64, 3)})
    assert list(ids) == sorted(set(ids))
    assert list(times) == sorted(set(times))
    assert record["state"] == "interrupted"
    assert record["counts"]["copies_per_frame"] == 0
    assert record["latency"]["since"] == "exposure"
    assert record["latency"]["deadline_ms"] == pytest.approx(1000 / 60, rel=1e-6)
    assert "state=live" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_soon_and_its_video_is_whole(
    start: Start, tmp_path: Path, ring_name: str, number: int
) -> None:
    video = tmp_path / "fused.mp4"
    process = start("--rig", write_rig(tmp_path / "front.toml", more=ring(ring_name)), "--output", video)
    until_frames(ring_name, 30, process)
    process.send_signal(number)
    code, out, err = ended(process, 30)
    assert code == 0, err
    assert "frames of 64x48" in out
    assert len(list(ef.open_recording(video, video))) > 0
    assert ring_name not in ef.list_rings() or not read_status(ring_name).alive


def without_visible(path: Path, **more: str) -> Path:
    """A rig whose visible camera is not there."""
    write_rig(path, **more)
    path.write_text(path.read_text().replace('device = "simulated', 'device = "/dev/video97"  # "simulated', 1))
    return path


def test_a_run_that_is_stopped_before_its_first_frame_has_not_failed(
    start: Start, tmp_path: Path, ring_name: str
) -> None:
    rig = without_visible(tmp_path / "front.toml", more=ring(ring_name))
    process = start("--rig", rig, "--record", tmp_path / "run.json", "--json")
    until(lambda: ring_name in ef.list_rings() and read_status(ring_name).status, process=process)
    process.send_signal(signal.SIGTERM)
    code, out, err = ended(process)
    assert (code, out) == (0, "[]\n"), err
    assert 'run rig=front state=ended why="no frame was fused: there is no record"' in err
    assert not (tmp_path / "run.json").exists()


def test_a_rig_without_a_frame_does_not_take_the_record_of_the_others(
    start: Start, tmp_path: Path, ring_name: str
) -> None:
    front = write_rig(tmp_path / "front.toml", name="front", more=ring(ring_name))
    rear = without_visible(tmp_path / "rear.toml", name="rear")
    process = start("--rig", front, "--rig", rear)
    until_frames(ring_name, 10, process)
    process.send_signal(signal.SIGINT)
    code, out, err = ended(process)
    assert code == 0, err
    assert "frames of 64x48" in out
    assert "rig=rear state=ended" in err


def test_a_camera_that_was_asked_for_no_rate_has_no_pace(start: Start, tmp_path: Path) -> None:
    path = write_rig(tmp_path / "rig.toml")
    path.write_text(path.read_text().replace("fps = 60\n", "", 1))
    code, out, errors = ended(start("--rig", path, "--frames", 20, "--json"))
    assert code == 0, errors
    record = RunRecord.model_validate_json(out)
    assert (record.paced_fps, record.latency.deadline_ms) == (None, None)
    assert "frames per second, at the cameras' own rate; bound by" in dict(verdict(record).findings)["Speed"]


def test_the_log_has_a_line_for_each_change_as_json(start: Start, tmp_path: Path) -> None:
    process = start("--rig", write_rig(tmp_path / "front.toml"), "--frames", 20, "--log", "json")
    code, _, err = ended(process)
    lines = [json.loads(line) for line in err.splitlines()]
    assert code == 0
    assert {(line["event"], line["side"], line["state"]) for line in lines if line["event"] == "camera"} == {
        ("camera", "visible", "live"), ("camera", "thermal", "live"),
    }  # fmt: skip


def test_several_rigs_take_turns(start: Start, tmp_path: Path, ring_name: str) -> None:
    rigs = [
        write_rig(tmp_path / f"{name}.toml", name=name, seed=seed, more=ring(f"{ring_name}-{name}"))
        for seed, name in enumerate(("front", "rear"), 1)
    ]
    process = start("--rig", rigs[0], "--rig", rigs[1], "--frames", 60, "--json")
    code, out, err = ended(process)
    assert code == 0, err
    records = json.loads(out)
    assert [record["counts"]["published"] for record in records] == [60, 60]
    assert len({record["source"] for record in records}) == 2


def test_systemd_is_told_when_it_is_ready_and_that_it_lives(start: Start, tmp_path: Path, ring_name: str) -> None:
    import socket

    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(address))
        listener.settimeout(60)
        environment = {**os.environ, "NOTIFY_SOCKET": str(address)}
        process = start("--rig", write_rig(tmp_path / "front.toml", more=ring(ring_name)), env=environment)
        heard = [listener.recv(4096).decode()]
        while "WATCHDOG=1" not in heard[-1]:
            heard.append(listener.recv(4096).decode())
        process.send_signal(signal.SIGTERM)
        while "STOPPING=1" not in heard[-1]:
            heard.append(listener.recv(4096).decode())
    assert heard[0] == "READY=1"
    assert any("STATUS=front: running" in line for line in heard)
    assert ended(process)[0] == 0


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        ('[[output]]\nto = "ring:a"\n[[output]]\nto = "ring:b"', 4, "ring"),
        ('[[output]]\nto = "nowhere/fused.mp4"', 3, "no such folder"),
        ('[[output]]\nto = "fused.gif"', 2, "cannot write .gif"),
        ("[policy]\nwatchdog_s = -1", 4, "policy.watchdog_s"),
    ],
)
def test_what_is_wrong_with_a_rig_is_said(start: Start, tmp_path: Path, more: str, code: int, words: str) -> None:
    found, _, err = ended(start("--rig", write_rig(tmp_path / "front.toml", more=more), cwd=tmp_path))
    assert (found, words in err) == (code, True), err
    assert "Traceback" not in err


def test_the_name_of_a_running_ring_is_taken(start: Start, tmp_path: Path, ring_name: str) -> None:
    path = write_rig(tmp_path / "front.toml", more=ring(ring_name))
    first = start("--rig", path)
    until_frames(ring_name, 1, first)
    code, _, err = ended(start("--rig", path))
    assert code == 3
    assert str(first.pid) in err


def test_a_killed_run_leaves_nothing_in_the_way(start: Start, tmp_path: Path, ring_name: str) -> None:
    path = write_rig(tmp_path / "front.toml", more=ring(ring_name))
    first = start("--rig", path)
    until_frames(ring_name, 1, first)
    first.kill()
    first.communicate()
    assert ended(start("--rig", path, "--frames", 10))[0] == 0


def test_an_output_that_fails_leaves_the_others_running(start: Start, tmp_path: Path, ring_name: str) -> None:
    (tmp_path / "pictures").mkdir()
    rig = write_rig(tmp_path / "front.toml", more=ring(ring_name))
    process = start("--rig", rig, "--output", tmp_path / "pictures", "--log", "json")
    until_frames(ring_name, 5, process)
    (tmp_path / "pictures").rename(tmp_path / "gone")
    before = read_status(ring_name).published
    until_frames(ring_name, before + 20, process)
    process.send_signal(signal.SIGTERM)
    code, _, err = ended(process)
    assert code == 0
    failed = [line for line in map(json.loads, err.splitlines()) if line["event"] == "output"]
    assert [line["state"] for line in failed] == ["failed"]
