from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import write_scenes
from students import ARCHS, PROXIES, RESNET, shaken

torch = pytest.importorskip("torch", reason="torch comes with [train]")
onnx = pytest.importorskip("onnx", reason="onnx comes with [train]")
pytest.importorskip("onnxscript", reason="onnxscript comes with [train]")

from scenes import write_folder  # noqa: E402

from distill import checkpoint  # noqa: E402
from distill.export import export, to_onnx  # noqa: E402
from distill.students import build  # noqa: E402
from distill.students.student import Student  # noqa: E402
from edgefusion.core.bundle import OPERATORS  # noqa: E402
from edgefusion.core.devices import find_device  # noqa: E402
from edgefusion.core.errors import InputError, UsageError  # noqa: E402
from runtime.engines.cache import build as build_engine  # noqa: E402

# torch's exporter warns of its own deprecations
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

SIZE = (64, 48)


def saved(folder: Path, arch: str) -> Path:
    """The checkpoint of a shaken student, without the weights that its encoder began with."""
    training = {"objective": "test", "command": "none --seed 0", "seed": 0, "data": [], "settings": {}, "versions": {}}
    folder.mkdir()
    student = shaken(arch, folder)
    checkpoint.save(folder, student.state_dict(), {"arch": student.arch, "training": training})
    (folder / "test_resnet.safetensors").unlink(missing_ok=True)
    return folder


def graph(arch: str) -> Any:
    return onnx.load_model_from_string(to_onnx(build(arch).eval().fold(), SIZE)).graph


@pytest.mark.parametrize("arch", ARCHS)
def test_openvino_computes_what_torch_does_at_the_stored_size_and_at_another(arch: str, tmp_path: Path) -> None:
    folder = saved(tmp_path / "student", arch)
    bundle = export(folder, tmp_path / "bundle", name="test", size_px=(640, 480), licence="none")
    student = checkpoint.load_student(folder)[0]
    for size in ((640, 480), (92, 60)):
        built = build_engine(bundle, find_device("cpu"), size_px=size, precision="fp32")
        assert built.compute == "f32"
        engine = built.load()
        engine.x[:] = np.random.default_rng(0).random(engine.x.shape, np.float32)
        engine.execute()
        with torch.no_grad():
            expected = student(torch.from_numpy(engine.x[None])).numpy()[0]
        np.testing.assert_allclose(engine.y, expected, atol=1e-4)
        assert expected.std() > 0.05


@pytest.mark.parametrize(("arch", "inside"), [(RESNET, ["DepthToSpace", "MaxPool"]), ("proxy-nano", [])])
def test_the_manifest_names_the_operators_beyond_the_engine_contract(
    edgefusion: Any, tmp_path: Path, arch: str, inside: list[str]
) -> None:
    export(saved(tmp_path / "s", arch), tmp_path / "b", name="b", size_px=SIZE, licence="")
    found = json.loads(edgefusion("bundle", "inspect", tmp_path / "b", "--json").output)
    assert found["layout"]["inside"] == inside
    assert ", ".join(inside) in edgefusion("bundle", "inspect", tmp_path / "b").output
    model = onnx.load(tmp_path / "b" / "model.fp32.onnx")
    assert {node.op_type for node in model.graph.node} - OPERATORS == {*inside}


def test_the_model_keeps_the_engine_contract_and_no_path_of_this_machine() -> None:
    content = to_onnx(build("proxy-nano").eval().fold(), SIZE)
    model = onnx.load_model_from_string(content)
    assert {node.op_type for node in model.graph.node} <= OPERATORS
    assert [entry.version for entry in model.opset_import if entry.domain == ""] == [19]
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert shapes == {"x": [1, 32, 12, 16], "y": [1, 16, 12, 16]}
    assert b".py" not in content


@pytest.mark.parametrize("arch", PROXIES)
def test_every_convolution_of_a_proxy_fills_tensor_cores(arch: str) -> None:
    shapes = {weights.name: list(weights.dims) for weights in graph(arch).initializer}
    convolutions = [shapes[node.input[1]] for node in graph(arch).node if node.op_type == "Conv"]
    assert len(convolutions) >= 4
    assert all(channels % 32 == 0 for shape in convolutions for channels in shape[:2])


def test_the_same_student_gives_the_same_bytes() -> None:
    student = build("proxy-nano").eval().fold()
    assert to_onnx(student, SIZE) == to_onnx(student, SIZE)


def test_a_size_that_is_no_multiple_of_four_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="multiples of 4"):
        export(saved(tmp_path / "s", "proxy-nano"), tmp_path / "b", name="b", size_px=(63, 48), licence="")


class Tied(torch.nn.Module):
    """A body that remembers the size it was exported for."""

    def forward(self, x: Any) -> Any:
        return x.reshape(1, 32, x.shape[2] * x.shape[3]).softmax(2).reshape(x.shape)


def test_a_student_for_one_size_alone_is_refused() -> None:
    with pytest.raises(InputError, match="tied computes for one image size alone"):
        to_onnx(Student("tied", Tied(), 32).eval(), SIZE)


@pytest.mark.parametrize("damage", ["arch", "weights"])
def test_a_checkpoint_of_another_student_is_named(tmp_path: Path, damage: str) -> None:
    folder = saved(tmp_path / "s", "proxy-nano")
    tensors, config = checkpoint.load(folder)
    checkpoint.save(folder, tensors, {**config, "arch": "nothing" if damage == "arch" else "proxy-base"})
    message = "unknown student 'nothing'" if damage == "arch" else "weights of another student than proxy-base"
    with pytest.raises(InputError, match=message):
        checkpoint.load_student(folder)


@pytest.mark.parametrize("arch", ["proxy-nano", RESNET])
def test_the_command_line_exports_quantizes_runs_and_evaluates(edgefusion: Any, tmp_path: Path, arch: str) -> None:
    folder = saved(tmp_path / "student", arch)
    result = edgefusion("distill", "export", "--student", folder, "--out", tmp_path / "b", "--size", "64x48")
    assert result.exit_code == 0, result.output
    result = edgefusion("quantize", "--bundle", tmp_path / "b", "--holdout", write_scenes(tmp_path / "scenes", 10))
    assert result.exit_code == 0, result.output
    result = edgefusion("run", "--bundle", tmp_path / "b", "--frames", 2)
    assert f"{arch} fp16" in result.output
    write_folder(tmp_path / "drive", ["a", "b"])
    result = edgefusion("evaluate", "--pairs", tmp_path / "drive", "--bundle", tmp_path / "b", "--json")
    assert result.exit_code == 0, result.output
    entries = {entry["name"] for entry in json.loads(result.stdout)["entries"]}
    assert "b fp16" in entries


def test_fp16_keeps_what_a_timm_student_computes(edgefusion: Any, tmp_path: Path) -> None:
    bundle = export(saved(tmp_path / "s", RESNET), tmp_path / "b", name="b", size_px=SIZE, licence="")
    assert edgefusion("quantize", "--bundle", bundle.path, "--holdout", write_scenes(tmp_path / "p", 10)).exit_code == 0
    import openvino as ov

    x = np.random.default_rng(0).random((1, 32, 12, 16)).astype(np.float16)
    exact, narrow = (
        ov.Core().compile_model(bundle.path / f"model.{precision}.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(
            x.astype(kind)
        )[0]
        for precision, kind in (("fp32", np.float32), ("fp16", np.float16))
    )
    assert narrow.dtype == np.float16
    np.testing.assert_allclose(narrow.astype(np.float32), exact, atol=5e-3)
