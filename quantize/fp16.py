"""The FP16 model of a bundle, made from its FP32 one."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from edgefusion.core.bundle import OPERATORS
from edgefusion.core.errors import InputError

NARROW = OPERATORS | {
    "AveragePool",
    "BatchNormalization",
    "Concat",
    "DepthToSpace",
    "Div",
    "Erf",
    "GlobalAveragePool",
    "HardSigmoid",
    "HardSwish",
    "LayerNormalization",
    "LeakyRelu",
    "MatMul",
    "MaxPool",
    "Pad",
    "ReduceMean",
    "Split",
    "Sub",
    "Transpose",
}
"""The engine contract's operators, and those of ``timm:`` students: all of them exist in FP16 with everything they
read, so the precision lies in the types alone, without any Cast."""

LARGEST = float(np.finfo(np.float16).max)


def to_fp16(model: bytes) -> bytes:
    """The same network with FP16 weights, input and output.

    Raises:
        InputError: an operator that is not in ``NARROW``, or a weight that FP16 cannot hold.
    """
    graph = (proto := onnx.load_model_from_string(model)).graph
    for node in graph.node:
        if node.op_type not in NARROW:
            raise InputError(
                f"operator {node.op_type} of node {node.name} is not known to work in FP16", remedy="keep it in fp32"
            )
    for initializer in graph.initializer:
        if initializer.data_type == onnx.TensorProto.FLOAT:
            initializer.CopyFrom(numpy_helper.from_array(_narrow(initializer), initializer.name))
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT:
            value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    onnx.checker.check_model(proto, full_check=True)
    return bytes(proto.SerializeToString(deterministic=True))


def _narrow(initializer: onnx.TensorProto) -> np.ndarray[tuple[int, ...], np.dtype[np.float16]]:
    weights = numpy_helper.to_array(initializer)
    if not np.isfinite(weights).all() or np.abs(weights).max(initial=0) > LARGEST:
        raise InputError(f"weights {initializer.name} do not fit FP16")
    return weights.astype(np.float16)
