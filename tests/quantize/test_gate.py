from __future__ import annotations

import pytest

pytest.importorskip("modelopt", reason="modelopt comes with [quantize]")

import numpy as np
import onnx
from bundles import scene, small_model

from edgefusion.core.calibration import CalibrationSet
from edgefusion.core.errors import InputError
from quantize import crosscheck
from quantize.fp16 import to_fp16
from quantize.gate import Judge
from quantize.graph import Graph
from quantize.holdout import Holdout, Judged, of_calibration
from quantize.int8 import Recipe, to_int8
from quantize.reference import Reference


@pytest.fixture(scope="module")
def held_out(calibration: CalibrationSet) -> Holdout:
    return of_calibration(calibration)


def judge(held_out: Holdout, max_drop: float = 0.01) -> Judge:
    return Judge(small_model(), held_out, max_drop=max_drop, seed=0)


def noisier(strength: float) -> bytes:
    """The student with a brightness pattern added to its last bias: a residual that is always there."""
    model = onnx.load_model_from_string(small_model())
    graph = Graph(model)
    graph.part_constants()
    name = next(node for node in graph.of_kind("Conv") if node.name == "node_conv2d_2").input[2]
    pattern = np.tile([1, -1], 8).astype(np.float32) * strength
    graph.store(name, graph.array(name) + np.concatenate([np.zeros(16, np.float32), pattern]))
    return bytes(model.SerializeToString())


def test_the_same_model_changes_nothing(held_out: Holdout) -> None:
    verdict = judge(held_out)(small_model())
    assert verdict.passed
    assert verdict.psnr_db == 200
    assert all(change.low == change.high == change.change == 0 for change in verdict.classes[0].changes)


def test_noise_is_refused_though_it_raises_the_figures(held_out: Holdout) -> None:
    verdict = judge(held_out)(noisier(0.04))
    changes = {change.metric: change for change in verdict.classes[0].changes}
    assert not verdict.passed
    assert changes["AG"].low > 0.01
    assert not changes["AG"].within
    assert verdict.psnr_db == pytest.approx(-20 * np.log10(0.04), abs=1)


def test_the_interval_must_fit_not_the_mean_alone(held_out: Holdout) -> None:
    change = max(judge(held_out)(noisier(0.002)).classes[0].changes, key=lambda change: change.high - change.low)
    assert change.low < change.change < change.high
    tight = judge(held_out, max_drop=abs(change.change) * 1.001)(noisier(0.002))
    assert not next(other for other in tight.classes[0].changes if other.metric == change.metric).within


def night(number: int) -> Judged:
    x = np.repeat(scene(number)[0].mean(axis=2)[None, ::4, ::4] / 2000, 32, axis=0).astype(np.float32)
    return Judged(f"night {number}", "night", x, (96, 72))


def test_a_class_of_few_pairs_is_reported_and_decides_nothing(held_out: Holdout) -> None:
    few = Holdout("both", (*held_out.pairs, *(night(number) for number in range(3))))
    verdict = judge(few)(to_fp16(small_model()))
    classes = {scenes.name: scenes for scenes in verdict.classes}
    assert {name: scenes.pairs for name, scenes in classes.items()} == {"all": 15, "day": 12, "night": 3}
    assert classes["day"].gated
    assert not classes["night"].gated
    assert classes["night"].passed


@pytest.mark.parametrize(("gap_s", "block"), [(1.0, 1), (2.0, 1), (0.25, 4)])
def test_frames_within_a_second_depend_on_each_other(calibration: CalibrationSet, gap_s: float, block: int) -> None:
    frames = tuple(
        frame.model_copy(update={"timestamp_ns": round(number * gap_s * 1e9)})
        for number, frame in enumerate(calibration.list.holdout)
    )
    slower = CalibrationSet(calibration.path, calibration.list.model_copy(update={"holdout": frames}))
    assert of_calibration(slower).block == block


def test_nan_in_a_model_is_named(held_out: Holdout) -> None:
    model = onnx.load_model_from_string(small_model())
    graph = Graph(model)
    graph.store("body.0.bias", np.full(32, np.nan, np.float32))
    with pytest.raises(InputError, match="NaN or infinity in y"):
        judge(held_out)(model.SerializeToString())


def test_openvino_agrees_with_the_reference(held_out: Holdout, recipe: Recipe) -> None:
    agreement = crosscheck.compare(to_int8(recipe), held_out.pairs[:4])
    assert agreement.holds
    assert agreement.layer is None


def test_where_they_disagree_the_first_layer_is_named(
    held_out: Holdout, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = crosscheck._openvino

    def another(model: bytes, x: crosscheck.Tensor) -> list[crosscheck.Tensor]:
        results = theirs(model, x)
        return [results[0] + 0.1, *results[1:2], *(result * 1.5 for result in results[2:])]

    monkeypatch.setattr(crosscheck, "_openvino", another)
    agreement = crosscheck.compare(to_int8(recipe), held_out.pairs[:2])
    assert not agreement.holds
    names = [node.name for node in Graph(onnx.load_model_from_string(to_int8(recipe))).of_kind("Conv")]
    assert agreement.layer == names[1]


def test_int8_convolutions_compute_as_integers_do(recipe: Recipe, held_out: Holdout) -> None:
    """Taken at its word, Q/DQ in FP16 would be several dB worse than the hardware."""
    import onnxruntime

    content, pair = to_int8(recipe), held_out.pairs[0]
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    (literal,) = session.run(None, {"x": pair.x[None].astype(np.float16)})
    exact = Reference(small_model())(pair.x)[0]
    integers = Reference(content)(pair.x)[0]
    assert np.mean((integers - exact) ** 2) < np.mean((literal[0].astype(np.float32) - exact) ** 2)
