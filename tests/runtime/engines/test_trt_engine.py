"""Executing engines of TensorRT, over a library and a driver that are faked."""

from __future__ import annotations

from collections.abc import Iterator

import fake_cuda
import gpu_fixture
import numpy as np
import pytest
from fake_tensorrt import VERSIONS, FakeTensorRt, Surface

from edgefusion.core.errors import RunError
from runtime.engines.trt_api import Api
from runtime.engines.trt_engine import TensorRtEngine, load_plan
from runtime.memory import gpu as gpu_module

SIZE = (32, 40)
HALF = np.float16


class Plan:
    """An engine whose output is the luma half of its input."""

    def __init__(self, gpu: fake_cuda.Gpu, version: str) -> None:
        self.gpu, self.surface, self.contexts = gpu, Surface(version), 0

    def __getattr__(self, name: str) -> object:
        if not self.surface.has(name):
            raise AttributeError(f"TensorRT {self.surface.version} has no {name}")
        return getattr(self, f"_{name}")

    def _create_execution_context(self) -> Plan:
        self.contexts += 1
        made = Plan(self.gpu, self.surface.version)
        made.tensors = {}
        return made

    def _get_tensor_name(self, number: int) -> str:
        return "xy"[number]

    def _get_tensor_dtype(self, name: str) -> str:
        return "half"

    def _set_tensor_address(self, name: str, pointer: int) -> None:
        self.tensors[name] = pointer

    def _execute_async_v3(self, stream: int) -> bool:
        x, y = (
            fake_cuda.host(self.tensors["x"], (32, 10, 8), HALF),
            fake_cuda.host(self.tensors["y"], (16, 10, 8), HALF),
        )
        self.gpu.enqueue(lambda: np.copyto(y, x[:16]))
        return "fail" not in self.gpu.log


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[fake_cuda.Gpu]:
    yield gpu_fixture.install(monkeypatch)
    gpu_module._only.cache_clear()


def loaded(gpu: fake_cuda.Gpu, version: str = VERSIONS[0], engine: object = None) -> TensorRtEngine:
    plan = engine or Plan(gpu, version)
    returns = {"Runtime().deserialize_cuda_engine()": lambda blob: plan, "nptype()": lambda kind: HALF}
    api = Api(FakeTensorRt(version, [], **returns), "TensorRT", (10, 3))
    return TensorRtEngine(load_plan(api, b"plan"), SIZE)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_host_gives_and_takes_f32_and_the_engine_computes_in_its_own_type(gpu: fake_cuda.Gpu, version: str) -> None:
    engine = loaded(gpu, version)
    engine.x[:] = np.random.default_rng(0).random(engine.x.shape)
    engine.execute()
    np.testing.assert_array_equal(engine.y, engine.x[:16].astype(HALF).astype(np.float32))


def test_kernels_of_the_gpu_find_the_tensors_and_the_host_fetches_them(gpu: fake_cuda.Gpu) -> None:
    engine = loaded(gpu)
    assert engine.no_graph == ""
    fake_cuda.host(engine.device_x.pointer, (32, 10, 8), HALF)[:] = 0.25
    engine.enqueue()
    assert (fake_cuda.host(engine.device_y.pointer, (16, 10, 8), HALF) == 0.25).all()
    engine.fetch_x()
    engine.fetch_y()
    assert (engine.x == 0.25).all()
    assert (engine.y == 0.25).all()


def test_another_has_the_weights_and_tensors_of_its_own(gpu: fake_cuda.Gpu) -> None:
    plan = Plan(gpu, VERSIONS[0])
    first = loaded(gpu, engine=plan)
    second = first.another()
    first.x[:], second.x[:] = 0.5, 1
    first.execute()
    second.execute()
    assert (first.y == 0.5).all()
    assert (second.y == 1).all()
    assert plan.contexts == 2


def test_a_failing_enqueue_is_told(gpu: fake_cuda.Gpu) -> None:
    gpu.log.append("fail")
    with pytest.raises(RunError, match="failed to execute"):
        loaded(gpu)


def test_no_room_for_tensors_is_told(gpu: fake_cuda.Gpu) -> None:
    gpu.refuses["mem_alloc"] = True
    with pytest.raises(RunError, match=r"no memory for the tensor x .cuMemAlloc failed: out of memory"):
        loaded(gpu)


def test_a_plan_that_tensorrt_does_not_take_is_to_be_built_again(gpu: fake_cuda.Gpu) -> None:
    api = Api(FakeTensorRt(VERSIONS[0], [], **{"Runtime().deserialize_cuda_engine()": None}), "TensorRT", (10, 3))
    with pytest.raises(RunError, match="cannot load the engine"):
        load_plan(api, b"plan")


def test_time_is_that_of_events(gpu: fake_cuda.Gpu) -> None:
    assert loaded(gpu).time_ms() == 1.5
