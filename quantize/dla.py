"""``quantize --dla``: the int8 model once more, as TensorRT 10's DLA wants it: without Q/DQ, its scales in a cache.

The model is the equalised FP32 one. Its int8 convolutions hold the weights that the int8 model has, levels times steps:
implicit quantization takes each output channel's largest weight for level 127 (``verify_weight_scales`` in NVIDIA's
qdq_translator.py checks for the same), and since ``rounding`` leaves a level of 127 in every channel, it finds the very
steps and levels again. A channel of weights under 0.008 is the exception: FP16 holds no step as fine as TensorRT's.

A DLA region needs a scale for every tensor, so every tensor has one, and there are no others: ``a + (-1) * b`` becomes
``a - b``, since TensorRT makes a constant operand a Constant layer, which no DLA runs, and names its tensor itself.
Where the documentation of TensorRT wants ranges to be equal, they are:

- both inputs of an int8 sum, product or difference ("the dynamic ranges of two input tensors shall be equal ... the
  largest value shall be used", IElementWiseLayer), and what an int8 Concat or pooling reads and makes;
- a tensor that a ReLU or Clip alone reads has the scale of what that makes: the two are fused or, where they are not,
  pass the levels on, and what the scale cuts off the ReLU would have;
- a slice has the scale of what it is cut from, and passes the levels on likewise.

With Q/DQ an int8 convolution makes FP16 sums. Here a layer has one precision, and that a DLA could do the same is not
documented, so it must be taken to round what an int8 layer makes. What makes no tensor that the int8 model rounds is
therefore FP16, layer by layer in ``layers.json``: the blend, which in int8 caps PSNR at 53 dB, and the convolutions
that feed it, whose rounded sums would leave 37 dB of the shipped student's 53. NVIDIA's cuDLA-samples keep the last
convolutions of YOLOv5 in FP16 likewise (``--layerPrecisions`` in their issue 19).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx

from edgefusion.core.dla import CACHE, LAYERS, MODEL, DlaLayer, DlaLayers, write_cache
from quantize.dla_rules import BASIS, SUPPORT, Shapes, place
from quantize.graph import Graph, serialise
from quantize.int8 import Recipe
from quantize.ranges import HEADROOM, Inputs, residual_additions
from quantize.reference import Reference
from quantize.rounding import Weights

UNIT = 1 / 127
"""The scale of what is within 0..1 by contract: the model's input and output, and a sigmoid's output."""

SMALLEST = float(np.finfo(np.float16).smallest_normal)
"""No scale is under it: of a tensor that is always zero."""

CLIPS, CUTS, SUMS = ("Relu", "Clip"), ("Slice", "Split"), ("Add", "Sub", "Mul")
POOLS = ("Concat", "MaxPool", "AveragePool")


@dataclass(frozen=True)
class Dla:
    """What a bundle's ``dla/`` folder holds.

    Attributes:
        model: ONNX, FP32, without Q/DQ.
        scales: of every tensor.
        layers: where each node runs.
    """

    model: bytes
    scales: Mapping[str, float]
    layers: DlaLayers

    def files(self) -> dict[str, bytes]:
        """Name -> content."""
        return {MODEL: self.model, CACHE: write_cache(self.scales), LAYERS: self.layers.to_bytes()}

    def to_json(self) -> dict[str, Any]:
        """For ``quality.json``."""
        return {
            "files": [MODEL, CACHE, LAYERS],
            "tensors": len(self.scales),
            "layers": len(self.layers.layers),
            "on_gpu": {layer.node: layer.why for layer in self.layers.on_gpu},
            "basis": self.layers.basis,
        }


def make_dla(recipe: Recipe, frames: Inputs, keep: Collection[str] = ()) -> Dla:
    """The files for a DLA.

    Args:
        recipe: of the int8 model.
        frames: to calibrate the tensors on that are not int8 there.
        keep: convolutions that stayed FP16 there; they do here.

    Raises:
        InputError: the model computes NaN or infinity.
    """
    graph = Graph(_with_differences(recipe.equal))
    int8 = _int8_nodes(graph, [name for name in recipe.weights if name not in keep])
    for name in recipe.weights.keys() & int8:
        graph.store(graph.nodes[name].input[1], dequantized(recipe.weights[name]))
    scales = _scales(graph, frames, recipe.scales, int8)
    return Dla(serialise(graph.model), scales, DlaLayers(schema=1, basis=BASIS, layers=tuple(_layers(graph, int8))))


def dequantized(weights: Weights) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Levels times steps, exact in FP32: [out, in/groups, h, w]."""
    return weights.levels.astype(np.float32) * weights.steps.astype(np.float32)[:, None, None, None]


def _with_differences(original: onnx.ModelProto) -> onnx.ModelProto:
    """The model with ``a - b`` where it has ``a + (-1) * b``."""
    model = onnx.ModelProto()
    model.CopyFrom(original)
    graph = Graph(model)
    for node in graph.of_kind("Add"):
        for position, name in enumerate(node.input):
            if (taken := _negated(graph, name)) is not None:
                node.op_type = "Sub"
                node.input[:] = [node.input[1 - position], taken]
                break
    _drop_unread(graph)
    return model


def _negated(graph: Graph, tensor: str) -> str | None:
    """What a tensor is the negative of, or None."""
    maker = graph.makers.get(tensor)
    if maker is None or maker.op_type != "Mul":
        return None
    pairs = (list(maker.input), list(maker.input)[::-1])
    return next((a for a, b in pairs if graph.stores(b) and np.all(graph.value(b) == -1)), None)


def _drop_unread(graph: Graph) -> None:
    """Remove products and constants that nothing reads any more."""
    for node in list(graph.of_kind("Mul")):
        if not graph.users(node.output[0]):
            graph.model.graph.node.remove(node)
    for tensor in list(graph.model.graph.initializer):
        if not graph.users(tensor.name):
            graph.drop(tensor.name)


def _int8_nodes(graph: Graph, chosen: list[str]) -> set[str]:
    """The nodes that make what the int8 model rounds: inputs of the chosen convolutions and of residual Adds.

    A ReLU, Clip or pooling among them is int8 only behind an int8 node: alone it would round for nothing.
    """
    additions = residual_additions(graph, readers=chosen)
    rounded = {graph.nodes[name].input[0] for name in chosen} | {name for node in additions for name in node.input}
    able, int8 = {*chosen, *(node.name for node in additions)}, set()
    for node in reversed(graph.model.graph.node):
        if rounded.issuperset(node.output) and (_holds(node) or node.name in able):
            int8.add(node.name)
            rounded |= set(node.input) if _holds(node) else set()
    for node in graph.model.graph.node:
        makers = [graph.makers[name].name if name in graph.makers else "" for name in node.input]
        if _holds(node) and not any(maker in int8 for maker in makers):
            int8.discard(node.name)
    return int8


def _holds(node: onnx.NodeProto) -> bool:
    return node.op_type in SUPPORT and SUPPORT[node.op_type].holds


def _layers(graph: Graph, int8: set[str]) -> Iterator[DlaLayer]:
    shapes = Shapes(graph.model)
    for node in graph.model.graph.node:
        runs_on, why = place(graph, shapes, node)
        precision: Literal["int8", "fp16"] = "int8" if node.name in int8 else "fp16"
        yield DlaLayer(node=node.name, op=node.op_type, runs_on=runs_on, precision=precision, why=why)


def _scales(graph: Graph, frames: Inputs, known: Mapping[str, np.float16], int8: set[str]) -> dict[str, float]:
    """The scale of every tensor: the input and all that nodes make, in order.

    The int8 model's own, exact ones where the contract gives the range, and for the rest the largest values over all
    frames, widened as the max method's are.
    """
    found = _largest(graph, frames)
    scales = {name: largest * HEADROOM / 127 for name, largest in found.items()}
    scales |= {name: float(step) for name, step in known.items() if name in scales}
    unit = [*_ends(graph), *(name for node in graph.of_kind("Sigmoid") for name in node.output)]
    scales |= dict.fromkeys(unit, UNIT)
    followers = [node.input[0] for node in graph.of_kind(*CLIPS) if len(graph.users(node.input[0])) == 1]
    followers += [name for node in graph.of_kind(*CUTS) for name in node.output]
    scales |= dict.fromkeys(followers, 0.0)  # their groups decide
    _equal(scales, list(_alike(graph, int8)))
    return {name: max(scale, SMALLEST) for name, scale in scales.items()}


def _ends(graph: Graph) -> tuple[str, str]:
    return graph.model.graph.input[0].name, graph.model.graph.output[0].name


def _largest(graph: Graph, frames: Inputs) -> dict[str, float]:
    """The largest absolute value of every tensor, over all frames."""
    first, last = _ends(graph)
    names = [name for node in graph.model.graph.node for name in node.output if name != last]
    reference = Reference(graph.model.SerializeToString(), also=names)
    largest = dict.fromkeys([first, *names, last], 0.0)
    for frame in frames:
        result, *seen = reference(frame)
        for name, values in zip([first, *names, last], [frame, *seen, result], strict=True):
            largest[name] = max(largest[name], float(np.abs(values).max()))
    return largest


def _alike(graph: Graph, int8: set[str]) -> Iterator[list[str]]:
    """Tensors whose scales must be equal, in groups."""
    for node in graph.model.graph.node:
        read = [name for name in node.input if not graph.stores(name)]
        follows = node.op_type in CUTS or (node.op_type in CLIPS and len(graph.users(read[0])) == 1)
        if follows or (node.name in int8 and node.op_type in POOLS):
            yield [*read, *node.output]
        elif node.name in int8 and node.op_type in SUMS:
            yield read


def _equal(scales: dict[str, float], groups: list[list[str]]) -> None:
    """Raise every scale to the largest of its group, until nothing changes: groups share tensors."""
    changed = True
    while changed:
        changed = False
        for group in groups:
            largest = max(scales[name] for name in group)
            changed = changed or any(scales[name] < largest for name in group)
            scales |= dict.fromkeys(group, largest)
