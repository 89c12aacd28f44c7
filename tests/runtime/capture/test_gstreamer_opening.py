"""Opening GStreamer cameras, and what is said where that fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from gst_cameras import LIVE, opened, refused, settings, take
from gst_taps import needs_gstreamer

from edgefusion.core.errors import EdgeFusionError, MachineError, RigError
from edgefusion.core.frames import PixelFormat
from runtime.capture import gstreamer
from runtime.capture.base import CameraLostError, StreamEndError, open_camera, without_passwords
from runtime.capture.gstreamer import GStreamerCamera


@needs_gstreamer
def test_a_pipeline_without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gstreamer, "OPEN_S", 0.3)
    assert isinstance(refused("appsrc ! video/x-raw"), CameraLostError)
    assert isinstance(refused("appsrc is-live=true ! video/x-raw"), CameraLostError)


@needs_gstreamer
@pytest.mark.parametrize(
    ("pipeline", "kind", "words"),
    [
        ("videotestsrc ! ! identity", RigError, "syntax error"),
        ("videotestsrc speed=3", RigError, 'no property "speed"'),
        ("videotestsrc ! fakesink", RigError, "not including the sink"),
        ("videotestsrc ! nosuchthing", MachineError, "'nosuchthing'"),
        ("appsrc ! video/x-raw(memory:NVMM),format=NV12", MachineError, "'nvvidconv'; install nvidia-l4t"),
        ("videotestsrc ! video/x-raw,format=RGB", RigError, "give GREY; it offers RGB24"),
        ("videotestsrc ! jpegenc", RigError, "offers image/jpeg"),
        ("videotestsrc ! video/x-raw,width=320", RigError, "width=320"),
        ("videotestsrc ! video/x-raw,width=320,height=240,format=I420 ! jpegenc ! decodebin", RigError, "agree on"),
        ("filesrc location=/nonexistent ! jpegdec", CameraLostError, "No such file"),
        (f"filesrc location={__file__} ! decodebin", RigError, "text file"),
        ("v4l2src device=/dev/video987", CameraLostError, "/dev/video987"),
        ("videotestsrc num-buffers=0", StreamEndError, "end"),
    ],
)
def test_what_cannot_be_opened_says_why(pipeline: str, kind: type[EdgeFusionError], words: str) -> None:
    error = refused(pipeline)
    assert type(error) is kind
    assert words in str(error)
    assert error.where == "visible.device"


@needs_gstreamer
def test_a_rate_that_is_not_offered() -> None:
    error = refused("videotestsrc ! video/x-raw,framerate=9/1", fps=30)
    assert isinstance(error, RigError)
    assert "framerate=9/1" in str(error)


@needs_gstreamer
def test_full_range_is_refused_and_the_remedy_works() -> None:
    full = "videotestsrc ! video/x-raw,format=NV12,width=160,height=120,colorimetry=1:4:0:0"
    error = refused(full, "NV12")
    assert isinstance(error, RigError)
    with opened(full + error.remedy.removeprefix("end it with"), "NV12") as camera:
        take(camera).release()


@needs_gstreamer
def test_a_pipeline_s_password_is_never_shown() -> None:
    error = refused("rtspsrc location=rtsp://me:s3cret@127.0.0.1:1/front ! rtpjpegdepay ! jpegdec")
    assert isinstance(error, CameraLostError)
    assert "s3cret" not in str(error)
    assert without_passwords("no rtsp://me:s3cret@host/front here") == "no rtsp://***@host/front here"


@needs_gstreamer
def test_nothing_is_left_open() -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    def once() -> None:
        with opened(LIVE, fps=100) as camera:
            take(camera).release()

    once()
    before = descriptors()
    for _ in range(5):
        once()
    assert descriptors() <= before


@needs_gstreamer
def test_a_rig_s_device_opens_it() -> None:
    camera = open_camera("thermal", settings("Y16", device=f"gstreamer:{LIVE}"))
    try:
        assert camera.open() == (PixelFormat.Y16, (160, 120))
    finally:
        camera.close()


def test_without_pygobject_the_error_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['gi'] = None\n"
        "from edgefusion.core import rig; from runtime.capture.gstreamer import GStreamerCamera\n"
        "settings = rig.Camera(size_px=(160, 120), format='GREY')\n"
        "try: GStreamerCamera('videotestsrc', settings, 'visible').open()\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    words = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert words.startswith("MachineError")
    assert "python3-gi" in words


def test_controls_belong_into_the_pipeline() -> None:
    with pytest.raises(RigError, match="no controls"):
        GStreamerCamera(LIVE, settings(controls={"gain": 3}), "visible")


def test_reading_before_opening() -> None:
    with pytest.raises(CameraLostError, match="not open"):
        GStreamerCamera(LIVE, settings(), "visible").read(0)
