"""Ranges of activations: which tensors become int8, and the scale that modelopt's calibration gives each."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import onnx

from edgefusion.core.errors import RunError
from edgefusion.core.optional import modelopt
from quantize.graph import Graph

Method = Literal["max", "entropy"]
Inputs = npt.NDArray[np.float16]
"""[N, 32, H/4, W/4]: the calibration frames."""

ENTROPY_FRAMES = 64
"""modelopt keeps every activation of every frame in memory for its histograms."""

HEADROOM = 1.25
"""The max method's ranges are widened by this. A few hundred frames of one drive do not hold the largest activation of
the next; clipping it costs far more than a coarser step (docs/quantization.md)."""


def quantized_tensors(graph: Graph) -> list[str]:
    """The activations that become int8: inputs of convolutions, and both inputs of every residual Add, in order."""
    convolutions = [node.input[0] for node in graph.whole_convolutions()]
    additions = [name for node in residual_additions(graph) for name in node.input]
    return list(dict.fromkeys([*convolutions, *additions]))


def residual_additions(graph: Graph, readers: Collection[str] | None = None) -> list[onnx.NodeProto]:
    """Adds of two activations whose sum goes on to a convolution, one of ``readers`` if given; the blend's do not."""
    return [
        node
        for node in graph.of_kind("Add")
        if all(name in graph.makers for name in node.input) and _goes_to(graph, node.output[0], readers)
    ]


def _goes_to(graph: Graph, tensor: str, readers: Collection[str] | None) -> bool:
    return any(
        (readers is None or node.name in readers)
        if node.op_type == "Conv"
        else node.op_type != "Add" and any(_goes_to(graph, name, readers) for name in node.output)
        for node in graph.users(tensor)
    )


def activation_scales(model: onnx.ModelProto, frames: Inputs, method: Method) -> dict[str, np.float16]:
    """The step of int8 for each of ``quantized_tensors``, as FP16 holds it.

    The graph's input is 0..1 by contract, whatever the frames hold.

    Raises:
        RunError: modelopt fails, or an activation is not finite.
    """
    graph = Graph(model)
    wanted = quantized_tensors(graph)
    nodes = [node.name for node in (*graph.whole_convolutions(), *residual_additions(graph))]
    calibrated = dict(_calibrate(model, _spread(frames, method), method, nodes))
    wider = HEADROOM if method == "max" else 1.0
    scales = {name: calibrated.get(name, np.float32(np.nan)) * wider for name in wanted}
    scales[model.graph.input[0].name] = np.float32(1 / 127)
    lost = [name for name, scale in scales.items() if not (np.isfinite(scale) and scale > 0)]
    if lost:
        raise RunError(f"no range of {', '.join(lost)} could be calibrated", remedy="look at the calibration frames")
    return {name: np.float16(upwards(scale)) for name, scale in scales.items()}


def upwards(steps: npt.ArrayLike) -> npt.NDArray[np.float16]:
    """The smallest normal FP16 numbers that hold the range of each step: rounded down they would clip it."""
    exact = np.maximum(np.asarray(steps, np.float32), np.finfo(np.float16).smallest_normal)
    near = exact.astype(np.float16)
    return np.asarray(np.where(near < exact, np.nextafter(near, np.float16(np.inf)), near), np.float16)


def _spread(frames: Inputs, method: Method) -> Inputs:
    if method == "max" or len(frames) <= ENTROPY_FRAMES:
        return frames
    chosen: Inputs = frames[np.linspace(0, len(frames) - 1, ENTROPY_FRAMES).round().astype(int)]
    return chosen


def _calibrate(
    model: onnx.ModelProto, frames: Inputs, method: Method, nodes: list[str]
) -> Iterator[tuple[str, np.float32]]:
    """(tensor, scale) of every activation that modelopt's placement made int8."""
    with tempfile.TemporaryDirectory() as folder, modelopt("onnx.quantization") as quantization:
        source, made = Path(folder) / "model.onnx", Path(folder) / "int8.onnx"
        onnx.save_model(model, str(source))
        try:
            quantization.quantize(
                str(source), "int8", calibration_data_reader=_Reader(model.graph.input[0].name, frames),
                calibration_method=method, calibration_eps=["cpu"], op_types_to_quantize=["Conv", "Add"],
                nodes_to_quantize=nodes, high_precision_dtype="fp32", output_path=str(made), log_level="ERROR",
            )  # fmt: skip
        except Exception as error:  # of any of its libraries
            raise RunError(f"modelopt cannot calibrate ({type(error).__name__}: {error})") from error
        result = Graph(onnx.load_model(str(made)))
    for node in result.of_kind("QuantizeLinear"):
        if not result.stores(node.input[0]):
            yield node.input[0], np.float32(result.array(node.input[1]))


class _Reader:
    """Feeds frames one by one, as ONNX Runtime's calibrators ask for them."""

    def __init__(self, name: str, frames: Inputs) -> None:
        self._name, self._frames = name, frames
        self.rewind()

    def rewind(self) -> None:
        """Begin again."""
        self._left = iter(self._frames)

    def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
        """The next frame, or None after the last."""
        frame = next(self._left, None)
        return None if frame is None else {self._name: frame[None].astype(np.float32)}
