from __future__ import annotations

from collections.abc import Callable

import pytest

pytest.importorskip("modelopt", reason="modelopt comes with [quantize]")

import numpy as np
import onnx
from bundles import small_model

from edgefusion.core.errors import InputError
from quantize.fp16 import to_fp16
from quantize.graph import Graph, parse
from quantize.int8 import Recipe, to_int8
from quantize.verify import verify

Damage = Callable[[Graph], None]


def _zero_point(graph: Graph) -> None:
    graph.store("x/zero", np.array(3, np.int8))


def _unsigned(graph: Graph) -> None:
    graph.store("x/zero", np.array(0, np.uint8))


def _half_int8(graph: Graph) -> None:
    node = next(node for node in graph.of_kind("Conv") if node.input[0] == "x/rounded")
    node.input[0] = "x"


def _blend(graph: Graph) -> None:
    node = next(node for node in graph.of_kind("Slice") if node.input[0] == "x")
    node.input[0] = "x/rounded"


def _one_weight_scale(graph: Graph) -> None:
    graph.store("body.0.weight/scale", np.array(0.01, np.float16))
    graph.store("body.0.weight/zero", np.array(0, np.int8))


def _negative(graph: Graph) -> None:
    graph.store("x/scale", np.array(-0.01, np.float16))


def _cast(graph: Graph) -> None:
    node = graph.makers["y"]
    node.output[0] = "y/wide"
    made = onnx.helper.make_node("Cast", ["y/wide"], ["y"], "y/cast", to=onnx.TensorProto.FLOAT16)
    graph.model.graph.node.append(made)


def _dynamic(graph: Graph) -> None:
    graph.model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"


def _nan(graph: Graph) -> None:
    graph.store("body.0.bias", np.full(32, np.nan, np.float16))


def _opset(graph: Graph) -> None:
    graph.model.opset_import[0].version = 18


DAMAGES: dict[str, tuple[Damage, str]] = {
    "a zero point": (_zero_point, "x/quantize: zero point is not a stored int8 0"),
    "half a convolution": (_half_int8, "input or weights are not int8"),
    "the blend on int8": (_blend, "Slice reads an int8 tensor; it belongs to FP16"),
    "weights with one scale": (_one_weight_scale, "weights without a scale per output channel"),
    "a negative scale": (_negative, "x/quantize: a scale is not positive"),
    "a Cast at the output": (_cast, "y: a Cast stands at it"),
    "a size left open": (_dynamic, r"x: shape \[1, 32, 0, 24\]"),
    "NaN": (_nan, "body.0.bias: NaN or infinity"),
    "another opset": (_opset, "not a valid ONNX model"),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", DAMAGES)
def test_a_broken_rule_is_named_with_its_node(recipe: Recipe, name: str) -> None:
    damage, message = DAMAGES[name]
    model = onnx.load_model_from_string(to_int8(recipe))
    damage(Graph(model))
    with pytest.raises(InputError, match=message):
        verify(model.SerializeToString(), "int8")


def test_each_precision_keeps_its_own_types(recipe: Recipe) -> None:
    models = {"fp32": small_model(), "fp16": to_fp16(small_model()), "int8": to_int8(recipe)}
    for precision, model in models.items():
        verify(model, precision)  # type: ignore[arg-type]
    for model, precision in ((models["fp32"], "fp16"), (models["fp16"], "fp32"), (models["int8"], "fp16")):
        with pytest.raises(InputError, match=f"the {precision} model breaks the engine contract"):
            verify(model, precision)


def test_a_model_with_open_shapes_is_refused_at_the_door() -> None:
    model = onnx.load_model_from_string(small_model())
    model.graph.input[0].type.tensor_type.shape.dim[3].dim_param = "width"
    with pytest.raises(InputError, match="the shape of x is not fixed"):
        parse(model.SerializeToString())


def test_what_is_no_model_is_refused_at_the_door() -> None:
    with pytest.raises(InputError, match="not a valid ONNX model"):
        parse(b"nothing")
