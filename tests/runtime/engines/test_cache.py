from __future__ import annotations

import json
import multiprocessing
import shutil
from pathlib import Path

import numpy as np
import pytest

from edgefusion.core.bundle import Bundle, load_bundle
from edgefusion.core.devices import Device, find_device
from edgefusion.core.errors import MachineError, UsageError
from runtime.engines.cache import BuiltEngine, build

SIZE = (64, 48)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEFUSION_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle()


@pytest.fixture(scope="module")
def cpu() -> Device:
    return find_device("cpu")


def built(bundle: Bundle, cpu: Device, **changes: object) -> BuiltEngine:
    return build(bundle, cpu, **{"size_px": SIZE, "precision": "fp32", **changes})


def test_a_second_build_finds_the_first(cache: Path, bundle: Bundle, cpu: Device) -> None:
    first, second = built(bundle, cpu), built(bundle, cpu)
    assert (first.built, second.built) == (True, False)
    assert first.key == second.key
    assert second.compute == "f32"


def test_another_size_or_precision_is_another_engine(cache: Path, bundle: Bundle, cpu: Device) -> None:
    keys = {
        built(bundle, cpu).key,
        built(bundle, cpu, size_px=(96, 48)).key,
        built(bundle, cpu, precision="fp16").key,
    }
    assert len(keys) == 3


def test_force_compiles_again(cache: Path, bundle: Bundle, cpu: Device) -> None:
    built(bundle, cpu)
    assert built(bundle, cpu, force=True).built


@pytest.mark.parametrize("name", ["engine.bin", "engine.json"])
def test_an_engine_with_a_changed_byte_is_built_again(cache: Path, bundle: Bundle, cpu: Device, name: str) -> None:
    path = built(bundle, cpu).path / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert built(bundle, cpu).built
    assert not built(bundle, cpu).built


def test_an_engine_of_another_machine_is_built_again(cache: Path, bundle: Bundle, cpu: Device) -> None:
    built(bundle, cpu)
    (cache / "machine.key").unlink()
    assert built(bundle, cpu).built


def test_an_engine_put_under_another_key_is_not_taken(cache: Path, bundle: Bundle, cpu: Device) -> None:
    small, large = built(bundle, cpu), built(bundle, cpu, size_px=(96, 48))
    shutil.rmtree(large.path)
    shutil.copytree(small.path, large.path)
    assert built(bundle, cpu, size_px=(96, 48)).built


def test_the_facts_say_what_the_engine_is_bound_to(cache: Path, bundle: Bundle, cpu: Device) -> None:
    facts = json.loads((built(bundle, cpu).path / "engine.json").read_text())["facts"]
    assert facts["backend"] == "openvino"
    assert facts["target"]["version"]
    assert facts["target"]["processor"]


def build_in_process(queue: multiprocessing.Queue[bool]) -> None:
    queue.put(build(load_bundle(), find_device("cpu"), size_px=SIZE, precision="fp32").built)


def test_two_builds_at_once_compile_once(cache: Path) -> None:
    context = multiprocessing.get_context("spawn")
    queue: multiprocessing.Queue[bool] = context.Queue()
    processes = [context.Process(target=build_in_process, args=(queue,)) for _ in range(2)]
    for process in processes:
        process.start()
    outcomes = sorted(queue.get(timeout=60) for _ in processes)
    for process in processes:
        process.join(60)
    assert outcomes == [False, True]


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_a_loaded_engine_computes_what_the_model_says(cache: Path, bundle: Bundle, cpu: Device, precision: str) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx, the reference, comes with [test]")
    found = built(bundle, cpu, precision=precision)
    engine = found.load()
    rows, columns = engine.x.shape[1:]
    engine.x[:] = np.linspace(0, 1, rows)[:, None] * np.linspace(1, 0.3, columns)
    engine.x[16:] = engine.x[:16, ::-1]
    engine.execute()
    model = onnx.load(bundle.model("fp32"))  # fp16 is that, rounded
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = SIZE[1] // 4
    model.graph.input[0].type.tensor_type.shape.dim[3].dim_value = SIZE[0] // 4
    del model.graph.value_info[:]
    from onnx.reference import ReferenceEvaluator

    (expected,) = ReferenceEvaluator(model).run(None, {"x": engine.x[None]})
    tolerance = {("fp32", "f32"): 1e-4, ("fp16", "f32"): 5e-3, ("fp16", "bf16"): 0.1, ("int8", "i8"): 0.15}
    np.testing.assert_allclose(engine.y, expected[0], atol=tolerance[precision, found.compute])


def test_a_size_that_is_no_multiple_of_four_is_refused(cache: Path, bundle: Bundle, cpu: Device) -> None:
    with pytest.raises(UsageError, match="multiples of 4"):
        built(bundle, cpu, size_px=(63, 48))


def test_a_device_without_a_backend_here_says_so(cache: Path, bundle: Bundle) -> None:
    with pytest.raises(MachineError, match=r"cannot build for agx-orin-64: .* --host user@rig"):
        built(bundle, find_device("agx-orin-64"))


def test_a_cache_that_cannot_be_made_says_how_to_move_it(monkeypatch, tmp_path, bundle: Bundle, cpu: Device) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EDGEFUSION_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(MachineError, match="set EDGEFUSION_CACHE"):
        built(bundle, cpu)
