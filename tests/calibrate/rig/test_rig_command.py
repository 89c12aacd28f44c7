"""``edgefusion calibrate rig`` and ``check`` as one types them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from boards import BoardRig, Look, clip, poses, write_shots
from click.testing import Result
from page_links import links

import edgefusion.registration
from calibrate.rig.target import parse_target
from edgefusion.core.frames import FramePair
from edgefusion.core.rig import load_rig
from runtime.capture.simulated import SimulatedRig

Edgefusion = Callable[..., Result]
TARGET = "circles:4x11:20mm"
RIG = BoardRig()
needs_estimator = pytest.mark.skipif(
    not hasattr(edgefusion.registration, "estimate"), reason="edgefusion.registration has no estimator yet"
)


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = parse_target(TARGET)
    pairs = clip(RIG, target, poses(RIG, target, 12))
    return write_shots(tmp_path_factory.mktemp("board") / "<b>shots", pairs)


def test_it_says_what_it_found_and_writes_the_rig_and_the_page(
    edgefusion: Edgefusion, board: Path, tmp_path: Path
) -> None:
    words = ("--recording", board, "--target", TARGET, "--out", tmp_path / "rig.toml", "--html", tmp_path / "page.html")
    result = edgefusion("calibrate", "rig", *words, "--baseline", "63mm")
    assert result.exit_code == 0, result.output
    assert "it follows the lenses, which bend it by" in result.stdout
    assert "parallax: at 1 m: 28." in result.stdout
    assert result.stdout.endswith(f"rig: {tmp_path / 'rig.toml'}\npage: {tmp_path / 'page.html'}\n")
    assert load_rig(tmp_path / "rig.toml").calibration is not None
    text = (tmp_path / "page.html").read_text()
    assert links(tmp_path / "page.html").found == []
    assert links(tmp_path / "page.html").pictures == 6
    assert "at 5 m: 4." in text
    assert "&lt;b&gt;shots" in text
    assert text.count(">used<") + text.count(">left out<") == 12


def test_json(edgefusion: Edgefusion, board: Path, tmp_path: Path) -> None:
    words = ("--recording", board, "--target", TARGET, "--out", tmp_path / "rig.toml", "--json")
    found = json.loads(edgefusion("calibrate", "rig", *words).stdout)
    assert found["baseline_m"] == pytest.approx(0.0633, abs=0.002)
    assert found["error_px"]["both"] < 0.3
    assert found["looked"] == 12
    assert len(found["used"]) + len(found["rejected"]) == 12


def test_a_refusal_writes_no_rig_but_a_page_that_shows_the_best_frames(edgefusion: Edgefusion, tmp_path: Path) -> None:
    target = parse_target(TARGET)
    place = write_shots(tmp_path / "cold", clip(RIG, target, poses(RIG, target, 9), look=Look(counts=0.0)))
    words = ("--recording", place, "--target", TARGET, "--out", tmp_path / "rig.toml", "--html", tmp_path / "page.html")
    result = edgefusion("calibrate", "rig", *words)
    assert result.exit_code == 4
    assert f"{place}: {TARGET} is never seen by thermal (visible sees it in 9 of 9 frames" in result.stderr
    assert not (tmp_path / "rig.toml").exists()
    assert links(tmp_path / "page.html").pictures == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "one of --target and --targetless is needed"),
        (("--target", TARGET, "--targetless"), "one of --target and --targetless is needed"),
        (("--target", "circles"), "--target circles"),
        (("--target", TARGET, "--baseline", "63"), "--baseline 63"),
        (("--target", TARGET, "--model", "lens"), "--model is for --targetless"),
    ],
)
def test_words_that_make_no_sense(
    edgefusion: Edgefusion, board: Path, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    result = edgefusion("calibrate", "rig", "--recording", board, "--out", tmp_path / "rig.toml", *words)
    assert (result.exit_code, message in result.stderr) == (2, True), result.stderr


@pytest.mark.parametrize("way", [("--target", TARGET), ("--targetless",)])
def test_a_rig_that_is_there_is_not_replaced_unless_it_is_the_start(
    edgefusion: Edgefusion, board: Path, tmp_path: Path, way: tuple[str, ...]
) -> None:
    path = rig_of(np.eye(3), tmp_path / "rig.toml")
    before = path.read_text()
    result = edgefusion("calibrate", "rig", "--recording", board, *way, "--out", path)
    assert (result.exit_code, f"give --rig {path} to keep its settings" in result.stderr) == (2, True), result.stderr
    assert path.read_text() == before


def test_no_recording(edgefusion: Edgefusion, tmp_path: Path) -> None:
    result = edgefusion("calibrate", "rig", "--target", TARGET, "--out", tmp_path / "rig.toml")
    assert (result.exit_code, "no recording is named" in result.stderr) == (2, True)


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rig = SimulatedRig(seed=2)
    pairs = [rig.render(20 * number) for number in range(10)]
    named = [type(pair)(pair.visible, pair.thermal, f"n{number:02}") for number, pair in enumerate(pairs)]
    return write_shots(tmp_path_factory.mktemp("drive") / "drive", named)


def rig_of(matrix: np.ndarray, path: Path) -> Path:
    rows = [[float(value) for value in row] for row in matrix]
    path.write_text(
        f'registration = {rows}\n[visible]\nsize_px = [640, 480]\nformat = "RGB24"\n'
        '[thermal]\nsize_px = [320, 256]\nformat = "Y16"\nbits = 14\n'
    )
    return path


@needs_estimator
@pytest.mark.slow
def test_targetless(edgefusion: Edgefusion, drive: Path, tmp_path: Path) -> None:
    words = ("--recording", drive, "--targetless", "--out", tmp_path / "rig.toml", "--html", tmp_path / "page.html")
    result = edgefusion("calibrate", "rig", *words)
    assert result.exit_code == 0, result.output
    found = load_rig(tmp_path / "rig.toml").registration_for((640, 480), (320, 256)).matrix
    middle = np.array([320.0, 240.0, 1.0])
    ends = [matrix @ middle / (matrix @ middle)[2] for matrix in (found, SimulatedRig(seed=2).registration)]
    assert np.linalg.norm(ends[0] - ends[1]) < 3
    assert links(tmp_path / "page.html").found == []
    text = (tmp_path / "page.html").read_text()
    assert text.count(">used<") + text.count(">left out<") == 10
    assert text.count("px off, uncertain by") >= text.count(">used<") - 1  # one may be in doubt
    assert text.count('<path class="vector" d="M') == text.count('<path class="share" d="M') == 2


REFUSED_DRIVES = {
    "blank": (lambda pair: replace(pair.thermal, pixels=np.full_like(pair.thermal.pixels, 7000)),
              "nothing to register in thermal: hardly an edge"),
    "mirrored": (lambda pair: replace(pair.thermal, pixels=np.ascontiguousarray(pair.thermal.pixels[:, ::-1])),
                 "the thermal images are mirrored left to right"),
}  # fmt: skip


@pytest.mark.parametrize("case", ["blank", pytest.param("mirrored", marks=pytest.mark.slow)])
def test_a_refused_drive_has_a_page_of_what_both_cameras_saw(edgefusion: Edgefusion, tmp_path: Path, case: str) -> None:
    alter, problem = REFUSED_DRIVES[case]
    pairs = [SimulatedRig(seed=2).render(20 * number) for number in range(8)]
    shown = [FramePair(pair.visible, alter(pair), f"<i>{number}") for number, pair in enumerate(pairs)]
    words = ("--recording", write_shots(tmp_path / "drive", shown), "--out", tmp_path / "rig.toml")
    result = edgefusion("calibrate", "rig", "--targetless", *words, "--html", tmp_path / "page.html")
    assert (result.exit_code, problem in result.stderr) == (4, True), result.output
    assert not (tmp_path / "rig.toml").exists()
    text = (tmp_path / "page.html").read_text()
    assert problem in text
    assert text.count(">left out<") == text.count("&lt;i&gt;") - 6 == 8
    assert (links(tmp_path / "page.html").found, links(tmp_path / "page.html").pictures) == ([], 12)


@needs_estimator
@pytest.mark.slow
def test_check_tells_a_good_rig_from_one_that_is_off(edgefusion: Edgefusion, drive: Path, tmp_path: Path) -> None:
    truth = SimulatedRig(seed=2).registration
    good = edgefusion(
        "calibrate", "check", "--recording", drive, "--rig", rig_of(truth, tmp_path / "good.toml"), "--json"
    )
    assert (good.exit_code, json.loads(good.stdout)["verdict"]) == (0, "good"), good.output
    moved = truth @ np.array([[1, 0, 14.0], [0, 1, -6.0], [0, 0, 1]])
    words = ("--recording", drive, "--rig", rig_of(moved, tmp_path / "off.toml"), "--html", tmp_path / "page.html")
    off = edgefusion("calibrate", "check", *words, "--json")
    found = json.loads(off.stdout)
    assert (off.exit_code, found["verdict"]) == (5, "off")
    assert found["mean_px"] == pytest.approx(15.2, abs=3)
    assert len(found["regions"]) == 9
    assert links(tmp_path / "page.html").found == []
