"""TensorRT's builder against the recorded names of each version, and TensorRT-RTX's for real."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from fake_tensorrt import VERSIONS, FakeTensorRt

from edgefusion.core import dla
from edgefusion.core.bundle import load_bundle
from edgefusion.core.devices import find_device
from edgefusion.core.dla import DlaLayer, DlaLayers
from edgefusion.core.errors import EdgeFusionError, MachineError, RunError
from runtime.engines import backend_for, trt_api
from runtime.engines.base import BuildOptions, Compiled, Source
from runtime.engines.tensorrt import TensorRtBackend
from runtime.engines.trt_layers import from_inspector

CONVOLUTION = {"Name": "conv", "LayerType": "CaskConvolution", "Metadata": "[ONNX Layer: node_conv2d]"}
INT8 = [{**CONVOLUTION, "Inputs": [{"Format/Datatype": "Row major Int8 format"}]}]
HALF = [{**CONVOLUTION, "Inputs": [{"Format/Datatype": "Row major linear FP16 format"}]}]
LAYER = DlaLayer(node="node_conv2d", op="Conv", runs_on="DLA", precision="int8", why="for a test")
DLA = {
    dla.MODEL: b"dla model",
    dla.CACHE: b"TRT-100300-EntropyCalibration2\nx: 3c010204\n",
    dla.LAYERS: DlaLayers(schema=1, basis="for a test", layers=(LAYER,)).to_bytes(),
}


@pytest.fixture(autouse=True)
def own_timings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEFUSION_CACHE", str(tmp_path / "cache"))


def backend(monkeypatch: pytest.MonkeyPatch, module: FakeTensorRt) -> TensorRtBackend:
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    monkeypatch.setattr(trt_api, "has_driver", lambda: True)
    return TensorRtBackend(find_device("agx-orin-64"))


def compiled(
    monkeypatch: pytest.MonkeyPatch, module: FakeTensorRt, precision: Any = "int8", **options: Any
) -> Compiled:
    source = Source(b"model", (640, 480), precision, DLA)
    return backend(monkeypatch, module).compile(source, BuildOptions(**options))


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_builds_with_the_names_it_has(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    module = FakeTensorRt(version, INT8)
    made = compiled(monkeypatch, module)
    assert made.blob == b"plan"
    assert made.compute == "i8"
    assert made.remarks["strongly_typed"]
    assert module.said("create_network") == [(2,)]
    assert module.said(".shape=") == [(1, 32, 120, 160)]
    assert module.said("OnnxParser().parse") == [(b"model",)]
    assert not [path for path, _ in module.calls if "host_code" in path]


@pytest.mark.parametrize("version", VERSIONS)
def test_int8_that_strong_typing_loses_is_built_weakly_typed_before_10_12_alone(
    monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    module = FakeTensorRt(version, HALF)
    made = compiled(monkeypatch, module)
    weak = version in ("10.3.0", "10.7.0")
    assert made.remarks["strongly_typed"] != weak
    assert module.said("create_network") == ([(2,), (0,)] if weak else [(2,)])
    assert [repr(flag) for (flag,) in module.said("set_flag")] == (["BuilderFlag.FP16", "BuilderFlag.INT8"] * weak)


@pytest.mark.parametrize("version", ["10.3.0", "10.7.0"])
def test_dla_of_jetpack_6_takes_scales_from_the_cache_and_precisions_from_the_list(
    monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    network = "Builder().create_network()"
    module = FakeTensorRt(version, INT8, **{f"{network}.num_layers": 1, f"{network}.get_layer().name": "node_conv2d"})
    compiled(monkeypatch, module, dla=1)
    assert module.said("OnnxParser().parse") == [(b"dla model",)]
    (calibrator,) = module.said("int8_calibrator=")
    header, scale = calibrator.read_calibration_cache().splitlines()
    assert (header, scale) == (f"TRT-{version.replace('.', '0')}-EntropyCalibration2".encode(), b"x: 3c010204")
    assert calibrator.get_batch(["x"]) is None
    assert module.said("DLA_core=") == [1]
    assert [repr(kind) for kind in module.said("default_device_type=")] == ["DeviceType.DLA"]
    assert [repr(kind) for kind in module.said(".precision=")] == ["DataType.INT8"]
    flags = [repr(flag) for (flag,) in module.said("set_flag")]
    assert flags == [f"BuilderFlag.{name}" for name in ("FP16", "INT8", "PREFER_PRECISION_CONSTRAINTS", "GPU_FALLBACK")]


def test_dla_of_tensorrt_11_4_is_strongly_typed_and_takes_q_dq(monkeypatch: pytest.MonkeyPatch) -> None:
    module = FakeTensorRt("11.4.0.106", INT8)
    assert compiled(monkeypatch, module, dla=0).remarks["strongly_typed"]
    assert module.said("OnnxParser().parse") == [(b"model",)]
    assert [repr(flag) for (flag,) in module.said("set_flag")] == ["BuilderFlag.GPU_FALLBACK"]


@pytest.mark.parametrize("version", ["10.13.3.9", "10.16.1.11"])
def test_versions_without_dla_say_which_have_it(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    with pytest.raises(MachineError, match=rf"DLA needs TensorRT < 10\.8; this is {version}"):
        compiled(monkeypatch, FakeTensorRt(version, INT8), dla=0)


def test_dla_without_its_files_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source(b"model", (640, 480), "int8")
    with pytest.raises(EdgeFusionError, match="the bundle has no dla/"):
        backend(monkeypatch, FakeTensorRt("11.4.0.106", INT8)).compile(source, BuildOptions(dla=0))


def test_an_older_tensorrt_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    module = FakeTensorRt("10.3.0", INT8)
    module.__dict__["__version__"] = "8.6.2"
    with pytest.raises(MachineError, match=r"TensorRT 8\.6\.2 is too old; update to JetPack 6\.1"):
        backend(monkeypatch, module)


def test_without_a_driver_nothing_of_tensorrt_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    module = FakeTensorRt("10.3.0", INT8)
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    monkeypatch.setattr(trt_api, "has_driver", lambda: False)
    with pytest.raises(MachineError, match="no NVIDIA driver answers"):
        TensorRtBackend(find_device("agx-orin-64"))
    assert module.calls == []


@pytest.mark.parametrize(
    ("said", "error", "message"),
    [
        (
            "Error Code 2: OutOfMemory (no further information)",
            MachineError,
            "ran out of memory, with 7 MB for tactics",
        ),
        ("Could not find any implementation for node conv", MachineError, "ran out of memory"),
        ("Error Code 4: Internal Error", RunError, "cannot build the engine"),
    ],
)
def test_what_a_failed_build_says_is_put_into_words(
    monkeypatch: pytest.MonkeyPatch, said: str, error: type[EdgeFusionError], message: str
) -> None:
    module = FakeTensorRt("10.3.0", INT8)

    def fail(network: Any, config: Any) -> None:
        (log,) = module.said("Builder")[0]
        log.log(module.ILogger.Severity.ERROR, said)

    module._returns["Builder().build_serialized_network()"] = fail
    with pytest.raises(error, match=message):
        compiled(monkeypatch, module, workspace_mb=7)


def test_what_the_parser_refuses_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    module = FakeTensorRt("10.3.0", INT8, **{
        "OnnxParser().parse()": False, "OnnxParser().num_errors": 1, "OnnxParser().get_error()": "no Frobnicate",
    })  # fmt: skip
    with pytest.raises(EdgeFusionError, match=r"cannot parse the model \(no Frobnicate\)"):
        compiled(monkeypatch, module)


def test_timings_are_kept_for_the_next_build_of_this_version_and_device(monkeypatch: pytest.MonkeyPatch) -> None:
    for expected in (b"", b"timings"):
        module = FakeTensorRt("10.3.0", INT8)
        compiled(monkeypatch, module)
        assert module.said("create_timing_cache")[0] == (expected,)
    other = FakeTensorRt("10.7.0", INT8)
    compiled(monkeypatch, other)
    assert other.said("create_timing_cache")[0] == (b"",)


def test_a_timing_cache_of_ones_own_is_used_and_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = tmp_path / "own.cache"
    own.write_bytes(b"from elsewhere")
    module = FakeTensorRt("10.16.1.11", INT8)
    compiled(monkeypatch, module, timing_cache=own)
    assert module.said("create_timing_cache")[0] == (b"from elsewhere",)
    assert own.read_bytes() == b"timings"


def test_one_engine_for_every_gpu_is_not_for_a_jetson(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MachineError, match="--fit-every-gpu is for desktop GPUs; leave it out for agx-orin-64"):
        compiled(monkeypatch, FakeTensorRt("10.16.1.11", INT8), fit_every_gpu=True)


def test_builder_warnings_are_kept_once(monkeypatch: pytest.MonkeyPatch) -> None:
    module = FakeTensorRt("10.16.1.11", INT8)

    def warn(network: Any, config: Any) -> bytes:
        (log,) = module.said("Builder")[0]
        for _ in range(2):
            log.log(module.ILogger.Severity.WARNING, "tactic skipped ")
        return b"plan"

    module._returns["Builder().build_serialized_network()"] = warn
    assert compiled(monkeypatch, module).warnings == ("tactic skipped",)


def test_an_inspector_that_knows_only_names_gives_no_guesses() -> None:
    assert from_inspector('{"Layers": ["conv", "relu"]}') == ()
    (layer,) = from_inspector(json.dumps({"Layers": [{"Name": "n", "LayerType": "Reformat"}]}))
    assert (layer.kind, layer.precision, layer.nodes) == ("reformat", "", ())


@pytest.fixture(scope="module")
def rtx() -> Any:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX comes with [rtx]")
    return backend_for(find_device("rtx-4070"))


def source(precision: Any, size: tuple[int, int] = (640, 480)) -> Source:
    return Source(load_bundle().model(precision).read_bytes(), size, precision)


@pytest.mark.parametrize(("precision", "compute"), [("fp32", "f32"), ("fp16", "f16"), ("int8", "i8")])
def test_rtx_builds_each_precision_without_a_gpu_and_always_the_same(rtx: Any, precision: str, compute: str) -> None:
    made = [rtx.compile(source(precision), BuildOptions()) for _ in range(2)]
    assert made[0].blob == made[1].blob
    assert made[0].compute == compute
    convolutions = [layer for layer in made[0].layers if layer.kind == "convolution"]
    assert {layer.precision for layer in convolutions} == {compute}
    named = {node for layer in convolutions for node in layer.nodes}
    assert named >= {"node_conv2d", "node_conv2d_1", "node_conv2d_2", "node_conv2d_3"}


def test_rtx_builds_for_another_size_than_the_bundle_was_stored_for(rtx: Any) -> None:
    small, large = (rtx.compile(source("int8", size), BuildOptions()) for size in ((320, 240), (1280, 960)))
    assert small.blob != large.blob
    assert small.compute == large.compute == "i8"


@pytest.mark.parametrize("name", ["rtx-2080", "a100", "rtx-3060", "rtx-4090", "rtx-5090", "gb10"])
def test_rtx_builds_for_every_compute_capability_it_targets(name: str) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX comes with [rtx]")
    assert backend_for(find_device(name)).compile(source("fp16", (64, 48)), BuildOptions()).compute == "f16"


def test_rtx_refuses_what_is_for_other_devices(rtx: Any) -> None:
    for options in (BuildOptions(dla=0), BuildOptions(fit_every_gpu=True), BuildOptions(timing_cache=Path("t"))):
        with pytest.raises(MachineError, match="is not for TensorRT-RTX"):
            rtx.compile(source("fp16"), options)
