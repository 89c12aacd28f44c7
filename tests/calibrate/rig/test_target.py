"""Boards by name, and how exactly they are found."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from boards import BoardRig, Look, board_picture, clip, poses

from calibrate.rig import views
from calibrate.rig.detect import Detector
from calibrate.rig.target import parse_target
from edgefusion.core.errors import UsageError

RIG = BoardRig()


@pytest.mark.parametrize(
    ("text", "count", "step_m"),
    [("checkerboard:9x6:30mm", 54, 0.03), ("circles:4x11:2cm", 44, 0.02), ("charuco:7x5:0.04m:30mm", 24, 0.04)],
)
def test_a_target_by_its_name(text: str, count: int, step_m: float) -> None:
    target = parse_target(text)
    assert target.points_m.shape == (count, 3)
    nearest = min(float(np.linalg.norm(point - target.points_m[0])) for point in target.points_m[1:])
    assert nearest == pytest.approx(step_m * (np.sqrt(2) if target.kind == "circles" else 1))


@pytest.mark.parametrize(
    "text",
    [
        "chess:9x6:30mm", "checkerboard:9x6", "checkerboard:9x6:30", "checkerboard:2x6:30mm", "checkerboard:6x6:30mm",
        "charuco:7x5:40mm:50mm", "circles:4x11:0.1mm", "circles:4x10:20mm",
    ],
)  # fmt: skip
def test_what_is_no_target_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--target"):
        parse_target(text)


@pytest.mark.parametrize("text", ["checkerboard:9x6:30mm", "circles:4x11:20mm", "charuco:7x5:40mm"])
@pytest.mark.parametrize("inverted", [False, True])
def test_points_are_found_to_a_tenth_of_a_pixel_in_both_cameras(text: str, inverted: bool) -> None:
    target = parse_target(text)
    places = poses(RIG, target, 4)
    look = Look(inverted=inverted, counts=240 if target.kind == "charuco" else 150)
    found: list[float] = []
    detectors = {side: Detector(target) for side in ("visible", "thermal")}
    for pose, pair in zip(places, clip(RIG, target, places, look=look), strict=True):
        turn = np.asarray(cv2.Rodrigues(pose[0])[0])
        for side, detector in detectors.items():
            seen = detector.see(views.grey(getattr(pair, side)))
            assert seen is not None
            assert len(seen.numbers) > 0.5 * len(target.points_m)
            camera = getattr(RIG, side)
            points = target.points_m.astype(np.float64) @ turn.T + pose[1]
            if side == "thermal":
                points = points @ RIG.rotation.T + np.array(RIG.translation_m)
            zero = np.zeros(3)
            truth = cv2.projectPoints(points, zero, zero, camera.matrix, np.array(camera.distortion))[0][:, 0]
            errors = [
                float(np.sqrt(((each.points_px - truth[each.numbers]) ** 2).sum(axis=1).mean()))
                for each in ([seen, seen.turned(target)] if target.ambiguous else [seen])
            ]
            found.append(min(errors))
    assert np.median(found) < 0.06
    assert sum(error > 0.12 for error in found) <= 1  # one half behind the warm hand, which a calibration leaves out


def test_nothing_is_found_where_nothing_is() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (256, 320)).astype(np.uint8)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.0)
    for text in ("checkerboard:9x6:30mm", "circles:4x11:20mm", "charuco:7x5:40mm"):
        target = parse_target(text)
        assert board_picture(target)[0].max() == pytest.approx(1.0, abs=1e-3)
        assert Detector(target).see(smooth) is None
