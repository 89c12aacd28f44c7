"""``edgefusion calibrate frames`` as one types it."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from mcaps import write_drive
from page_links import links
from scenes import rig_toml, write_folder, write_video

from edgefusion.core.calibration import load_calibration
from edgefusion.core.rig import load_rig
from edgefusion.kernels.agc import AgcSpec
from edgefusion.kernels.inputs import InputPacker
from edgefusion.recordings.images import match_folders

Edgefusion = Callable[..., Result]
FEW = ("--count", 4, "--holdout-count", 2)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_folder(tmp_path / "drive", [f"n{index:02}" for index in range(12)])
    return tmp_path


def test_it_says_what_it_chose_and_what_lacks(edgefusion: Edgefusion, place: Path) -> None:
    result = edgefusion("calibrate", "frames", "--recording", place / "drive", *FEW, "--out", place / "set")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("4 frames to calibrate on and 2 to judge on, of 12 of 64x48\n")
    assert "lacks: no night frames: INT8 ranges will not hold at night" in result.stdout
    assert result.stdout.endswith(f"coverage: {place / 'set' / 'coverage.html'}\n")


def test_json(edgefusion: Edgefusion, place: Path) -> None:
    words = ("calibrate", "frames", "--recording", place / "drive", *FEW, "--out", place / "set", "--json")
    found = json.loads(edgefusion(*words).stdout)
    assert (found["frames"], found["holdout"], found["size_px"]) == (4, 2, [64, 48])
    assert found["sources"] == [str(place / "drive")]
    assert {"axis": "light", "name": "night", "usable": 0, "chosen": 0, "holdout": 0} in found["strata"]


def test_several_recordings(edgefusion: Edgefusion, place: Path) -> None:
    write_video(place / "v.mp4", 40)
    write_video(place / "t.mp4", 40)
    words = ["--recording", place / "drive", "--visible", place / "v.mp4", "--thermal", place / "t.mp4"]
    words += ["--count", 41, "--holdout-count", 5, "--out", place / "set"]
    result = edgefusion("calibrate", "frames", *words)
    assert result.exit_code == 0, result.output
    found = load_calibration(place / "set")
    assert found.list.sources == (str(place / "drive"), f"{place / 'v.mp4'} + {place / 't.mp4'}")
    assert [sum(frame.recording == number for frame in found.list.frames) for number in (0, 1)] == [9, 32]
    assert len(list(found.tensors())) == 41


def test_the_rig_s_registration_is_used(edgefusion: Edgefusion, place: Path) -> None:
    (place / "rig.toml").write_text(rig_toml((3, 2)))
    words = ("--recording", place / "drive", "--rig", place / "rig.toml", *FEW, "--out", place / "set")
    assert edgefusion("calibrate", "frames", *words).exit_code == 0
    found = load_calibration(place / "set")
    packer = InputPacker(AgcSpec(), registration=load_rig(place / "rig.toml").registration_for)
    pairs, _ = match_folders(place / "drive" / "visible", place / "drive" / "thermal")
    for frame, x in zip(found.list.frames, found.tensors(), strict=True):
        assert frame.name == pairs[frame.sequence].name
        assert np.array_equal(x, packer.input(pairs[frame.sequence].load()).astype(np.float16))


def test_the_page_stands_alone_and_says_what_lacks(edgefusion: Edgefusion, tmp_path: Path) -> None:
    names = ["<script>alert(1)<slash>", *[f"n{index}" for index in range(9)]]
    write_folder(tmp_path / "drive", names)
    words = ("--recording", tmp_path / "drive", "--count", 8, "--holdout-count", 2, "--out", tmp_path / "set")
    assert edgefusion("calibrate", "frames", *words).exit_code == 0
    text = (tmp_path / "set" / "coverage.html").read_text()
    page = links(tmp_path / "set" / "coverage.html")
    assert page.found == []
    assert page.pictures == 10
    assert "<b>Lacks:</b> no night frames: INT8 ranges will not hold at night" in text
    assert "night: none" in text
    assert "&lt;script&gt;alert(1)" in text


def constant(place: Path) -> list[object]:
    for half in ("visible", "thermal"):
        first, *others = sorted((place / "drive" / half).iterdir())
        for path in others:
            shutil.copy(first, path)
    return ["--recording", place / "drive"]


def without_thermal(place: Path) -> list[object]:
    shutil.rmtree(place / "drive" / "thermal")
    return ["--recording", place / "drive"]


def truncated(place: Path) -> list[object]:
    picture = place / "drive" / "thermal" / "n05.png"
    picture.write_bytes(picture.read_bytes()[:200])
    return ["--recording", place / "drive"]


def empty(place: Path) -> list[object]:
    for half in ("visible", "thermal"):
        (place / "nothing" / half).mkdir(parents=True)
    return ["--recording", place / "nothing"]


def something_else(place: Path) -> list[object]:
    (place / "set").mkdir()
    return ["--recording", place / "drive"]


CASES = {
    "nothing named": (lambda place: [], 2, "no recording is named; give --recording"),
    "one camera": (lambda place: ["--visible", place / "drive"], 2, "--visible is given 1 times and --thermal 0 times"),
    "missing": (lambda place: ["--recording", place / "none"], 4, "none: no such folder"),
    "empty": (empty, 4, "no image"),
    "without thermal": (without_thermal, 4, "no thermal/ in it"),
    "constant": (constant, 4, "all 12 frames are alike or of no use (8 near-duplicates, 3 kept for the holdout)"),
    "truncated": (truncated, 4, "n05.png: not a readable image"),
    "too many": (
        lambda place: ["--recording", place / "drive", "--count", 100], 4,
        "only 9 of 12 frames can be used, not 100 (3 kept for the holdout); --count 9, or record more",
    ),
    "holdout": (
        lambda place: ["--recording", place / "drive", "--holdout-count", 4], 4, "; --holdout-count 3, or record more",
    ),
    "no rig": (lambda place: ["--recording", place / "drive", "--rig", place / "rig.toml"], 4, "rig.toml: cannot read"),
    "not a set": (something_else, 4, "set: exists and is no calibration set; choose another --out"),
    "negative seed": (lambda place: ["--recording", place / "drive", "--seed", -1], 2, "--seed"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_bad_input(edgefusion: Edgefusion, place: Path, case: str) -> None:
    make, code, message = CASES[case]
    words = make(place)
    before = {path.name for path in place.iterdir()}
    result = edgefusion("calibrate", "frames", *FEW, "--out", place / "set", *words)
    assert (result.exit_code, message in result.stderr) == (code, True), result.stderr
    assert {path.name for path in place.iterdir()} == before


@pytest.mark.slow
def test_256_frames_of_the_training_clips_in_under_a_minute(edgefusion: Edgefusion, data: Path, tmp_path: Path) -> None:
    clips = json.loads((data / "splits.json").read_text())["train"]["m3svd_clips"]
    words: list[object] = []
    for clip in clips:
        for half in ("visible", "thermal"):
            words += [f"--{half}", data / "recordings" / "m3svd" / half / f"{clip}.mp4"]
    start = time.monotonic()
    result = edgefusion("calibrate", "frames", *words, "--count", 256, "--out", tmp_path / "set")
    assert result.exit_code == 0, result.output
    assert time.monotonic() - start < 60
    found = load_calibration(tmp_path / "set").list
    assert (len(found.frames), len(found.holdout), found.size_px) == (256, 64, (640, 480))
    assert {frame.recording for frame in found.frames} == {0, 1}
    assert "no night frames: INT8 ranges will not hold at night" in found.lacks
    shutil.rmtree(tmp_path / "set")  # 400 MB


def test_mcap(edgefusion: Edgefusion, tmp_path: Path) -> None:
    write_drive(tmp_path / "drive.mcap", 30)
    words = ("--recording", tmp_path / "drive.mcap", "--topics", "/camera/image_raw,/thermal/image_raw")
    result = edgefusion("calibrate", "frames", *words, *FEW, "--out", tmp_path / "set")
    assert result.exit_code == 0, result.output
    assert load_calibration(tmp_path / "set").list.sources == (str(tmp_path / "drive.mcap"),)
