"""Rounding weights to int8 so that what a convolution computes stays the same, not each weight.

Neighbouring phases of a picture are nearly equal, so the errors of a convolution's weights add up instead of averaging
out: rounded to nearest, the shipped student keeps 40 dB. Here every weight is rounded in turn and the error is made
good by those not yet rounded, as the second moments of the inputs say best (GPTQ, Frantar et al., ICLR 2023, section 3,
after Hassibi and Stork's optimal brain surgeon).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx

from quantize.graph import Graph, groups
from quantize.ranges import Inputs, upwards
from quantize.reference import Reference

POSITIONS = 1000
"""Of each frame, at which the inputs of a convolution are looked at."""

DAMPING = 1e-3
"""Share of the mean variance added to each: what the frames do not show must not run away."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Weights:
    """A convolution's int8 weights.

    Attributes:
        levels: [out, in/groups, h, w] int8, -127..127.
        steps: [out] FP16, what one level is worth.
    """

    levels: npt.NDArray[np.int8]
    steps: npt.NDArray[np.float16]


def round_weights(
    model: onnx.ModelProto, frames: Inputs, scales: dict[str, np.float16], *, seed: int
) -> dict[str, Weights]:
    """The int8 weights of every convolution, by name.

    Args:
        model: FP32.
        frames: to look at the inputs of.
        scales: step of each int8 activation.
        seed: of the positions looked at.
    """
    graph = Graph(model)
    convolutions = graph.whole_convolutions()
    looks = {node.name: _looked_at(graph, node) for node in convolutions}
    for number, values in enumerate(_rounded_inputs(model, frames, {node.input[0] for node in convolutions}, scales)):
        for node in convolutions:
            if look := looks[node.name]:
                look.add(values[node.input[0]], np.random.default_rng((seed, number)))
    return {node.name: _rounded(graph, node, looks[node.name]) for node in convolutions}


def _rounded_inputs(
    model: onnx.ModelProto, frames: Inputs, names: set[str], scales: dict[str, np.float16]
) -> Iterator[dict[str, Array]]:
    """For each frame, each convolution's input [C, H, W] as int8 has it."""
    source = model.graph.input[0].name
    inside = sorted(names - {source})
    reference = Reference(model.SerializeToString(), also=inside)
    for frame in frames:
        _, *seen = reference(frame)
        values = dict(zip([*inside, source], [*seen, frame], strict=True))
        yield {name: as_int8(values[name], scales[name]) for name in names}


def as_int8(values: npt.ArrayLike, step: npt.ArrayLike) -> Array:
    """What is left of values when they are rounded to int8 and back."""
    wide = np.asarray(step, np.float64)
    return np.asarray(np.clip(np.rint(np.asarray(values) / wide), -128, 127) * wide)


class _Look:
    """What the inputs of one convolution look like: sums over positions of all frames.

    Args:
        node: a convolution without groups or dilation.
        kernel: its (height, width).
        channels: of its input.
    """

    def __init__(self, node: onnx.NodeProto, kernel: tuple[int, int], channels: int) -> None:
        self._pads = _attribute(node, "pads", [0, 0, 0, 0])
        self._strides = _attribute(node, "strides", [1, 1])
        self._kernel = kernel
        size = channels * kernel[0] * kernel[1]
        self._squares = np.zeros((size, size))

    def add(self, planes: Array, draw: np.random.Generator) -> None:
        """Take in some positions of one frame's input [C, H, W], as int8 has it."""
        top, left, bottom, right = self._pads
        padded = np.pad(planes, ((0, 0), (top, bottom), (left, right)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, self._kernel, axis=(1, 2))
        windows = windows[:, :: self._strides[0], :: self._strides[1]]
        rows, columns = (draw.integers(side, size=POSITIONS) for side in windows.shape[1:3])
        seen = windows[:, rows, columns].transpose(1, 0, 2, 3).reshape(POSITIONS, -1)
        self._squares += seen.T @ seen

    def moments(self) -> Array:
        """[K, K]: second moments, damped, about zero: the next scene's mean is not this one's."""
        mean = np.trace(self._squares) / len(self._squares)
        damping = max(DAMPING * mean, float(np.finfo(float).tiny))
        return np.asarray(self._squares + damping * np.eye(len(self._squares)))


def _attribute(node: onnx.NodeProto, name: str, default: list[int]) -> list[int]:
    return next((list(entry.ints) for entry in node.attribute if entry.name == name), default)


def _looked_at(graph: Graph, node: onnx.NodeProto) -> _Look | None:
    """A look at the convolution's inputs, or None where weights are few for each output and rounded to nearest."""
    _, channels, *kernel = graph.value(node.input[1]).shape
    plain = set(_attribute(node, "dilations", [1])) == {1} and groups(node) == 1
    return _Look(node, (kernel[0], kernel[1]), channels) if plain else None


def _rounded(graph: Graph, node: onnx.NodeProto, look: _Look | None) -> Weights:
    weights = graph.array(node.input[1]).astype(np.float64)
    flat = weights.reshape(len(weights), -1)
    steps = upwards(np.abs(flat).max(axis=1) / 127)
    wanted = flat / steps.astype(np.float64)[:, None]
    levels = _filled(wanted, look.moments()) if look else _nearest(wanted)
    return Weights(levels.reshape(weights.shape).astype(np.int8), steps)


def _nearest(values: Array) -> Array:
    return np.asarray(np.clip(np.rint(values), -127, 127))


def _filled(wanted: Array, moments: Array) -> Array:
    """As ``_in_turn``, with a level of 127 in every row: by it TensorRT's own rounding finds the step (``dla``)."""
    levels = _in_turn(wanted, moments, np.zeros(wanted.shape, bool))
    sizes = np.abs(wanted)
    short = (np.abs(levels).max(axis=1) < 127) & (sizes.max(axis=1) > 126)  # a step of ``upwards``'s least is coarser
    if short.any():
        levels[short] = _in_turn(wanted[short], moments, (sizes == sizes.max(axis=1, keepdims=True))[short])
    return levels


def _in_turn(wanted: Array, moments: Array, full: npt.NDArray[np.bool_]) -> Array:
    """[out, K] weights in steps, rounded; the error of each goes to those not yet rounded, largest moment first.

    Those in ``full`` become 127 or -127.
    """
    order = np.argsort(-np.diag(moments), kind="stable")
    left, ends, limits = wanted[:, order], full[:, order], 127 * np.sign(wanted[:, order])
    inverse = np.linalg.inv(moments[np.ix_(order, order)])
    factor = np.linalg.cholesky((inverse + inverse.T) / 2).T
    rounded = np.empty_like(left)
    for column in range(left.shape[1]):
        rounded[:, column] = np.where(ends[:, column], limits[:, column], _nearest(left[:, column]))
        error = (left[:, column] - rounded[:, column]) / factor[column, column]
        left[:, column + 1 :] -= np.outer(error, factor[column, column + 1 :])
    levels = np.empty_like(rounded)
    levels[:, order] = rounded
    return levels
