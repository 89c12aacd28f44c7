"""Which frames a calibration rests on."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from boards import BoardRig, Pose, poses

from calibrate.rig.choice import choose
from calibrate.rig.detect import Sighting
from calibrate.rig.survey import Looked, Survey
from calibrate.rig.target import parse_target

RIG = BoardRig()
TARGET = parse_target("charuco:11x8:20mm")
ALL = np.arange(len(TARGET.points_m))


def sighting(numbers: np.ndarray, pose: Pose) -> Sighting:
    camera = RIG.visible
    points = TARGET.points_m[numbers].astype(np.float64)
    return Sighting(numbers, cv2.projectPoints(points, *pose, camera.matrix, np.array(camera.distortion))[0][:, 0])


def reasons(visible: np.ndarray, thermal: np.ndarray) -> dict[int, str]:
    """Why frames are left out of which each camera sees the points of these numbers, the last four all of them."""
    looked = []
    for index, pose in enumerate(poses(RIG, TARGET, 5)):
        seen = {"visible": visible if index == 0 else ALL, "thermal": thermal if index == 0 else ALL}
        both = {side: sighting(numbers, pose) for side, numbers in seen.items()}
        looked.append(Looked(index, f"{index}", both, {"visible": 1.0, "thermal": 1.0}, None, {}))
    return choose(Survey(looked, {"visible": (640, 480), "thermal": (640, 480)}, TARGET)).rejected


@pytest.mark.parametrize(
    ("visible", "thermal", "apart"),
    [
        (ALL[:30], ALL[30:], True),
        (ALL[:40], ALL[33:], True),
        (ALL[:40], ALL[30:], True),
        (ALL[:40], ALL[28:], False),
        (ALL[::11], ALL, True),
    ],
    ids=["nothing", "seven", "a row of ten", "a row and two more", "a diagonal"],
)
def test_a_frame_counts_only_if_what_both_cameras_see_tells_a_pose(
    visible: np.ndarray, thermal: np.ndarray, apart: bool
) -> None:
    wanted = {0: "the two cameras see different parts of the board"} if apart else {}
    assert reasons(visible, thermal) == wanted
