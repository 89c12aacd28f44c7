"""Executing an engine of TensorRT: tensors in page-locked memory, one stream, the device's primary context.

Not yet run on hardware (docs/hardware-status.md).
"""

from __future__ import annotations

import atexit
from typing import Any

import numpy as np
import numpy.typing as npt

from edgefusion.core.errors import MachineError, RunError
from edgefusion.core.geometry import Size
from edgefusion.core.optional import require
from runtime.engines.base import Tensor
from runtime.engines.trt_api import Api, has_driver

PROFILED_RUNS = 50


class TensorRtEngine:
    """An engine with its input and output bound.

    ``x`` and ``y`` are FP32 for the kernels of the host; the page-locked copies beside them have the engine's own type.

    Args:
        api: TensorRT, or TensorRT-RTX.
        blob: a plan whose seal was checked.
        size_px: (width, height) of the image.
        profiled: tell the times of layers.

    Raises:
        MachineError: no driver, or no pycuda.
        RunError: TensorRT does not take the plan.
    """

    def __init__(self, api: Api, blob: bytes, size_px: Size, *, profiled: bool = False) -> None:
        if not has_driver():
            raise MachineError("no NVIDIA driver answers (libcuda.so.1)", remedy="run it on the device itself")
        self._cuda = require("pycuda.driver", "cuda12")
        self._cuda.init()
        self._context = self._cuda.Device(0).retain_primary_context()
        self._context.push()
        atexit.register(self._context.pop)  # pycuda ends the process if one is left on its stack
        runtime = api.module.Runtime(api.module.Logger(api.module.Logger.ERROR))
        self._engine = runtime.deserialize_cuda_engine(blob)
        if self._engine is None:
            raise RunError(f"{api.name} cannot load the engine", remedy="edgefusion build --force")
        self._execution = self._engine.create_execution_context()
        self._profiler = layer_profiler(api.module) if profiled else None
        if self._profiler:
            self._execution.profiler = self._profiler
        self._stream = self._cuda.Stream()
        self._events = self._cuda.Event(), self._cuda.Event()
        height, width = size_px[1] // 4, size_px[0] // 4
        self.x: Tensor = np.zeros((32, height, width), np.float32)
        self.y: Tensor = np.zeros((16, height, width), np.float32)
        self._given, self._on_device_x = self._bind(api, 0, self.x.shape)
        self._made, self._on_device_y = self._bind(api, 1, self.y.shape)

    def execute(self) -> None:
        """Compute ``y`` from ``x``."""
        np.copyto(self._given, self.x, casting="same_kind")
        self._cuda.memcpy_htod_async(self._on_device_x, self._given, self._stream)
        self._enqueue()
        self._cuda.memcpy_dtoh_async(self._made, self._on_device_y, self._stream)
        self._stream.synchronize()
        np.copyto(self.y, self._made, casting="same_kind")

    def time_ms(self) -> float:
        """Time of the enqueue alone, by CUDA events."""
        start, end = self._events
        start.record(self._stream)
        self._enqueue()
        end.record(self._stream)
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
        if not self._execution.execute_async_v3(self._stream.handle):
            raise RunError("the engine failed to execute", remedy="look into dmesg for GPU errors")

    def _bind(self, api: Api, number: int, shape: tuple[int, ...]) -> tuple[npt.NDArray[np.floating], Any]:
        """Page-locked memory and device memory for an input or output, whose address the engine is told."""
        name = self._engine.get_tensor_name(number)
        kind = np.dtype(api.module.nptype(self._engine.get_tensor_dtype(name)))
        host = self._cuda.pagelocked_zeros(shape, kind)
        device = self._cuda.mem_alloc(host.nbytes)
        self._execution.set_tensor_address(name, int(device))
        return host, device


def layer_profiler(module: Any) -> Any:
    """A profiler that keeps every layer's times: ``times``, name -> ms."""

    class Profiler(module.IProfiler):  # type: ignore[misc]
        def __init__(self) -> None:
            module.IProfiler.__init__(self)
            self.times: dict[str, list[float]] = {}

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            self.times.setdefault(layer_name, []).append(ms)

    return Profiler()
