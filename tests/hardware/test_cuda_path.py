"""The CUDA path on a real GPU, against the CPU's of the same bundle: kernels, mapped buffers, graph, several rigs."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest
from scenes import noise_pair

from edgefusion.core.bundle import Bundle
from edgefusion.core.devices import find_device
from edgefusion.core.frames import THERMAL_FORMATS, VISIBLE_FORMATS, Frame, FramePair, PixelFormat
from edgefusion.core.geometry import Registration
from edgefusion.kernels.agc import AgcSpec
from edgefusion.kernels.cpu import Unpack
from edgefusion.kernels.inputs import InputPacker

if TYPE_CHECKING:
    from runtime.cuda_fusion import CudaFusion

pytestmark = [pytest.mark.gpu, pytest.mark.jetson]

SIZE, THERMAL_SIZE = (640, 480), (320, 256)
WARP = Registration(np.array([[0.5, 0.004, 1.0], [-0.004, 0.53, 1.0], [1e-6, 1e-6, 1.0]]))


@pytest.fixture(scope="module")
def fusion(bundle: Bundle) -> Iterator[CudaFusion]:
    from runtime.cuda_fusion import CudaFusion

    made = CudaFusion(bundle, find_device("auto"), precision="fp16", registration=lambda *_: WARP, bits=14)
    yield made
    made.close()


def mapped(frame: Frame) -> Frame:
    """The frame in page-aligned memory, as a driver's buffer is."""
    memory = np.frombuffer(mmap.mmap(-1, -(-frame.pixels.nbytes // mmap.PAGESIZE) * mmap.PAGESIZE), np.uint8)
    pixels: npt.NDArray[Any] = memory[: frame.pixels.nbytes].view(frame.pixels.dtype).reshape(frame.pixels.shape)
    pixels[:] = frame.pixels
    return Frame(pixels, frame.format, frame.timestamp_ns, frame.clock, frame.sequence)


def output() -> npt.NDArray[np.uint8]:
    return np.frombuffer(mmap.mmap(-1, 3 * SIZE[0] * SIZE[1]), np.uint8).reshape(SIZE[1], SIZE[0], 3)


def pair_of(visible: PixelFormat, thermal: PixelFormat, seed: int = 0) -> FramePair:
    made = noise_pair(visible, thermal, (SIZE, THERMAL_SIZE), seed)
    return FramePair(mapped(made.visible), mapped(made.thermal))


@pytest.mark.parametrize("thermal", THERMAL_FORMATS)
@pytest.mark.parametrize("visible", VISIBLE_FORMATS)
def test_pack_and_unpack_are_those_of_the_cpu(
    fusion: CudaFusion, bundle: Bundle, visible: PixelFormat, thermal: PixelFormat
) -> None:
    packer = InputPacker(AgcSpec(**bundle.manifest.agc.model_dump()), registration=lambda *_: WARP, bits=14)
    x, rgb, expected = np.zeros((32, SIZE[1] // 4, SIZE[0] // 4), np.float32), output(), np.zeros_like(output())
    fusion.prepare(*_frames(pair_of(visible, thermal)))
    fusion.forget()
    for seed in range(3):
        pair = pair_of(visible, thermal, seed)
        packer.fit(pair)
        packer.pack(pair, x)
        fusion.prepare(*_frames(pair))
        fusion.pack(pair)
        fusion.execute()
        fusion.unpack(pair.visible, rgb)
        luma = fusion.luma()
        np.testing.assert_allclose(fusion.engine.x, x, atol=1e-3)
        y = np.ascontiguousarray(fusion.engine.y)
        Unpack((visible, SIZE))(y, pair.visible, expected)
        assert np.abs(rgb.astype(int) - expected).max() <= 1
        assert luma.std() > 0.01


def _frames(pair: FramePair) -> tuple[Frame, Frame]:
    return pair.visible, pair.thermal


def test_nothing_is_copied_and_the_enqueue_is_a_graph(fusion: CudaFusion) -> None:
    pair, rgb = pair_of(PixelFormat.YUYV, PixelFormat.Y16), output()
    fusion.warm_up((PixelFormat.YUYV, SIZE), (PixelFormat.Y16, THERMAL_SIZE))
    for _ in range(10):
        fusion.prepare(*_frames(pair))
        fusion.pack(pair)
        fusion.execute()
        fusion.unpack(pair.visible, rgb)
    assert fusion.facts == {"not_mapped": [], "no_graph": ""}
    assert fusion.copies == 0


def test_rigs_in_turn_do_not_disturb_each_other(fusion: CudaFusion) -> None:
    second = fusion.beside(registration=lambda *_: WARP, bits=14)
    mine, other = pair_of(PixelFormat.NV12, PixelFormat.GREY, 1), pair_of(PixelFormat.NV12, PixelFormat.GREY, 2)
    alone = fusion.fuse(mine).copy()
    second.fuse(other)
    np.testing.assert_array_equal(fusion.fuse(mine), alone)
    second.close()


def test_memory_does_not_grow(fusion: CudaFusion) -> None:
    import pycuda.driver as cuda

    pair, rgb = pair_of(PixelFormat.RGB24, PixelFormat.Y16), output()
    free: list[int] = []
    for round_ in range(3):
        for _ in range(200):
            fusion.prepare(*_frames(pair))
            fusion.pack(pair)
            fusion.execute()
            fusion.unpack(pair.visible, rgb)
        free.append(cuda.mem_get_info()[0])
        assert round_ == 0 or free[0] - free[-1] < 16 << 20
