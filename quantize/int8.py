"""The INT8 model of a bundle: Q/DQ laid into its FP16 one, where the engine contract wants them.

modelopt's own placement also puts the blend ``w*V + (1-w)*T + r`` on the int8 picture, which caps PSNR at 53 dB and
counts as no convolution; so its calibration gives the scales, and the pairs are laid here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from quantize.fp16 import cast
from quantize.graph import Graph, serialise
from quantize.ranges import Inputs, Method, activation_scales, residual_additions
from quantize.rounding import Weights, round_weights


@dataclass(frozen=True)
class Recipe:
    """All that one method found out about a student; any choice of layers is made of it without calibrating again.

    Attributes:
        method: of the activations' ranges.
        equal: the equalised model in FP32.
        narrow: the same in FP16.
        scales: step of each activation that may become int8.
        weights: of each convolution, by name, in the order they are computed.
    """

    method: Method
    equal: onnx.ModelProto
    narrow: onnx.ModelProto
    scales: Mapping[str, np.float16]
    weights: Mapping[str, Weights]


def make_recipe(equal: onnx.ModelProto, frames: Inputs, method: Method, *, seed: int) -> Recipe:
    """Calibrate and round.

    Args:
        equal: FP32, of ``equalize``, or of fine-tuning with weights that int8 holds exactly as they are.
        frames: to calibrate on.
        method: of the activations' ranges.
        seed: of the positions that rounding looks at.

    Raises:
        RunError: no range could be calibrated.
        InputError: the model computes NaN or infinity, or weights that FP16 cannot hold.
    """
    scales = activation_scales(equal, frames, method)
    weights = round_weights(equal, frames, scales, seed=seed)
    narrow = cast(equal)
    Graph(narrow).part_constants()
    return Recipe(method, equal, narrow, scales, weights)


def to_int8(recipe: Recipe, keep: Collection[str] = ()) -> bytes:
    """The INT8 model; convolutions in ``keep`` stay FP16.

    Inputs of the others are int8, and both inputs of a residual Add that one of them reads.
    """
    model = onnx.ModelProto()
    model.CopyFrom(recipe.narrow)
    graph = Graph(model)
    chosen = [node for name, node in graph.nodes.items() if name in recipe.weights and name not in keep]
    additions = residual_additions(graph, readers={node.name for node in chosen})
    rounded = dict.fromkeys([*(node.input[0] for node in chosen), *(name for node in additions for name in node.input)])
    pairs = {tensor: _activation_pair(graph, tensor, recipe.scales[tensor]) for tensor in rounded}
    weights = [_weights(graph, node, recipe.weights[node.name]) for node in chosen]
    for node in chosen:
        node.input[0] = pairs[node.input[0]][1].output[0]
    for node in additions:
        node.input[:] = [pairs[tensor][1].output[0] for tensor in node.input]
    ordered = [*weights, *pairs.get(model.graph.input[0].name, ())]
    for node in model.graph.node:
        ordered += [node, *(part for tensor in node.output for part in pairs.get(tensor, ()))]
    del model.graph.node[:]
    model.graph.node.extend(ordered)
    return serialise(model)


def _activation_pair(graph: Graph, tensor: str, step: np.float16) -> tuple[onnx.NodeProto, onnx.NodeProto]:
    scale, zero, levels, rounded = (f"{tensor}/{part}" for part in ("scale", "zero", "int8", "rounded"))
    graph.store(scale, np.array(step, np.float16))
    graph.store(zero, np.array(0, np.int8))
    return (
        helper.make_node("QuantizeLinear", [tensor, scale, zero], [levels], f"{tensor}/quantize"),
        helper.make_node("DequantizeLinear", [levels, scale, zero], [rounded], f"{tensor}/dequantize"),
    )


def _weights(graph: Graph, node: onnx.NodeProto, weights: Weights) -> onnx.NodeProto:
    """Store a convolution's int8 weights; returns what dequantizes the weights for it."""
    name = node.input[1]
    levels, scale, zero, rounded = (f"{name}/{part}" for part in ("int8", "scale", "zero", "rounded"))
    graph.store(levels, weights.levels)
    graph.store(scale, weights.steps)
    graph.store(zero, np.zeros(len(weights.steps), np.int8))
    graph.drop(name)
    node.input[1] = rounded
    return helper.make_node("DequantizeLinear", [levels, scale, zero], [rounded], f"{name}/dequantize", axis=0)
