from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

pytest.importorskip("modelopt", reason="modelopt comes with [quantize]")

import numpy as np
import onnx
from bundles import small_model
from rtx import build_layers
from students import RESNET, shaken

from edgefusion.core.calibration import CalibrationSet
from edgefusion.core.optional import modelopt
from quantize.equalize import equalize
from quantize.graph import Graph, is_int8, parse, serialise
from quantize.holdout import of_calibration
from quantize.int8 import Recipe, make_recipe, to_int8
from quantize.ranges import Inputs
from quantize.reference import Reference
from quantize.verify import verify


def psnr(model: bytes, exact: bytes, calibration: CalibrationSet) -> float:
    one, other = Reference(model), Reference(exact)
    errors = [np.mean((one(pair.x)[0] - other(pair.x)[0]) ** 2) for pair in of_calibration(calibration).pairs]
    return float(-10 * np.log10(np.mean(errors)))


def convolutions(model: bytes) -> dict[str, bool]:
    """Name -> whether it is int8."""
    graph = Graph(onnx.load_model_from_string(model))
    return {node.name: is_int8(graph, node) for node in graph.of_kind("Conv")}


def test_every_convolution_of_the_shipped_student_is_int8_and_close(
    recipe: Recipe, calibration: CalibrationSet
) -> None:
    model = to_int8(recipe)
    verify(model, "int8")
    assert all(convolutions(model).values())
    assert psnr(model, small_model(), calibration) > 45


def test_layers_that_are_kept_stay_fp16_and_the_rest_is_as_before(recipe: Recipe) -> None:
    first, *others = recipe.weights
    model = to_int8(recipe, keep=[first])
    verify(model, "int8")
    assert convolutions(model) == {first: False, **dict.fromkeys(others, True)}


def test_it_is_closer_by_far_than_what_modelopt_lays_alone(
    recipe: Recipe, frames: Inputs, calibration: CalibrationSet, tmp_path: Path
) -> None:
    (tmp_path / "fp32.onnx").write_bytes(small_model())
    with modelopt("onnx.quantization") as quantization:
        quantization.quantize(
            str(tmp_path / "fp32.onnx"), "int8", {"x": frames.astype(np.float32)}, calibration_method="max",
            calibration_eps=["cpu"], high_precision_dtype="fp16", output_path=str(tmp_path / "int8.onnx"),
        )  # fmt: skip
    plain = (tmp_path / "int8.onnx").read_bytes()
    assert psnr(to_int8(recipe), small_model(), calibration) > psnr(plain, small_model(), calibration) + 6


def test_the_blend_reads_the_picture_itself_not_its_int8(recipe: Recipe) -> None:
    graph = Graph(onnx.load_model_from_string(to_int8(recipe)))
    readers = {node.op_type for node in graph.users("x")}
    assert readers == {"QuantizeLinear", "Slice"}


def test_equalised_channels_compute_the_same(frames: Inputs) -> None:
    model = parse(small_model())
    equal = equalize(model, frames)
    x = np.asarray(frames[0], np.float32)
    same = np.abs(Reference(serialise(equal))(x)[0] - Reference(small_model())(x)[0]).max()
    assert same < 1e-5
    assert [t.name for t in equal.graph.initializer][:3] == [t.name for t in model.graph.initializer][:3]


def test_the_same_frames_and_seed_give_the_same_bytes(recipe: Recipe, frames: Inputs) -> None:
    assert to_int8(make_recipe(equalize(parse(small_model()), frames), frames, "max", seed=0)) == to_int8(recipe)


@pytest.fixture(scope="module")
def encoder(frames: Inputs) -> bytes:
    """A student with residual Adds, in INT8."""
    from distill.export import to_onnx

    with tempfile.TemporaryDirectory() as folder:
        student = shaken(RESNET, Path(folder)).fold()
    return to_int8(make_recipe(equalize(parse(to_onnx(student, (96, 72))), frames), frames, "max", seed=0))


def test_both_inputs_of_a_residual_add_are_int8(encoder: bytes) -> None:
    verify(encoder, "int8")
    graph = Graph(onnx.load_model_from_string(encoder))
    makers = [
        {graph.makers[name].op_type for name in node.input if name in graph.makers} for node in graph.of_kind("Add")
    ]
    assert {"DequantizeLinear"} in makers


@pytest.mark.parametrize("which", ["shipped", "encoder"])
def test_tensorrt_rtx_builds_it_with_int8_convolutions(
    recipe: Recipe, encoder: bytes, which: str, request: pytest.FixtureRequest
) -> None:
    model = to_int8(recipe) if which == "shipped" else encoder
    layers = [layer for layer in build_layers(model) if set(layer.nodes) & convolutions(model).keys()]
    built = [layer for layer in layers if layer.inputs[:1] == ("Int8",) and layer.constants[:1] == ("Int8",)]
    assert {name for layer in built for name in layer.nodes} >= convolutions(model).keys()


def test_tensorrt_rtx_builds_fp16() -> None:
    from quantize.fp16 import to_fp16

    assert all("Int8" not in layer.inputs for layer in build_layers(to_fp16(small_model())))
