from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx comes with [test] and [train]")

from onnx import helper, numpy_helper  # noqa: E402

from edgefusion.core.bundle import load_bundle  # noqa: E402
from edgefusion.core.errors import InputError  # noqa: E402
from quantize.fp16 import to_fp16  # noqa: E402


def small(operator: str = "Add", weight: float = 0.5) -> bytes:
    value = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 4]) for name in ("x", "y")]
    weights = numpy_helper.from_array(np.full(4, weight, np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node(operator, ["x", "w"], ["y"], "n")], "g", value[:1], value[1:], [weights]
    )
    return bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)]).SerializeToString())


def test_every_float_becomes_fp16_without_a_cast() -> None:
    model = onnx.load_model_from_string(to_fp16(load_bundle().model("fp32").read_bytes()))
    types = {value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)}
    weights = {w.data_type for w in model.graph.initializer} - {onnx.TensorProto.INT64}
    assert types == weights == {onnx.TensorProto.FLOAT16}
    assert "Cast" not in {node.op_type for node in model.graph.node}


# the reference evaluator computes both branches of a sigmoid for every value; the one it does not take may overflow
@pytest.mark.filterwarnings("ignore:.* encountered in :RuntimeWarning")
def test_the_shipped_fp16_model_is_the_fp32_one_to_60_db() -> None:
    from onnx.reference import ReferenceEvaluator

    x = np.random.default_rng(0).random((1, 32, 120, 160)).astype(np.float16)
    x[..., :60, :] = x[..., :1, :1]
    (exact,) = ReferenceEvaluator(str(load_bundle().model("fp32"))).run(None, {"x": x.astype(np.float32)})
    (narrow,) = ReferenceEvaluator(str(load_bundle().model("fp16"))).run(None, {"x": x})
    error = np.mean((narrow.astype(np.float64) - exact) ** 2)
    assert 10 * np.log10(1 / error) >= 60


def test_the_same_model_gives_the_same_bytes() -> None:
    assert to_fp16(small()) == to_fp16(small())


@pytest.mark.parametrize(
    ("model", "message"), [(small("Pow"), "operator Pow of node n"), (small("Add", 1e5), "weights w")]
)
def test_what_fp16_cannot_hold_is_named(model: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        to_fp16(model)
