"""Small ONNX detectors whose answers are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Floats = NDArray[np.float32]
CELLS = {64: 64 + 16 + 4, 32: 16 + 4 + 1}
"""Cells of 8, 16 and 32 pixels in a square of this side."""

NAMES = ("person", "car")


def constant_model(
    path: Path, *outputs: Floats, size: tuple[int | str, int | str] = (64, 64), names: dict[int, str] | None = None
) -> Path:
    """A model that gives the same outputs for every image of (width, height)."""
    shape: list[Any] = [1, 3, size[1], size[0]]
    zero = numpy_helper.from_array(np.zeros((), np.float32), "zero")
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),  # constants alone would not depend on the input
    ]
    tensors = [zero]
    for number, output in enumerate(outputs):
        tensors.append(numpy_helper.from_array(output.astype(np.float32), f"constant{number}"))
        nodes.append(helper.make_node("Add", [f"constant{number}", "nothing"], [f"output{number}"]))
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(f"output{k}", TensorProto.FLOAT, each.shape) for k, each in enumerate(outputs)],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if names is not None:
        helper.set_model_props(model, {"names": str(names)})
    onnx.save(model, str(path))
    return path


def echo_model(path: Path, output: Floats, place: tuple[int, ...]) -> Path:
    """A model that adds the mean of its input's first channel, over 1000, to one number of its output."""
    constant_model(path, output)
    model = onnx.load(str(path))
    where = np.zeros_like(output)
    where[place] = 1 / 1000
    model.graph.initializer.append(numpy_helper.from_array(where, "where"))
    first = [
        helper.make_node("Split", ["image"], ["first", "second", "third"], axis=1, num_outputs=3),
        helper.make_node("ReduceMean", ["first"], ["level"], keepdims=0),
        helper.make_node("Mul", ["where", "level"], ["nothing"]),
    ]
    add = [node for node in model.graph.node if node.op_type == "Add"]
    del model.graph.node[:]
    model.graph.node.extend([*first, *add])
    model.opset_import[0].version = 18
    onnx.save(model, str(path))
    return path


def bright_model(path: Path, *, cells: int = 4, names: tuple[str, ...] | None = NAMES, gain: float = 1.0) -> Path:
    """A FastestDet of 64x64 pixels in cells x cells: a person in each cell, as sure as the cell is bright.

    With ``names`` None the file does not state its two classes.
    """
    side = 64 // cells
    shape = (1, 4, cells, cells)
    box = np.zeros(shape, np.float32)
    box[0, :2], box[0, 2:] = np.arctanh(0.5), -np.log(cells - 1)  # the cell itself
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["grey"], axes=[1]),
        helper.make_node("AveragePool", ["grey"], ["pooled"], kernel_shape=[side, side], strides=[side, side]),
        helper.make_node("Mul", ["pooled", "gain"], ["level"]),
        helper.make_node("Concat", ["level", "box", "person", "car"], ["output"], axis=1),
    ]
    plane = np.ones((1, 1, cells, cells))
    constants = {"gain": np.full((), gain), "box": box, "person": plane, "car": 0 * plane}
    graph = helper.make_graph(
        nodes,
        "bright",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 64, 64])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 7, cells, cells])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if names is not None:
        helper.set_model_props(model, {"names": str(dict(enumerate(names)))})
    onnx.save(model, str(path))
    return path
