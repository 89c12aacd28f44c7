"""Whatever is wrong: one line that names it and the remedy, the right exit code, nothing half-written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bundles import small_bundle
from mcaps import Said, write_ros
from PIL import Image
from scenes import write_folder, write_video

from edgefusion.core.bundle import shipped_bundle
from edgefusion.recordings.video import VideoReader


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_folder(tmp_path / "good", ["a", "b"])
    write_video(tmp_path / "v.mp4", 8)
    write_video(tmp_path / "t.mp4", 8)
    write_video(tmp_path / "short.mp4", 3)
    return tmp_path


def broken(place: Path, half: str, content: bytes) -> Path:
    folder = shutil.copytree(place / "good", place / "broken")
    (folder / half / "a.png").write_bytes(content)
    return folder


def truncated_png(place: Path) -> list[object]:
    content = (place / "good" / "visible" / "a.png").read_bytes()
    return ["run", "--recording", broken(place, "visible", content[: len(content) // 2])]


def empty_image(place: Path) -> list[object]:
    return ["run", "--recording", broken(place, "thermal", b"")]


def float_image(place: Path) -> list[object]:
    folder = shutil.copytree(place / "good", place / "broken")
    (folder / "thermal" / "a.png").unlink()
    Image.fromarray(np.zeros((48, 64), np.float32)).save(folder / "thermal" / "a.tif")
    return ["run", "--recording", folder]


def unreadable_video(place: Path) -> list[object]:
    (place / "v.mp4").write_bytes((place / "v.mp4").read_bytes()[:300])
    return ["run", "--visible", place / "v.mp4", "--thermal", place / "t.mp4"]


def changed_bundle(place: Path) -> list[object]:
    bundle = Path(shutil.copytree(shipped_bundle(), place / "bundle"))
    content = bytearray((bundle / "model.fp16.onnx").read_bytes())
    content[1000] ^= 1
    (bundle / "model.fp16.onnx").write_bytes(content)
    return ["run", "--bundle", bundle]


def newer_bundle(place: Path) -> list[object]:
    bundle = Path(shutil.copytree(shipped_bundle(), place / "bundle"))
    manifest = json.loads((bundle / "manifest.json").read_text())
    (bundle / "manifest.json").write_text(json.dumps({**manifest, "schema": 3}))
    return ["run", "--bundle", bundle]


def read_only(place: Path) -> list[object]:
    (place / "locked").write_text("a file, where a folder is needed")
    return ["run", "--output", place / "locked" / "fused.mp4"]


CASES = {
    "missing file": (lambda p: ["run", "--visible", p / "none.mp4", "--thermal", p / "t.mp4"], 4, "none.mp4: no such"),
    "missing folder": (lambda p: ["run", "--recording", p / "none"], 4, "none: no such folder"),
    "unreadable video": (unreadable_video, 4, "v.mp4: not a readable video"),
    "truncated PNG": (truncated_png, 4, "a.png: not a readable image"),
    "thermal of another length": (
        lambda p: ["run", "--visible", p / "v.mp4", "--thermal", p / "short.mp4"], 4, "8 frames and thermal 3",
    ),
    "zero-size image": (empty_image, 4, "a.png: not a readable image"),
    "float image": (float_image, 4, "a.tif: floating-point image; store 8- or 16-bit integers"),
    "changed bundle": (changed_bundle, 4, "model.fp16.onnx was changed"),
    "newer bundle": (newer_bundle, 4, "schema 3; this edgefusion reads up to 2; update it"),
    "unknown device": (lambda p: ["run", "--device", "orin-9"], 2, "unknown device 'orin-9'; did you mean orin"),
    "other device": (lambda p: ["build", "--device", "orin"], 3, "or from here with --host"),
    "bad size": (lambda p: ["build", "--size", "big"], 2, "give width and height, such as 640x480"),
    "odd size": (lambda p: ["build", "--size", "641x480"], 2, "multiples of 4"),
    "output folder missing": (lambda p: ["run", "--output", p / "x" / "fused.mp4"], 3, "x: no such folder"),
    "output of unknown kind": (lambda p: ["run", "--output", p / "fused.gif"], 2, "cannot write .gif"),
    "output that is only read": (lambda p: ["run", "--output", p / "fused.webm"], 2, "cannot write .webm"),
    "output in a file": (read_only, 3, "locked"),
    "record folder missing": (lambda p: ["run", "--record", p / "x" / "run.json"], 3, "x: no such folder"),
    "one camera only": (lambda p: ["run", "--visible", p / "v.mp4"], 2, "--thermal is missing"),
    "two recordings": (
        lambda p: ["run", "--recording", p / "good", "--visible", p / "v.mp4"], 2, "name two recordings",
    ),
    "video and folder": (
        lambda p: ["run", "--visible", p / "v.mp4", "--thermal", p / "good" / "thermal"], 4, "a folder and the other",
    ),
    "no MCAP": (lambda p: ["run", "--recording", no_mcap(p)], 4, "r.mcap: not an MCAP file"),
    "topics of a folder": (
        lambda p: ["run", "--recording", p / "good", "--topics", "/a,/b"], 2, "--topics is for MCAP recordings",
    ),
    "MCAP without images": (lambda p: ["run", "--recording", notes(p)], 4, "r.mcap: no image topic; it has /notes"),
    "precision the bundle lacks": (
        lambda p: ["run", "--bundle", small_bundle(p / "b").path, "--precision", "int8"], 4, "no int8 model",
    ),
    "fog in a recording": (lambda p: ["run", "--recording", p / "good", "--fog", 1], 2, "are for the simulated rig"),
}  # fmt: skip


def no_mcap(place: Path) -> Path:
    (place / "r.mcap").write_bytes(b"a video, perhaps")
    return place / "r.mcap"


def notes(place: Path) -> Path:
    return write_ros(place / "r.mcap", [Said("/notes", 1, {"data": "sunny"})])


def mixed(place: Path) -> Path:
    folder = write_folder(place / "mixed", ["a"])
    other = write_folder(place / "other", ["b"], size=(96, 64))
    for half in ("visible", "thermal"):
        shutil.copy(other / half / "b.png", folder / half / "b.png")
    return folder


@pytest.mark.parametrize("name", CASES)
def test_one_line_the_right_code_and_nothing_left(edgefusion, place: Path, name: str) -> None:
    make, code, message = CASES[name]
    words = make(place)
    before = set(place.rglob("*"))
    result = edgefusion(*words)
    assert result.exit_code == code, result.output
    assert message in result.output
    assert result.stderr.startswith("edgefusion: ")
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.output
    assert set(place.rglob("*")) == before


def test_debug_shows_the_traceback(place: Path) -> None:
    words = ["--debug", "run", "--recording", str(place / "none")]
    done = subprocess.run([sys.executable, "-m", "edgefusion.cli", *words], capture_output=True, text=True)
    assert "Traceback" in done.stderr
    assert "RecordingError" in done.stderr


def test_names_in_one_folder_only_can_be_left_out(edgefusion, place: Path) -> None:
    (place / "good" / "thermal" / "b.png").unlink()
    refused = edgefusion("run", "--recording", place / "good")
    assert (refused.exit_code, "--intersect" in refused.stderr) == (4, True)
    words = ["run", "--recording", place / "good", "--intersect", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "edgefusion.cli", *map(str, words)], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["counts"]["published"] == 1
    assert done.stderr == "edgefusion: warning: left out, in one folder only: b\n"


def test_a_video_that_cannot_go_on_keeps_its_frames(edgefusion, place: Path) -> None:
    result = edgefusion("run", "--recording", mixed(place), "--output", place / "fused.mp4")
    assert (result.exit_code, "give a folder as --output" in result.stderr) == (5, True)
    assert [frame.pixels.shape for frame in VideoReader(place / "fused.mp4", "visible")] == [(48, 64, 3)]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
@pytest.mark.parametrize("output", ["fused.mp4", "fused.mkv", "frames"])
def test_no_space_left_is_named_and_what_was_written_can_be_read(place: Path, output: str) -> None:
    disk, kept = place / "disk", place / "kept"
    disk.mkdir()
    run = f"{sys.executable} -m edgefusion.cli run --frames 150 --prerender 4 --output {disk}/{output}"
    script = f"mount -t tmpfs -o size=1200k none {disk} || exit 77; {run}; code=$?; cp -r {disk} {kept}; exit $code"
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True)
    if done.returncode == 77:
        pytest.skip("this sandbox does not allow mounting")
    assert done.returncode == 3, done.stderr
    assert "No space left on device" in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert [path.name for path in kept.iterdir()] == [output]
    assert readable(kept / output)


def readable(output: Path) -> int:
    """How many frames there are; each is read."""
    if not output.is_dir():
        return sum(1 for _ in VideoReader(output, "visible"))
    return len([Image.open(path).load() for path in output.iterdir()])
