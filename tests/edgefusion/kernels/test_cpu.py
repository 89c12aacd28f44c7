from __future__ import annotations

import numpy as np
import pytest
import reference_kernels as reference
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import frame, noise, noise_pair

from edgefusion.core.errors import InputError
from edgefusion.core.frames import THERMAL_FORMATS, VISIBLE_FORMATS, PixelFormat
from edgefusion.core.geometry import Bend, Registration
from edgefusion.kernels.cpu import Pack, Unpack, sampling_table, to_rgb
from edgefusion.kernels.layout import UNSEEN, tensor_size

sides = st.integers(4, 40)
even = st.integers(2, 20).map(lambda half: 2 * half)
matrices = st.builds(
    lambda scale, turn, dx, dy, tilt: np.array(
        [
            [scale * np.cos(turn), -scale * np.sin(turn), dx],
            [scale * np.sin(turn), scale * np.cos(turn), dy],
            [tilt, -tilt, 1],
        ]
    ),
    st.floats(0.3, 2.0),
    st.floats(-0.4, 0.4),
    st.floats(-9, 9),
    st.floats(-9, 9),
    st.floats(-2e-3, 2e-3),
)


def packed(visible: PixelFormat, thermal: PixelFormat, sizes, registration, seed, low=0.0, high=255.0, bits=16):
    pair = noise_pair(visible, thermal, sizes, seed)
    width, height = tensor_size(sizes[0])
    x = np.full((32, height // 4, width // 4), np.nan, np.float32)
    pack = Pack((visible, sizes[0]), (thermal, sizes[1]), registration=Registration(registration), bits=bits)
    pack(pair, x, low=low, high=high)
    return pair, x, pack


@pytest.mark.parametrize("visible", VISIBLE_FORMATS)
@given(width=even, height=even, seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_visible_phases_are_the_reference_luma(visible: PixelFormat, width: int, height: int, seed: int) -> None:
    pair, x, _ = packed(visible, PixelFormat.GREY, ((width, height), (width, height)), np.eye(3), seed)
    luma, _, _ = reference.luma_and_chroma(pair.visible.pixels, visible)
    np.testing.assert_allclose(x[:16], reference.unshuffle(luma), atol=2e-6)


@pytest.mark.parametrize("thermal", THERMAL_FORMATS)
@given(width=sides, height=sides, seed=st.integers(0, 99), low=st.floats(0, 90), span=st.floats(10, 300))
@settings(max_examples=25, deadline=None)
def test_registered_thermal_is_clipped_and_normalised(thermal, width, height, seed, low, span) -> None:
    sizes = ((width, height), (width, height))
    pair, x, _ = packed(PixelFormat.GREY, thermal, sizes, np.eye(3), seed, low, low + span)
    expected = np.clip((reference.readings(pair.thermal.pixels, thermal) - low) / span, 0, 1)
    np.testing.assert_allclose(x[16:], reference.unshuffle(expected), atol=1e-5)


@pytest.mark.parametrize("thermal", THERMAL_FORMATS)
@given(matrix=matrices, size=st.tuples(sides, sides), thermal_size=st.tuples(sides, sides), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_thermal_is_sampled_through_the_registration(thermal, matrix, size, thermal_size, seed) -> None:
    high = 255.0 if thermal is PixelFormat.GREY else 16383.0
    pair, x, _ = packed(PixelFormat.GREY, thermal, (size, thermal_size), matrix, seed, 0.0, high)
    values, inside = reference.warp(reference.readings(pair.thermal.pixels, thermal), matrix, size)
    expected = reference.unshuffle(np.where(inside, values / high, 0))
    wrong = np.abs(x[16:] - expected) > 8e-3
    # positions are kept to 1/256 pixel, and a point within that of the edge may fall on either side of it
    assert wrong.sum() <= 0.02 * wrong.size


@given(matrix=matrices, size=st.tuples(sides, sides), thermal_size=st.tuples(sides, sides))
@settings(max_examples=40, deadline=None)
def test_without_lenses_the_table_is_the_homography_s_to_the_bit(matrix, size, thermal_size) -> None:
    at, fraction = sampling_table(size, thermal_size, Registration(matrix))
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    u, v, w = (row[0] * x + row[1] * y + row[2] for row in matrix)
    u, v = u / w, v / w
    px, py = np.clip(u, 0, thermal_size[0] - 1), np.clip(v, 0, thermal_size[1] - 1)
    left, top = (np.minimum(p.astype(int), side - 2) for p, side in zip((px, py), thermal_size, strict=True))
    right, down = (np.minimum((p * 256 + 0.5).astype(int), 255) for p in (px - left, py - top))
    seen = (w > 0) & (np.abs(u - px) <= 0.5) & (np.abs(v - py) <= 0.5)
    np.testing.assert_array_equal(at, np.where(seen, 0, UNSEEN) | (top * thermal_size[0] + left))
    np.testing.assert_array_equal(fraction, right << 8 | down)


bends = st.builds(
    lambda seed, rows, columns, most: np.random.default_rng(seed).uniform(-most, most, (rows, columns, 2)),
    st.integers(0, 99), st.integers(2, 7), st.integers(2, 7), st.floats(0.1, 4),
)  # fmt: skip


@given(matrix=matrices, nodes=bends, size=st.tuples(sides, sides), shift=st.floats(-6, 6))
@settings(max_examples=60, deadline=None)
def test_the_table_of_a_bent_registration_is_its_points(matrix, nodes, size, shift) -> None:
    thermal = (400, 300)
    place = np.diag([(nodes.shape[1] - 1) / (size[0] - 1), (nodes.shape[0] - 1) / (size[1] - 1), 1.0])
    correction = np.array([[1, 0.01, shift], [-0.01, 1, -shift], [0, 0, 1]])
    registration = Registration(matrix, Bend(nodes, place)).corrected(correction)
    at, fraction = (part.reshape(-1).astype(np.int64) for part in sampling_table(size, thermal, registration))
    top, left = np.divmod(at & ~np.int64(UNSEEN), thermal[0])
    kept = np.column_stack([left + (fraction >> 8) / 256, top + (fraction & 255) / 256])
    points = registration.points(np.stack(np.meshgrid(*map(np.arange, size)), -1).reshape(-1, 2))
    within = ((points > 0) & (points < np.array(thermal) - 1.01)).all(axis=1)
    assert np.abs(kept - points)[within].max(initial=0) <= 1 / 256
    assert not (at[within] & UNSEEN).any()
    assert (at[((points < -0.51) | (points > np.array(thermal) - 0.49)).any(axis=1)] & UNSEEN).all()


@pytest.mark.parametrize("visible", VISIBLE_FORMATS)
@given(width=even, height=even, seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_unpack_merges_fused_luma_with_visible_chroma(visible: PixelFormat, width: int, height: int, seed: int) -> None:
    pixels = noise(visible, (width, height), seed)
    padded = tensor_size((width, height))
    y = np.random.default_rng(seed).random((16, padded[1] // 4, padded[0] // 4)).astype(np.float32)
    out = np.zeros((height, width, 3), np.uint8)
    Unpack((visible, (width, height)))(y, frame(pixels, visible), out)
    _, cb, cr = reference.luma_and_chroma(pixels, visible)
    expected = reference.rgb(reference.shuffle(y.astype(float))[:height, :width], cb, cr)
    assert np.abs(out - expected).max() <= 0.51


@pytest.mark.parametrize("size", [(37, 29), (38, 30), (4, 5)])
def test_sizes_that_are_no_multiple_of_four_are_padded_and_cropped(size: tuple[int, int]) -> None:
    pair, x, _ = packed(PixelFormat.RGB24, PixelFormat.GREY, (size, size), np.eye(3), 3)
    assert np.isfinite(x).all()
    out = np.zeros((size[1], size[0], 3), np.uint8)
    Unpack((PixelFormat.RGB24, size))(np.ascontiguousarray(x[:16]), pair.visible, out)
    np.testing.assert_array_equal(out, pair.visible.pixels)


@pytest.mark.parametrize("thermal", [PixelFormat.Y16, PixelFormat.Y16_BE])
@pytest.mark.parametrize(("bits", "width"), [(14, 1), (16, 4), (12, 1)])
def test_histogram_counts_every_reading_once(thermal: PixelFormat, bits: int, width: int) -> None:
    sizes = ((32, 24), (20, 16))
    pair, _, pack = packed(PixelFormat.GREY, thermal, sizes, np.diag([0.6, 0.6, 1]), 5, bits=bits)
    histogram, bin_width = pack.histogram()
    assert bin_width == width
    seen = reference.readings(pair.thermal.pixels, thermal).reshape(-1).astype(int)
    np.testing.assert_array_equal(histogram, np.bincount(seen // width, minlength=histogram.size))


@pytest.mark.parametrize("registration", [np.eye(3), np.diag([0.6, 0.7, 1])], ids=["registered", "warped"])
@pytest.mark.parametrize("visible", VISIBLE_FORMATS)
@pytest.mark.parametrize("thermal", THERMAL_FORMATS)
def test_each_half_of_the_tensor_can_be_written_alone(visible, thermal, registration) -> None:
    sizes = ((30, 22), (30, 22))
    pair, both, pack = packed(visible, thermal, sizes, registration, 7, 100, 9000)
    x = np.full_like(both, -1)
    pack.pack_visible(pair.visible, x)
    np.testing.assert_array_equal(x[:16], both[:16])
    assert (x[16:] == -1).all()
    x[:] = -1
    pack.pack_thermal(pair.thermal, x, low=100, high=9000)
    np.testing.assert_array_equal(x[16:], both[16:])
    assert (x[:16] == -1).all()


def test_luma_alone_is_written_as_grey_without_the_padding() -> None:
    y = np.random.default_rng(3).random((16, 6, 8)).astype(np.float32)
    out = np.zeros((22, 30, 3), np.uint8)
    Unpack((PixelFormat.NV12, (30, 22))).grey(y, out)
    grey = reference.shuffle(y.astype(float))[:22, :30, None] * 255
    assert np.abs(out - grey).max() <= 0.51


def test_to_rgb_leaves_rgb_as_it_is() -> None:
    pixels = noise(PixelFormat.RGB24, (30, 22))
    np.testing.assert_array_equal(to_rgb(frame(pixels, PixelFormat.RGB24)), pixels)


def test_a_frame_of_another_size_is_refused() -> None:
    pack = Pack((PixelFormat.GREY, (32, 32)), (PixelFormat.GREY, (32, 32)), registration=Registration(np.eye(3)))
    pair = noise_pair(PixelFormat.GREY, PixelFormat.GREY, ((32, 36), (32, 32)))
    with pytest.raises(InputError, match="32x36, the ones before it were GREY 32x32"):
        pack(pair, np.zeros((32, 8, 8), np.float32), low=0, high=1)


def test_no_kernel_for_colour_thermal() -> None:
    with pytest.raises(InputError, match="no kernel packs"):
        Pack((PixelFormat.GREY, (32, 32)), (PixelFormat.RGB24, (32, 32)), registration=Registration(np.eye(3)))
