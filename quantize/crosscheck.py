"""A second opinion on int8 numerics: OpenVINO, which multiplies the integers, against the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import onnx
import openvino as ov

from quantize.gate import psnr_db
from quantize.graph import Graph, add_outputs, resized
from quantize.holdout import Judged
from quantize.reference import Reference

BOUND_DB = 60.0
"""The outputs of the two may differ by this PSNR. A value on the edge between two levels may fall either way."""

LAYER_BOUND = 0.02
"""Share of a layer's root mean square by which the two may differ there."""

Tensor = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Agreement:
    """How near OpenVINO comes to the reference.

    Attributes:
        psnr_db: of the two outputs, of the worst pair.
        bound_db: what it should reach.
        layer: the first convolution whose outputs differ beyond ``LAYER_BOUND``, or None where the bound is kept.
        layer_difference: of that layer, as a share of its root mean square.
    """

    psnr_db: float
    bound_db: float = BOUND_DB
    layer: str | None = None
    layer_difference: float | None = None

    @property
    def holds(self) -> bool:
        """Whether the bound is kept."""
        return self.psnr_db >= self.bound_db


def compare(model: bytes, pairs: Sequence[Judged]) -> Agreement:
    """Compute a model by both for a few pairs; where they disagree, find the first layer that does."""
    reference = Reference(model)
    errors = [float(np.mean((_openvino(model, pair.x)[0] - reference(pair.x)[0]) ** 2)) for pair in pairs]
    worst = int(np.argmax(errors))
    found = Agreement(psnr_db(errors[worst]))
    if found.holds:
        return found
    name, difference = _first_layer(model, pairs[worst].x)
    return Agreement(found.psnr_db, layer=name, layer_difference=difference)


def _first_layer(model: bytes, x: Tensor) -> tuple[str | None, float]:
    graph = Graph(onnx.load_model_from_string(model))
    nodes = list(graph.of_kind("Conv"))
    names = [node.output[0] for node in nodes]
    _, *ours = Reference(model, also=names)(x)
    _, *theirs = _openvino(add_outputs(model, names), x)
    differences = [float(np.sqrt(np.mean((a - b) ** 2) / np.mean(a**2))) for a, b in zip(ours, theirs, strict=True)]
    for node, difference in zip(nodes, differences, strict=True):
        if difference > LAYER_BOUND:
            return str(node.name), difference
    return None, max(differences)


@lru_cache(maxsize=1)
def _core() -> ov.Core:
    return ov.Core()


def _openvino(model: bytes, x: Tensor) -> list[Tensor]:
    """All outputs of a model in OpenVINO, computed in f32 where not in int8."""
    read = _core().read_model(resized(model, (x.shape[2] * 4, x.shape[1] * 4)))
    compiled = _core().compile_model(read, "CPU", {"INFERENCE_PRECISION_HINT": ov.Type.f32})
    narrow = np.float16 if read.input(0).get_element_type() == ov.Type.f16 else np.float32
    return [np.asarray(result[0], np.float32) for result in compiled([x[None].astype(narrow)]).values()]
