"""Which convolutions int8 hurts, one at a time, and in which order they go back to FP16 if the gate asks for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

from quantize.gate import Judge, psnr_db
from quantize.graph import Graph
from quantize.int8 import Recipe, to_int8


@dataclass(frozen=True)
class Layer:
    """What int8 in one convolution alone does to the output.

    Attributes:
        name: of its node.
        share: of all multiplications of the network's convolutions.
        sqnr_db: signal to quantization noise of the fused luma.
        psnr_db: peak signal to noise of the same.
        metric: the fusion metric it changes most.
        change: of that metric, as the gate counts it.
        noise: mean squared error.
    """

    name: str
    share: float
    sqnr_db: float
    psnr_db: float
    metric: str
    change: float
    noise: float


def measure(recipe: Recipe, judge: Judge) -> list[Layer]:
    """Every convolution of a recipe, in the order they are computed.

    Args:
        recipe: of one method.
        judge: over a few frames of the calibration set: what decides must not have chosen.
    """
    work = multiplications(recipe.narrow)
    total = sum(work[name] for name in recipe.weights)
    return [_measure(recipe, judge, name, work[name] / total) for name in recipe.weights]


def _measure(recipe: Recipe, judge: Judge, name: str, share: float) -> Layer:
    verdict = judge(to_int8(recipe, keep=recipe.weights.keys() - {name}))
    noise = float(10 ** (-verdict.psnr_db / 10))
    worst = max(verdict.classes[0].changes, key=lambda change: abs(change.change) / change.budget)
    signal = psnr_db(judge.signal)
    return Layer(name, share, verdict.psnr_db - signal, verdict.psnr_db, worst.metric, worst.change, noise)


def cheapest_first(layers: list[Layer]) -> list[str]:
    """Names in the order they go back to FP16: most noise removed for each multiplication that gets slower."""
    return [layer.name for layer in sorted(layers, key=lambda layer: -layer.noise / layer.share)]


def multiplications(model: onnx.ModelProto) -> dict[str, int]:
    """Multiplications of each convolution, by name."""
    inferred = onnx.shape_inference.infer_shapes(model)
    shapes = {
        value.name: [side.dim_value for side in value.type.tensor_type.shape.dim]
        for value in (*inferred.graph.value_info, *inferred.graph.output)
    }
    graph = Graph(model)
    counts = {}
    for node in graph.whole_convolutions():
        counts[node.name] = int(np.prod(graph.value(node.input[1]).shape) * np.prod(shapes[node.output[0]][2:]))
    return counts
