from __future__ import annotations

import numpy as np
import pytest
from scenes import frame, noise, noise_pair

from edgefusion.core.errors import InputError
from edgefusion.core.frames import Form, Frame, PixelFormat
from edgefusion.kernels.agc import AgcSpec
from edgefusion.kernels.inputs import InputPacker

SIZE = (32, 24)
VISIBLE: Form = (PixelFormat.UYVY, SIZE)
THERMAL: Form = (PixelFormat.Y16, SIZE)


def ready(thermal: Form = THERMAL) -> tuple[InputPacker, np.ndarray]:
    packer = InputPacker(AgcSpec(), bits=14)
    assert packer.fit_forms(VISIBLE, thermal)
    return packer, np.zeros((32, 6, 8), np.float32)


def thermal_frames() -> list[Frame]:
    return [frame(noise(PixelFormat.Y16, SIZE, seed) // (seed + 1), PixelFormat.Y16, seed) for seed in range(4)]


def swapped(original: Frame) -> Frame:
    return frame(original.pixels.byteswap(), PixelFormat.Y16_BE, original.sequence)


def test_fitting_again_for_the_same_forms_changes_nothing() -> None:
    packer, _ = ready()
    assert not packer.fit_forms(VISIBLE, THERMAL)
    assert not packer.fit(noise_pair(VISIBLE[0], THERMAL[0], (SIZE, SIZE)))
    assert packer.fit_forms(VISIBLE, (PixelFormat.GREY, SIZE))


def test_the_order_of_bytes_changes_nothing_in_the_tensor() -> None:
    little, x = ready()
    big, other = ready((PixelFormat.Y16_BE, SIZE))
    for original in thermal_frames():
        assert little.pack_thermal(original, x) == big.pack_thermal(swapped(original), other)
        np.testing.assert_array_equal(x, other)


def test_the_range_follows_thermal_frames_that_come_alone() -> None:
    pairs, alone = ready()[0], ready()[0]
    x, other = np.zeros((32, 6, 8), np.float32), np.zeros((32, 6, 8), np.float32)
    for original in thermal_frames():
        pair = noise_pair(VISIBLE[0], THERMAL[0], (SIZE, SIZE))
        ranges = pairs.pack(type(pair)(pair.visible, original), x), alone.pack_thermal(original, other)
        assert ranges[0] == ranges[1]
        np.testing.assert_array_equal(x[16:], other[16:])


def test_after_forgetting_a_frame_counts_alone() -> None:
    packer, x = ready()
    first = [packer.pack_thermal(one, x) for one in thermal_frames()][-1]
    packer.forget()
    assert packer.pack_thermal(thermal_frames()[-1], x) != first


def test_a_visible_frame_alone_leaves_the_thermal_half() -> None:
    packer, x = ready()
    packer.pack_visible(frame(noise(PixelFormat.UYVY, SIZE), PixelFormat.UYVY), x)
    assert x[:16].any()
    assert not x[16:].any()


def test_a_frame_of_another_form_is_refused() -> None:
    packer, x = ready()
    with pytest.raises(InputError, match="GREY 32x24, the ones before it were UYVY 32x24"):
        packer.pack_visible(frame(noise(PixelFormat.GREY, SIZE), PixelFormat.GREY), x)
