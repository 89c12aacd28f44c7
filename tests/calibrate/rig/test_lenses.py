"""Lenses from calibration to pack: what is written into rig.toml puts thermal where visible shows it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from boards import BoardRig, Look, Shots, clip, far_map, poses, shoot, write_shots
from click.testing import Result
from lens_rigs import REFERENCE_M, write_rig
from registration_cases import Warp

from calibrate.rig.job import RigSettings, calibrate_target
from calibrate.rig.target import parse_target
from edgefusion.core.frames import FramePair
from edgefusion.core.geometry import Matrix, Registration, apply, grid
from edgefusion.core.rig import load_rig
from edgefusion.kernels.agc import AgcSpec
from edgefusion.kernels.inputs import InputPacker, RegistrationFor
from edgefusion.kernels.layout import shuffle
from edgefusion.recordings.options import NamedRecording
from runtime.capture.simulated import SimulatedRig

Edgefusion = Callable[..., Result]
RIG = BoardRig()
BOARD = "circles:4x11:20mm"
FAR = parse_target("checkerboard:20x14:1m")
"""Fills the view at the reference distance."""


def far_away() -> FramePair:
    """A scene at the reference distance, with corners all over it."""
    centre = FAR.points_m.max(axis=0)[:2] / 2
    look = Look(visible_noise=0.5, thermal_noise=1.0, counts=1500.0)
    return shoot(RIG, FAR, (np.zeros(3), np.array([*-centre, REFERENCE_M])), look=look)


def corners() -> Matrix:
    """[N, 2] visible pixels at which the scene has a corner that both cameras see, no warm hand before it."""
    centre = np.array([*FAR.points_m.max(axis=0)[:2] / 2, -REFERENCE_M])
    lens = RIG.visible
    points = FAR.points_m.astype(np.float64) - centre
    seen = cv2.projectPoints(points, np.zeros(3), np.zeros(3), lens.matrix, np.array(lens.distortion))[0][:, 0]
    there = far_map(RIG, seen, REFERENCE_M)
    inside = ((seen > 15) & (seen < np.array(RIG.visible.size_px) - 16)).all(axis=1)
    inside &= ((there > 8) & (there < np.array(RIG.thermal.size_px) - 9)).all(axis=1)
    return np.asarray(seen[inside & (np.linalg.norm(there - (20, 250), axis=1) > 40)])


def off_px(registration: RegistrationFor) -> np.ndarray:
    """[N] how far apart visible and thermal show each corner, once packed."""
    return packed_off_px(InputPacker(AgcSpec(), registration=registration, bits=14))


def packed_off_px(packer: InputPacker) -> np.ndarray:
    """The same by a packer that may have another table."""
    x = packer.input(far_away())
    stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 60, 1e-4)
    begun = corners().astype(np.float32)[:, None]
    luma, thermal = (
        cv2.cornerSubPix(np.ascontiguousarray(shuffle(part)), begun.copy(), (7, 7), (-1, -1), stop)[:, 0]
        for part in (x[:16], x[16:])
    )
    assert len(luma) > 100
    return np.asarray(np.linalg.norm(thermal - luma, axis=1))


def alone(path: Path) -> RegistrationFor:
    """The homography of a rig.toml without its lenses."""
    rig = load_rig(path)
    return lambda visible, thermal: Registration(rig.registration_for(visible, thermal).matrix)


def test_a_calibrated_rig_packs_thermal_where_visible_shows_it(tmp_path: Path) -> None:
    target = parse_target(BOARD)
    pairs = clip(RIG, target, poses(RIG, target, 14))
    path = tmp_path / "rig.toml"
    calibrate_target(NamedRecording("shots", lambda: Shots(pairs)), target, RigSettings(path))
    followed, homography = off_px(load_rig(path).registration_for), off_px(alone(path))
    assert followed.mean() < 0.3
    assert homography.mean() > 2
    assert followed.max() < 0.8
    assert homography.max() > 4


def test_a_table_for_cameras_that_moved_follows_the_lenses_too(tmp_path: Path) -> None:
    """The rig's registration is off by a turn and a shift, and the correction says so."""
    registration = load_rig(write_rig(tmp_path / "rig.toml", RIG)).registration_for((640, 480), (320, 256))
    correction = np.array([[0.9998, -0.02, 7.0], [0.02, 0.9998, -5.0], [0, 0, 1.0]])
    moved = registration.corrected(np.linalg.inv(correction))
    packer = InputPacker(AgcSpec(), registration=lambda visible, thermal: moved, bits=14)
    assert packed_off_px(packer).mean() > 4
    packer.register(packer.table(correction))
    assert packed_off_px(packer).mean() < 0.2


def test_a_rig_that_was_edited_by_hand_packs_by_what_was_written(tmp_path: Path) -> None:
    path = write_rig(tmp_path / "rig.toml", RIG)
    matrix = np.array(load_rig(path).registration) @ np.array([[1, 0, 4.0], [0, 1, 0], [0, 0, 1]])
    matrix /= matrix[2, 2]
    write_rig(path, RIG, registration=matrix)
    packed = [
        InputPacker(AgcSpec(), registration=each, bits=14).input(far_away())
        for each in (load_rig(path).registration_for, lambda visible, thermal: Registration(matrix))
    ]
    np.testing.assert_array_equal(*packed)


RADIAL = -0.12


def through_a_lens(pair: FramePair, name: str) -> FramePair:
    """The pair, thermal's picture bent by a lens."""
    pixels = Warp(np.eye(3), RADIAL)(pair.thermal.pixels)
    return FramePair(pair.visible, replace(pair.thermal, pixels=pixels), name)


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rig = SimulatedRig(seed=2)
    pairs = [through_a_lens(rig.render(20 * number), f"n{number:02}") for number in range(10)]
    return write_shots(tmp_path_factory.mktemp("drive") / "drive", pairs)


def lens_off_px(path: Path) -> float:
    """How far a rig's registration is from what the drive was made with: mean where thermal sees, visible pixels."""
    truth, points = SimulatedRig(seed=2).registration, grid((640, 480), 41)
    there = Warp(np.eye(3), RADIAL).points(apply(truth, points), (320, 256))
    seen = ((there >= 0) & (there <= (319, 255))).all(axis=1)
    found = load_rig(path).registration_for((640, 480), (320, 256)).points(points)
    return float(np.linalg.norm(found - there, axis=1)[seen].mean() / np.sqrt(np.linalg.det(truth[:2, :2])))


@pytest.mark.slow
def test_a_drive_without_a_target_tells_the_lens(edgefusion: Edgefusion, drive: Path, tmp_path: Path) -> None:
    lens = tmp_path / "lens.toml"
    words = ("calibrate", "rig", "--recording", drive, "--targetless", "--out")
    result = edgefusion(*words, lens, "--model", "lens", "--html", tmp_path / "page.html")
    assert result.exit_code == 0, result.output
    assert "lenses: radial term -0.1" in result.stdout
    assert "radial term -0.1" in (tmp_path / "page.html").read_text()
    calibration = load_rig(lens).calibration
    assert calibration is not None
    assert calibration.radial == pytest.approx(RADIAL, abs=0.02)
    assert lens_off_px(lens) < 1
    plain = edgefusion(*words, tmp_path / "plain.toml")
    assert plain.exit_code == 4
    assert "give --model lens" in plain.stderr


@pytest.mark.slow
def test_a_rig_that_loses_its_lens_is_told(edgefusion: Edgefusion, tmp_path: Path) -> None:
    rig = SimulatedRig(seed=2)
    path = tmp_path / "rig.toml"
    path.write_text(
        f'registration = {rig.registration.tolist()}\n[visible]\nsize_px = [640, 480]\nformat = "RGB24"\n'
        '[thermal]\nsize_px = [320, 256]\nformat = "Y16"\nbits = 14\n[calibration]\nradial = 0.01\n'
    )
    pairs = [replace(rig.render(20 * number), name=f"n{number:02}") for number in range(4)]
    words = ("--recording", write_shots(tmp_path / "drive", pairs), "--rig", path, "--out", path)
    result = edgefusion("calibrate", "rig", "--targetless", *words)
    assert "caution: the lenses that the rig had are not followed any more" in result.stdout, result.output
    assert load_rig(path).registration_for((640, 480), (320, 256)).bend is None


@pytest.mark.slow
def test_a_check_follows_the_lens_of_the_rig(edgefusion: Edgefusion, drive: Path, tmp_path: Path) -> None:
    rows = SimulatedRig(seed=2).registration.tolist()
    text = (
        f'registration = {rows}\n[visible]\nsize_px = [640, 480]\nformat = "RGB24"\n'
        '[thermal]\nsize_px = [320, 256]\nformat = "Y16"\nbits = 14\n'
    )
    path, found = tmp_path / "rig.toml", {}
    for name, more in (("bent", f"[calibration]\nradial = {RADIAL}\n"), ("plain", "")):
        path.write_text(text + more)
        words = ("--recording", drive, "--rig", path, "--html", tmp_path / "page.html", "--json")
        found[name] = json.loads(edgefusion("calibrate", "check", *words).stdout)
    print({name: (each["mean_px"], each["uncertainty_px"]) for name, each in found.items()})
    assert found["bent"]["verdict"] == "good"
    assert found["plain"]["verdict"] != "good"
    assert found["bent"]["mean_px"] < 1
