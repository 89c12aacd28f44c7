from __future__ import annotations

import pytest

pytest.importorskip("modelopt", reason="modelopt comes with [quantize]")

import numpy as np
import onnx
from bundles import small_model
from onnx import helper, numpy_helper

from edgefusion.core.errors import InputError
from quantize.fp16 import to_fp16
from quantize.reference import Reference
from quantize.verify import verify


def small(operator: str = "Add", weight: float = 0.5) -> bytes:
    value = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 4]) for name in ("x", "y")]
    weights = numpy_helper.from_array(np.full(4, weight, np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node(operator, ["x", "w"], ["y"], "n")], "g", value[:1], value[1:], [weights]
    )
    return bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)]).SerializeToString())


def test_every_float_becomes_fp16_without_a_cast() -> None:
    content = to_fp16(small_model())
    verify(content, "fp16")
    model = onnx.load_model_from_string(content)
    weights = {w.data_type for w in model.graph.initializer} - {onnx.TensorProto.INT64}
    assert weights == {onnx.TensorProto.FLOAT16}
    assert "Cast" not in {node.op_type for node in model.graph.node}


def test_the_shipped_fp16_model_is_the_fp32_one_to_60_db() -> None:
    x = np.random.default_rng(0).random((32, 18, 24)).astype(np.float32)
    x[..., :9, :] = x[..., :1, :1]
    exact, narrow = (Reference(model)(x)[0].astype(np.float64) for model in (small_model(), to_fp16(small_model())))
    assert -10 * np.log10(np.mean((narrow - exact) ** 2)) >= 60


def test_the_same_model_gives_the_same_bytes() -> None:
    assert to_fp16(small_model()) == to_fp16(small_model())


@pytest.mark.parametrize(
    ("model", "message"), [(small("Pow"), "operator Pow of node n"), (small("Add", 1e5), "weights w")]
)
def test_what_fp16_cannot_hold_is_named(model: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        to_fp16(model)
