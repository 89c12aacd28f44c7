from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
from rig_files import write_rig
from scenes import rig_toml, write_folder, write_video
from waiting import until

from edgefusion.recordings.images import read_visible, write_png
from runtime.pipeline import keeper, outputs
from runtime.run import RunSettings, run
from runtime.sinks.null import NullSink


def test_without_arguments_the_simulated_rig_is_fused(edgefusion) -> None:
    result = edgefusion("run", "--frames", 6, "--json")
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert (record["counts"]["published"], record["width"], record["height"]) == (6, 640, 480)
    assert set(record["engine"]) >= {"device", "backend", "precision", "compute"}
    assert set(record["latency"]["stages"]) == {"source", "pack", "execute", "unpack", "sink"}
    assert (record["meters"], record["energy"]) == ([], None)


def test_two_videos_become_one_with_preview_and_record(edgefusion, tmp_path: Path) -> None:
    visible, thermal = write_video(tmp_path / "v.mp4", 12), write_video(tmp_path / "t.mp4", 12)
    out, preview, record = (tmp_path / name for name in ("fused.mp4", "preview.png", "run.json"))
    result = edgefusion(
        "run", "--visible", visible, "--thermal", thermal, "--output", out, "--preview", preview, "--record", record
    )
    assert result.exit_code == 0, result.output
    assert "12 frames of 64x48" in result.output
    with av.open(str(out)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 12
    assert read_visible(preview).shape == (48, 192, 3)
    assert json.loads(record.read_text())["counts"]["published"] == 12


def test_a_folder_becomes_a_folder_of_the_same_names(edgefusion, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "r", ["a", "b"], size=(50, 34), bits=16)
    result = edgefusion("run", "--recording", folder, "--output", tmp_path / "fused")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (tmp_path / "fused").iterdir()) == ["a.png", "b.png"]
    assert read_visible(tmp_path / "fused" / "a.png").shape == (34, 50, 3)


def test_a_rig_moves_thermal_to_where_it_belongs(edgefusion, tmp_path: Path) -> None:
    folder = tmp_path / "r"
    (folder / "visible").mkdir(parents=True)
    (folder / "thermal").mkdir()
    thermal = np.zeros((48, 64), np.uint8)
    thermal[20:28, 30:38] = 255
    write_png(folder / "visible" / "a.png", np.full((48, 64, 3), 20, np.uint8))
    write_png(folder / "thermal" / "a.png", thermal)
    rig = tmp_path / "rig.toml"
    rig.write_text(rig_toml((12, 8)))
    assert edgefusion("run", "--recording", folder, "--rig", rig, "--output", tmp_path / "out").exit_code == 0
    fused = read_visible(tmp_path / "out" / "a.png")[..., 1]
    rows, columns = np.nonzero(fused > 120)
    assert (rows.mean(), columns.mean()) == pytest.approx((23.5 - 8, 33.5 - 12), abs=1)


def test_people_in_smoke_stand_out_in_the_fused_clip(edgefusion, data: Path, tmp_path: Path) -> None:
    clip = data / "recordings" / "m3svd"
    result = edgefusion(
        "run", "--visible", clip / "visible" / "0117_1605.mp4", "--thermal", clip / "thermal" / "0117_1605.mp4",
        "--frames", 200, "--preview", tmp_path / "p.png",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    visible, thermal, fused = np.hsplit(read_visible(tmp_path / "p.png").mean(axis=2), 3)
    hot = thermal > np.percentile(thermal, 97)
    near = (thermal > np.percentile(thermal, 50)) & (thermal < np.percentile(thermal, 90))
    assert fused[hot].mean() - fused[near].mean() > 1.5 * abs(visible[hot].mean() - visible[near].mean())


def test_paced_like_a_camera(edgefusion) -> None:
    record = json.loads(edgefusion("run", "--frames", 12, "--fps", 5, "--prerender", 2, "--json").stdout)
    assert record["paced_fps"] == 5
    assert record["latency"]["since"] == "exposure"
    assert record["latency"]["deadline_ms"] == 200
    assert record["seconds"] + record["warm_up_s"] >= 11 / 5
    assert record["fps"] < 6


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_video(tmp_path: Path, number: int) -> None:
    out = tmp_path / "fused.mp4"
    words = ["run", "--frames", "0", "--output", str(out), "--json"]
    process = subprocess.Popen([sys.executable, "-m", "edgefusion.cli", *words], stdout=subprocess.PIPE, text=True)
    until(lambda: list(tmp_path.glob(".fused*")), process=process)
    time.sleep(1)
    process.send_signal(number)
    stdout, _ = process.communicate(timeout=30)
    record = json.loads(stdout)
    assert process.returncode == 0
    assert record["state"] == "interrupted"
    with av.open(str(out)) as container:
        assert sum(1 for _ in container.decode(video=0)) == record["counts"]["published"]


def test_a_killed_run_leaves_no_file_under_the_final_name(tmp_path: Path) -> None:
    out = tmp_path / "fused.mp4"
    process = subprocess.Popen(
        [sys.executable, "-m", "edgefusion.cli", "run", "--frames", "0", "--output", str(out)], stdout=subprocess.PIPE
    )
    until(lambda: list(tmp_path.glob(".fused*")), process=process)
    process.kill()
    process.communicate()
    assert not out.exists()


def test_first_frame_within_three_seconds_of_processor_time() -> None:
    words = [sys.executable, "-m", "edgefusion.cli", "run", "--frames", "1", "--json"]
    subprocess.run(words, check=True, capture_output=True)
    before = os.times()
    subprocess.run(words, check=True, capture_output=True)
    after = os.times()
    spent_s = after.children_user + after.children_system - before.children_user - before.children_system
    assert spent_s < 6  # both cores: three seconds each


class SlowAtItsEnd(NullSink):
    """As a large MCAP file is, whose summary is written last."""

    closed = 0

    def close(self) -> None:
        time.sleep(4.5)
        SlowAtItsEnd.closed += 1


def test_outputs_may_take_longer_to_finish_than_a_turn_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    killed: list[int] = []
    monkeypatch.setattr(keeper.os, "_exit", killed.append)
    monkeypatch.setattr(outputs, "open_sink", lambda to, fps: SlowAtItsEnd())
    rig = write_rig(tmp_path / "rig.toml", more="[policy]\nwatchdog_s = 1.0\n")
    with caplog.at_level("INFO", logger="edgefusion"):
        [record] = run(RunSettings(rigs=(rig,), outputs=(str(tmp_path / "fused.mcap"),), frames=5, precision="fp32"))
    assert (killed, SlowAtItsEnd.closed) == ([], 1)
    assert (record.state, record.counts.published) == ("complete", 5)
    assert not any("stuck" in line for line in caplog.messages)
