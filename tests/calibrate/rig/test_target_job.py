"""Calibrating on a target: what comes out, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from boards import BoardRig, CameraModel, Look, Pose, Shots, clip, far_map, poses

from calibrate.rig.job import Result, RigSettings, calibrate_target
from calibrate.rig.target import parse_target
from edgefusion.core.errors import EdgeFusionError, InputError
from edgefusion.core.frames import Frame, FramePair
from edgefusion.core.geometry import apply
from edgefusion.core.rig import load_rig
from edgefusion.recordings.options import NamedRecording

RIG = BoardRig()
CIRCLES = "circles:4x11:20mm"


@lru_cache(maxsize=16)
def shots(text: str, count: int = 14, look: Look | None = None, rig: BoardRig = RIG) -> tuple[FramePair, ...]:
    target = parse_target(text)
    return tuple(clip(rig, target, poses(rig, target, count), look=look))


def run(
    tmp_path: Path, pairs: Sequence[FramePair], text: str, *, fps: float | None = None, **settings: object
) -> Result:
    named = NamedRecording("shots", lambda: Shots(pairs, fps))
    return calibrate_target(named, parse_target(text), RigSettings(tmp_path / "rig.toml", **settings))  # type: ignore[arg-type]


def refused(tmp_path: Path, pairs: Sequence[FramePair], text: str, **settings: object) -> str:
    with pytest.raises(EdgeFusionError) as failed:
        run(tmp_path, pairs, text, **settings)
    assert isinstance(failed.value, InputError)
    assert not (tmp_path / "rig.toml").exists()
    return str(failed.value)


def errors(result: Result) -> tuple[float, float]:
    """Of the extrinsics: degrees and millimetres."""
    geometry = result.solution.geometry
    turn = np.degrees(np.linalg.norm(cv2.Rodrigues(geometry.rotation @ RIG.rotation.T)[0]))
    return float(turn), float(1e3 * np.linalg.norm(geometry.translation_m - np.array(RIG.translation_m)))


LOOKS = {
    "checkerboard": ("checkerboard:9x6:30mm", Look()),
    "checkerboard, warm squares white, faint": (
        "checkerboard:9x6:30mm", Look(inverted=True, counts=100, visible_noise=4.0),
    ),
    "circles": (CIRCLES, Look()),
    "circles, 8 bits": (CIRCLES, Look(deep=False)),
    "charuco": ("charuco:7x5:40mm", Look()),
    "charuco, warm squares white": ("charuco:7x5:40mm", Look(inverted=True)),
}  # fmt: skip


QUICK = ("checkerboard, warm squares white, faint", "circles", "charuco")


@pytest.mark.parametrize(
    "case", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in LOOKS]
)
def test_both_cameras_and_their_pose_are_found(tmp_path: Path, case: str) -> None:
    text, look = LOOKS[case]
    result = run(tmp_path, shots(text, look=look), text)
    turn_deg, moved_mm = errors(result)
    assert turn_deg < 0.2
    assert moved_mm < 2
    assert max(result.solution.error_px) < 0.3
    for lens, truth in (
        (result.solution.geometry.visible, RIG.visible),
        (result.solution.geometry.thermal, RIG.thermal),
    ):
        assert lens.matrix[0, 0] == pytest.approx(truth.focal_px, rel=0.01)


def test_the_registration_is_right_at_its_distance_and_parallax_says_how_far_off_elsewhere(tmp_path: Path) -> None:
    result = run(tmp_path, shots("charuco:7x5:40mm"), "charuco:7x5:40mm", reference_m=8.0)
    x, y = np.meshgrid(np.linspace(150, 490, 5), np.linspace(110, 370, 5))
    points = np.stack([x.ravel(), y.ravel()], axis=1)
    off = np.linalg.norm(apply(result.registration, points) - far_map(RIG, points, 8.0), axis=1)
    assert off.mean() < result.lens_px[1] * 0.55  # thermal pixels are nearly twice as large
    assert result.solution.geometry.thermal_points(points, 8.0) == pytest.approx(far_map(RIG, points, 8.0), abs=0.3)
    near = next(each for each in result.parallax if each.distance_m == 2.0)
    moved = np.linalg.norm(far_map(RIG, points, 2.0) - far_map(RIG, points, 8.0), axis=1).mean() / 0.542
    assert near.mean_px == pytest.approx(moved, rel=0.06)
    assert [each.mean_px for each in result.parallax if each.distance_m == 8.0] == [0.0]


def test_the_rig_that_is_written_is_a_rig_with_the_calibration_in_it(tmp_path: Path) -> None:
    result = run(tmp_path, shots(CIRCLES), CIRCLES, baseline_m=0.063)
    rig = load_rig(tmp_path / "rig.toml")
    assert rig.registration_for((640, 480), (320, 256)).matrix == pytest.approx(result.registration, abs=1e-6)
    assert rig.calibration is not None
    assert rig.calibration.target == CIRCLES
    assert rig.calibration.baseline_m == 0.063
    assert rig.calibration.translation_m == pytest.approx(RIG.translation_m, abs=0.002)
    assert rig.calibration.thermal is not None
    assert rig.calibration.thermal.focal_px == pytest.approx((285, 285), rel=0.01)


def test_a_rig_for_other_image_sizes_gets_them_scaled(tmp_path: Path) -> None:
    (tmp_path / "before.toml").write_text(
        "registration = [[0.5, 0.0, 0.0], [0.0, 0.5, 0.0], [0.0, 0.0, 1.0]]  # a guess\n"
        '[visible]\nsize_px = [1280, 960]\nformat = "NV12"\n[thermal]\nsize_px = [320, 256]\nformat = "Y16"\n'
    )
    result = run(tmp_path, shots(CIRCLES), CIRCLES, rig_path=tmp_path / "before.toml")
    rig = load_rig(tmp_path / "rig.toml")
    assert rig.registration_for((640, 480), (320, 256)).matrix == pytest.approx(result.registration, abs=1e-3)
    assert rig.calibration is not None
    assert rig.calibration.visible is not None
    assert rig.calibration.visible.focal_px[0] == pytest.approx(1040, rel=0.01)
    assert "# a guess" in (tmp_path / "rig.toml").read_text()


def test_frames_that_contradict_the_others_are_left_out_with_the_reason(tmp_path: Path) -> None:
    pairs = list(shots(CIRCLES, 15))
    late = pairs[4]
    shifted = np.roll(late.thermal.pixels, 3, axis=1)
    pairs[4] = FramePair(late.visible, replace(late.thermal, pixels=shifted), late.name)
    result = run(tmp_path, pairs, CIRCLES)
    assert 4 in result.solution.rejected
    assert len(result.solution.rejected) <= 2  # another may be half hidden behind the warm hand
    assert "px off, usual are" in result.solution.rejected[4]
    assert errors(result)[1] < 2


def test_blurred_frames_and_the_same_pose_again_are_left_out(tmp_path: Path) -> None:
    target = parse_target(CIRCLES)
    places = poses(RIG, target, 12)
    pairs = clip(RIG, target, [*places, places[5]], look=Look(visible_blur_px=((3, 6.0),)))
    result = run(tmp_path, pairs, CIRCLES)
    assert "visible is blurred" in result.rejected[3] or "not found in visible" in result.rejected[3]
    alike = {index: reason for index, reason in result.rejected.items() if "much the same pose" in reason}
    assert set(alike) <= {5, 12}
    assert len(alike) == 1


def test_a_board_in_motion_is_left_out(tmp_path: Path) -> None:
    """A film: the board rests in each pose for two frames, but in the last three it never stops."""
    target = parse_target(CIRCLES)
    places = [pose for pose in poses(RIG, target, 10) for _ in range(2)]
    swept = [(places[-1][0], places[-1][1] + np.array([-0.012 * step, 0, 0])) for step in range(1, 7)]
    pairs = clip(RIG, target, [*places, *swept])
    result = run(tmp_path, pairs, CIRCLES, fps=30.0)
    moving = {index for index, reason in result.rejected.items() if "moves, by" in reason}
    assert set(range(21, 26)) <= moving
    assert errors(result)[1] < 2


def covered(frame: Frame, camera: CameraModel, pose: Pose, columns: tuple[float, float]) -> Frame:
    """The frame with something even before a part of the board, named by squares from its left edge."""
    step, (low, high) = 0.04, columns
    corners = step * np.array([[low, -1, 0], [high, -1, 0], [high, 6, 0], [low, 6, 0]])
    flat = cv2.projectPoints(corners, *pose, camera.matrix, np.array(camera.distortion))[0][:, 0]
    pixels = frame.pixels.copy()
    level = 128 if pixels.ndim == 3 else 7600
    cv2.fillConvexPoly(pixels, flat.round().astype(np.int32), (level,) * 3)
    return replace(frame, pixels=pixels)


def test_a_frame_of_which_each_camera_sees_another_part_is_left_out(tmp_path: Path) -> None:
    text, number = "charuco:7x5:40mm", 4
    pairs, pose = list(shots(text)), poses(RIG, parse_target(text), 14)[number]
    turn = RIG.rotation @ np.asarray(cv2.Rodrigues(pose[0])[0])
    beside = np.asarray(cv2.Rodrigues(turn)[0]).ravel(), RIG.rotation @ pose[1] + np.array(RIG.translation_m)
    parted = pairs[number]
    visible = covered(parted.visible, RIG.visible, pose, (3.5, 9))
    thermal = covered(parted.thermal, RIG.thermal, beside, (-2, 3.5))
    pairs[number] = FramePair(visible, thermal, parted.name)
    result = run(tmp_path, pairs, text)
    assert result.rejected[number] == "the two cameras see different parts of the board"
    assert errors(result)[0] < 0.2
    assert errors(result)[1] < 2


def blank(pairs: Sequence[FramePair], side: str) -> list[FramePair]:
    draw = np.random.default_rng(0)
    return [
        replace(
            pair,
            **{side: replace(frame, pixels=(7500 + draw.normal(0, 6, frame.pixels.shape)).astype(frame.pixels.dtype))},
        )
        for pair in pairs
        for frame in [getattr(pair, side)]
    ]


def parallel(count: int) -> list[FramePair]:
    target = parse_target(CIRCLES)
    draw = np.random.default_rng(1)
    tilt = np.array([0.02, -0.03, 0.05])
    places: list[Pose] = [
        (tilt, np.array([*draw.uniform((-0.2, -0.2), (0.08, 0.0)), draw.uniform(0.55, 0.8)])) for _ in range(count)
    ]
    return clip(RIG, target, places)


def posed(pose: str, text: str = CIRCLES) -> tuple[FramePair, ...]:
    return shots(text, 12, Look(pose=pose))


REFUSED: dict[str, tuple[str, Callable[[], Sequence[FramePair]], str]] = {
    "cold board": (
        CIRCLES, lambda: blank(shots(CIRCLES), "thermal"),
        "circles:4x11:20mm is never seen by thermal (visible sees it in 14 of 14 frames, best in pose",
    ),
    "too few": (CIRCLES, lambda: shots(CIRCLES)[:5], "seen by both cameras at once in 5 frames, at least 8 are needed"),
    "one pose": (CIRCLES, lambda: [shots(CIRCLES)[0]] * 12, "at rest and sharp in only 1 unlike poses"),
    "parallel": (CIRCLES, lambda: parallel(14), "the target faces the same way in all"),
    "mirrored": (CIRCLES, lambda: posed("mirrored"), "the thermal images are mirrored left to right"),
    "turned": (CIRCLES, lambda: posed("turned"), "the thermal images are turned by 180 degrees"),
    "a quarter": (CIRCLES, lambda: posed("quarter"), "the thermal images are turned by 90 degrees counterclockwise"),
    "mirrored charuco": (
        "charuco:7x5:40mm", lambda: posed("mirrored", "charuco:7x5:40mm"), "the thermal images are mirrored",
    ),
    "another kind": (
        "charuco:5x7:40mm", lambda: shots(CIRCLES)[:10], "but a circles of 4x11 is: --target circles:4x11",
    ),
}  # fmt: skip


LONG = ("another kind", "mirrored charuco")


@pytest.mark.parametrize(
    "case", [pytest.param(name, marks=pytest.mark.slow) if name in LONG else name for name in REFUSED]
)
def test_what_does_not_determine_the_geometry_is_refused(tmp_path: Path, case: str) -> None:
    text, make, message = REFUSED[case]
    assert message in refused(tmp_path, make(), text)


def test_a_checkerboard_turned_by_heat_or_by_hand_is_told_apart(tmp_path: Path) -> None:
    """Upside down, the board itself looks the same; where it is in the image does not."""
    text = "checkerboard:9x6:30mm"
    assert "turned by 180 degrees" in refused(tmp_path, posed("turned", text), text)


@pytest.mark.slow
def test_a_board_that_is_counted_wrongly_is_refused_and_named(tmp_path: Path) -> None:
    """The squares given instead of the inner corners."""
    message = refused(tmp_path, shots("checkerboard:9x6:30mm")[:8], "checkerboard:10x7:30mm")
    assert (
        "never seen by visible nor by thermal, but a checkerboard of 9x6 is: --target checkerboard:9x6:30mm?" in message
    )


def test_squares_of_another_size_than_said_contradict_the_ruler(tmp_path: Path) -> None:
    message = refused(tmp_path, shots(CIRCLES), "circles:4x11:25mm", baseline_m=0.0633)
    assert "79.2 mm apart and are 63.3 mm apart by ruler" in message
    assert "20.0 mm would agree" in message


def test_without_a_ruler_the_scale_is_said_to_be_unchecked(tmp_path: Path) -> None:
    said = [
        any(
            "nothing checks the step of 20 mm" in each
            for each in run(tmp_path, shots(CIRCLES), CIRCLES, **ruler).cautions
        )
        for ruler in ({}, {"baseline_m": 0.0633})
    ]
    assert said == [True, False]


def test_a_wrong_unit_is_noticed_without_a_ruler(tmp_path: Path) -> None:
    message = refused(tmp_path, shots(CIRCLES), "circles:4x11:2m")
    assert "with a step of 2000 mm the cameras would be 6.33 m apart" in message


def test_frames_of_two_modes_are_refused(tmp_path: Path) -> None:
    small = BoardRig(thermal=CameraModel((256, 192), 220.0, (128.0, 96.0)))
    pairs = [*shots(CIRCLES)[:9], *shots(CIRCLES, 2, None, small)]
    assert "has another size" in refused(tmp_path, pairs, CIRCLES)
