from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import rigcams
from click.testing import Result

from runtime.capture import base
from runtime.rig import measure
from runtime.rig.findings import RigReport
from runtime.rig.job import check_rig


@pytest.fixture(autouse=True)
def scripted_kind(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(base.KINDS, "scripted", rigcams.KIND)
    monkeypatch.setattr(measure, "FIRST_S", 0.6)
    yield
    assert rigcams.ScriptedCamera.opened == 0


def rig(tmp_path: Path, visible: str = "", thermal: str = "", more: str = "") -> Path:
    path = tmp_path / "rig.toml"
    path.write_text(f"""
registration = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
[visible]
device = "scripted:{visible}"
size_px = [64, 48]
format = "RGB24"
fps = 50
[thermal]
device = "scripted:{thermal}"
size_px = [64, 48]
format = "Y16"
bits = 14
{more}
""")
    return path


def said(report: RigReport) -> str:
    return "\n".join(f"{each.level} {each.field}: {each.what}" for each in report.findings)


def test_two_sound_cameras_are_measured(tmp_path: Path, edgefusion: Callable[..., Result]) -> None:
    path = rig(tmp_path, "late_ms=2", "late_ms=5,high=9000,clock=realtime")
    result = edgefusion("rig", "check", path, "--open", "--seconds", 0.4, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    visible, thermal = found["cameras"]["visible"], found["cameras"]["thermal"]
    assert (visible["format"], thermal["format"]) == ("RGB24", "Y16")
    assert (visible["size_px"], visible["memory"], visible["clock"]) == ([64, 48], "copy", "monotonic")
    assert visible["frames"] > 3
    assert found["pairs"]["skew_ms"]["p50"] < 20
    shown = edgefusion("rig", "check", path, "--open", "--seconds", 0.2).stdout
    assert "memory" in shown
    assert "skew p50" in shown


@pytest.mark.parametrize(
    ("visible", "thermal", "more", "what"),
    [
        ("fps=20", "", "", "warning visible.fps: 50 asked for, 20"),
        ("skip=1", "", "", "warning visible.buffers: 1 of "),
        ("late_ms=400", "", "", "warning visible.time_offset_ns: frames come 0.4"),
        ("size=32x24", "", "", "warning visible.size_px: 32x24 comes; the registration, for 64x48, is scaled to it"),
        ("format=NV12", "", "", "warning visible.format: RGB24 asked for, NV12 comes"),
        ("", "flat=1", "", "warning thermal: every pixel is 7"),
        (
            "",
            "high=16000,swapped=1",
            "",
            'warning thermal.byte_order: the picture is smooth only with byte_order = "big"',
        ),
        ("", "high=16000,format=Y16_BE", 'byte_order = "big"', 'smooth only with byte_order = "little"'),
        ("", "high=20000", "", "warning thermal.bits: readings up to 20000 need 15 bits"),
        ("", "fps=10", "", "visible frames have a thermal frame within 20 ms"),
        ("", "shift_s=3600", "", "error tolerance_ms: the cameras' times have nothing in common"),
        ("busy=1", "", "", "error visible.device: scripted: it is busy; close what uses it"),
        ("lost=1", "", "", "error visible.device: scripted: unplugged"),
        ("mute=1", "", "", "error visible.device: it is open, but no frame came"),
    ],
)
def test_what_cameras_do_wrong_is_said(tmp_path: Path, visible: str, thermal: str, more: str, what: str) -> None:
    report = check_rig(rig(tmp_path, visible, thermal, more), seconds=0.35)
    assert what in said(report)


@pytest.mark.parametrize(("visible", "exit_code"), [("busy=1", 3), ("lost=1", 5)])
def test_the_exit_code_is_that_of_what_failed(
    tmp_path: Path, edgefusion: Callable[..., Result], visible: str, exit_code: int
) -> None:
    result = edgefusion("rig", "check", rig(tmp_path, visible), "--open", "--seconds", 0.2)
    assert result.exit_code == exit_code


def test_the_right_byte_order_is_not_doubted(tmp_path: Path) -> None:
    path = rig(tmp_path, "", "high=16000,swapped=1,format=Y16_BE", 'byte_order = "big"')
    assert "byte_order" not in said(check_rig(path, seconds=0.2))


def test_a_camera_that_opens_slowly_is_waited_for(tmp_path: Path) -> None:
    report = check_rig(rig(tmp_path, "slow=0.8"), seconds=0.3)
    assert report.pairs
    assert report.pairs["within_tolerance"] == 1
    assert report.cameras["visible"]["frames"] >= 3
    assert not report.findings
