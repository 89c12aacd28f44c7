from __future__ import annotations

import json
import shutil
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("modelopt", reason="modelopt comes with [quantize]")

import numpy as np
import onnx
from bundles import small_bundle, small_model
from click.testing import Result
from onnx import helper, numpy_helper
from students import RESNET, shaken

from edgefusion.core.bundle import Bundle, load_bundle
from edgefusion.core.calibration import CalibrationSet
from edgefusion.core.dla import read_cache
from edgefusion.core.optional import modelopt
from quantize.dla import Dla, make_dla
from quantize.dla_rules import Shapes, place
from quantize.equalize import equalize
from quantize.graph import Graph, parse, serialise
from quantize.holdout import of_calibration
from quantize.int8 import Recipe, make_recipe, to_int8
from quantize.ranges import Inputs
from quantize.reference import Reference

Call = Callable[..., Result]
UNIT = pytest.approx(1 / 127, rel=1e-6)


@pytest.fixture(scope="module")
def dla(recipe: Recipe, frames: Inputs) -> Dla:
    return make_dla(recipe, frames)


@pytest.fixture(scope="module")
def resnet(frames: Inputs) -> tuple[Recipe, Dla]:
    """A student with pooling, a residual Add and operators that no DLA has."""
    from distill.export import to_onnx

    with tempfile.TemporaryDirectory() as folder:
        student = shaken(RESNET, Path(folder)).fold()
    recipe = make_recipe(equalize(parse(to_onnx(student, (96, 72))), frames), frames, "max", seed=0)
    return recipe, make_dla(recipe, frames)


def graph_of(dla: Dla) -> Graph:
    return Graph(onnx.load_model_from_string(dla.model))


def tensors(dla: Dla) -> list[str]:
    return ["x", *(name for node in graph_of(dla).model.graph.node for name in node.output)]


def int8_names(dla: Dla) -> set[str]:
    return {layer.node for layer in dla.layers.layers if layer.precision == "int8"}


def psnr(one: Callable[[Any], Any], other: bytes, calibration: CalibrationSet) -> float:
    exact = Reference(other)
    errors = [np.mean((one(pair.x)[0] - exact(pair.x)[0]) ** 2) for pair in of_calibration(calibration).pairs]
    return float(-10 * np.log10(np.mean(errors)))


def test_the_cache_has_a_scale_for_every_tensor_as_nvidia_reads_it(dla: Dla, tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(dla.files()["dla/calibration.cache"])
    with modelopt("onnx.quantization.calib_utils") as theirs:
        read = theirs.import_scales_from_calib_cache(str(tmp_path / "cache"))
    exact = {name: struct.unpack("f", struct.pack("f", scale))[0] for name, scale in dla.scales.items()}
    assert read == {f"{name}_scale": scale for name, scale in exact.items()}
    assert list(exact) == tensors(dla)
    assert read_cache(dla.files()["dla/calibration.cache"]) == exact


def test_the_model_is_plain_and_no_constant_is_an_operand(dla: Dla) -> None:
    parse(dla.model)
    graph = graph_of(dla)
    kinds = {node.op_type for node in graph.model.graph.node}
    assert kinds == {"Conv", "Relu", "Slice", "Sigmoid", "Sub", "Mul", "Add", "Clip"}
    assert not any(graph.stores(name) for node in graph.of_kind("Add", "Sub", "Mul") for name in node.input)


def test_differences_written_as_such_compute_the_same(recipe: Recipe, frames: Inputs) -> None:
    plain = make_dla(recipe, frames[:1], keep=recipe.weights)
    x = np.asarray(frames[0], np.float32)
    assert np.abs(Reference(plain.model)(x)[0] - Reference(serialise(recipe.equal))(x)[0]).max() < 1e-6
    assert int8_names(plain) == set()


@pytest.mark.parametrize("which", ["shipped", "resnet"])
def test_tensorrts_rounding_of_weights_finds_the_int8_models_levels(
    which: str, recipe: Recipe, dla: Dla, resnet: tuple[Recipe, Dla]
) -> None:
    recipe, dla = (recipe, dla) if which == "shipped" else resnet
    graph, seen = graph_of(dla), 0
    for node in graph.of_kind("Conv"):
        if node.name not in int8_names(dla):
            continue
        weights, ours = graph.array(node.input[1]), recipe.weights[node.name]
        largest = np.abs(weights).max(axis=(1, 2, 3))
        found = np.rint(weights / (largest / np.float32(127))[:, None, None, None])
        told = largest > 0.008  # under it FP16 holds no step as fine
        assert told.any()
        assert np.array_equal(found[told], ours.levels[told])
        assert np.array_equal((largest / np.float32(127))[told], ours.steps.astype(np.float32)[told])
        seen += 1
    assert seen >= 2


def test_the_shipped_student_runs_on_the_dla_alone(dla: Dla) -> None:
    assert dla.layers.on_gpu == ()
    assert int8_names(dla) == {"node_conv2d", "node_relu", "node_conv2d_1", "node_relu_1"}
    assert dla.layers.gate == "int8"
    assert "not yet run on hardware" in dla.layers.basis


def test_a_timm_student_falls_back_where_it_must_and_says_why(resnet: tuple[Recipe, Dla]) -> None:
    falling = {layer.node: layer.why for layer in resnet[1].layers.on_gpu}
    assert falling.keys() == {"node_pixel_shuffle", "node_mul", "node_add", "node_mul_1"}
    assert falling["node_pixel_shuffle"] == "DepthToSpace is not among the layers that a DLA takes"
    assert "a constant operand" in falling["node_mul"]


def test_ranges_known_by_contract_are_exact_and_others_are_the_int8_models(dla: Dla, recipe: Recipe) -> None:
    assert {name: dla.scales[name] for name in ("x", "y", "sigmoid")} == dict.fromkeys(("x", "y", "sigmoid"), UNIT)
    assert dla.scales["relu"] == recipe.scales["relu"]
    assert dla.scales["relu_1"] == recipe.scales["relu_1"]


def test_slices_and_what_a_relu_reads_share_scales(dla: Dla, resnet: tuple[Recipe, Dla]) -> None:
    for made in (dla, resnet[1]):
        graph = graph_of(made)
        for node in graph.of_kind("Slice", "Relu", "Clip", "MaxPool"):
            assert made.scales[node.input[0]] == made.scales[node.output[0]], node.name


def test_every_range_holds_what_the_frames_show(dla: Dla, frames: Inputs) -> None:
    names = [name for name in tensors(dla) if name not in ("x", "y")]
    clipped = {graph_of(dla).nodes[name].input[0] for name in ("node_relu", "node_relu_1", "node_Clip_62")}
    for frame in frames:
        _, *seen = Reference(dla.model, also=names)(frame)
        largest = {name: np.abs(values).max() for name, values in zip(names, seen, strict=True)}
        assert all(largest[name] <= 127 * dla.scales[name] for name in names if name not in clipped)


def test_a_tensor_that_is_always_zero_has_a_scale(recipe: Recipe, frames: Inputs) -> None:
    assert all(scale > 0 for scale in make_dla(recipe, np.zeros_like(frames[:1])).scales.values())


def test_inputs_of_an_int8_sum_have_one_scale(frames: Inputs) -> None:
    """As DLA wants it; here the sum of two ReLUs goes to a convolution."""
    model = onnx.load_model_from_string(small_model())
    nodes = {node.name: node for node in model.graph.node}
    added = helper.make_node("Add", ["relu", "relu_1"], ["sum"], "sum")
    nodes["node_conv2d_2"].input[0] = "sum"
    model.graph.node.insert(list(model.graph.node).index(nodes["node_conv2d_2"]), added)
    made = make_dla(make_recipe(equalize(parse(model.SerializeToString()), frames), frames, "max", seed=0), frames)
    assert "sum" in int8_names(made)
    assert made.scales["relu"] == made.scales["relu_1"]


def test_without_rounded_activations_it_is_nearer_to_fp32_than_int8(
    dla: Dla, recipe: Recipe, calibration: CalibrationSet
) -> None:
    int8 = to_int8(recipe)
    plain = psnr(Reference(dla.model), small_model(), calibration)
    assert plain > psnr(Reference(int8), small_model(), calibration)
    assert psnr(Reference(dla.model), int8, calibration) > 50


def test_a_dla_that_rounds_all_it_can_is_as_near_as_the_int8_model(
    dla: Dla, recipe: Recipe, calibration: CalibrationSet
) -> None:
    """So the gate of int8 speaks for it."""
    rounded = psnr(rounding_all(dla), small_model(), calibration)
    assert rounded > psnr(Reference(to_int8(recipe)), small_model(), calibration) - 0.5


def rounding_all(dla: Dla) -> Callable[[Any], Any]:
    """The model with Q/DQ on every input and output of its int8 layers, but where ReLU is fused."""
    import onnxruntime

    graph, ordered = graph_of(dla), []
    chosen = [node for node in graph.model.graph.node if node.name in int8_names(dla)]
    fused = {node.input[0] for node in chosen if node.op_type == "Relu"}
    kept = {name for node in chosen for name in (node.input[0], *node.output)} - fused
    for name in kept:
        graph.store(f"{name}/scale", np.array(dla.scales[name], np.float32))
        graph.store(f"{name}/zero", np.array(0, np.int8))
    for node in graph.model.graph.node:
        if node in chosen or node.input[0] != "x":
            node.input[:] = [f"{name}/rounded" if name in kept else name for name in node.input]
        ordered += [node, *(part for name in node.output if name in kept for part in pair(name))]
    del graph.model.graph.node[:]
    graph.model.graph.node.extend([*(pair("x") if "x" in kept else []), *ordered])
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(graph.model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {"x": x[None].astype(np.float32)})[0]


def pair(name: str) -> list[onnx.NodeProto]:
    around = [f"{name}/scale", f"{name}/zero"]
    return [
        helper.make_node("QuantizeLinear", [name, *around], [f"{name}/int8"], f"{name}/quantize"),
        helper.make_node("DequantizeLinear", [f"{name}/int8", *around], [f"{name}/rounded"], f"{name}/dequantize"),
    ]


def test_convolutions_that_went_back_to_fp16_do_so_here(recipe: Recipe, dla: Dla, frames: Inputs) -> None:
    first = make_dla(recipe, frames[:1], keep=["node_conv2d"])
    assert int8_names(first) == int8_names(dla) - {"node_conv2d", "node_relu"} | {"node_conv2d_1", "node_relu_1"}
    made = make_dla(recipe, frames[:1], keep=["node_conv2d_1"])
    assert int8_names(made) == set()  # the next two make what FP16 reads, and the first what this one reads
    equal = Graph(recipe.equal)
    weights = graph_of(made).nodes["node_conv2d_1"].input[1]
    assert np.array_equal(graph_of(made).array(weights), equal.array(weights))


def test_the_same_frames_and_seed_give_the_same_bytes(dla: Dla, frames: Inputs) -> None:
    again = make_recipe(equalize(parse(small_model()), frames), frames, "max", seed=0)
    assert make_dla(again, frames).files() == dla.files()


def placed(op: str, shape: tuple[int, ...] = (1, 8, 6, 6), inputs: int = 1, **attributes: Any) -> tuple[str, str]:
    """Where a node of some operator and attributes runs; ``constants`` are its further inputs."""
    constants = [np.asarray(value) for value in attributes.pop("constants", ())]
    names = [f"c{number}" for number in range(len(constants))]
    given = [helper.make_tensor_value_info(f"x{n}", onnx.TensorProto.FLOAT, shape) for n in range(inputs)]
    node = helper.make_node(op, [value.name for value in given] + names, ["y"], "n", **attributes)
    made = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)
    stored = [numpy_helper.from_array(value, name) for value, name in zip(constants, names, strict=True)]
    model = helper.make_model(helper.make_graph([node], "g", given, [made], stored))
    del model.graph.output[:]
    return place(Graph(model), Shapes(model), node)


def kernel(side: int, **more: Any) -> dict[str, Any]:
    return {"constants": [np.zeros((4, 8, side, side), np.float32)], **more}


STARTS = [np.array([0]), np.array([2]), np.array([1])]
TAKEN: dict[str, dict[str, Any]] = {
    "a convolution": {"op": "Conv", **kernel(3, pads=[1] * 4)},
    "clipped at 6": {"op": "Clip", "constants": [np.float32(0), np.float32(6)]},
    "a sum": {"op": "Add", "inputs": 2},
    "some channels": {"op": "Slice", "constants": STARTS},
    "joined channels": {"op": "Concat", "inputs": 2, "axis": 1},
    "pooling": {"op": "MaxPool", "kernel_shape": [3, 3], "strides": [2, 2]},
}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "large kernel": ({"op": "Conv", **kernel(33, pads=[16] * 4)}, "kernel side 33, not in 1..32"),
    "long stride": ({"op": "Conv", **kernel(3, strides=[9, 9])}, "stride 9, not in 1..8"),
    "wide padding": ({"op": "Conv", **kernel(3, pads=[3] * 4)}, "padding 3 as wide as the kernel"),
    "computed weights": ({"op": "Conv", "inputs": 2}, "weights that are computed"),
    "clipped at 0.5": ({"op": "Clip", "constants": [np.float32(0), np.float32(0.5)]}, "no clipped ReLU"),
    "clipped from -1": ({"op": "Clip", "constants": [np.float32(-1), np.float32(1)]}, "no clipped ReLU"),
    "a constant operand": ({"op": "Mul", "constants": [np.float32(2)]}, "a constant operand"),
    "some of the batch": ({"op": "Slice", "constants": [np.array([0]), np.array([1]), np.array([0])]}, "the batch"),
    "joined rows": ({"op": "Concat", "inputs": 2, "axis": 2}, "other axes than channels"),
    "large pool": ({"op": "MaxPool", "kernel_shape": [9, 9], "pads": [4] * 4}, "kernel side 9, not in 1..8"),
    "rounded up": ({"op": "MaxPool", "kernel_shape": [2, 2], "ceil_mode": 1}, "rounded up"),
    "three dimensions": ({"op": "Relu", "shape": (8, 6, 6)}, "without four dimensions"),
    "a long side": ({"op": "Relu", "shape": (1, 1, 1, 8193)}, "side 8193, not in 1..8192"),
    "a large batch": ({"op": "Relu", "shape": (4097, 1, 1, 1)}, "batch 4097, not in 1..4096"),
    "another operator": ({"op": "Erf"}, "Erf is not among the layers"),
}  # fmt: skip


@pytest.mark.parametrize("name", TAKEN)
def test_within_the_documented_limits_a_layer_runs_on_the_dla(name: str) -> None:
    assert placed(**TAKEN[name])[0] == "DLA"


@pytest.mark.parametrize("name", REFUSED)
def test_beyond_them_it_falls_back_and_says_why(name: str) -> None:
    node, message = REFUSED[name]
    where, why = placed(**node)
    assert where == "GPU"
    assert message in why


INT8 = ("--precision", "int8", "--method", "max")


@pytest.fixture(scope="module")
def made(
    edgefusion: Call, calibration: CalibrationSet, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Result]:
    bundle = small_bundle(tmp_path_factory.mktemp("dla") / "bundle")
    result = edgefusion("quantize", "--bundle", bundle.path, "--calibration", calibration.path, *INT8, "--dla")
    assert result.exit_code == 0, result.output
    return bundle.path, result


def test_the_command_puts_the_files_into_the_bundle(edgefusion: Call, made: tuple[Path, Result]) -> None:
    path, result = made
    assert "dla/: model, scales of 18 tensors" in result.output
    assert "0 of 17 layers fall back to the GPU" in result.output
    names = {"dla/model.onnx", "dla/calibration.cache", "dla/layers.json"}
    manifest = json.loads(edgefusion("bundle", "inspect", path, "--json").output)
    assert names <= manifest["files"].keys()
    assert "DLA         dla/calibration.cache" in edgefusion("bundle", "inspect", path).output
    layers = json.loads((path / "dla/layers.json").read_text())
    assert (layers["schema"], layers["gate"]) == (1, "int8")
    assert set(layers["layers"][0]) == {"node", "op", "runs_on", "precision", "why"}
    assert json.loads((path / "quality.json").read_text())["int8"]["dla"]["on_gpu"] == {}


def test_another_int8_model_takes_them_away_and_another_precision_does_not(
    edgefusion: Call, made: tuple[Path, Result], calibration: CalibrationSet, tmp_path: Path
) -> None:
    path = shutil.copytree(made[0], tmp_path / "bundle")
    words = ("quantize", "--bundle", path, "--calibration", calibration.path)
    assert edgefusion(*words, "--precision", "fp16").exit_code == 0
    assert "dla/model.onnx" in load_bundle(path).manifest.files
    assert edgefusion(*words, *INT8).exit_code == 0
    assert not any(name.startswith("dla/") for name in load_bundle(path).manifest.files)
    assert not (path / "dla").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [(("--precision", "fp16"), "--dla is made of int8"), (("--precision", "int8"), "int8 needs --calibration")],
)
def test_it_needs_int8_and_a_calibration_set(
    edgefusion: Call, bundle: Bundle, calibration: CalibrationSet, words: tuple[str, ...], message: str
) -> None:
    given = ("--calibration", calibration.path) if "fp16" in words else ()
    result = edgefusion("quantize", "--bundle", bundle.path, "--dla", *words, *given)
    assert result.exit_code == 2
    assert message in result.output
