"""``edgefusion evaluate`` on MCAP recordings: the frames that pairing leaves, whatever their format and rates."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from mcaps import MS, START_NS, Said, image, write_ros
from small_rigs import small_rig

from edgefusion.core.frames import Frame, PixelFormat
from edgefusion.kernels.cpu import to_rgb
from edgefusion.recordings.recording import locate, open_recording
from edgefusion.recordings.video import VideoWriter
from runtime.evaluate.clips import recorded

Call = Callable[..., Result]
WIDTH, HEIGHT = 96, 64
PAIRS = 9


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """YUYV at 30 frames a second, of growing contrast, and 16-bit thermal at 10."""
    draw, said = np.random.default_rng(3), []
    scene = np.kron(draw.random((8, 12)), np.ones((8, 8)))
    for number in range(3 * PAIRS):
        luma = (100 + scene * (20 + 4 * number)).astype(np.uint8)
        yuyv = np.dstack([luma, np.full_like(luma, 128)])
        said.append(Said("/camera", START_NS + number * 33 * MS, image("yuyv", yuyv)))
    for number in range(PAIRS):
        counts = draw.integers(7000, 8000, (HEIGHT, WIDTH)).astype(np.uint16)
        said.append(Said("/thermal", START_NS + number * 99 * MS, image("mono16", counts)))
    return write_ros(tmp_path_factory.mktemp("clip") / "drive.mcap", sorted(said, key=lambda each: each.logged_ns))


def evaluate(edgefusion: Call, path: Path, *words: object) -> dict[str, Any]:
    done = edgefusion("evaluate", "--recording", path, "--metrics", "SD", *words, "--json")
    assert done.exit_code == 0, done.output
    assert "warning" not in done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_the_pairs_are_judged_and_a_fused_video_frame_by_frame_with_them(
    edgefusion: Call, path: Path, tmp_path: Path
) -> None:
    frames: list[Frame] = [pair.visible for pair in open_recording(*locate(path))]
    assert [(frame.sequence, frame.format) for frame in frames] == [(3 * n, PixelFormat.YUYV) for n in range(PAIRS)]
    with VideoWriter(tmp_path / "copy.mp4", (WIDTH, HEIGHT), fps=10) as writer:
        for frame in frames:
            writer.write(to_rgb(frame))
    result = evaluate(edgefusion, path, "--fused", f"copy={tmp_path / 'copy.mp4'}", "--workers", 2)
    assert result["pairs"] == PAIRS
    assert result["source"].startswith(f"{path}, {PAIRS} frames at ")
    assert [frame["name"] for frame in result["per_pair"]] == [f"frame {number:06}" for number in range(PAIRS)]
    for frame in result["per_pair"]:
        assert frame["values"]["copy"]["SD"] == pytest.approx(frame["values"]["visible"]["SD"], rel=0.04)


def test_a_file_that_was_cut_short_is_judged_with_one_warning(path: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(path.read_bytes()[:-100])
    words = ["evaluate", "--recording", str(cut), "--metrics", "EN", "--no-baselines", "--workers", "2", "--json"]
    done = subprocess.run([sys.executable, "-m", "edgefusion.cli", *words], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["pairs"] == PAIRS
    assert done.stderr.startswith(f"edgefusion: warning: {cut}: it is cut short, as by a recorder that crashed: ")
    assert done.stderr.count("warning") == 1


def test_the_topics_that_are_read_are_those_that_are_told(edgefusion: Call, path: Path) -> None:
    swapped = edgefusion("evaluate", "--recording", path, "--metrics", "EN", "--topics", "/thermal,/camera")
    assert swapped.exit_code == 4
    assert "/camera, frame 0: thermal images in yuyv" in swapped.output
    assert evaluate(edgefusion, path, "--topics", "/camera,/thermal", "--frames", 4)["pairs"] == 4


def test_a_rig_pairs_the_frames_of_a_clip_and_tells_what_is_kept_apart(path: Path) -> None:
    """Visible frames are 33 ms apart, thermal ones 99."""
    plain, early = (
        recorded((path, path), intersect=False, rig=small_rig(offsets_ns=(0, offset_ms * MS))) for offset_ms in (0, 33)
    )
    assert [pair.visible.sequence for pair in plain.read()] == [3 * number for number in range(PAIRS)]
    assert [pair.visible.sequence for pair in early.read()] == [3 * number + 1 for number in range(PAIRS)]
    assert plain.digest() != early.digest()
