"""A thermal camera whose readings are read in the wrong byte order is refused before anything is made of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from live_rigs import settings
from rig_files import write_rig

from edgefusion.core.frames import Frame, PixelFormat
from edgefusion.core.rig import Camera
from edgefusion.recordings.pairing import Side
from runtime.capture.readings import ByteOrderError, check_byte_order, swapped
from runtime.capture.simulated import THERMAL_BITS, SimulatedRig
from runtime.capture.simulated_camera import SimulatedCamera
from runtime.recorder import job
from runtime.sync.live import LiveRig


class Misread(SimulatedCamera):
    """Its readings have their bytes the other way round than it says."""

    def read(self, timeout_s: float) -> Frame | None:
        frame = super().read(timeout_s)
        return frame and replace(frame, pixels=frame.pixels.byteswap())


def thermal(pixel_format: PixelFormat = PixelFormat.Y16) -> Frame:
    frame = SimulatedRig(seed=3).render(0).thermal
    pixels = frame.pixels.byteswap() if pixel_format is PixelFormat.Y16_BE else frame.pixels
    return replace(frame, pixels=pixels, format=pixel_format)


@pytest.mark.parametrize(("pixel_format", "other"), [(PixelFormat.Y16, "big"), (PixelFormat.Y16_BE, "little")])
def test_swapped_readings_are_refused_with_the_right_order(pixel_format: PixelFormat, other: str) -> None:
    right = thermal(pixel_format)
    check_byte_order(right, bits=THERMAL_BITS)
    wrong = replace(right, pixels=right.pixels.byteswap())
    with pytest.raises(ByteOrderError, match=f'14 bits do not hold.*set byte_order = "{other}"'):
        check_byte_order(wrong, bits=THERMAL_BITS)


def test_what_may_be_right_is_let_through() -> None:
    frame = thermal()
    check_byte_order(replace(frame, pixels=frame.pixels.byteswap()), bits=16)  # all 16 bits may be in use
    noise = np.random.default_rng(0).integers(0, 1 << 16, frame.pixels.shape, np.uint16)
    check_byte_order(replace(frame, pixels=noise), bits=THERMAL_BITS)
    check_byte_order(replace(frame, pixels=np.full_like(noise, 0x0102)), bits=THERMAL_BITS)  # a closed shutter
    check_byte_order(SimulatedRig(seed=3).render(0).visible, bits=THERMAL_BITS)
    assert swapped(frame.pixels.byteswap())
    assert not swapped(frame.pixels)


def test_a_live_rig_ends_with_the_reason() -> None:
    given = settings()
    cameras = {
        "visible": SimulatedCamera("prerender=4", given.visible, "visible"),
        "thermal": Misread("prerender=4", given.thermal, "thermal"),
    }
    give_up_s = time.monotonic() + 30
    wanted = pytest.raises(ByteOrderError, match='set byte_order = "big"')
    with wanted, LiveRig(given, cameras, wake=threading.Condition()) as rig:
        while time.monotonic() < give_up_s:
            if moment := rig.next(0.2):
                moment.release()


def test_a_recording_ends_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edgefusion: Callable[..., Result]
) -> None:
    def open_camera(side: Side, given: Camera) -> SimulatedCamera:
        return (Misread if side == "thermal" else SimulatedCamera)("prerender=6", given, side)

    monkeypatch.setattr(job, "open_camera", open_camera)
    rig = write_rig(tmp_path / "rig.toml")
    result = edgefusion("record", "--rig", rig, "--duration", "10m", "--out", tmp_path / "r.mcap")
    assert result.exit_code == 4, result.output
    assert 'set byte_order = "big"' in result.output
