"""Executing an engine of TensorRT: tensors in the GPU's memory, one stream, the device's primary context.

Not yet run on hardware (docs/hardware-status.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgefusion.core.errors import RunError
from edgefusion.core.geometry import Size
from runtime.engines.base import Tensor
from runtime.engines.trt_api import Api
from runtime.memory.gpu import Gpu, this_gpu
from runtime.memory.graph import Graph

PROFILED_RUNS = 50
_LESS = "run fewer rigs, or smaller images"


@dataclass(frozen=True)
class Plan:
    """A deserialised engine: the weights, which any number of ``TensorRtEngine`` share.

    Attributes:
        api: TensorRT, or TensorRT-RTX.
        gpu: whose context it lives in.
        runtime: TensorRT's, which must outlive the engine.
        engine: TensorRT's.
    """

    api: Api
    gpu: Gpu
    runtime: Any
    engine: Any


@dataclass(frozen=True)
class DeviceTensor:
    """An input or output of an engine.

    Attributes:
        memory: in the GPU's memory, which the engine was told of.
        host: page-locked, [C, H/4, W/4] of the same type, for what the host has to do with it.
    """

    memory: Any
    host: npt.NDArray[np.floating]

    @property
    def pointer(self) -> int:
        """In the GPU's address space."""
        return int(self.memory)


def load_plan(api: Api, blob: bytes) -> Plan:
    """Deserialise a plan whose seal was checked.

    Raises:
        MachineError: no driver, or no pycuda or numba-cuda.
        RunError: TensorRT does not take the plan.
    """
    gpu = this_gpu()
    runtime = api.module.Runtime(api.module.Logger(api.module.Logger.ERROR))
    engine = runtime.deserialize_cuda_engine(blob)
    if engine is None:
        raise RunError(f"{api.name} cannot load the engine", remedy="edgefusion build --force")
    return Plan(api, gpu, runtime, engine)


class TensorRtEngine:
    """An execution context of a plan, with its input and output bound.

    ``x``, ``y`` and ``execute`` are for kernels of the host. Kernels of the GPU write ``device_x``, call ``enqueue``
    and read ``device_y``, all on ``stream``.

    Args:
        plan: the weights.
        size_px: (width, height) of the image.
        stream: of pycuda's; a new one if None.
        profiled: tell the times of layers.

    Attributes:
        stream: of pycuda's.
        no_graph: why the enqueue is not a CUDA graph; empty if it is.

    Raises:
        RunError: no room for the tensors.
    """

    def __init__(self, plan: Plan, size_px: Size, *, stream: Any = None, profiled: bool = False) -> None:
        self.plan, self._size_px = plan, size_px
        self._cuda = plan.gpu.pycuda
        self._execution = plan.engine.create_execution_context()
        if self._execution is None:
            raise RunError("no memory for another execution context", remedy=_LESS)
        self._profiler = layer_profiler(plan.api.module) if profiled else None
        if self._profiler:
            self._execution.profiler = self._profiler
        self.stream = stream or self._cuda.Stream()
        self._events = self._cuda.Event(), self._cuda.Event()
        height, width = size_px[1] // 4, size_px[0] // 4
        self.x: Tensor = np.zeros((32, height, width), np.float32)
        self.y: Tensor = np.zeros((16, height, width), np.float32)
        self.device_x, self.device_y = self._bind(0, self.x.shape), self._bind(1, self.y.shape)
        self._graph, self.no_graph = self._capture()

    def another(self) -> TensorRtEngine:
        """An engine with the same weights, and a context, a stream and tensors of its own."""
        return TensorRtEngine(self.plan, self._size_px)

    def execute(self) -> None:
        """Compute ``y`` from ``x``."""
        np.copyto(self.device_x.host, self.x, casting="same_kind")
        self._cuda.memcpy_htod_async(self.device_x.memory, self.device_x.host, self.stream)
        self.enqueue()
        self.fetch_y()

    def enqueue(self) -> None:
        """Put the computation of ``device_y`` from ``device_x`` on the stream.

        Raises:
            RunError: TensorRT or the driver refuses.
        """
        if self._graph:
            self._graph.launch()
        else:
            self._enqueue()

    def fetch_x(self) -> None:
        """Bring ``x`` up to date with the GPU's."""
        self._fetch(self.device_x, self.x)

    def fetch_y(self) -> None:
        """Bring ``y`` up to date with the GPU's."""
        self._fetch(self.device_y, self.y)

    def time_ms(self) -> float:
        """Time of the enqueue alone, by CUDA events."""
        start, end = self._events
        start.record(self.stream)
        self.enqueue()
        end.record(self.stream)
        end.synchronize()
        return float(end.time_since(start))

    def layer_times_ms(self) -> dict[str, float]:
        """See ``Engine.layer_times_ms``: TensorRT's own profiler, which reports each layer of each execution."""
        if self._profiler is None:
            raise RunError("the engine was not loaded to be profiled")
        for _ in range(PROFILED_RUNS):
            self.execute()
        return {name: float(np.median(times)) for name, times in self._profiler.times.items()}

    def _enqueue(self) -> None:
        if not self._execution.execute_async_v3(self.stream.handle):
            raise RunError("the engine failed to execute", remedy="look into dmesg for GPU errors")

    def _fetch(self, tensor: DeviceTensor, out: Tensor) -> None:
        self._cuda.memcpy_dtoh_async(tensor.host, tensor.memory, self.stream)
        self.stream.synchronize()
        np.copyto(out, tensor.host, casting="same_kind")

    def _bind(self, number: int, shape: tuple[int, ...]) -> DeviceTensor:
        """Memory for an input or output, whose address the engine is told."""
        module, engine = self.plan.api.module, self.plan.engine
        name = engine.get_tensor_name(number)
        kind = np.dtype(module.nptype(engine.get_tensor_dtype(name)))
        try:
            host = self._cuda.pagelocked_zeros(shape, kind)
            memory = self._cuda.mem_alloc(host.nbytes)
        except self._cuda.Error as error:
            raise RunError(f"no memory for the tensor {name} ({error})", remedy=_LESS) from error
        self._execution.set_tensor_address(name, int(memory))
        return DeviceTensor(memory, host)

    def _capture(self) -> tuple[Graph | None, str]:
        """The enqueue as a graph, or why there is none."""
        if self._profiler:
            return None, "layers are timed one by one"
        self._enqueue()  # what TensorRT sets up at the first one must not be in the graph
        self.stream.synchronize()
        try:
            return Graph(self.plan.gpu, self.stream, self._enqueue), ""
        except RunError as error:
            return None, str(error)


def layer_profiler(module: Any) -> Any:
    """A profiler that keeps every layer's times: ``times``, name -> ms."""

    class Profiler(module.IProfiler):  # type: ignore[misc]
        def __init__(self) -> None:
            module.IProfiler.__init__(self)
            self.times: dict[str, list[float]] = {}

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            self.times.setdefault(layer_name, []).append(ms)

    return Profiler()
