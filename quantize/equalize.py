"""Cross-layer equalisation: the same network with every channel of an activation in one range.

One scale serves a whole activation, so a channel of a tenth of the largest range has a tenth of the int8 levels. ReLU
lets a factor through: channel c of a convolution divided by s_c, and what the next ones make of it multiplied by s_c,
compute the same. With s_c the channel's own range all channels fill the scale (Nagel et al., "Data-Free Quantization
Through Weight Equalization and Bias Correction", ICCV 2019, equations 7 and 11; there s also balances the weights,
which need none where each output channel has a scale of its own).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx

from quantize.graph import Graph, groups
from quantize.ranges import Inputs
from quantize.reference import Reference

SMALLEST_SHARE = 1e-3
"""Of the largest range: a channel that is always zero is left about as it is."""


def equalize(model: onnx.ModelProto, frames: Inputs) -> onnx.ModelProto:
    """The model with equalised channels, wherever ReLU stands between convolutions alone.

    Args:
        model: FP32.
        frames: whose largest activations are the ranges.
    """
    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = Graph(made)
    graph.part_constants()
    links = [node for node in graph.of_kind("Relu") if _between_convolutions(graph, node)]
    ranges = _channel_ranges(model, frames, [node.output[0] for node in links])
    for node, largest in zip(links, ranges, strict=True):
        factors = np.maximum(largest, max(float(largest.max()), 1e-6) * SMALLEST_SHARE)
        _divide(graph, graph.makers[node.input[0]], factors)
        for user in graph.users(node.output[0]):
            _multiply(graph, user, factors)
    return made


def _between_convolutions(graph: Graph, relu: onnx.NodeProto) -> bool:
    maker, users = graph.makers.get(relu.input[0]), graph.users(relu.output[0])
    whole = [node.name for node in graph.whole_convolutions() if groups(node) == 1]
    return (
        maker is not None
        and maker.name in whole
        and len(graph.users(relu.input[0])) == 1
        and all(user.name in whole for user in users)
    )


def _channel_ranges(model: onnx.ModelProto, frames: Inputs, names: list[str]) -> list[npt.NDArray[np.float32]]:
    """The largest value of each channel of each tensor, over all frames: [channels] each."""
    reference = Reference(model.SerializeToString(), also=names)
    largest = [np.float32(0)] * len(names)
    for frame in frames:
        _, *seen = reference(frame)
        largest = [np.maximum(old, new.max(axis=(1, 2))) for old, new in zip(largest, seen, strict=True)]
    return [np.asarray(each, np.float32) for each in largest]


def _divide(graph: Graph, convolution: onnx.NodeProto, factors: npt.NDArray[np.float32]) -> None:
    for name in convolution.input[1:]:
        values = graph.array(name)
        graph.store(name, values / factors.reshape(-1, *[1] * (values.ndim - 1)))


def _multiply(graph: Graph, convolution: onnx.NodeProto, factors: npt.NDArray[np.float32]) -> None:
    name = convolution.input[1]
    graph.store(name, graph.array(name) * factors[None, :, None, None])
