"""Reference numerics: what a model computes, by one pinned ONNX Runtime without optimisations.

Two releases differed by 0.05 and 0.16 from FP32 on one file, and an optimised graph is another graph: figures that
decide must come from one version, as written in the graph.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import numpy.typing as npt
import onnx

from edgefusion.core.errors import InputError, MachineError
from edgefusion.core.geometry import Size
from quantize.graph import Graph, add_outputs, is_int8, resized

PINNED = "1.24.4"
"""The release that decides gates. It needs Python 3.11; on 3.10 modelopt brings an older one, which decides none."""

PACKAGES = ("onnxruntime-gpu", "onnxruntime")

Tensor = npt.NDArray[np.float32]


def numerics() -> str:
    """What computes here, in words for the record."""
    return f"onnxruntime {runtime_version()}, not optimised, Python {sys.version_info.major}.{sys.version_info.minor}"


def runtime_version() -> str:
    """The version of ONNX Runtime that is installed.

    Raises:
        MachineError: none is, or two that break each other.
    """
    found = {name: number for name in PACKAGES if (number := _version(name))}
    if len(found) != 1:
        what = " and ".join(found) if found else "neither onnxruntime nor onnxruntime-gpu"
        raise MachineError(f"{what} installed", remedy="in a new environment: pip install 'edgefusion[quantize]'")
    return next(iter(found.values()))


def check_decides() -> None:
    """Raises MachineError if this environment may not decide a gate."""
    if runtime_version() != PINNED:
        raise MachineError(
            f"gates are decided with ONNX Runtime {PINNED} and this is {runtime_version()}",
            remedy=f"with Python 3.11 or newer: pip install 'edgefusion[quantize]' onnxruntime-gpu=={PINNED}",
        )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


class Reference:
    """Computes one model for frames of any size, int8 convolutions as accelerators do (``as_integers``).

    Args:
        content: the ONNX model.
        also: tensors to return beside the output.
    """

    def __init__(self, content: bytes, *, also: Sequence[str] = ()) -> None:
        model = onnx.load_model_from_string(add_outputs(content, also))
        as_integers(model)
        self._content = model.SerializeToString()
        self._session = lru_cache(maxsize=4)(self._open)

    def __call__(self, x: npt.NDArray[np.floating]) -> list[Tensor]:
        """``y`` [16, H/4, W/4] of ``x`` [32, H/4, W/4], and the tensors asked for, as FP32.

        Raises:
            InputError: a result is not finite; names the tensor.
        """
        session = self._session((x.shape[2] * 4, x.shape[1] * 4))
        given = session.get_inputs()[0]
        narrow = np.float16 if given.type == "tensor(float16)" else np.float32
        results = session.run(None, {given.name: x[None].astype(narrow)})
        for output, result in zip(session.get_outputs(), results, strict=True):
            if not np.isfinite(result).all():
                raise InputError(f"the model computes NaN or infinity in {output.name}", remedy="train it again")
        return [np.asarray(result[0], np.float32) for result in results]

    def _open(self, size_px: Size):  # type: ignore[no-untyped-def]  # ONNX Runtime has no types
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = os.cpu_count() or 1
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(
            resized(self._content, size_px), options, providers=["CPUExecutionProvider"]
        )


def as_integers(model: onnx.ModelProto) -> None:
    """Let int8 convolutions of an FP16 model compute in FP32, in place.

    An accelerator multiplies the integers, which is exact, scales the sum in FP32 and rounds that to FP16. Taken at its
    word Q/DQ in FP16 would round every dequantized weight first; where large weights of opposed signs meet, that alone
    costs 3 dB.
    """
    graph, ordered = Graph(model), []
    for node in model.graph.node:
        before, after = [], []
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            graph.store(node.input[1], graph.array(node.input[1]))
            if node.op_type == "QuantizeLinear":
                before = [_cast(node.input[0], f"{node.output[0]}/wide", onnx.TensorProto.FLOAT)]
                node.input[0] = before[0].output[0]
        elif is_int8(graph, node):
            for name in node.input[2:]:
                graph.store(name, graph.array(name))
            after = [_cast(f"{node.output[0]}/wide", node.output[0], onnx.TensorProto.FLOAT16)]
            node.output[0] = after[0].input[0]
        else:
            for place, name in enumerate(node.input):
                if name in graph.makers and graph.makers[name].op_type == "DequantizeLinear":
                    before.append(_cast(name, f"{name}/{node.name}", onnx.TensorProto.FLOAT16))
                    node.input[place] = before[-1].output[0]
        ordered += [*before, node, *after]
    del model.graph.node[:]
    model.graph.node.extend(ordered)


def _cast(source: str, made: str, kind: int) -> onnx.NodeProto:
    return onnx.helper.make_node("Cast", [source], [made], f"{made}/cast", to=kind)
