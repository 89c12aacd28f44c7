"""What TensorRT 10.3 to 11, TensorRT-RTX and OpenVINO all take: the rules that a model of each precision keeps.

They are checked on the finished model, whoever made it. Sources: TensorRT's documentation, "Working with Quantized
Types" (symmetric, per-channel weights, Q/DQ placement) and "Strongly Typed Networks"; docs/quantization.md.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx

from edgefusion.core.bundle import Precision
from edgefusion.core.errors import InputError
from quantize.graph import KNOWN, OPSET, Graph, is_int8, load
from quantize.ranges import residual_additions

FLOAT, HALF, INT8 = (getattr(onnx.TensorProto, kind) for kind in ("FLOAT", "FLOAT16", "INT8"))
PAIRS = ("QuantizeLinear", "DequantizeLinear")


def verify(content: bytes, precision: Precision) -> None:
    """Check a model of a bundle.

    Raises:
        InputError: the rules it breaks, each with its node.
    """
    broken = list(_broken(Graph(load(content)), precision))
    if broken:
        more = f" and {len(broken) - 5} more" if len(broken) > 5 else ""
        raise InputError(f"the {precision} model breaks the engine contract: {'; '.join(broken[:5])}{more}")


def _broken(graph: Graph, precision: Precision) -> Iterator[str]:
    yield from _interface(graph, FLOAT if precision == "fp32" else HALF)
    for node in graph.model.graph.node:
        if node.op_type not in KNOWN | {*PAIRS, "Cast"} or (node.op_type in PAIRS and precision != "int8"):
            yield f"{node.name}: operator {node.op_type}"
        elif node.op_type in PAIRS:
            yield from _pair(graph, node)
        else:
            yield from _inputs(graph, node)
    for tensor in graph.model.graph.initializer:
        if tensor.data_type in (FLOAT, HALF) and not np.isfinite(graph.value(tensor.name)).all():
            yield f"{tensor.name}: NaN or infinity"


def _interface(graph: Graph, kind: int) -> Iterator[str]:
    """Opset, fixed shapes, the precision's types and no Cast at the graph's input and output."""
    opsets = {entry.domain: entry.version for entry in graph.model.opset_import}
    if opsets != {"": OPSET}:
        yield f"opset {opsets}, not {OPSET}"
    for value, channels in zip((*graph.model.graph.input, *graph.model.graph.output), (32, 16), strict=True):
        shape = [side.dim_value for side in value.type.tensor_type.shape.dim]
        if len(shape) != 4 or shape[:2] != [1, channels] or min(shape) < 1:
            yield f"{value.name}: shape {shape}, not [1, {channels}, H/4, W/4] of fixed numbers"
        if value.type.tensor_type.elem_type != kind:
            yield f"{value.name}: type {onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type)}"
        near = [*graph.users(value.name), *([graph.makers[value.name]] if value.name in graph.makers else [])]
        if any(node.op_type == "Cast" for node in near):
            yield f"{value.name}: a Cast stands at it"


def _pair(graph: Graph, node: onnx.NodeProto) -> Iterator[str]:
    """Symmetric int8 with zero point 0; weights per output channel, activations with one scale."""
    zero = graph.value(node.input[2]) if len(node.input) > 2 and graph.stores(node.input[2]) else None
    if zero is None or zero.dtype != np.int8 or zero.any():
        yield f"{node.name}: zero point is not a stored int8 0"
    if not graph.stores(node.input[1]):
        yield f"{node.name}: scale is not stored"
        return
    scale = graph.array(node.input[1])
    if not (np.isfinite(scale).all() and (scale > 0).all()):
        yield f"{node.name}: a scale is not positive"
    if graph.stores(node.input[0]):
        if scale.shape != graph.value(node.input[0]).shape[:1] or _axis(node) != 0:
            yield f"{node.name}: weights without a scale per output channel"
    elif scale.size != 1:
        yield f"{node.name}: an activation with more than one scale"


def _axis(node: onnx.NodeProto) -> int:
    return next((int(entry.i) for entry in node.attribute if entry.name == "axis"), 1)


def _inputs(graph: Graph, node: onnx.NodeProto) -> Iterator[str]:
    """Who may read dequantized tensors, and that those who read one read no other kind."""
    rounded = [name for name in node.input if name in graph.makers and graph.makers[name].op_type == PAIRS[1]]
    if node.op_type == "Conv" and rounded and not is_int8(graph, node):
        yield f"{node.name}: input or weights are not int8"
    elif node.op_type == "Add" and node.name in _additions(graph):
        if len(rounded) != 2:
            yield f"{node.name}: a residual Add with {2 - len(rounded)} of its inputs not int8"
    elif node.op_type == "Concat":
        if len({graph.array(graph.makers[name].input[1]).item() for name in rounded}) > 1 or (
            rounded and len(rounded) != len(node.input)
        ):
            yield f"{node.name}: inputs of a Concat do not share one scale"
    elif node.op_type != "Conv" and rounded:
        yield f"{node.name}: {node.op_type} reads an int8 tensor; it belongs to FP16"


def _additions(graph: Graph) -> set[str]:
    """Residual Adds that an int8 convolution reads."""
    readers = {node.name for node in graph.of_kind("Conv") if is_int8(graph, node)}
    return {node.name for node in residual_additions(graph, readers=readers)}
