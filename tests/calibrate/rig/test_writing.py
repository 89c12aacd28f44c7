"""Editing rig.toml keeps whatever is not the calibration's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from calibrate.rig.writing import Changes, edited, fresh, write_rig
from edgefusion.core.errors import RigError
from edgefusion.core.rig import load_rig

MATRIX = np.array([[0.5, 0.001, 3.0], [0.0, 0.5, -2.25], [1e-6, 0.0, 1.0]])
TABLE = {"target": "circles:4x11:20mm", "reference_m": 15.0}
EXAMPLE = Path(__file__).parents[3] / "examples" / "rig.toml"


def test_comments_and_all_other_fields_stay(tmp_path: Path) -> None:
    before = EXAMPLE.read_text()
    after = edited(before, Changes(MATRIX, TABLE, -12_345_678), where=EXAMPLE)
    (tmp_path / "rig.toml").write_text(after)
    rig, old = load_rig(tmp_path / "rig.toml"), load_rig(EXAMPLE)
    assert np.array(rig.registration) == pytest.approx(MATRIX)
    assert rig.calibration is not None
    assert (rig.calibration.target, rig.thermal.time_offset_ns) == ("circles:4x11:20mm", -12_345_678)
    changed = {"registration", "calibration"}
    assert rig.model_dump(exclude={*changed, "thermal"}) == old.model_dump(exclude={*changed, "thermal"})
    assert rig.thermal.model_dump(exclude={"time_offset_ns"}) == old.thermal.model_dump(exclude={"time_offset_ns"})
    comments = [line.partition("#")[2] for line in before.splitlines() if "#" in line]
    assert [line.partition("#")[2] for line in after.splitlines() if "#" in line] == comments


def test_an_earlier_calibration_is_replaced_but_for_the_ruler_s_baseline() -> None:
    earlier = EXAMPLE.read_text() + "\n[calibration]\nbaseline_m = 0.06\nerror_px = 3.0\n[calibration.visible]\n"
    earlier += "focal_px = [1.0, 1.0]\ncentre_px = [1.0, 1.0]\ndistortion = [0, 0, 0, 0, 0]\n"
    after = edited(earlier, Changes(MATRIX, TABLE), where=EXAMPLE)
    assert after.partition("[calibration]")[2].split() == (
        ["baseline_m", "=", "0.06", "target", "=", '"circles:4x11:20mm"', "reference_m", "=", "15.0"]
    )
    assert edited(after, Changes(MATRIX, TABLE), where=EXAMPLE) == after


CALIBRATED = """\
registration = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
[visible]
size_px = [64, 48]
format = "RGB24"

# above the calibration
[calibration]
baseline_m   = 0.060  # by ruler, Tuesday
error_px = 3.0  # the calibration's own
[calibration.visible]
focal_px = [1.0, 1.0]
centre_px = [1.0, 1.0]
distortion = [0, 0, 0, 0, 0]

# the thermal camera hangs
# upside down
[thermal]
size_px = [32, 24]
format = "GREY"
"""


def test_comments_around_an_earlier_calibration_and_the_ruler_s_line_stay_where_they_are() -> None:
    after = edited(CALIBRATED, Changes(MATRIX, TABLE), where=EXAMPLE)
    head, _, rest = CALIBRATED.partition("error_px")
    new = 'target = "circles:4x11:20mm"\nreference_m = 15.0\n\n'
    expected = head + new + rest[rest.index("# the thermal") :]
    assert after.partition("[visible]")[2] == expected.partition("[visible]")[2]
    assert edited(after, Changes(MATRIX, TABLE), where=EXAMPLE) == after


def test_a_comment_that_ends_the_file_stays_and_a_new_ruler_replaces_the_line() -> None:
    camera, _, calibration = CALIBRATED.partition("# above")
    calibration, _, thermal = calibration.partition("# the thermal")
    text = f"{camera}[thermal]{thermal.partition('[thermal]')[2]}\n# above{calibration}# vim: ft=toml\n"
    after = edited(text, Changes(MATRIX, {"baseline_m": 0.07, **TABLE}), where=EXAMPLE)
    table = '[calibration]\nbaseline_m = 0.07\ntarget = "circles:4x11:20mm"\nreference_m = 15.0\n'
    assert after.endswith(f"\n# above the calibration\n{table}\n# vim: ft=toml\n")


@pytest.mark.parametrize(
    "registration",
    [
        "registration=[[1,0,0],[0,1,0],[0,0,1]] # a [guess]",
        "",
        "registration = [\n[1,0,0], # x\n[0,1,0],\n[0,0,1]]",
    ],
)
def test_a_registration_is_replaced_however_it_is_written(tmp_path: Path, registration: str) -> None:
    text = registration + "\n" + fresh(((64, 48), (32, 24)), ("RGB24", "Y16"), bits=14)
    write_rig(tmp_path / "rig.toml", edited(text, Changes(MATRIX), where=tmp_path), start=None)
    assert np.array(load_rig(tmp_path / "rig.toml").registration) == pytest.approx(MATRIX)


def test_what_cannot_be_edited_safely_is_refused() -> None:
    text = "calibration = { baseline_m = 0.06 }\n" + EXAMPLE.read_text()
    with pytest.raises(RigError, match="cannot be edited safely"):
        edited(text, Changes(MATRIX, TABLE), where=EXAMPLE)


def test_what_would_be_no_rig_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "rig.toml").write_text("as it was")
    with pytest.raises(RigError, match="is no rig"):
        write_rig(tmp_path / "rig.toml", "schema = 1\n", start=None)
    assert (tmp_path / "rig.toml").read_text() == "as it was"


@pytest.mark.parametrize(
    ("old", "start", "new"),
    [(0o600, None, 0o600), (None, 0o600, 0o600), (0o644, 0o600, 0o600), (0o660, 0o664, 0o660), (None, None, 0o644)],
)
def test_who_could_not_read_a_rig_cannot_read_what_comes_of_it(
    tmp_path: Path, old: int | None, start: int | None, new: int
) -> None:
    out, begun = tmp_path / "rig.toml", tmp_path / "start.toml"
    for path, mode in ((out, old), (begun, start)):
        if mode is not None:
            path.write_text(EXAMPLE.read_text())
            path.chmod(mode)
    write_rig(out, EXAMPLE.read_text(), start=begun if start is not None else None)
    assert out.stat().st_mode & 0o7777 == new


def test_a_link_to_a_rig_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "front.toml").write_text("as it was")
    link = tmp_path / "rig.toml"
    link.symlink_to("etc/front.toml")
    write_rig(link, EXAMPLE.read_text(), start=link)
    assert link.is_symlink()
    assert (tmp_path / "etc" / "front.toml").read_text() == EXAMPLE.read_text()
