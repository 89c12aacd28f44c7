"""Tests of ``runtime.cuda_fusion`` that need numba's simulator: run by tests/runtime/test_cuda_fusion.py.

The kernels are the real ones; the driver is ``fake_cuda``'s, and the engine fuses by taking the mean of both halves.
"""

from __future__ import annotations

import gc
import json
import mmap
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fake_cuda
import gpu_fixture
import numpy as np
import numpy.typing as npt
import pytest
from fake_tensorrt import FakeTensorRt, Surface
from numba import config, cuda
from scenes import noise

from edgefusion.core.bundle import load_bundle
from edgefusion.core.devices import find_device
from edgefusion.core.errors import RunError
from edgefusion.core.frames import Form, Frame, FramePair, PixelFormat, Pixels
from edgefusion.core.geometry import Bend, Registration
from edgefusion.kernels.agc import AgcSpec
from edgefusion.kernels.cpu import Unpack
from edgefusion.kernels.inputs import InputPacker
from runtime.cuda_fusion import CudaFusion
from runtime.engines import cache
from runtime.memory import gpu as gpu_module

assert config.ENABLE_CUDASIM

SIZE, THERMAL_SIZE = (14, 6), (9, 7)
FORMS = (PixelFormat.YUYV, SIZE), (PixelFormat.GREY, THERMAL_SIZE)
DEEP = (PixelFormat.YUYV, SIZE), (PixelFormat.Y16, THERMAL_SIZE)
"""With a histogram, which takes the simulator a while."""
WARP = Registration(
    np.array([[0.6, 0.02, 0.5], [-0.02, 0.7, 1.0], [0, 0, 1.0]]),
    Bend(np.array([[[1.0, 0.0], [0.0, 1.0]], [[0.0, -1.0], [-1.0, 0.5]]]), np.diag([0.03, 0.04, 1.0])),
)
Forms = tuple[Form, Form]
INT8 = [{"Name": "c", "LayerType": "CaskConvolution", "Inputs": [{"Format/Datatype": "Row major Int8 format"}]}]
HALF = np.float16


class Execution:
    """An execution context."""

    def __init__(self, gpu: fake_cuda.Gpu) -> None:
        self._gpu, self._tensors = gpu, {}

    def set_tensor_address(self, name: str, pointer: int) -> None:
        self._tensors[name] = pointer

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == 7
        x = fake_cuda.host(self._tensors["x"], (32, 2, 4), HALF)
        y = fake_cuda.host(self._tensors["y"], (16, 2, 4), HALF)
        self._gpu.log.append("execute")
        self._gpu.enqueue(lambda: np.copyto(y, mean_of_both(x)))
        return True


def mean_of_both(x: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    return (x[:16] + x[16:]) / x.dtype.type(2)


class Engine:
    """A deserialised engine."""

    def __init__(self, gpu: fake_cuda.Gpu, version: str) -> None:
        self.gpu, self.contexts = gpu, 0
        used = ("set_tensor_address", "execute_async_v3", "create_execution_context", "get_tensor_name")
        assert all(Surface(version).has(name) for name in (*used, "get_tensor_dtype"))

    def create_engine_inspector(self) -> Any:
        return SimpleNamespace(get_engine_information=lambda kind: json.dumps({"Layers": INT8}))

    def create_execution_context(self) -> Execution:
        self.contexts += 1
        return Execution(self.gpu)

    def get_tensor_name(self, number: int) -> str:
        return "xy"[number]

    def get_tensor_dtype(self, name: str) -> str:
        return "half"


class Machine:
    """The fakes of one test.

    Attributes:
        loads: engines that were deserialised.
    """

    def __init__(self, gpu: fake_cuda.Gpu) -> None:
        self.gpu = gpu
        self.loads: list[Engine] = []

    def load(self, blob: bytes) -> Engine:
        self.loads.append(Engine(self.gpu, "10.3.0"))
        return self.loads[-1]

    def fusion(self) -> CudaFusion:
        return CudaFusion(
            load_bundle(), find_device("agx-orin-64"), precision="fp16", registration=lambda *_: WARP, bits=14
        )  # fmt: skip


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Machine]:
    here = Machine(gpu_fixture.install(monkeypatch))
    returns = {"Runtime().deserialize_cuda_engine()": here.load, "nptype()": lambda kind: HALF}
    monkeypatch.setitem(sys.modules, "tensorrt", FakeTensorRt("10.3.0", INT8, **returns))
    monkeypatch.setenv("EDGEFUSION_CACHE", str(tmp_path))

    def view(interface: dict[str, Any], owner: Any = None) -> npt.NDArray[Any]:
        return fake_cuda.host(interface["data"][0], interface["shape"], interface["typestr"])

    monkeypatch.setattr(cuda, "from_cuda_array_interface", view, raising=False)
    monkeypatch.setattr(cuda, "external_stream", lambda handle: 0)
    monkeypatch.setattr(cache, "check_engine_size", lambda size: None)  # the simulator is slow: smaller than real ones
    yield here
    gpu_module._only.cache_clear()


def mapped(pixels: Pixels) -> Pixels:
    """The same pixels in a buffer as a driver's."""
    memory = np.frombuffer(mmap.mmap(-1, mmap.PAGESIZE), np.uint8)
    memory[: pixels.nbytes] = pixels.reshape(-1).view(np.uint8)
    return memory[: pixels.nbytes].view(pixels.dtype).reshape(pixels.shape)


def plain(pixels: Pixels) -> Pixels:
    return pixels


def pairs(place: Callable[[Pixels], Pixels], forms: Forms = FORMS) -> list[FramePair]:
    made = []
    for number in range(3):
        (visible, size), (thermal, thermal_size) = forms
        pixels = noise(visible, size, number), noise(thermal, thermal_size, number + 50) // (number + 1)
        frames = [
            Frame(place(each), form[0], number, "monotonic", number) for each, form in zip(pixels, forms, strict=True)
        ]
        made.append(FramePair(*frames))
    return made


def output(place: Callable[[Pixels], Pixels]) -> npt.NDArray[np.uint8]:
    return place(np.zeros((SIZE[1], SIZE[0], 3), np.uint8))


class Expected:
    """What the CPU's kernels make of the same, with tensors rounded as the engine's are."""

    def __init__(self) -> None:
        self.packer = InputPacker(
            AgcSpec(**load_bundle().manifest.agc.model_dump()), registration=lambda *_: WARP, bits=14
        )
        self.unpack, self.x = Unpack(FORMS[0]), np.zeros((32, 2, 4), np.float32)
        self.rgb = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)

    def fused(self, pair: FramePair) -> npt.NDArray[np.uint8]:
        self.packer.fit(pair)
        self.packer.pack(pair, self.x)
        self.unpack(mean_of_both(self.x.astype(HALF)).astype(np.float32), pair.visible, self.rgb)
        return self.rgb

    def visible(self, frame: Frame) -> npt.NDArray[np.uint8]:
        self.packer.pack_visible(frame, self.x)
        self.unpack(self.x.astype(HALF)[:16].astype(np.float32), frame, self.rgb)
        return self.rgb

    def thermal(self, frame: Frame) -> npt.NDArray[np.uint8]:
        self.packer.pack_thermal(frame, self.x)
        self.unpack.grey(self.x.astype(HALF)[16:].astype(np.float32), self.rgb)
        return self.rgb


def step(fusion: CudaFusion, pair: FramePair, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    fusion.prepare(pair.visible, pair.thermal)
    fusion.pack(pair)
    fusion.execute()
    fusion.unpack(pair.visible, rgb)
    return rgb


@pytest.mark.parametrize("place", [mapped, plain])
def test_a_stream_is_fused_as_on_the_cpu_and_its_range_followed(machine: Machine, place: Any) -> None:
    fusion, expected, rgb = machine.fusion(), Expected(), output(place)
    for pair in pairs(place, DEEP):
        np.testing.assert_array_equal(step(fusion, pair, rgb), expected.fused(pair))


def test_buffers_in_maps_are_not_copied_and_registered_once(machine: Machine) -> None:
    fusion, rgb = machine.fusion(), output(mapped)
    stream = pairs(mapped)
    for pair in stream + stream:
        step(fusion, pair, rgb)
    assert fusion.copies == 0
    assert len(machine.gpu.registered) == 7
    assert machine.gpu.log.count("cuMemHostRegister") == 7
    fusion.close()
    assert not machine.gpu.registered


def test_what_lies_in_no_map_is_copied_and_counted(machine: Machine) -> None:
    fusion, rgb = machine.fusion(), output(plain)
    for pair in pairs(plain):
        step(fusion, pair, rgb)
    assert fusion.copies == 3
    assert not machine.gpu.registered


def test_a_driver_that_refuses_a_map_is_named_and_its_buffers_copied(machine: Machine) -> None:
    machine.gpu.refuses["cuMemHostRegister"] = fake_cuda.real.CUresult.CUDA_ERROR_INVALID_VALUE
    fusion, expected, rgb = machine.fusion(), Expected(), output(mapped)
    for pair in pairs(mapped):
        np.testing.assert_array_equal(step(fusion, pair, rgb), expected.fused(pair))
    assert fusion.copies == 3
    assert fusion.facts["not_mapped"] == ["cuMemHostRegister: CUDA_ERROR_INVALID_VALUE"]


def test_a_device_that_maps_no_host_memory_is_named(machine: Machine) -> None:
    machine.gpu.attributes["HOST_REGISTER_SUPPORTED"] = 0
    fusion = machine.fusion()
    step(fusion, pairs(mapped)[0], output(mapped))
    assert fusion.copies == 3
    assert fusion.facts["not_mapped"] == ["the device does not map host memory"]


def test_one_camera_alone_passes_through(machine: Machine) -> None:
    fusion, expected, rgb = machine.fusion(), Expected(), output(mapped)
    expected.packer.fit_forms(*DEEP)
    for pair in pairs(mapped, DEEP):
        fusion.prepare(pair.visible, pair.thermal)
        fusion.pass_visible(pair.visible, rgb)
        np.testing.assert_array_equal(rgb, expected.visible(pair.visible))
        fusion.pass_thermal(pair.thermal, rgb)
        np.testing.assert_array_equal(rgb, expected.thermal(pair.thermal))


def test_the_enqueue_is_a_graph(machine: Machine) -> None:
    fusion = machine.fusion()
    for pair in pairs(mapped):
        step(fusion, pair, output(mapped))
    assert fusion.facts["no_graph"] == ""
    assert machine.gpu.log.count("cuGraphLaunch") == 3


@pytest.mark.parametrize("call", ["cuStreamEndCapture", "cuGraphInstantiate"])
def test_without_a_graph_the_same_is_computed_and_the_reason_told(machine: Machine, call: str) -> None:
    machine.gpu.refuses[call] = fake_cuda.real.CUresult.CUDA_ERROR_NOT_SUPPORTED
    fusion, expected, pair = machine.fusion(), Expected(), pairs(mapped)[0]
    np.testing.assert_array_equal(step(fusion, pair, output(mapped)), expected.fused(pair))
    assert fusion.facts["no_graph"] == f"{call}: CUDA_ERROR_NOT_SUPPORTED"
    assert "cuGraphLaunch" not in machine.gpu.log


def test_unpack_waits_for_the_last_read_of_the_buffers(machine: Machine) -> None:
    fusion, pair = machine.fusion(), pairs(mapped)[0]
    fusion.prepare(pair.visible, pair.thermal)
    fusion.pack(pair)
    fusion.execute()
    assert "wait" not in machine.gpu.log
    fusion.unpack(pair.visible, output(mapped))
    assert machine.gpu.log[-2:] == ["record", "wait"]


def test_rigs_share_one_engine_and_nothing_else(machine: Machine) -> None:
    first = machine.fusion()
    stream, expected = pairs(mapped), Expected()
    step(first, stream[0], output(mapped))
    loads = len(machine.loads)
    second = first.beside(registration=lambda *_: WARP, bits=14)
    rgb, other = output(mapped), output(mapped)
    expected.fused(stream[0])
    step(second, stream[2], other)
    np.testing.assert_array_equal(step(first, stream[1], rgb), expected.fused(stream[1]))
    np.testing.assert_array_equal(other, Expected().fused(stream[2]))
    assert len(machine.loads) == loads


def test_an_engine_has_one_context_and_its_graph_ends_with_it(machine: Machine) -> None:
    fusion = machine.fusion()
    step(fusion, pairs(mapped)[0], output(mapped))
    assert machine.loads[-1].contexts == 1  # each has room for the activations of all layers
    assert machine.gpu.graphs == 1
    del fusion
    gc.collect()
    assert machine.gpu.graphs == 0


def test_views_for_people_come_from_the_gpu(machine: Machine) -> None:
    fusion, expected, pair = machine.fusion(), Expected(), pairs(mapped)[0]
    step(fusion, pair, output(mapped))
    expected.fused(pair)
    luma = mean_of_both(expected.x.astype(HALF))
    np.testing.assert_array_equal(fusion.luma()[:4, :4], luma[:, 0, 0].reshape(4, 4).astype(np.float32))
    assert fusion.thermal_view().shape == (SIZE[1], SIZE[0])


def test_after_warming_up_the_counts_and_the_range_begin_anew(machine: Machine) -> None:
    fusion, expected, rgb = machine.fusion(), Expected(), output(mapped)
    fusion.warm_up(*DEEP)
    assert fusion.copies == 0
    for pair in pairs(mapped, DEEP):
        np.testing.assert_array_equal(step(fusion, pair, rgb), expected.fused(pair))


def test_a_failure_on_the_gpu_is_told_in_the_drivers_words(machine: Machine) -> None:
    fusion, pair = machine.fusion(), pairs(mapped)[0]
    step(fusion, pair, output(mapped))
    machine.gpu.refuses["synchronize"] = True
    with pytest.raises(RunError, match=r"GPU failed while fusing .*illegal memory access"):
        step(fusion, pair, output(mapped))


def test_an_enqueue_that_fails_waits_for_the_readers_of_the_buffers(machine: Machine) -> None:
    fusion, pair = machine.fusion(), pairs(mapped)[0]
    step(fusion, pair, output(mapped))
    machine.gpu.refuses["cuGraphLaunch"] = fake_cuda.real.CUresult.CUDA_ERROR_LAUNCH_FAILED
    fusion.pack(pair)
    with pytest.raises(RunError, match="cuGraphLaunch: CUDA_ERROR_LAUNCH_FAILED"):
        fusion.execute()
    assert machine.gpu.log[-2:] == ["record", "wait"]
