"""What was computed is kept: whatever ends an evaluation, the next one computes only what is missing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from scenes import write_folder, write_video

PAIRS = 40
ENTRIES = 5


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("resume") / "drive"
    return write_folder(folder, [f"{index:03}" for index in range(PAIRS)], size=(256, 192))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEFUSION_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "evaluate"


def kept(cache: Path) -> int:
    """Whole lines in the cache."""
    count = 0
    for path in cache.glob("*.jsonl"):
        for line in path.read_text().splitlines():
            try:
                count += bool(json.loads(line))
            except ValueError:
                continue
    return count


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A clip of as many frames, as the command names it."""
    folder = tmp_path_factory.mktemp("resume-clip")
    halves = [(f"--{half}", write_video(folder / f"{half}.mp4", PAIRS, (128, 96))) for half in ("visible", "thermal")]
    return [str(word) for half in halves for word in half]


@pytest.fixture
def running(drive: Path, cache: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts an evaluation in a process group of its own, and returns when it has computed a few pairs."""
    started = []

    def start(workers: int, source: list[str] | None = None) -> subprocess.Popen[str]:
        source = source or ["--pairs", str(drive)]
        command = [sys.executable, "-m", "edgefusion.cli", "evaluate", *source, "--json"]
        process = subprocess.Popen(
            [*command, "--workers", str(workers)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip
        started.append(process)
        end = time.monotonic() + 120
        while kept(cache) < 12 and process.poll() is None:
            assert time.monotonic() < end, "nothing is computed"
            time.sleep(0.01)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def evaluate(edgefusion: Callable[..., Result], *source: object) -> dict[str, Any]:
    done = edgefusion("evaluate", *source, "--json")
    assert done.exit_code == 0, done.output
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def group_is_gone(process: subprocess.Popen[str]) -> bool:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_evaluation_computes_only_what_is_missing(
    edgefusion: Callable[..., Result], running: Callable[[int], subprocess.Popen[str]], drive: Path, cache: Path,
    workers: int,
) -> None:  # fmt: skip
    process = running(workers)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert group_is_gone(process), "a worker outlived its parent"
    before, total = kept(cache), PAIRS * (ENTRIES + 1)
    assert 12 <= before < total
    resumed = evaluate(edgefusion, "--pairs", drive)
    assert resumed["computed"] == total - before
    again = evaluate(edgefusion, "--pairs", drive)
    assert again["computed"] == 0
    shutil.rmtree(cache)
    fresh = evaluate(edgefusion, "--pairs", drive)
    assert fresh["computed"] == total
    assert resumed["entries"] == again["entries"] == fresh["entries"]


def test_a_clip_goes_on_where_it_was_killed(
    edgefusion: Callable[..., Result], running: Callable[..., subprocess.Popen[str]], clip: list[str], cache: Path
) -> None:
    process = running(2, clip)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert group_is_gone(process), "a worker outlived its parent"
    before, total = kept(cache), PAIRS * (ENTRIES + 1)
    assert 12 <= before < total
    resumed = evaluate(edgefusion, *clip, "--workers", 1)
    assert resumed["computed"] == total - before
    shutil.rmtree(cache)
    fresh = evaluate(edgefusion, *clip, "--workers", 1)
    assert fresh["computed"] == total
    for part in ("entries", "per_pair", "stability"):
        assert resumed[part] == fresh[part]


def test_ctrl_c_on_a_clip_says_how_many_frames_are_kept(
    running: Callable[..., subprocess.Popen[str]], clip: list[str]
) -> None:
    process = running(2, clip)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (5, "")
    assert f"of {PAIRS} frames are done and kept; the same command goes on there" in errors


def test_ctrl_c_says_how_far_it_came(running: Callable[[int], subprocess.Popen[str]], cache: Path) -> None:
    process = running(2)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (5, "")
    assert f"of {PAIRS} pairs are done and kept; the same command goes on there" in errors
    assert "Traceback" not in errors
    assert kept(cache) >= 12
    assert group_is_gone(process)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "small", ["a", "b", "c"])


def computed(edgefusion: Callable[..., Result], *more: object) -> int:
    done = edgefusion("evaluate", *more, "--json")
    assert done.exit_code == 0, done.output
    return int(json.loads(done.stdout)["computed"])


def test_a_line_that_was_cut_off_is_computed_again(edgefusion: Callable[..., Result], small: Path, cache: Path) -> None:
    words = ("--pairs", small, "--fused", f"x={small / 'thermal'}", "--no-baselines")
    assert computed(edgefusion, *words) == 3
    path = next(cache.glob("*.jsonl"))
    path.write_bytes(path.read_bytes()[:-40])
    assert computed(edgefusion, *words) == 1
    assert computed(edgefusion, *words) == 0


def test_only_what_changed_is_computed(edgefusion: Callable[..., Result], small: Path, cache: Path) -> None:
    fused = small / "fused"
    shutil.copytree(small / "thermal", fused)
    words = ("--pairs", small, "--fused", f"x={fused}")
    assert computed(edgefusion, *words, "--metrics", "EN,SD") == 3 * 6
    assert computed(edgefusion, *words, "--metrics", "SD,EN") == 0
    assert computed(edgefusion, *words, "--metrics", "EN,MI") == 3 * 6
    assert computed(edgefusion, "--pairs", small, "--fused", f"other name={fused}", "--metrics", "MI") == 0
    shutil.copy(small / "thermal" / "a.png", fused / "b.png")
    assert computed(edgefusion, *words, "--metrics", "EN") == 1
    shutil.copy(small / "visible" / "a.png", small / "visible" / "c.png")
    assert computed(edgefusion, *words, "--metrics", "EN") == 6
    assert computed(edgefusion, *words, "--metrics", "EN", "--degrade", "noise=0,5") == 3 * 5
    assert computed(edgefusion, *words, "--metrics", "EN", "--degrade", "noise=5", "--seed", 1) == 3 * 5


def test_one_process_and_several_give_the_same(edgefusion: Callable[..., Result], small: Path, cache: Path) -> None:
    words = ("evaluate", "--pairs", small, "--misalign", "px=0:4:2", "--json")
    alone = json.loads(edgefusion(*words, "--workers", 1).stdout)
    shutil.rmtree(cache)
    together = json.loads(edgefusion(*words, "--workers", 2).stdout)
    assert together["computed"] == alone["computed"] == 3 * 6 * 3
    for part in ("entries", "curves", "per_pair"):
        assert together[part] == alone[part]


def test_a_full_or_locked_cache_is_named(
    edgefusion: Callable[..., Result], small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "evaluate").write_text("a file, where a folder is needed")
    monkeypatch.setenv("EDGEFUSION_CACHE", str(tmp_path / "cache"))
    done = edgefusion("evaluate", "--pairs", small)
    assert (done.exit_code, "cannot keep what was computed" in done.stderr) == (3, True)
    assert "set EDGEFUSION_CACHE" in done.stderr
