"""Rigs whose lenses are known: as ``Geometry``, and as the rig.toml that a calibration would write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from boards import BoardRig, CameraModel

from edgefusion.core.geometry import Matrix
from edgefusion.core.lenses import Geometry, Lens

REFERENCE_M = 15.0

RIG = """\
registration = {registration}

[visible]
size_px = {visible}
format = "RGB24"

[thermal]
size_px = {thermal}
format = "Y16"
bits = 14

[calibration]
reference_m = {reference_m}
rotation = {rotation}
translation_m = {translation}
"""
LENS = """
[calibration.{side}]
focal_px = [{focal}, {focal}]
centre_px = {centre}
distortion = {distortion}
"""


def geometry(rig: BoardRig) -> Geometry:
    """Both cameras as the estimator would have found them, to the last digit."""
    lenses = [Lens(each.size_px, each.matrix, each.distortion) for each in (rig.visible, rig.thermal)]
    return Geometry(*lenses, rig.rotation, np.array(rig.translation_m))


def scaled(camera: CameraModel, factor: float) -> CameraModel:
    """The same view in more pixels."""
    width, height = (round(side * factor) for side in camera.size_px)
    x, y = ((place + 0.5) * factor - 0.5 for place in camera.centre_px)
    return CameraModel((width, height), camera.focal_px * factor, (x, y), camera.distortion)


def write_rig(path: Path, rig: BoardRig, *, registration: Matrix | None = None, left_out: str = "") -> Path:
    """rig.toml of a rig.

    Args:
        path: of the file.
        rig: the rig.
        registration: [3, 3] of it; by default what its lenses imply.
        left_out: side whose lens is not given.
    """
    matrix = geometry(rig).registration(REFERENCE_M) if registration is None else registration
    text = RIG.format(
        registration=matrix.tolist(), visible=list(rig.visible.size_px), thermal=list(rig.thermal.size_px),
        reference_m=REFERENCE_M, rotation=rig.rotation.tolist(), translation=list(rig.translation_m),
    )  # fmt: skip
    for side in {"visible", "thermal"} - {left_out}:
        lens: CameraModel = getattr(rig, side)
        text += LENS.format(
            side=side, focal=lens.focal_px, centre=list(lens.centre_px), distortion=list(lens.distortion)
        )
    path.write_text(text)
    return path
