"""Engines of the device that this machine is, against OpenVINO's of the same bundle.

The comparison itself runs on ``cpu`` in every test run; the rest waits for hardware: ``make hardware-check``.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import Result

from edgefusion.core.bundle import Bundle, Precision
from edgefusion.core.devices import find_device
from runtime.build import usable
from runtime.engines.cache import BuiltEngine

Built = Callable[..., BuiltEngine]
Outputs = Callable[[BuiltEngine], npt.NDArray[np.float32]]
LEAST_DB: dict[Precision, float] = {"fp32": 60, "fp16": 60, "int8": 45}
REFERENCE: dict[Precision, Precision] = {"fp32": "fp32", "fp16": "fp32", "int8": "int8"}
"""What OpenVINO computes for comparison: int8 of the same scales, since it is no measure of quantization."""

hardware = [pytest.mark.gpu, pytest.mark.jetson]
on_hardware = pytest.mark.parametrize("device", [pytest.param("auto", marks=hardware)])
anywhere = pytest.mark.parametrize("device", ["cpu", pytest.param("auto", marks=hardware)])
each_precision = pytest.mark.parametrize("precision", LEAST_DB)


def psnr_db(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
    """Of outputs between 0 and 1."""
    return float(-10 * np.log10(np.mean((a - b) ** 2, dtype=np.float64) + 1e-12))


@anywhere
@each_precision
def test_an_engine_computes_what_the_model_says(
    built: Built, outputs: Outputs, device: str, precision: Precision
) -> None:
    expected = outputs(built(REFERENCE[precision], "cpu"))
    assert expected.std() > 0.01, "the reference is no picture"
    assert psnr_db(outputs(built(precision, device)), expected) > LEAST_DB[precision]


@anywhere
def test_the_comparison_tells_two_pictures_apart(built: Built, outputs: Outputs, device: str) -> None:
    made = outputs(built("fp32", device))
    assert psnr_db(made[0], made[2]) < min(LEAST_DB.values())


@anywhere
@each_precision
def test_a_second_build_is_a_no_op(built: Built, device: str, precision: Precision) -> None:
    first, second = built(precision, device), built(precision, device)
    assert not second.built
    assert (second.key, second.blob) == (first.key, first.blob)


@anywhere
def test_auto_times_every_precision_and_takes_the_fastest(
    edgefusion: Callable[..., Result], bundle: Bundle, device: str
) -> None:
    words = ("build", "--bundle", bundle.path, "--device", device, "--explain", "--json")
    result = edgefusion(*words)
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert record["timings"].keys() == set(usable(bundle))
    assert all(timing["median"] > 0 for timing in record["timings"].values())
    assert record["precision"] == min(record["timings"], key=lambda name: record["timings"][name]["median"])
    assert sum(layer["share"] for layer in record["layers"]) == pytest.approx(1, abs=0.05)


@on_hardware
def test_int8_convolutions_compute_in_int8(built: Built, device: str) -> None:
    if find_device(device).sm == "7.5":
        pytest.skip("NVIDIA lists no INT8 for TensorRT-RTX on Turing")
    layers = built("int8", device).facts["layers"]
    assert {"i8"} <= {layer["precision"] for layer in layers if layer["kind"] == "convolution"}
    assert built("int8", device).compute == "i8"
