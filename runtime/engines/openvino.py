"""The ``openvino`` backend: this machine's processor."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

from edgefusion.core.bundle import Precision
from edgefusion.core.errors import BundleError, RunError
from edgefusion.core.geometry import Size
from runtime.engines.base import Compiled, Tensor
from runtime.engines.signals import keep_signal_stack

CPUINFO = Path("/proc/cpuinfo")
AMX = "amx_bf16"


class OpenVinoBackend:
    """Compiles with latency hints. fp32 computes in f32; fp16 in bf16 on AMX tiles, else in f32.

    Without the tiles bf16 is no faster than f32 on layers this small, only coarser (docs/results.md).
    """

    name = "openvino"

    def __init__(self) -> None:
        with keep_signal_stack():  # asking for anything of the processor loads its plugin
            self._core = ov.Core()
            self._capabilities = sorted(self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))

    def target(self, precision: Precision) -> dict[str, Any]:
        """OpenVINO's version, the processor, what it can compute in and what it is asked to."""
        return {
            "version": ov.get_version(),
            "processor": processor(),
            "capabilities": self._capabilities,
            "hints": {name: str(hint) for name, hint in self._hints(precision).items()},
        }

    def compile(self, onnx: bytes, size_px: Size, precision: Precision) -> Compiled:
        """See ``Backend.compile``.

        Raises:
            BundleError: the model is not ONNX, or not of the engine contract.
        """
        try:
            model = self._core.read_model(onnx)
            model.reshape([1, 32, size_px[1] // 4, size_px[0] // 4])
            compiled = self._core.compile_model(_with_float_io(model), "CPU", self._hints(precision))
        except RuntimeError as error:
            raise BundleError(f"OpenVINO cannot compile the model ({_first_line(error)})") from error
        hint = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        compute = "i8" if _convolves_integers(compiled) else hint
        return Compiled(compiled.export_model().getvalue(), compute)

    def _hints(self, precision: Precision) -> dict[str, Any]:
        narrow = precision != "fp32" and "BF16" in self._capabilities and AMX in processor_flags()
        return {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": ov.Type.bf16 if narrow else ov.Type.f32,
        }

    def load(self, blob: bytes, size_px: Size, precision: Precision) -> OpenVinoEngine:
        """See ``Backend.load``.

        Raises:
            RunError: OpenVINO does not take the bytes.
        """
        try:
            # The hints are not in the bytes: without them an f32 engine computes in whatever the processor prefers.
            return OpenVinoEngine(self._core.import_model(blob, "CPU", self._hints(precision)), size_px)
        except RuntimeError as error:
            raise RunError(
                f"OpenVINO cannot load the engine ({_first_line(error)})", remedy="edgefusion build --force"
            ) from error


class OpenVinoEngine:
    """A compiled model with one request, whose tensors are NumPy arrays of ours."""

    def __init__(self, compiled: ov.CompiledModel, size_px: Size) -> None:
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


def _convolves_integers(compiled: ov.CompiledModel) -> bool:
    """Whether the plugin really put a convolution into integers, as its own graph says."""
    facts = [operation.get_rt_info() for operation in compiled.get_runtime_model().get_ops()]
    return any(
        fact["layerType"].astype(str) == "Convolution" and fact["runtimePrecision"].astype(str) in ("u8", "i8")
        for fact in facts
        if "layerType" in fact
    )


def _with_float_io(model: ov.Model) -> ov.Model:
    """FP32 input and output, also where the model's are FP16: numba has no float16 on a CPU."""
    steps = ov.preprocess.PrePostProcessor(model)
    steps.input().tensor().set_element_type(ov.Type.f32)
    steps.output().tensor().set_element_type(ov.Type.f32)
    return steps.build()


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:200] if lines else type(error).__name__
