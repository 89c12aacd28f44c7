from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rigcams
from boards import BoardRig
from click.testing import Result
from lens_rigs import REFERENCE_M, geometry, write_rig

from edgefusion.core.errors import EdgeFusionError
from runtime.capture import base
from runtime.rig.job import check_rig
from runtime.sinks import open_sink

RIG = """\
name = "front"
registration = [[0.5, 0.0, 0.0], [0.0, 0.5, 0.0], [0.0, 0.0, 1.0]]
[visible]
device = "scripted:"
size_px = [640, 480]
format = "YUYV"
[thermal]
device = "scripted:"
size_px = [320, 256]
format = "Y16"
bits = 14
"""


@pytest.fixture(autouse=True)
def scripted_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("scripted", "v4l2"):
        monkeypatch.setitem(base.KINDS, kind, rigcams.KIND)


def written(tmp_path: Path, *changes: tuple[str, str]) -> Path:
    text = RIG
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = tmp_path / "rig.toml"
    path.write_text(text)
    return path


def test_a_sound_rig_has_nothing_to_say(tmp_path: Path, edgefusion: Callable[..., Result]) -> None:
    result = edgefusion("rig", "check", written(tmp_path))
    assert result.exit_code == 0
    assert "nothing is wrong" in result.stdout
    assert "sees 100% of the visible image" in result.stdout
    assert rigcams.ScriptedCamera.opened == 0


def test_a_malformed_rig_is_listed_line_by_line(tmp_path: Path, edgefusion: Callable[..., Result]) -> None:
    path = written(tmp_path, ("bits = 14", "bits = 17"), ("YUYV", "YUY2"))
    result = edgefusion("rig", "check", path)
    assert result.exit_code == 4
    assert result.stdout.splitlines() == [
        f"{path}: 2 errors, 0 warnings",
        f"{path}:6: error: visible.format: YUY2 is not one of RGB24, NV12, YUYV, UYVY, GREY",
        f"{path}:11: error: thermal.bits: should be at most 16 (given 17)",
    ]
    found = json.loads(edgefusion("rig", "check", path, "--json").stdout)
    assert not found["ok"]
    assert [(each["line"], each["field"]) for each in found["findings"]] == [
        (6, "visible.format"),
        (11, "thermal.bits"),
    ]


@pytest.mark.parametrize(
    ("changes", "level", "place", "what"),
    [
        ([('"YUYV"', '"NV12"'), ("640, 480", "640, 481")], "error", "visible.size_px", "NV12 needs an even width and"),
        ([("640, 480", "641, 480")], "error", "visible.size_px", "YUYV needs an even width, not 641x480"),
        ([('"scripted:"', '"camra:0"')], "error", "visible.device", "no kind 'camra'"),
        ([('"scripted:"', '"scripted:speed=3"')], "error", "visible.device", "no option 'speed'"),
        ([('device = "scripted:"\n', "")], "warning", "visible", "serves recordings"),
        ([('"scripted:"', '"/dev/video97"')], "warning", "visible.device", "/dev/video97 is not there now"),
        ([('"scripted:"', '"/dev/video97"')] * 2, "error", "thermal.device", "/dev/video97 is the visible camera"),
        ([("bits", "fps = 0.9\nbits")], "error", "policy.lost_after_s", "the thermal camera would always count"),
        ([("bits", "fps = 9\nhold_s = 0.1\nbits"), ("[thermal]", "fps = 30\n[thermal]")], "warning", "thermal.hold_s",
         "comes every 0.11 s"),
        ([("0.5, 0.0, 0.0", "2.0, 0.0, 0.0"), ("0.0, 0.5, 0.0", "0.0, 2.0, 0.0")], "warning", "registration",
         "its inverse would cover much more"),
        ([("0.5, 0.0, 0.0", "-0.5, 0.0, 320.0")], "warning", "registration", "mirrors"),
        ([("0.5, 0.0, 0.0", "0.5, 0.0, 900.0")], "warning", "registration", "sees 0% of the visible image"),
        ([("bits = 14", 'bits = 14\n[[output]]\nto = "ring:a b"')], "error", "output.0.to", "a ring's name"),
        ([("bits = 14", 'bits = 14\n[[output]]\nto = "ring:a"\nmode = "0066"')], "error", "output.0.mode", "this user"),
        ([("bits = 14", 'bits = 14\n[[output]]\nto = "ring:a"\nmode = "0644"')], "warning", "output.0.mode", "every"),
        ([("bits = 14", 'bits = 14\n[[output]]\nto = "ring:a"\nmode = "0660"\ngroup = "root"')], "warning",
         "output.0.mode", "0660 lets other users overwrite frames; readers need only 0640"),
        ([("bits = 14", 'bits = 14\n[[output]]\nto = "ring:a"\ngroup = "no-such"')], "error", "output.0.group",
         "groupadd no-such"),
        ([("bits = 14", 'bits = 14\n[[output]]\nto = "ring:a"\ngroup = "root"')], "warning", "output.0.mode",
         "0640 lets it"),
        ([("bits = 14", 'bits = 14\n[[output]]\nto = "udp:host"')], "error", "output.0.to", "no kind 'udp'"),
        ([("bits = 14", 'bits = 14\n[[output]]\nto = "x.gif"')], "error", "output.0.to", "cannot write .gif"),
        ([("bits = 14", 'bits = 14\n[[output]]\nto = "x.webm"')], "error", "output.0.to", "cannot write .webm; a"),
        ([("bits = 14", 'bits = 14\n[[output]]\nto = "/no-such/x.mp4"')], "error", "output.0.to", "no folder /no-such"),
        ([("bits = 14", 'bits = 14\n[[output]]\nto = "x.mcap"\n[[output]]\nto = "x.mcap"')], "error", "output.1.to",
         "named twice"),
    ],
)  # fmt: skip
def test_what_is_wrong_without_the_cameras(
    tmp_path: Path, changes: list[tuple[str, str]], level: str, place: str, what: str
) -> None:
    path = written(tmp_path, *changes)
    report = check_rig(path)
    [finding] = [each for each in report.findings if each.level == level and each.field == place]
    assert what in finding.what
    if finding.line is not None:
        assert place.split(".")[-1] in path.read_text().splitlines()[finding.line - 1] or place.startswith("output")
    assert (report.exit_code != 0) == (level == "error")


def test_a_registration_that_its_lenses_do_not_imply_is_warned_of(tmp_path: Path) -> None:
    moved = geometry(BoardRig()).registration(REFERENCE_M) @ np.array([[1, 0, 3.0], [0, 1, 0], [0, 0, 1]])
    report = check_rig(write_rig(tmp_path / "rig.toml", BoardRig(), registration=moved))
    [finding] = [each for each in report.findings if each.field == "registration"]
    assert (finding.level, finding.line, report.exit_code) == ("warning", 1, 0)
    assert "left out, the registration stands alone: the lenses imply another registration, 2.9 px away" in finding.what
    sound = check_rig(write_rig(tmp_path / "rig.toml", BoardRig()))
    assert not [each for each in sound.findings if each.field == "registration"]


def test_what_thermal_covers_is_told_with_its_lens(tmp_path: Path) -> None:
    """A lens that draws the picture together lets thermal see all of it."""
    large = ("0.5, 0.0, 0.0], [0.0, 0.5, 0.0", "0.55, 0.0, -16.0], [0.0, 0.55, -4.5")
    alone = check_rig(written(tmp_path, large)).coverage
    bent = check_rig(written(tmp_path, large, ("bits = 14", "bits = 14\n[calibration]\nradial = -0.15"))).coverage
    assert alone is not None
    assert bent is not None
    assert alone < 0.92
    assert bent > 0.99


@pytest.mark.parametrize("to", ["night:1.mp4", "night:1.mcap", "night:1", "./night:1", "udp:host", "v4l:/dev/video9"])
def test_an_output_is_refused_here_if_a_run_refuses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str
) -> None:
    monkeypatch.chdir(tmp_path)
    report = check_rig(written(tmp_path, ("bits = 14", f'bits = 14\n[[output]]\nto = "{to}"')))
    refused = []
    try:
        open_sink(to, fps=30).abandon()
    except EdgeFusionError as error:
        refused = [error.what]
    assert [finding.what.partition(";")[0] for finding in report.findings] == refused


def test_coverage_is_the_share_of_visible_pixels_that_thermal_sees(tmp_path: Path) -> None:
    report = check_rig(written(tmp_path, ("0.5, 0.0, 0.0", "0.5, 0.0, 160.0")))
    assert report.coverage == pytest.approx(0.5, abs=0.01)


def test_a_rig_that_is_not_there_is_an_error(tmp_path: Path, edgefusion: Callable[..., Result]) -> None:
    result = edgefusion("rig", "check", tmp_path / "none.toml")
    assert result.exit_code == 4
    assert "cannot read it" in result.stderr
