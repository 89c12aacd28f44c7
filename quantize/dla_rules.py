"""Which layers a DLA takes, by the documentation: none of it has been run on hardware yet.

Sources: [1] TensorRT's manual, "DLA Supported Layers and Restrictions" (its summary table; "On the DLA, the valid
activation types are kRELU, kSIGMOID, kTANH, and kCLIP" and "DLA supports only kSUM, kPROD, kMAX, kMIN, and kSUB" in the
C++ reference); [2] the limits of each layer as that page had them for TensorRT 8.4 to 8.6, read in a public copy: they
may have widened by 10.7, where a layer listed for the GPU could then run on the DLA; [3] "Supported ONNX Operators on
Orin DLA", NVIDIA/Deep-Learning-Accelerator-SW, operators/README.md, TensorRT 8.5; [4] TensorRT's own log, "Layer ...
(CONSTANT): Unsupported on DLA" (NVIDIA-AI-IOT/jetson_dla_tutorial issue 3) and "DLA only supports slicing 4 dimensional
tensors" (ultralytics issue 18012, where a Split is a Slice layer).

Not checked, because only a DLA's compiler knows: combinations of layers whose state does not fit it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx

from quantize.graph import Graph, groups

BASIS = "documented limits of TensorRT 8.4 to 10.7, see quantize/dla_rules.py; not yet run on hardware"

LARGEST_BATCH, LARGEST_SIDE = 4096, 8192
"""[1], of every layer."""

Rule = Callable[[Graph, onnx.NodeProto], str | None]
"""Says what keeps a node off the DLA, or None."""


@dataclass(frozen=True)
class Support:
    """What a DLA can do with an operator.

    Attributes:
        layer: TensorRT's name for it; "in FP16" where a DLA has no int8 for it [2].
        limit: of what it takes.
        holds: operators that do not change the values or only choose among them: int8 passes through.
    """

    layer: str
    limit: Rule
    holds: bool = False


def _none(graph: Graph, node: onnx.NodeProto) -> str | None:
    return None


def _attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    return next((onnx.helper.get_attribute_value(entry) for entry in node.attribute if entry.name == name), default)


def _outside(what: str, values: list[int], low: int, high: int) -> str | None:
    worst = [value for value in values if not low <= value <= high]
    return f"{what} {worst[0]}, not in {low}..{high}" if worst else None


def _convolution(graph: Graph, node: onnx.NodeProto) -> str | None:
    """[1, 2]: two spatial dimensions, and each number within its range."""
    if not graph.stores(node.input[1]):
        return "weights that are computed"
    outputs, _, *kernel = graph.value(node.input[1]).shape
    pads = list(_attribute(node, "pads", [0]))
    wide = [pad for pad, side in zip(pads, kernel * 2, strict=False) if pad >= side]
    return (
        _outside("kernel side", kernel, 1, 32)
        or _outside("padding", pads, 0, 31)
        or (f"padding {wide[0]} as wide as the kernel" if wide else None)
        or _outside("stride", list(_attribute(node, "strides", [1])), 1, 8)
        or _outside("dilation", list(_attribute(node, "dilations", [1])), 1, 32)
        or _outside("output channels", [outputs], 1, 8192)
        or _outside("groups", [groups(node)], 1, 8192)
    )


def _clip(graph: Graph, node: onnx.NodeProto) -> str | None:
    """[2]: clipped ReLU, from 0 to a number in 1..127."""
    bounds = [graph.array(name).item() for name in node.input[1:] if graph.stores(name)]
    if len(bounds) != 2 or bounds[0] != 0 or not 1 <= bounds[1] <= 127:
        return "a Clip that is no clipped ReLU from 0 to a number in 1..127"
    return None


def _elementwise(graph: Graph, node: onnx.NodeProto) -> str | None:
    """[4]: a constant operand becomes a Constant layer."""
    return "a constant operand; TensorRT's Constant layer does not run there" if _constants(graph, node) else None


def _constants(graph: Graph, node: onnx.NodeProto) -> list[str]:
    return [name for name in node.input if graph.stores(name)]


def _slice(graph: Graph, node: onnx.NodeProto) -> str | None:
    """[2]: by constants, not along the batch."""
    if len(_constants(graph, node)) != len(node.input) - 1:
        return "slices at places that are computed"
    axes = graph.value(node.input[3]) if len(node.input) > 3 else np.array([_attribute(node, "axis", 0)])
    return "slices along the batch" if not np.all(axes % 4) else None


def _concat(graph: Graph, node: onnx.NodeProto) -> str | None:
    """[1]: of channels."""
    return None if _attribute(node, "axis", 0) in (1, -3) else "joins other axes than channels"


def _pool(graph: Graph, node: onnx.NodeProto) -> str | None:
    """[2]."""
    return (
        _outside("kernel side", list(_attribute(node, "kernel_shape", [])), 1, 8)
        or _outside("padding", list(_attribute(node, "pads", [0])), 0, 7)
        or _outside("stride", list(_attribute(node, "strides", [1])), 1, 16)
        or _outside("dilation", list(_attribute(node, "dilations", [1])), 1, 1)
        or ("sides that are rounded up" if _attribute(node, "ceil_mode", 0) else None)
    )


SUPPORT = {
    "Conv": Support("Convolution", _convolution),
    "Relu": Support("Activation", _none, holds=True),
    "LeakyRelu": Support("Activation", _none),
    "Clip": Support("Activation", _clip, holds=True),
    "Sigmoid": Support("Activation in FP16", _none),
    "Add": Support("ElementWise", _elementwise),
    "Sub": Support("ElementWise", _elementwise),
    "Mul": Support("ElementWise", _elementwise),
    "BatchNormalization": Support("Scale", _none),
    "Concat": Support("Concatenation", _concat, holds=True),
    "MaxPool": Support("Pooling", _pool, holds=True),
    "AveragePool": Support("Pooling", _pool, holds=True),
    "Slice": Support("Slice in FP16", _slice),
    "Split": Support("Slice in FP16", _slice),
}
"""Others of ``graph.KNOWN`` are not native there [3], or under conditions that were not looked up (Transpose)."""


class Shapes:
    """The shape of every tensor of a model, by name."""

    def __init__(self, model: onnx.ModelProto) -> None:
        graph = onnx.shape_inference.infer_shapes(model).graph
        values = (*graph.input, *graph.value_info, *graph.output)
        self._shapes = {value.name: [side.dim_value for side in value.type.tensor_type.shape.dim] for value in values}

    def limit(self, node: onnx.NodeProto) -> str | None:
        """What keeps a node's tensors off the DLA, or None."""
        shapes = [self._shapes[name] for name in (*node.input, *node.output) if name in self._shapes]
        if any(len(shape) != 4 for shape in shapes):
            return "a tensor without four dimensions"
        batch = _outside("batch", [shape[0] for shape in shapes], 1, LARGEST_BATCH)
        return batch or _outside("side", [side for shape in shapes for side in shape[1:]], 1, LARGEST_SIDE)


def place(graph: Graph, shapes: Shapes, node: onnx.NodeProto) -> tuple[Literal["DLA", "GPU"], str]:
    """Where a node runs, and why."""
    support = SUPPORT.get(node.op_type)
    if support is None:
        return "GPU", f"{node.op_type} is not among the layers that a DLA takes"
    broken = shapes.limit(node) or support.limit(graph, node)
    return ("GPU", broken) if broken else ("DLA", f"{support.layer}, within its limits")
