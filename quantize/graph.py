"""ONNX graphs as this room handles them: found by name, checked at the door, the same bytes for the same graph."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from edgefusion.core.bundle import OPERATORS
from edgefusion.core.errors import InputError
from edgefusion.core.geometry import Size

OPSET = 19
"""The first with FP16 scales."""

KNOWN = OPERATORS | {
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
"""The engine contract's operators and those of ``timm:`` students: every backend has them in FP16."""

Array = npt.NDArray[np.float32]


class Graph:
    """A model whose parts are found by name; ``model`` may be changed, but not the names of its nodes.

    Attributes:
        model: the model.
        nodes: by name.
        makers: name of a tensor -> the node that makes it.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.nodes = {node.name: node for node in model.graph.node}
        self.makers = {name: node for node in model.graph.node for name in node.output}
        self._stored = {tensor.name: tensor for tensor in model.graph.initializer}

    def users(self, tensor: str) -> list[onnx.NodeProto]:
        """The nodes that read a tensor, in order."""
        return [node for node in self.model.graph.node if tensor in node.input]

    def stores(self, tensor: str) -> bool:
        """Whether the tensor is a constant of the model."""
        return tensor in self._stored

    def value(self, tensor: str) -> npt.NDArray[np.generic]:
        """A constant."""
        return np.asarray(numpy_helper.to_array(self._stored[tensor]))

    def array(self, tensor: str) -> Array:
        """A constant as FP32."""
        return self.value(tensor).astype(np.float32)

    def store(self, tensor: str, value: npt.NDArray[np.generic]) -> None:
        """Set a constant, or add one."""
        made = numpy_helper.from_array(value, tensor)
        if tensor in self._stored:
            self._stored[tensor].CopyFrom(made)
        else:
            self.model.graph.initializer.append(made)
            self._stored[tensor] = self.model.graph.initializer[-1]

    def drop(self, tensor: str) -> None:
        """Remove a constant that nothing reads any more."""
        self.model.graph.initializer.remove(self._stored.pop(tensor))

    def part_constants(self) -> None:
        """Give each convolution weights and bias of its own: exporters store equal ones once."""
        seen: set[str] = set()
        for node in self.of_kind("Conv"):
            for place, name in enumerate(node.input[1:], 1):
                if self.stores(name) and name in seen:
                    node.input[place] = f"{name}/{node.name}"
                    self.store(node.input[place], self.value(name))
                seen.add(node.input[place])

    def of_kind(self, *operators: str) -> Iterator[onnx.NodeProto]:
        """The nodes of some operators, in the order they are computed."""
        return (node for node in self.model.graph.node if node.op_type in operators)

    def whole_convolutions(self) -> list[onnx.NodeProto]:
        """Convolutions with stored weights."""
        return [node for node in self.of_kind("Conv") if self.stores(node.input[1])]


def groups(convolution: onnx.NodeProto) -> int:
    """Into how many parts a convolution divides its channels; 1: none."""
    return next((int(entry.i) for entry in convolution.attribute if entry.name == "group"), 1)


def is_int8(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether a node is a convolution of dequantized activations and weights."""
    made_by = [graph.makers[name].op_type for name in node.input[:2] if name in graph.makers]
    return node.op_type == "Conv" and made_by == ["DequantizeLinear"] * 2


def load(content: bytes) -> onnx.ModelProto:
    """A model that is valid ONNX.

    Raises:
        InputError: it is not.
    """
    try:
        model = onnx.load_model_from_string(content)
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # protobuf and the checker have no common class
        raise InputError(f"not a valid ONNX model ({str(error).splitlines()[0]})") from error
    return model


def parse(content: bytes) -> onnx.ModelProto:
    """A model that this room can work on.

    Raises:
        InputError: not ONNX, of another opset, with shapes that are not fixed, or with an operator that is not in
            ``KNOWN``, named with its node.
    """
    model = load(content)
    opsets = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
    if opsets != {"ai.onnx": OPSET}:
        raise InputError(f"the model is of opset {opsets}, not {OPSET}", remedy="export the student again")
    for value in (*model.graph.input, *model.graph.output):
        if not all(side.dim_value > 0 for side in value.type.tensor_type.shape.dim):
            raise InputError(f"the shape of {value.name} is not fixed", remedy="export with fixed sizes")
    for number, node in enumerate(model.graph.node):
        if node.op_type not in KNOWN:
            raise InputError(
                f"operator {node.op_type} of node {node.name or number} is not supported", remedy="keep it in fp32"
            )
    return model


def serialise(model: onnx.ModelProto) -> bytes:
    """The model's bytes: the same for the same graph; nothing of this machine or its tools is in them."""
    model.producer_name, model.producer_version, model.doc_string = "edgefusion", "", ""
    model.graph.name = "student"
    for part in (model, model.graph, *model.graph.node):
        del part.metadata_props[:]
    del model.graph.value_info[:]
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def resized(content: bytes, size_px: Size) -> bytes:
    """The model for images of (width, height), multiples of four."""
    model = onnx.load_model_from_string(content)
    for value in (*model.graph.input, *model.graph.output):
        sides = value.type.tensor_type.shape.dim
        if not sides:  # a tensor inside, which was made an output
            continue
        sides[2].dim_value, sides[3].dim_value = size_px[1] // 4, size_px[0] // 4
    del model.graph.value_info[:]
    return bytes(model.SerializeToString())


def add_outputs(content: bytes, names: Sequence[str]) -> bytes:
    """The model with some of its tensors as further outputs."""
    model = onnx.load_model_from_string(content)
    known = {value.name: value for value in onnx.shape_inference.infer_shapes(model).graph.value_info}
    for name in names:
        value = onnx.ValueInfoProto(name=name)
        value.type.tensor_type.elem_type = known[name].type.tensor_type.elem_type
        model.graph.output.append(value)
    return bytes(model.SerializeToString())
