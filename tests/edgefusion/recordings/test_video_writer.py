"""Writing videos that can be read however the writing ends."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from edgefusion.core.errors import MachineError
from edgefusion.recordings import growing_file
from edgefusion.recordings.video import MUXERS, VideoReader, VideoWriter

FPS, SIZE = 30, (96, 64)
EVERY = pytest.mark.parametrize("suffix", MUXERS)

KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np
from edgefusion.recordings.video import VideoWriter
writer = VideoWriter(Path(sys.argv[1]), (96, 64), fps=30)
for number in range(150):
    writer.write(np.full((64, 96, 3), number, np.uint8))
os.kill(os.getpid(), signal.SIGKILL)
"""


def write(path: Path, count: int) -> None:
    with VideoWriter(path, SIZE, fps=FPS) as writer:
        for number in range(count):
            writer.write(shade(number))


def shade(number: int) -> np.ndarray:
    return np.full((SIZE[1], SIZE[0], 3), number, np.uint8)


def shades(path: Path) -> list[int]:
    """The frames' numbers, as far as they can be read; each must be whole."""
    means = [frame.pixels.mean() for frame in VideoReader(path, "visible")]
    assert means == pytest.approx(range(len(means)), abs=3)
    return [round(mean) for mean in means]


@EVERY
def test_what_was_closed_states_its_length_and_can_be_sought(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"v{suffix}"
    write(path, 100)
    assert len(shades(path)) == 100
    assert VideoReader(path, "visible").length == (0 if suffix == ".mkv" else 100)
    with av.open(str(path)) as container:
        assert container.duration == pytest.approx(100 / FPS * 1e6, abs=1e3)
    capture = cv2.VideoCapture(str(path))
    assert (capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)) == (100, FPS)
    capture.set(cv2.CAP_PROP_POS_FRAMES, 60)
    assert capture.read()[1].mean() == pytest.approx(60, abs=3)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_times_begin_at_zero_and_are_even(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / f"v{suffix}", 70)
    times_s = [frame.timestamp_ns / 1e9 for frame in VideoReader(tmp_path / f"v{suffix}", "visible")]
    assert times_s == pytest.approx([number / FPS for number in range(70)], abs=0.001)


@EVERY
def test_a_killed_writer_loses_no_more_than_about_two_seconds(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"v{suffix}"
    done = subprocess.run([sys.executable, "-c", KILLED, path], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (-signal.SIGKILL, "")
    assert 150 - len(shades(path)) <= 2 * FPS
    assert list(tmp_path.iterdir()) == [path]


@EVERY
def test_an_error_keeps_all_that_was_written(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"v{suffix}"
    with pytest.raises(RuntimeError), VideoWriter(path, SIZE, fps=FPS) as writer:
        writer.write(shade(0))
        raise RuntimeError
    assert shades(path) == [0]


@EVERY
def test_without_a_frame_there_is_no_file_and_the_old_one_stays(tmp_path: Path, suffix: str) -> None:
    old, new = tmp_path / f"old{suffix}", tmp_path / f"new{suffix}"
    write(old, 5)
    for path in (old, new):
        with pytest.raises(RuntimeError), VideoWriter(path, SIZE, fps=FPS):
            raise RuntimeError
    assert list(tmp_path.iterdir()) == [old]
    assert len(shades(old)) == 5


@EVERY
@pytest.mark.parametrize("free_kb", range(8))
def test_wherever_a_disk_is_full_what_is_there_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, free_kb: int
) -> None:
    path = tmp_path / f"v{suffix}"
    room = 1024 * free_kb

    def append(file: int, content: bytes, *, end: int) -> int:
        if end + len(content) > room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return end + os.write(file, content)

    monkeypatch.setattr(growing_file, "append", append)
    with pytest.raises(MachineError, match=r"No space left on device.*can be read"):
        write(path, 200)
    if path.exists():
        assert shades(path)
    assert set(tmp_path.iterdir()) <= {path}


def test_a_full_disk_at_the_end_leaves_every_second_but_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = VideoWriter(tmp_path / "v.mp4", SIZE, fps=FPS)
    for number in range(100):
        writer.write(shade(number))

    def append(file: int, content: bytes, *, end: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(growing_file, "append", append)
    with pytest.raises(MachineError, match="No space left on device"):
        writer.close()
    writer.close()
    assert len(shades(tmp_path / "v.mp4")) >= 2 * FPS


@EVERY
def test_nothing_is_said_on_stderr(tmp_path: Path, suffix: str) -> None:
    words = ["run", "--frames", "3", "--prerender", "1", "--output", tmp_path / f"v{suffix}", "--json"]
    done = subprocess.run([sys.executable, "-m", "edgefusion.cli", *words], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
