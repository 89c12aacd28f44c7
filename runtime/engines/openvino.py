"""The ``openvino`` backend: this machine's processor."""

from __future__ import annotations

import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

from edgefusion.core.bundle import Precision
from edgefusion.core.devices import Device
from edgefusion.core.errors import BundleError, MachineError, RunError
from edgefusion.core.geometry import Size
from runtime.engines.base import BuildOptions, BuiltLayer, Compiled, Source, Tensor
from runtime.engines.signals import keep_signal_stack

CPUINFO = Path("/proc/cpuinfo")
AMX = "amx_bf16"
PROFILED_RUNS = 50
RUNTIME_FACTS = ("layerType", "runtimePrecision", "originalLayersNames")
NO_WORK = ("const", "input", "output")
KINDS = {"Reorder": "reformat", "Subgraph": "pointwise"}


class OpenVinoBackend:
    """Compiles with latency hints. fp32 computes in f32; fp16 in bf16 on AMX tiles, else in f32.

    Without the tiles bf16 is no faster than f32 on layers this small, only coarser (docs/results.md).
    """

    name = "openvino"
    executes = True

    def __init__(self, device: Device) -> None:
        with keep_signal_stack():  # asking for anything of the processor loads its plugin
            self._core = ov.Core()
            self._capabilities = sorted(self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))

    def target(self, precision: Precision, options: BuildOptions) -> dict[str, Any]:
        """OpenVINO's version, the processor, what it can compute in and what it is asked to."""
        return {
            "version": ov.get_version(),
            "processor": processor(),
            "capabilities": self._capabilities,
            "hints": {name: str(hint) for name, hint in self._hints(precision).items()},
        }

    def compile(self, source: Source, options: BuildOptions) -> Compiled:
        """See ``Backend.compile``.

        Raises:
            BundleError: the model is not ONNX, or not of the engine contract.
            MachineError: an option that a processor does not have, or memory was short.
        """
        if options != BuildOptions():
            raise MachineError(
                "--dla, --workspace, --timing-cache and --fit-every-gpu are for NVIDIA devices", remedy="leave them out"
            )
        try:
            model = self._core.read_model(source.onnx)
            model.reshape([1, 32, source.size_px[1] // 4, source.size_px[0] // 4])
            compiled = self._core.compile_model(_with_float_io(model), "CPU", self._hints(source.precision))
        except (RuntimeError, MemoryError) as error:
            if isinstance(error, MemoryError) or "bad_alloc" in str(error):
                size = "x".join(map(str, source.size_px))
                raise MachineError(
                    f"out of memory while compiling for {size}", remedy="close other programs or give a smaller --size"
                ) from error
            raise BundleError(f"OpenVINO cannot compile the model ({_first_line(error)})") from error
        layers = _layers(compiled)
        convolutions = {layer.precision for layer in layers if layer.kind == "convolution"}
        hint = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        return Compiled(compiled.export_model().getvalue(), "i8" if "i8" in convolutions else hint, layers)

    def _hints(self, precision: Precision) -> dict[str, Any]:
        narrow = precision != "fp32" and "BF16" in self._capabilities and AMX in processor_flags()
        return {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": ov.Type.bf16 if narrow else ov.Type.f32,
        }

    def load(self, blob: bytes, size_px: Size, precision: Precision, *, profiled: bool = False) -> OpenVinoEngine:
        """See ``Backend.load``.

        Raises:
            RunError: OpenVINO does not take the bytes.
        """
        try:
            # The hints are not in the bytes: without them an f32 engine computes in whatever the processor prefers.
            hints = {**self._hints(precision), **({"PERF_COUNT": True} if profiled else {})}
            return OpenVinoEngine(self._core.import_model(blob, "CPU", hints), size_px)
        except RuntimeError as error:
            raise RunError(
                f"OpenVINO cannot load the engine ({_first_line(error)})", remedy="edgefusion build --force"
            ) from error


class OpenVinoEngine:
    """A compiled model with one request, whose tensors are NumPy arrays of ours."""

    def __init__(self, compiled: ov.CompiledModel, size_px: Size) -> None:
        self._compiled, self._size_px = compiled, size_px
        height, width = size_px[1] // 4, size_px[0] // 4
        self.x: Tensor = np.zeros((32, height, width), np.float32)
        self.y: Tensor = np.zeros((16, height, width), np.float32)
        self._request = compiled.create_infer_request()
        self._request.set_input_tensor(ov.Tensor(self.x[None], shared_memory=True))
        self._request.set_output_tensor(ov.Tensor(self.y[None], shared_memory=True))

    def execute(self) -> None:
        """Compute ``y`` from ``x``; ``infer`` would copy the output into a new array, this does not."""
        self._request.start_async()
        self._request.wait()

    def another(self) -> OpenVinoEngine:
        """See ``Engine.another``: a second request of the same compiled model."""
        return OpenVinoEngine(self._compiled, self._size_px)

    def time_ms(self) -> float:
        """Wall-clock time of one execution."""
        start = time.perf_counter()
        self.execute()
        return (time.perf_counter() - start) * 1e3

    def layer_times_ms(self) -> dict[str, float]:
        """See ``Engine.layer_times_ms``: the plugin's own counters."""
        runs: list[dict[str, float]] = []
        for _ in range(PROFILED_RUNS):
            self.execute()
            counters = self._request.get_profiling_info()
            runs.append({counter.node_name: counter.real_time.total_seconds() * 1e3 for counter in counters})
        return {name: float(np.median([run.get(name, 0.0) for run in runs])) for name in runs[0]}


def processor() -> str:
    """Model name of the processor."""
    return _cpuinfo("model name") or platform.machine()


def processor_flags() -> frozenset[str]:
    """What the processor can do, in Linux's words: ``avx2``, ``amx_bf16``, ``asimd`` ..."""
    return frozenset((_cpuinfo("flags") or _cpuinfo("Features")).split())


def _cpuinfo(key: str) -> str:
    """The first core's line of that name, or nothing."""
    try:
        lines = CPUINFO.read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == key), "")


def _layers(compiled: ov.CompiledModel) -> tuple[BuiltLayer, ...]:
    """What the plugin really executes, as its own graph says."""
    operations = compiled.get_runtime_model().get_ops()
    layers = [_layer(operation.get_friendly_name(), operation.get_rt_info()) for operation in operations]
    return tuple(layer for layer in layers if layer.kind not in NO_WORK)


def _layer(name: str, facts: Any) -> BuiltLayer:
    kind, precision, nodes = (facts[key].astype(str) if key in facts else "" for key in RUNTIME_FACTS)
    short = {"u8": "i8"}.get(precision, precision)
    return BuiltLayer(name, KINDS.get(kind, kind.lower()), short, tuple(filter(None, nodes.split(","))), "cpu")


def _with_float_io(model: ov.Model) -> ov.Model:
    """FP32 input and output, also where the model's are FP16: numba has no float16 on a CPU."""
    steps = ov.preprocess.PrePostProcessor(model)
    steps.input().tensor().set_element_type(ov.Type.f32)
    steps.output().tensor().set_element_type(ov.Type.f32)
    return steps.build()


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:200] if lines else type(error).__name__
