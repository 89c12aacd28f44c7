from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bundles import small_bundle
from click.testing import Result

from edgefusion.core.bundle import Gate, add_models, load_bundle, shipped_bundle
from edgefusion.core.devices import find_device
from runtime.build import fastest, usable

Call = Callable[..., Result]
SIZE = ("--size", "96x64")
GATE = Gate(passed=True, accepted=False, max_drop=0.01, holdout="", pairs=39, psnr_db=50.0, numerics="by hand")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEFUSION_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def build(edgefusion: Call, *words: object) -> dict[str, Any]:
    result = edgefusion("build", "--device", "cpu", *SIZE, *words, "--json")
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def test_auto_times_every_precision_and_takes_the_fastest(edgefusion: Call) -> None:
    made = build(edgefusion)
    medians = {precision: timing["median"] for precision, timing in made["timings"].items()}
    assert medians.keys() == {"fp32", "fp16", "int8"}
    assert made["precision"] == min(medians, key=lambda precision: medians[precision])
    assert all(timing["low"] <= timing["median"] <= timing["high"] for timing in made["timings"].values())


def test_a_second_auto_build_compiles_and_times_nothing(edgefusion: Call) -> None:
    first, second = build(edgefusion), build(edgefusion)
    assert (second["key"], second["timings"], second["built"]) == (first["key"], first["timings"], False)


def test_auto_leaves_out_what_passed_no_gate(tmp_path: Path) -> None:
    bundle = small_bundle(tmp_path / "bundle")
    content = bundle.model("fp32").read_bytes()
    over = GATE.model_copy(update={"passed": False, "accepted": True})
    bundle = add_models(bundle, {"int8": content, "fp16": content}, {"int8": over, "fp16": GATE}, {})
    assert usable(bundle) == ["fp16", "fp32"]
    assert usable(load_bundle(bundle.path, ungated=True)) == ["int8", "fp16", "fp32"]
    assert fastest(bundle, find_device("cpu"), size_px=(96, 64)).facts["precision"] in ("fp16", "fp32")


def test_two_processes_build_the_same_bytes(tmp_path: Path) -> None:
    engines = []
    for name in ("one", "other"):
        environment = {**os.environ, "EDGEFUSION_CACHE": str(tmp_path / name)}
        words = [sys.executable, "-m", "edgefusion.cli", "build", "--device", "cpu", "--precision", "int8", "--json"]
        done = subprocess.run(words, env=environment, capture_output=True, check=True, timeout=120)
        engines.append((Path(json.loads(done.stdout)["engine"]) / "engine.bin").read_bytes())
    assert engines[0] == engines[1]


def test_the_record_beside_the_engine_says_what_it_is(edgefusion: Call) -> None:
    made = build(edgefusion, "--precision", "int8")
    facts = json.loads((Path(made["engine"]) / "engine.json").read_text())["facts"]
    assert facts["compute"] == "i8"
    assert {"onnx_sha256", "target", "sm", "cuda_driver", "power_mode", "warnings", "build_s"} <= facts.keys()
    convolutions = [layer for layer in facts["layers"] if layer["kind"] == "convolution"]
    assert [layer["precision"] for layer in convolutions] == ["i8"] * 4


def test_explain_says_each_layers_share_of_the_time(edgefusion: Call) -> None:
    made = build(edgefusion, "--precision", "int8", "--explain")
    shares = {layer["name"]: layer["share"] for layer in made["layers"]}
    assert sum(shares.values()) == pytest.approx(1, abs=0.05)
    output = edgefusion("build", "--device", "cpu", *SIZE, "--precision", "int8", "--explain").output
    assert "convolution" in output
    assert "only change how tensors lie in memory" in output


def test_run_auto_takes_the_fastest(edgefusion: Call) -> None:
    record = json.loads(edgefusion("run", "--precision", "auto", "--frames", 2, "--json").output)["engine"]
    assert record["precision"] in ("fp32", "fp16", "int8")
    assert json.loads(edgefusion("build", "--json").output)["precision"] == record["precision"]


@pytest.mark.parametrize("option", [("--dla", 0), ("--workspace", 64), ("--fit-every-gpu",)])
def test_options_of_gpus_are_refused_on_a_processor(edgefusion: Call, option: tuple[object, ...]) -> None:
    result = edgefusion("build", "--device", "cpu", *SIZE, "--precision", "fp16", *option)
    assert result.exit_code == 3
    assert "are for NVIDIA devices" in result.output


@pytest.mark.parametrize("precision", ["auto", "int8"])
def test_rtx_is_built_without_a_gpu_and_not_timed(edgefusion: Call, precision: str) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX comes with [rtx]")
    words = ("build", "--device", "rtx-4070", "--precision", precision, *SIZE, "--json")
    first, second = (json.loads(edgefusion(*words).stdout) for _ in range(2))
    assert (first["backend"], first["sm"], first["compute"]) == ("tensorrt_rtx", "8.9", "i8")
    assert "timings" not in first
    assert (first["built"], second["built"]) == (True, False)


def test_turing_has_no_int8_in_tensorrt_rtx_and_auto_knows(edgefusion: Call) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX comes with [rtx]")
    made = json.loads(edgefusion("build", "--device", "rtx-2080-ti", *SIZE, "--json").stdout)
    assert (made["precision"], made["compute"]) == ("fp16", "f16")


def test_an_orin_elsewhere_ends_at_once_and_says_both_ways(edgefusion: Call) -> None:
    for device in ("orin", "orin-nano-8"):
        result = edgefusion("build", "--device", device)
        assert result.exit_code == 3
        assert "cannot be cross-built" in result.output
        assert "--host user@rig" in result.output


SMALL_MEMORY = """
import resource, sys
import runtime.build, runtime.cli
from edgefusion.cli import main
from edgefusion.core.bundle import load_bundle
from edgefusion.core.devices import find_device
from runtime.engines import backend_for
from runtime.engines.base import BuildOptions, Source
source = Source(load_bundle().model("fp32").read_bytes(), (64, 48), "fp32")
backend_for(find_device("cpu")).compile(source, BuildOptions())  # starts the threads
with open("/proc/self/statm") as sizes:
    taken = int(sizes.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + (30 << 20), resource.RLIM_INFINITY))
main(sys.argv[1:])
"""


def test_too_little_memory_is_said_in_one_line(cache: Path) -> None:
    words = ["build", "--device", "cpu", "--precision", "fp32", "--size", "3840x2160"]
    done = subprocess.run([sys.executable, "-c", SMALL_MEMORY, *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 3, done.stderr
    assert "out of memory while compiling for 3840x2160; close other programs" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list((cache / "engines").glob("*/engine.bin"))


def test_a_full_disk_is_said_and_leaves_no_engine(cache: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    words = ["build", "--device", "cpu", "--precision", "fp32", *SIZE]
    done = subprocess.run(
        [sys.executable, "-m", "edgefusion.cli", *words], capture_output=True, text=True, preexec_fn=limit, timeout=120
    )
    assert done.returncode == 3, done.stderr
    assert "cannot store the engine (File too large)" in done.stderr
    assert not list((cache / "engines").glob("*/engine.bin"))


def test_an_interrupted_build_leaves_the_bundle_and_no_half_engine(edgefusion: Call, cache: Path) -> None:
    before = {path: path.read_bytes() for path in shipped_bundle().rglob("*") if path.is_file()}
    words = [sys.executable, "-m", "edgefusion.cli", "build", "--device", "cpu", "--force", "--size", "1920x1080"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, env={**os.environ})
    while not (cache / "engines").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert all(path.read_bytes() == content for path, content in before.items())
    for engine in (cache / "engines").glob("[0-9a-f]*"):
        assert {file.name for file in engine.iterdir()} == {"engine.bin", "engine.json"}
    assert build(edgefusion, "--precision", "fp32")["built"]
