from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from boards import BoardRig, far_map
from lens_rigs import REFERENCE_M, geometry, write_rig

from edgefusion.core.errors import RigError
from edgefusion.core.geometry import apply, grid, resize_map
from edgefusion.core.rig import examine_rig, load_rig

RIG = """\
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
    np.testing.assert_allclose(rig.registration_for((640, 480), (320, 256)).matrix[:2, 2], [1, 2])
    np.testing.assert_allclose(rig.registration_for((1280, 960), (320, 256)).matrix[0, 0], 0.25)


def test_a_rig_with_lenses_follows_them_at_any_size(tmp_path: Path) -> None:
    rig = load_rig(write_rig(tmp_path / "rig.toml", BoardRig()))
    points = grid((640, 480), 41)
    truth = far_map(BoardRig(), points, REFERENCE_M)
    seen = ((truth >= 0) & (truth <= (319, 255))).all(axis=1)
    assert rig.lenses_ignored == ""
    found = rig.registration_for((640, 480), (320, 256)).points(points)
    assert np.abs(found - truth)[seen].max() < 0.05
    large = rig.registration_for((1280, 960), (640, 512)).points(apply(resize_map((640, 480), (1280, 960)), points))
    assert np.abs(large - apply(resize_map((320, 256), (640, 512)), truth))[seen].max() < 0.1


def test_lenses_are_left_out_once_the_registration_is_another_one(tmp_path: Path) -> None:
    implied = geometry(BoardRig()).registration(REFERENCE_M)
    moved = implied @ np.array([[1, 0, 2.0], [0, 1, 0], [0, 0, 1]])
    rig = load_rig(write_rig(tmp_path / "rig.toml", BoardRig(), registration=moved))
    found = rig.registration_for((640, 480), (320, 256))
    assert found.bend is None
    np.testing.assert_allclose(found.matrix, moved / moved[2, 2])
    assert rig.lenses_ignored == "the lenses imply another registration, 1.9 px away"
    rounded = load_rig(write_rig(tmp_path / "rig.toml", BoardRig(), registration=np.round(implied, 7)))
    assert (rounded.lenses_ignored, rounded.registration_for((640, 480), (320, 256)).bend is None) == ("", False)


def test_one_lens_alone_is_not_followed(tmp_path: Path) -> None:
    rig = load_rig(write_rig(tmp_path / "rig.toml", BoardRig(), left_out="visible"))
    assert rig.registration_for((640, 480), (320, 256)).bend is None
    assert rig.lenses_ignored == "both lenses, rotation, translation_m and reference_m are needed"


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (r"\[520.0, 520.0\]", "[0.0, 0.0]", "the cameras look past each other"),
        (r"\[285.0, 285.0\]", "[0.0, 0.0]", "the two lenses make no sense"),
        ("-0.25", "nan", "the two lenses make no sense"),
        (r"rotation = .*", "rotation = [[0, 0, 0], [0, 0, 0], [0, 0, 0]]", "the cameras look past each other"),
        (r"rotation = .*\ntrans.*", "rotation = [[0, 0, 0], [0, 0, 0], [0, 0, 0]]\ntranslation_m = [0, 0, 0]", "the c"),
    ],
)
def test_lenses_that_make_no_sense_are_left_out(tmp_path: Path, old: str, new: str, why: str) -> None:
    path = write_rig(tmp_path / "rig.toml", BoardRig())
    path.write_text(re.sub(old, new, path.read_text()))
    rig = load_rig(path)
    assert rig.registration_for((640, 480), (320, 256)).bend is None
    assert rig.lenses_ignored.startswith(why)


def test_a_radial_term_comes_after_the_registration(tmp_path: Path) -> None:
    rig = load_rig(written(tmp_path, RIG + "\n[calibration]\nradial = -0.1\n"))
    points = grid((640, 480), 21)[::3]
    ideal = points * 0.5 + (1, 2)
    centre, half = np.array([159.5, 127.5]), np.hypot(320, 256) / 2
    expected = ideal + (ideal - centre) * -0.1 * (np.linalg.norm(ideal - centre, axis=1, keepdims=True) / half) ** 2
    np.testing.assert_allclose(rig.registration_for((640, 480), (320, 256)).points(points), expected, atol=0.05)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[0.0, 0.5, 2.0]", "[0.0, 0.0, 0.0]", "2: registration: the registration cannot be inverted (given [[0.5"),
        ("[0.0, 0.5, 2.0], ", "", "2: registration: a registration is 3 rows of 3 finite numbers"),
        ("[0.0, 0.5, 2.0]", "[0.0, nan, 2.0]", "2: registration: a registration is 3 rows of 3 finite numbers"),
        ("[0.0, 0.5, 2.0]", '[\n0.0,\n"x", 2.0]', '4: registration.1.1: should be a number (given "x")'),
        ("registration", "registratoin", "registration: missing"),
        ("registration", "registratoin", "2: registratoin: unknown field (did you mean registration?)"),
        ('"NV12"', '"H264"', "6: visible.format: H264 is not one of RGB24, NV12, YUYV, UYVY, GREY"),
        ('"NV12"', '"Y16"', "6: visible.format: Y16 is not one of RGB24"),
        ('"NV12"', "12", "6: visible.format: 12 is not one of RGB24"),
        ('"Y16"', '"YUYV"', "10: thermal.format: YUYV is not one of GREY, Y16, Y16_BE"),
        ('format = "NV12"\n', "", "4: visible.format: missing"),
        ("[visible]", "[visual]", "visible: missing"),
        ("[visible]", "[visual]", "4: visual: unknown field (did you mean visible?)"),
        ("bits = 14", "bitz = 14", "11: thermal.bitz: unknown field (did you mean bits?)"),
        ("bits = 14", "bits = 99", "11: thermal.bits: should be at most 16 (given 99)"),
        ("bits = 14", 'bits = "14"', '11: thermal.bits: should be a whole number (given "14")'),
        ("bits = 14", "bits = 14.5", "11: thermal.bits: should be a whole number (given 14.5)"),
        ("bits = 14", "bits = true", "11: thermal.bits: should be a whole number (given true)"),
        ("bits = 14", "hold_s = nan", "11: thermal.hold_s: should be at most 10 (given NaN)"),
        ("bits = 14", 'byte_order = "big-endian"', '11: thermal.byte_order: should be "little" or "big" (given "big-'),
        ("schema = 1", "schema = 2", "1: schema: should be 1 (given 2)"),
        ("schema = 1", "bits = 14", "1: bits: unknown field (it belongs in [thermal])"),
        ("schema = 1", "fps = 30", "1: fps: unknown field (it belongs in [visible] or in [thermal])"),
        ("schema = 1", "tolerance = 20", "1: tolerance: unknown field (did you mean tolerance_ms?)"),
        ("schema = 1", "lost_after = 1", "1: lost_after: unknown field (did you mean policy.lost_after_s?)"),
        ("schema = 1", "quality = 1", "1: quality: unknown field (known here: visible, thermal, registration,"),
        ("schema = 1", 'name = "Front rig"', '1: name: should look like "front" (given "Front rig")'),
        ("schema = 1", 'policy.visible_lost = "go"', '1: policy.visible_lost: should be "stop" or "thermal"'),
        ("schema = 1", "policy = { lost_after_s = 0 }", "1: policy.lost_after_s: should be more than 0 (given 0)"),
        ("[640, 480]", "[640, -480]", "5: visible.size_px.1: should be more than 0 (given -480)"),
        ("[640, 480]", "640", "5: visible.size_px: "),
        ("[visible]", "[visible]\ncontrols.gain = 1.5", "5: visible.controls.gain: should be true or false or a whole"),
        ("bits = 14", 'bits = 14\n[[output]]\nto = ""', "13: output.0.to: "),
        ("bits = 14", "bits = 14\n\n[[output]]\nslots = 8", "13: output.0.to: missing"),
        (
            "bits = 14",
            'bits = 14\n[[output]]\nto = "ring:a"\nmode = 6',
            "14: output.0.mode: should be text (given 6)",
        ),
        ("bits = 14", '[[output]]\nto = "a"\nmode = "rw"', '13: output.0.mode: should look like "0640" (given'),
        ("bits = 14", '[[output]]\nto = "ring:a"\n[[output]]\nto = "ring:b"', "14: output.1.to: a second ring"),
        ("bits = 14", '[[outputs]]\nto = "ring:a"', "11: outputs: unknown field (did you mean output?)"),
        ("bits = 14", "bits = 14\n[calibration]\nradial = -0.4", "13: calibration.radial: should be at least -0.3"),
        (
            "bits = 14",
            "bits = 14\n[calibration]\nradial = 0.1\n[calibration.thermal]\nfocal_px = [1.0, 1.0]\n"
            "centre_px = [1.0, 1.0]\ndistortion = [0.0, 0.0, 0.0, 0.0, 0.0]",
            "12: calibration: radial and lenses exclude each other: remove one",
        ),
        ("[visible]", "[visible", "4: not TOML: "),
        ("bits = 14", "bits = ", "11: not TOML: "),
        ("bits = 14", "bits = 14\nbits = 15", "12: not TOML: "),
        ("bits = 14", 'device = """/dev/video0', "12: not TOML: "),
    ],
)
def test_a_wrong_field_is_explained_by_its_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = written(tmp_path, RIG.replace(old, new))
    place = f"{path}:" if message[0].isdigit() else f"{path}: "
    with pytest.raises(RigError, match=re.escape(place + message)):
        load_rig(path)


def test_everything_that_is_wrong_is_said_at_once_in_order(tmp_path: Path) -> None:
    text = RIG.replace("NV12", "NV21").replace("14", "17").replace("schema", "scheme").replace("256", "0")
    mistakes = examine_rig(written(tmp_path, text)).mistakes
    assert [(each.line, each.field) for each in mistakes] == [
        (1, "scheme"), (6, "visible.format"), (9, "thermal.size_px.1"), (11, "thermal.bits"),
    ]  # fmt: skip
    with pytest.raises(RigError) as failed:
        load_rig(written(tmp_path, text))
    assert len(str(failed.value).splitlines()) == 4
    assert failed.value.where.endswith("rig.toml:1")
    assert failed.value.remedy == "see docs/rig.md"


def test_a_missing_rig_is_named(tmp_path: Path) -> None:
    with pytest.raises(RigError, match=r"none\.toml"):
        load_rig(tmp_path / "none.toml")


def test_a_folder_is_no_rig(tmp_path: Path) -> None:
    with pytest.raises(RigError, match="cannot read it"):
        load_rig(tmp_path)


def test_text_in_another_encoding_is_placed(tmp_path: Path) -> None:
    path = tmp_path / "rig.toml"
    path.write_bytes(RIG.replace("[visible]", "# Kühler vorn\n[visible]").encode("latin-1"))
    with pytest.raises(RigError, match=r"rig\.toml:4: not TOML: .*UTF-8"):
        load_rig(path)


def test_what_windows_editors_add_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "rig.toml"
    path.write_bytes(b"\xef\xbb\xbf" + RIG.replace("\n", "\r\n").encode())
    assert load_rig(path).thermal.bits == 14


def test_brackets_without_end_are_no_crash(tmp_path: Path) -> None:
    with pytest.raises(RigError, match="not TOML"):
        load_rig(written(tmp_path, "a = " + "[" * 100_000))
