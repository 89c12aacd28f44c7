"""GStreamer cameras of test sources."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from edgefusion.core import rig
from edgefusion.core.errors import EdgeFusionError
from edgefusion.core.frames import Frame
from runtime.capture.gstreamer import GStreamerCamera

PATIENCE_S = 10.0
LIVE = "videotestsrc is-live=true"


def settings(pixel_format: str = "GREY", **more: object) -> rig.Camera:
    return rig.ThermalCamera.model_validate({"size_px": (160, 120), "format": pixel_format, **more})


@contextmanager
def opened(pipeline: str, pixel_format: str = "GREY", **more: object) -> Iterator[GStreamerCamera]:
    camera = GStreamerCamera(pipeline, settings(pixel_format, **more), "visible")
    try:
        camera.open()
        yield camera
    finally:
        camera.close()


def take(camera: GStreamerCamera) -> Frame:
    """The next frame, which must come."""
    frame = camera.read(PATIENCE_S)
    assert frame is not None
    return frame


def refused(pipeline: str, pixel_format: str = "GREY", **more: object) -> EdgeFusionError:
    """What opening says."""
    with pytest.raises(EdgeFusionError) as caught, opened(pipeline, pixel_format, **more):
        pass
    return caught.value
