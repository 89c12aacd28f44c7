from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgefusion.core.errors import RigError
from edgefusion.core.rig import load_rig

RIG = """
schema = 1
registration = [[0.5, 0.0, 1.0], [0.0, 0.5, 2.0], [0.0, 0.0, 1.0]]

[visible]
size_px = [640, 480]
format = "NV12"

[thermal]
size_px = [320, 256]
format = "Y16"
bits = 14
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "rig.toml"
    path.write_text(text)
    return path


def test_a_rig_gives_the_registration_for_frames_of_any_size(tmp_path: Path) -> None:
    rig = load_rig(written(tmp_path, RIG))
    assert rig.thermal.bits == 14
    np.testing.assert_allclose(rig.registration_for((640, 480), (320, 256))[:2, 2], [1, 2])
    np.testing.assert_allclose(rig.registration_for((1280, 960), (320, 256))[0, 0], 0.25)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[0.0, 0.5, 2.0]", "[0.0, 0.0, 0.0]", "registration: .*inverted"),
        ('format = "NV12"', 'format = "H264"', "visible.format"),
        ('format = "NV12"', 'format = "Y16"', "visible.format: Y16 is not one of RGB24"),
        ("bits = 14", "bitz = 14", "thermal.bitz"),
        ("[visible]", "[visible", "line 5"),
        ("schema = 1", "schema = 2", "schema"),
    ],
)
def test_a_wrong_line_or_field_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(RigError, match=message):
        load_rig(written(tmp_path, RIG.replace(old, new)))


def test_a_missing_rig_is_named(tmp_path: Path) -> None:
    with pytest.raises(RigError, match=r"none\.toml"):
        load_rig(tmp_path / "none.toml")
