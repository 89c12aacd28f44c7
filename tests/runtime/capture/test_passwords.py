"""No password of a camera is shown, whatever kind it is of."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from edgefusion.core import toml
from runtime.capture.base import without_passwords
from runtime.run import RunSettings
from runtime.sources import open_sources

DEVICES = [
    ("rtsp://driver:s3cret@host/front#transport=udp", "rtsp://***@host/front#transport=udp"),
    ("rtsps://driver:s3@cret@host/front", "rtsps://***@host/front"),
    ("rtsp://host/user=driver&password=s3cret", "rtsp://host/user=driver&password=***"),
    (
        "gstreamer:rtspsrc location=rtsp://driver:s3cret@host/front latency=0 ! decodebin",
        "gstreamer:rtspsrc location=rtsp://***@host/front latency=0 ! decodebin",
    ),
    (
        "gstreamer:rtspsrc location=rtsp://host/front user-id=driver user-pw=s3cret ! decodebin",
        "gstreamer:rtspsrc location=rtsp://host/front user-id=driver user-pw=*** ! decodebin",
    ),
    (
        'gstreamer:souphttpsrc proxy-pw = "s3 cret" location="http://driver:s3cret@host/" ! jpegdec',
        'gstreamer:souphttpsrc proxy-pw = *** location="http://***@host/" ! jpegdec',
    ),
    ("gstreamer:videotestsrc ! video/x-raw,format=NV12", "gstreamer:videotestsrc ! video/x-raw,format=NV12"),
    ("/dev/v4l/by-id/usb-1@2", "/dev/v4l/by-id/usb-1@2"),
    ("replay:drive.mcap#topic=/thermal&rate=2", "replay:drive.mcap#topic=/thermal&rate=2"),
]


def rig_text(device: str) -> str:
    return f"""
name = "front"
registration = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
[visible]
size_px = [160, 120]
format = "NV12"
device = {json.dumps(device)}  # ours
[thermal]
size_px = [160, 120]
format = "Y16"
device = "simulated:seed=1"
"""


@pytest.mark.parametrize(("device", "shown"), DEVICES)
def test_what_a_run_says_of_its_cameras(device: str, shown: str, tmp_path: Path) -> None:
    path = tmp_path / "rig.toml"
    path.write_text(rig_text(device))
    [source] = open_sources(RunSettings(rigs=(path,)), stop=threading.Event(), wake=threading.Condition())
    assert source.described == f"{shown} + simulated:seed=1"


@pytest.mark.parametrize(("device", "shown"), DEVICES)
def test_a_rig_without_its_passwords_still_says_all_else(device: str, shown: str) -> None:
    without = without_passwords(rig_text(device))
    assert "s3" not in without
    assert without.endswith(rig_text("").partition('device = ""')[2])
    known = toml.loads(rig_text(device))
    known["visible"]["device"] = shown
    assert toml.loads(without) == known
