from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from edgefusion.core.errors import MachineError
from edgefusion.core.frames import PixelFormat
from edgefusion.core.rig import load_rig
from runtime.rig import begin


@dataclass(frozen=True)
class Offer:
    name: str
    sizes: tuple[tuple[int, int], ...] = ((640, 480),)
    stepwise: bool = False


@dataclass(frozen=True)
class Device:
    path: str
    name: str
    formats: tuple[Offer, ...]
    problem: str = ""


WEBCAM = Device("/dev/video0", "HD Webcam", (Offer("YUYV", ((640, 480), (1280, 720), (1920, 1080))), Offer("MJPEG")))
BOSON = Device("/dev/video2", 'FLIR "Boson" 320', (Offer("Y16", ((320, 256),)), Offer("GREY", ((320, 256),))))
FORBIDDEN = Device("/dev/video1", "", (), "not permitted; join the group video")


def test_a_simulated_rig_is_whole_and_exact(tmp_path: Path, edgefusion: Callable[..., Result]) -> None:
    out = tmp_path / "rig.toml"
    result = edgefusion("rig", "init", "--simulated", "--out", out, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["rig"] == str(out)
    rig = load_rig(out)
    assert rig.visible.device
    assert rig.visible.device.startswith("simulated:")
    np.testing.assert_allclose(rig.registration, begin.simulated()[2], rtol=1e-6)


def test_what_is_there_already_stays_unless_forced(tmp_path: Path, edgefusion: Callable[..., Result]) -> None:
    out = tmp_path / "rig.toml"
    out.write_text("mine")
    result = edgefusion("rig", "init", "--simulated", "--out", out)
    assert result.exit_code == 2
    assert out.read_text() == "mine"
    assert edgefusion("rig", "init", "--simulated", "--out", out, "--force").exit_code == 0
    assert load_rig(out)


def test_the_camera_with_deep_readings_is_thermal(tmp_path: Path) -> None:
    cameras = begin.chosen([BOSON, FORBIDDEN, WEBCAM])
    begin.write_rig(tmp_path / "rig.toml", cameras, force=False)
    rig = load_rig(tmp_path / "rig.toml")
    assert (rig.visible.device, rig.visible.format, rig.visible.size_px) == (
        "/dev/video0", PixelFormat.YUYV, (1280, 720),
    )  # fmt: skip
    assert (rig.thermal.device, rig.thermal.format, rig.thermal.bits) == ("/dev/video2", PixelFormat.Y16, 14)
    assert "A GUESS" in (tmp_path / "rig.toml").read_text()


def test_sizes_between_two_ends_begin_at_the_usual_one() -> None:
    free = Device("/dev/video4", "isp", (Offer("NV12", ((16, 16), (3840, 2160)), stepwise=True),))
    small = Device("/dev/video5", "lepton", (Offer("Y16", ((80, 60), (160, 120)), stepwise=True),))
    visible, thermal, _ = begin.chosen([small, free])
    assert (visible.size_px, thermal.size_px) == ((640, 480), (160, 120))


def test_a_camera_that_sends_jpeg_only_is_decoded(tmp_path: Path) -> None:
    visible, _, _ = begin.chosen([Device("/dev/video0", "cheap", (Offer("MJPEG"),)), BOSON])
    assert visible.format is PixelFormat.NV12


@pytest.mark.parametrize("devices", [[], [WEBCAM], [BOSON, FORBIDDEN], [WEBCAM, WEBCAM]])
def test_without_two_cameras_what_there_is_is_listed(devices: list[Device]) -> None:
    with pytest.raises(MachineError, match="--simulated") as failed:
        begin.chosen(devices)
    assert all(device.path in str(failed.value) for device in devices)
    assert all(device.problem in str(failed.value) for device in devices)
