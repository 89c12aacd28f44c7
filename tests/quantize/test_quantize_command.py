from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("modelopt", reason="modelopt comes with [quantize]")

import numpy as np
import onnx
from bundles import SIZE, small_bundle, small_model, write_calibration, write_scenes
from click.testing import Result

from edgefusion.core.bundle import Bundle, load_bundle
from edgefusion.core.calibration import CalibrationSet
from quantize.graph import Graph

Call = Callable[..., Result]
BOTH = ("--precision", "fp16", "--precision", "int8")


@pytest.fixture(scope="module")
def made(edgefusion: Call, calibration: CalibrationSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    bundle = small_bundle(tmp_path_factory.mktemp("made") / "bundle")
    result = edgefusion("quantize", "--bundle", bundle.path, "--calibration", calibration.path, *BOTH)
    assert result.exit_code == 0, result.output
    return bundle.path


def test_both_precisions_run_and_say_what_they_compute_in(edgefusion: Call, made: Path, tmp_path: Path) -> None:
    drive = write_scenes(tmp_path / "drive", 2)
    for precision in ("fp16", "int8"):
        words = ("run", "--bundle", made, "--recording", drive, "--precision", precision, "--json")
        engine = json.loads(edgefusion(*words).output)["engine"]
        assert engine["precision"] == precision
        assert (engine["compute"] == "i8") == (precision == "int8")


def test_the_bundle_carries_gates_figures_layers_and_the_list_of_frames(edgefusion: Call, made: Path) -> None:
    manifest = json.loads(edgefusion("bundle", "inspect", made, "--json").output)
    assert {name: gate["passed"] for name, gate in manifest["gates"].items()} == {"fp16": True, "int8": True}
    assert {"quality.json", "calibration/calibration.json"} <= manifest["files"].keys()
    assert not any(name.endswith(".npy") for name in manifest["files"])
    quality = json.loads((made / "quality.json").read_text())
    assert quality["fp16"]["psnr_db"] > 60
    assert quality["int8"]["psnr_db"] > 45
    assert set(quality["int8"]["methods"]) == {"max", "entropy"}
    assert quality["int8"]["method"] == max(quality["int8"]["methods"], key=quality["int8"]["methods"].get)
    layers = quality["int8"]["layers"]
    assert [round(layer["share"], 3) for layer in layers] == [0.25] * 4
    assert {layer["name"] for layer in layers if layer["fp16"]} == set(quality["int8"]["kept_fp16"])
    assert "int8" in edgefusion("bundle", "inspect", made).output


def test_the_same_command_gives_the_same_bytes(
    edgefusion: Call, made: Path, bundle: Bundle, calibration: CalibrationSet
) -> None:
    assert edgefusion("quantize", "--bundle", bundle.path, "--calibration", calibration.path, *BOTH).exit_code == 0
    for name in ("model.fp16.onnx", "model.int8.onnx", "quality.json", "manifest.json"):
        assert (bundle.path / name).read_bytes() == (made / name).read_bytes(), name


def test_explain_prints_every_figure_and_every_layer(
    edgefusion: Call, bundle: Bundle, calibration: CalibrationSet
) -> None:
    words = ("--calibration", calibration.path, "--precision", "int8", "--method", "max", "--explain")
    output = edgefusion("quantize", "--bundle", bundle.path, *words).output
    assert all(word in output for word in ("SSIM", "Nabf", "95 % interval", "SQNR", "node_conv2d_2", "25.0%"))


def files(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_over_the_budget_nothing_changes(edgefusion: Call, bundle: Bundle, calibration: CalibrationSet) -> None:
    before = files(bundle.path)
    words = ("--calibration", calibration.path, *BOTH, "--max-drop", "0.001%", "--method", "max")
    result = edgefusion("quantize", "--bundle", bundle.path, *words)
    assert result.exit_code == 5
    assert "is over the budget" in result.output
    assert "in fp16" in result.output  # layers went back first
    assert files(bundle.path) == before


def test_an_accepted_drop_is_in_the_manifest_and_runs_on_demand_alone(
    edgefusion: Call, bundle: Bundle, calibration: CalibrationSet, tmp_path: Path
) -> None:
    words = ("--calibration", calibration.path, "--max-drop", "0.0001%", "--accept-drop")
    assert edgefusion("quantize", "--bundle", bundle.path, *words).exit_code == 0
    gate = load_bundle(bundle.path).manifest.gates["fp16"]
    assert (gate.passed, gate.accepted) == (False, True)
    drive = write_scenes(tmp_path / "drive", 1)
    for command in (("run", "--recording", drive), ("build", "--precision", "fp16"), ("evaluate", "--pairs", drive)):
        result = edgefusion(command[0], "--bundle", bundle.path, *command[1:])
        assert result.exit_code == 4
        assert "the fp16 model is over its quality budget" in result.output
        assert edgefusion(command[0], "--bundle", bundle.path, *command[1:], "--ungated").exit_code == 0


def test_layers_go_back_to_fp16_until_the_gate_holds(
    edgefusion: Call, bundle: Bundle, calibration: CalibrationSet
) -> None:
    whole = ("quantize", "--bundle", bundle.path, "--calibration", calibration.path, "--precision", "int8")
    assert edgefusion(*whole, "--method", "max", "--json").exit_code == 0
    classes = json.loads((bundle.path / "quality.json").read_text())["int8"]["classes"]
    figures = [values for scenes in classes.values() if scenes["gated"] for values in scenes["metrics"].values()]
    needed = max(max(-one["low"], one["high"]) / one["budget"] for one in figures) * 0.01
    assert edgefusion(*whole, "--method", "max", "--max-drop", f"{needed * 0.9:.6f}").exit_code == 0
    found = json.loads((bundle.path / "quality.json").read_text())["int8"]
    assert 1 <= len(found["kept_fp16"]) < 4
    assert {layer["name"] for layer in found["layers"] if layer["fp16"]} == set(found["kept_fp16"])


def test_pairs_of_another_size_can_judge(edgefusion: Call, bundle: Bundle, tmp_path: Path) -> None:
    pairs = write_scenes(tmp_path / "pairs", 10)
    result = edgefusion("quantize", "--bundle", bundle.path, "--holdout", pairs, "--json")
    found = json.loads(result.stdout)["precisions"]["fp16"]
    assert found["pairs"] == 10
    assert found["classes"]["all"]["gated"]


def _edited(calibration: CalibrationSet, path: Path, **changes: Any) -> Path:
    shutil.copytree(calibration.path, path)
    contents = json.loads((path / "calibration.json").read_text())
    (path / "calibration.json").write_text(json.dumps({**contents, **changes}))
    return path


def _other_model(path: Path, change: Callable[[onnx.ModelProto], None]) -> Path:
    model = onnx.load_model_from_string(small_model())
    change(model)
    return small_bundle(path, model.SerializeToString()).path


def _open_shape(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"


def _operator(model: onnx.ModelProto) -> None:
    next(node for node in model.graph.node if node.op_type == "Sigmoid").op_type = "Tan"


def _nan(model: onnx.ModelProto) -> None:
    Graph(model).store("body.0.bias", np.full(32, np.nan, np.float32))


def _flipped(calibration: CalibrationSet, path: Path) -> Path:
    shutil.copytree(calibration.path, path)
    tensor = path / calibration.list.frames[3].file
    content = bytearray(tensor.read_bytes())
    content[-9] ^= 4
    tensor.write_bytes(content)
    return path


AGC = {"low_percentile": 1.0, "high_percentile": 99.0, "median_ceiling": 0.4, "smoothing": 0.9, "min_span_counts": 64.0}
Bad = Callable[[CalibrationSet, Path], dict[str, object]]
BAD: dict[str, tuple[Bad, int, str]] = {
    "int8 without a set": (lambda c, p: {"--precision": "int8"}, 2, "int8 needs --calibration"),
    "nothing to judge on": (lambda c, p: {}, 2, "needs frames to be judged on"),
    "no set there": (lambda c, p: {"--calibration": p / "none"}, 4, "not a calibration set"),
    "another size": (
        lambda c, p: {"--calibration": _edited(c, p / "c", size_px=[64, 48])}, 4, "of 64x48 images",
    ),
    "another student's gain control": (
        lambda c, p: {"--calibration": _edited(c, p / "c", agc=AGC)}, 4, "another thermal gain control",
    ),
    "no frames": (lambda c, p: {"--calibration": _edited(c, p / "c", frames=[])}, 4, "has no frames"),
    "a flipped byte": (
        lambda c, p: {"--calibration": _flipped(c, p / "c"), "--precision": "int8"}, 4, "changed after the set",
    ),
    "few held-out frames": (
        lambda c, p: {"--calibration": _edited(c, p / "c", holdout=[])}, 4, "0 held-out pairs cannot decide",
    ),
    "few pairs": (lambda c, p: {"--holdout": write_scenes(p / "pairs", 3)}, 4, "3 held-out pairs cannot decide"),
    "open shapes": (
        lambda c, p: {"--bundle": _other_model(p / "b", _open_shape), "--calibration": c.path}, 4,
        "the shape of x is not fixed",
    ),
    "an operator": (
        lambda c, p: {"--bundle": _other_model(p / "b", _operator), "--calibration": c.path}, 4,
        "operator Tan of node node_sigmoid is not supported",
    ),
    "NaN": (
        lambda c, p: {"--bundle": _other_model(p / "b", _nan), "--calibration": c.path}, 4, "computes NaN or infinity",
    ),
    "no share": (lambda c, p: {"--max-drop": "much"}, 2, "neither a percentage nor a number"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_and_leaves_the_bundle(
    edgefusion: Call, bundle: Bundle, calibration: CalibrationSet, tmp_path: Path, name: str
) -> None:
    make, code, message = BAD[name]
    words = {"--bundle": bundle.path, **make(calibration, tmp_path)}
    before = files(Path(str(words["--bundle"])))
    result = edgefusion("quantize", *(word for option in words.items() for word in option))
    assert result.exit_code == code, result.output
    assert message in result.output
    assert files(Path(str(words["--bundle"]))) == before


def test_a_bundle_of_schema_1_asks_for_a_gate(bundle: Bundle, tmp_path: Path) -> None:
    assert load_bundle(bundle.path).manifest.gates == {}
    assert load_bundle(bundle.path).manifest.layout.size_px == SIZE
    assert write_calibration(tmp_path / "set", bundle, 2, 2).list.size_px == SIZE
