from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch comes with [train]")
pytest.importorskip("onnxscript", reason="onnxscript comes with [train]")

from distill import checkpoint  # noqa: E402
from distill.export import export, to_onnx  # noqa: E402
from distill.students.proxy import WIDTHS, Proxy  # noqa: E402
from edgefusion.core.errors import UsageError  # noqa: E402

# torch's exporter warns of its own deprecations
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

OPERATORS = {"Conv", "Relu", "Clip", "Sigmoid", "Add", "Mul", "Slice"}


def saved(folder: Path, arch: str) -> Path:
    torch.manual_seed(0)
    training = {"objective": "test", "command": "none --seed 0", "seed": 0, "data": [], "settings": {}, "versions": {}}
    checkpoint.save(folder, Proxy(arch).state_dict(), {"arch": arch, "training": training})
    return folder


@pytest.mark.parametrize("arch", WIDTHS)
def test_openvino_computes_what_torch_does(arch: str, tmp_path: Path) -> None:
    import openvino as ov

    folder = saved(tmp_path / "student", arch)
    bundle = export(folder, tmp_path / "bundle", name="test", size_px=(64, 48), licence="none")
    compiled = ov.Core().compile_model(bundle.model("fp32"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    x = np.random.default_rng(0).random((1, 32, 12, 16), np.float32)
    with torch.no_grad():
        expected = checkpoint.load_student(folder)[0](torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(compiled(x)[0], expected, atol=1e-4)


def test_the_model_keeps_the_engine_contract_and_no_path_of_this_machine() -> None:
    import onnx

    content = to_onnx(Proxy("proxy-nano").eval().fold(), (64, 48))
    model = onnx.load_model_from_string(content)
    assert {node.op_type for node in model.graph.node} <= OPERATORS
    assert [entry.version for entry in model.opset_import if entry.domain == ""] == [19]
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert shapes == {"x": [1, 32, 12, 16], "y": [1, 16, 12, 16]}
    assert b".py" not in content


def test_the_same_student_gives_the_same_bytes() -> None:
    student = Proxy("proxy-nano").eval().fold()
    assert to_onnx(student, (64, 48)) == to_onnx(student, (64, 48))


def test_a_size_that_is_no_multiple_of_four_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="multiples of 4"):
        export(saved(tmp_path / "s", "proxy-nano"), tmp_path / "b", name="b", size_px=(63, 48), licence="")


def test_the_command_line_exports_and_quantizes(edgefusion, tmp_path: Path) -> None:
    folder = saved(tmp_path / "student", "proxy-nano")
    result = edgefusion("distill", "export", "--student", folder, "--out", tmp_path / "b", "--size", "64x48")
    assert result.exit_code == 0, result.output
    assert edgefusion("quantize", "--bundle", tmp_path / "b").exit_code == 0
    result = edgefusion("run", "--bundle", tmp_path / "b", "--frames", 2)
    assert "proxy-nano fp16" in result.output
