"""What V4l2Camera says when something goes wrong, with a real driver, and that it recovers."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from devices import (
    DRIVER,
    HDMI,
    PLANAR,
    THERMAL,
    VISIBLE,
    lost,
    next_frame,
    opened,
    path_of,
    push,
    reopen,
    take,
    thermal,
    visible,
    wait_for,
)

from edgefusion.core import rig
from edgefusion.core.errors import InputError, MachineError, RigError
from edgefusion.core.frames import PixelFormat
from runtime.capture.base import CameraLostError
from runtime.capture.v4l2 import V4l2Camera, formats, list_devices

# What goes wrong


def test_disconnected_in_mid_run_and_back() -> None:
    with opened(VISIBLE) as camera, opened(THERMAL, thermal()) as other:
        kept = next_frame(camera).pixels.copy()
        push(VISIBLE, disconnect=True)
        lost(camera)
        take(other, 2)  # is not disturbed
        camera.close()
        reopen(camera)
        assert take(camera, 2)[0].pixels.shape == kept.shape


def test_a_fatal_error_of_the_driver_needs_it_opened_again() -> None:
    with opened(VISIBLE) as camera:
        take(camera, 1)
        push(VISIBLE, inject_fatal_streaming_error=True)
        lost(camera)
        with pytest.raises(CameraLostError):
            camera.read(0)
        camera.open()
        take(camera, 2)


def test_both_unplugged_and_plugged_in_again() -> None:
    paths = path_of(VISIBLE), path_of(THERMAL)
    cameras = [V4l2Camera(paths[0], visible(), "visible"), V4l2Camera(paths[1], thermal(), "thermal")]
    for camera in cameras:
        camera.open()
        take(camera, 2)
    held = next_frame(cameras[0])
    copy = held.pixels.copy()
    threading.Thread(target=(DRIVER / "unbind").write_text, args=("vivid.0",)).start()
    for camera in cameras:
        lost(camera)
    held.release()  # too late, and harmless
    for camera in cameras:
        camera.close()
    np.testing.assert_array_equal(held.pixels, copy)
    wait_for(lambda: not Path(paths[0]).exists())
    with pytest.raises(CameraLostError, match="not there"):
        cameras[0].open()
    del held
    (DRIVER / "bind").write_text("vivid.0")
    for camera in cameras:
        reopen(camera)
        first, second = take(camera, 2)
        assert first.sequence < second.sequence
        camera.close()


def test_images_that_change_are_an_error() -> None:
    with opened(HDMI, rig.Camera(size_px=(1280, 720), format="GREY")) as camera:
        take(camera, 1)
        push(HDMI, dv_timings_signal_mode="No Signal")
        with pytest.raises(InputError, match="changed while it ran"):
            while frame := camera.read(10):
                frame.release()
    push(HDMI, dv_timings_signal_mode="Current DV Timings")


def test_a_busy_camera() -> None:
    with opened(), pytest.raises(MachineError, match=r"busy.*fuser -v /dev/video"), opened():
        pass


def test_no_permission_names_the_group() -> None:
    import grp

    path = path_of(THERMAL)
    os.chown(path, 0, grp.getgrnam("video").gr_gid)
    os.chmod(path, 0o660)
    said = as_nobody(lambda: str(V4l2Camera(path, thermal(), "thermal").open()))
    assert "not permitted: it is for the group video; sudo usermod -aG video nobody" in said
    os.chmod(path, 0o600)
    assert "sudo chgrp video" in as_nobody(lambda: str(V4l2Camera(path, thermal(), "thermal").open()))
    seen = as_nobody(lambda: str([device.problem for device in list_devices() if device.path == path]))
    assert "not permitted" in seen


def as_nobody(call: Callable[[], str]) -> str:
    """What a call says, or raises, in a process of another user."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        try:
            text = call()
        except BaseException as error:
            text = str(error)
        os.write(writing, text.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as said:
        text = said.read()
    os.waitpid(child, 0)
    return text


def test_what_the_camera_does_not_offer_is_said_with_what_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    for settings, said in (
        (visible(size_px=(333, 222)), "visible.size_px: it gives 320x180 for 333x222 in YUYV; it offers YUYV, UYVY"),
        (visible(fps=77), "visible.fps: it gives 60 for 77 in YUYV; at this size it offers 1, 2, 4, 5, 10"),
    ):
        with pytest.raises(RigError) as caught, opened(VISIBLE, settings):
            pass
        assert said in str(caught.value)
    monkeypatch.setitem(formats.CODES, PixelFormat.GREY, formats.fourcc("XYZ9"))
    with pytest.raises(RigError, match=r"visible.format: it does not give GREY; it offers YUYV.* in 320x180, 640x360"):
        opened(VISIBLE, visible(format="GREY")).__enter__()


@pytest.mark.parametrize(
    ("path", "error", "said"),
    [
        ("/dev/video99", CameraLostError, "it is not there; there are /dev/video"),
        ("/dev/null", RigError, "not a video device; there are /dev/video"),
        ("output", RigError, "does not capture video"),
        ("planar", RigError, "several planes.*gstreamer"),
    ],
)
def test_not_a_camera(path: str, error: type[Exception], said: str) -> None:
    names = {"output": (HDMI, "out"), "planar": (PLANAR, "cap")}
    with pytest.raises(error, match=said):
        V4l2Camera(path_of(*names[path]) if path in names else path, visible(), "visible").open()


# Controls


def test_controls_by_their_names() -> None:
    controls = {
        "test_pattern": "100% black",  # in any case
        "osd_text_mode": 2,
        "integer_menu": 8,
        "integer_64_bits": 1 << 40,
        "boolean": False,
        "button": True,
        "brightness": 128,
    }
    with opened(VISIBLE, visible(controls=controls)) as camera:
        assert (take(camera, 2)[-1].pixels[..., 0] == 16).mean() > 0.99


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("exposure", 3, "visible.controls.exposure: it has no such control; it has .*brightness, .*test_pattern"),
        ("brightness", 999, "999 is not one of its values; it takes 0 to 255"),
        ("brightness", "bright", "'bright' is not a number; it takes 0 to 255"),
        ("boolean", 7, "neither true nor false"),
        ("test_pattern", "purple", "'purple' is not in its menu; it has 75% Colorbar, "),
        ("integer_menu", 4, "4 is not in its menu; it has 2, 3, 5, 8, 13"),
    ],
)
def test_controls_that_are_wrong(name: str, value: bool | int | str, said: str) -> None:
    with pytest.raises(RigError, match=said), opened(VISIBLE, visible(controls={name: value})):
        pass
