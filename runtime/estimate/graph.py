"""A model's operations, read from its ONNX file without the onnx package."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import openvino as ov

from edgefusion.core.errors import BundleError
from edgefusion.core.geometry import Size, check_engine_size

CONVOLUTIONS = ("Convolution", "GroupConvolution")
TRANSPOSED = ("ConvolutionBackpropData", "GroupConvolutionBackpropData")


@dataclass(frozen=True)
class Source:
    """One activation that an operation takes: whose output it is, and how many elements."""

    name: str
    elements: int


@dataclass(frozen=True)
class Operation:
    """One operation on activations.

    Attributes:
        name: unique in the graph; ``label`` is the name in the ONNX file.
        kind: OpenVINO's word for it.
        sources: the activations it takes; constants are not among them.
        elements: of its output.
        width: bytes of an element of its output.
        macs: multiply-accumulates.
        weights: constant name -> bytes, of all it takes.
        int8: its weights are 8-bit integers.
    """

    name: str
    label: str
    kind: str
    sources: tuple[Source, ...]
    elements: int
    width: int
    macs: int
    weights: dict[str, int]
    int8: bool


def read_operations(onnx: bytes, size_px: Size) -> tuple[Operation, ...]:
    """A model's operations on activations, sources first, inputs and results included.

    Args:
        onnx: a model of the engine contract, [1, 32, H/4, W/4] in.
        size_px: (width, height) of the image.

    Raises:
        UsageError: a size that is no engine's.
        BundleError: not an ONNX model, or not of the contract.
    """
    check_engine_size(size_px)
    try:
        model = ov.Core().read_model(onnx)
        model.reshape([1, 32, size_px[1] // 4, size_px[0] // 4])
        return tuple(operations(model))
    except RuntimeError as error:
        raise BundleError(f"the model cannot be read ({str(error).strip().splitlines()[-1][:200]})") from error


def operations(model: ov.Model) -> Iterator[Operation]:
    """Everything that depends on the input's values; what depends on its shape only is known before a run."""
    active: set[str] = set()
    for node in model.get_ordered_ops():
        sources = tuple(_sources(node, active))
        if sources or node.get_type_name() == "Parameter":
            active.add(node.get_name())
            yield _operation(node, sources, active)


def _sources(node: Any, active: set[str]) -> Iterator[Source]:
    if node.get_type_name() == "ShapeOf":
        return
    for port in node.inputs():
        output = port.get_source_output()
        if output.get_node().get_name() in active:
            yield Source(output.get_node().get_name(), prod(output.get_shape()))


def _operation(node: Any, sources: tuple[Source, ...], active: set[str]) -> Operation:
    constants = {constant.get_name(): constant for constant in _constants(node, active)}
    outputs = node.outputs()
    return Operation(
        name=node.get_name(),
        label=node.get_friendly_name().removesuffix("/WithoutBiases"),
        kind=node.get_type_name(),
        sources=sources,
        elements=sum(prod(output.get_shape()) for output in outputs),
        width=outputs[0].get_element_type().size,
        macs=_macs(node),
        weights={name: _bytes(constant.output(0)) for name, constant in constants.items()},
        int8=any(constant.output(0).get_element_type() in (ov.Type.i8, ov.Type.u8) for constant in constants.values()),
    )


def _constants(node: Any, active: set[str]) -> Iterator[Any]:
    """The stored numbers a node takes, through whatever unpacks them; not shapes and indices, which are i64."""
    for port in node.inputs():
        source = port.get_source_output().get_node()
        if source.get_type_name() == "Constant" and source.output(0).get_element_type() != ov.Type.i64:
            yield source
        elif source.get_name() not in active and source.get_type_name() != "ShapeOf":
            yield from _constants(source, active)


def _bytes(output: Any) -> int:
    return int(prod(output.get_shape()) * output.get_element_type().size)


def _macs(node: Any) -> int:
    """Multiply-accumulates: those of one output element (transposed: of one input element) times the elements."""
    kind = node.get_type_name()
    if kind == "MatMul":
        taken = node.input(0).get_shape()
        return int(prod(node.output(0).get_shape()) * taken[-2 if node.get_attributes()["transpose_a"] else -1])
    if kind not in CONVOLUTIONS + TRANSPOSED:
        return 0
    grouped = 1 if kind.startswith("Group") else 0
    each = prod(node.input(1).get_shape()[grouped + 1 :])  # weights [O, I, kh, kw], with groups [G, O/G, I/G, kh, kw]
    along = node.output(0) if kind in CONVOLUTIONS else node.input(0)
    return int(prod(along.get_shape()) * each)
