"""Bounds from the model alone, against figures worked out by hand."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest

from edgefusion.core.bundle import Bundle, load_bundle
from edgefusion.core.devices import load_devices
from edgefusion.core.errors import BundleError
from runtime.estimate import graph, layers
from runtime.estimate.bounds import bound, clocks
from runtime.estimate.text import LABEL

PAGE = Path(__file__).parents[2] / "docs" / "devices.md"
PIXELS = 160 * 120
"""Of a tensor's plane at 640x480."""
CHANNELS = 32 * PIXELS
"""Elements of a tensor of 32 planes."""
MACS = 4 * 32 * 32 * 9 * PIXELS
"""proxy-nano: four 3x3 convolutions of 32 planes to 32."""


@pytest.fixture(scope="module")
def shipped() -> Bundle:
    return load_bundle(ungated=True)


def model(bundle: Bundle, precision: Any, size: tuple[int, int] = (640, 480)) -> layers.Model:
    return layers.fuse(graph.read_operations(bundle.model(precision).read_bytes(), size))


def estimate(edgefusion, *words: object) -> dict[str, Any]:
    result = edgefusion("estimate", *words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize(("precision", "width"), [("fp32", 4), ("fp16", 2)])
def test_proxy_nano_is_four_convolutions_and_a_blend(shipped: Bundle, precision: str, width: int) -> None:
    found = model(shipped, precision)
    *convolutions, blend = found.layers
    assert [layer.macs for layer in convolutions] == [MACS // 4] * 4
    assert all(layer.bytes_read == layer.bytes_written == CHANNELS * width for layer in convolutions)
    assert all(layer.weight_bytes == (32 * 32 * 9 + 32) * width for layer in convolutions)
    assert all(layer.compute == precision for layer in found.layers)
    assert blend.macs == 0
    assert blend.bytes_read == 3 * CHANNELS * width, "the two heads and the input, of which it takes both halves"
    assert blend.bytes_written == CHANNELS // 2 * width
    assert found.io_bytes == (CHANNELS + CHANNELS // 2) * width


def test_operations_are_two_a_mac_and_one_an_element(shipped: Bundle) -> None:
    first, second, third, fourth, blend = model(shipped, "fp16").layers
    assert first.operations == second.operations == 2 * first.macs + 2 * CHANNELS, "bias and ReLU"
    assert third.operations == fourth.operations == 2 * third.macs + CHANNELS, "bias"
    # the sum of the heads, then on 16 planes: sigmoid, -1 * V, + T, * w, + V, + r, max, min
    assert blend.operations == CHANNELS + 8 * CHANNELS // 2


def test_int8_tensors_are_a_byte_between_launches(shipped: Bundle) -> None:
    quantize, first, second, third, fourth, blend = model(shipped, "int8").layers
    assert (quantize.bytes_read, quantize.bytes_written) == (2 * CHANNELS, CHANNELS)
    assert first.bytes_read == first.bytes_written == second.bytes_read == second.bytes_written == CHANNELS
    assert (
        (third.bytes_read, third.bytes_written) == (fourth.bytes_read, fourth.bytes_written) == (CHANNELS, 2 * CHANNELS)
    )
    assert (blend.bytes_read, blend.bytes_written) == (6 * CHANNELS, CHANNELS), "FP16, as the contract wants the blend"
    assert [layer.compute for layer in (quantize, first, second, third, fourth, blend)] == [
        "fp16",
        *["int8"] * 4,
        "fp16",
    ]
    assert first.weight_bytes >= 32 * 32 * 9
    assert first.weight_bytes < 1.1 * 32 * 32 * 9


def test_bytes_and_macs_scale_with_the_image_and_weights_do_not(shipped: Bundle) -> None:
    small, large = model(shipped, "fp16", (320, 240)), model(shipped, "fp16", (640, 480))
    for one, other in zip(small.layers, large.layers, strict=True):
        assert (4 * one.macs, 4 * one.bytes_read, 4 * one.bytes_written) == (
            other.macs,
            other.bytes_read,
            other.bytes_written,
        )
        assert one.weight_bytes == other.weight_bytes


def test_the_bound_is_the_longer_of_arithmetic_and_traffic(shipped: Bundle) -> None:
    device = next(device for device in load_devices() if device.name == "orin-nano-8")
    normal, fast, *modes = clocks(device)
    found = bound(model(shipped, "fp16"), normal)
    traffic = (4 * 2 * CHANNELS + 3.5 * CHANNELS) * 2 + 4 * (32 * 32 * 9 + 32) * 2
    arithmetic = sum(layer.operations for layer in model(shipped, "fp16").layers)
    assert found.ms == pytest.approx(traffic / 68e9 * 1e3, rel=1e-4), "each launch waits for memory here"
    assert found.cached_ms == pytest.approx(arithmetic / 10.2e12 * 1e3)
    assert found.limit == "memory"
    slow = bound(model(shipped, "fp32"), normal)
    assert slow.limit == "compute"
    assert slow.cached_ms == pytest.approx(2 * MACS / (2 * 1024 * 0.625e9) * 1e3, rel=0.01)
    assert [mode.name for mode in modes] == ["15W", "25W", "MAXN_SUPER"]
    assert bound(model(shipped, "fp32"), fast) == bound(model(shipped, "fp32"), modes[-1])


def test_no_device_is_slower_in_int8_or_beats_its_caches(shipped: Bundle) -> None:
    half, integers = model(shipped, "fp16"), model(shipped, "int8")
    for device in load_devices():
        for clock in clocks(device):
            one, other = bound(half, clock), bound(integers, clock)
            if one.ms and other.ms and one.cached_ms and other.cached_ms:
                assert other.ms <= one.ms, device.name
                assert one.cached_ms <= one.ms, device.name


def test_what_is_not_known_is_not_guessed(edgefusion) -> None:
    found = estimate(edgefusion, "--device", "cpu", "--device", "thor-t5000", "--precision", "int8")
    cpu, thor = (device["clocks"][0]["bounds"]["int8"] for device in found["devices"])
    assert (cpu["ms"], cpu["fps"], cpu["limit"]) == (None, None, "unknown")
    assert thor["limit"] == "memory alone"
    text = edgefusion("estimate", "--device", "orin-nx-16").stdout
    assert "Those that are no row above: unknown" in text


def test_json_has_what_the_tables_have(edgefusion) -> None:
    found = estimate(edgefusion, "--device", "orin-nano-8", "--device", "rtx-4070", "--size", "320x240")
    assert found["label"] == LABEL == "bound at maximum clock; not a measurement"
    assert found["size_px"] == [320, 240]
    assert [*found["models"]] == ["fp32", "fp16", "int8"]
    for facts in found["models"].values():
        assert facts["launches"] == len(facts["layers"])
        assert facts["traffic"] == sum(
            layer["bytes_read"] + layer["bytes_written"] + layer["weight_bytes"] for layer in facts["layers"]
        )
    assert [device["device"] for device in found["devices"]] == ["orin-nano-8", "rtx-4070"]
    for device in found["devices"]:
        for clock in device["clocks"]:
            for name, one in clock["bounds"].items():
                assert one["ms"] == pytest.approx(sum(one["layers_ms"]))
                assert one["fps"] == pytest.approx(1000 / one["ms"])
                assert len(one["layers_ms"]) == found["models"][name]["launches"]


def test_all_devices_are_all_that_are_supported_once(edgefusion) -> None:
    found = estimate(edgefusion, "--device", "rtx-4070", "--device", "all")
    names = [device["device"] for device in found["devices"]]
    assert sorted(names) == sorted(device.name for device in load_devices() if not device.refused)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("--device", "rtx4070"), 2, "did you mean rtx-4070"),
        (("--device", "cpu", "--size", "63x64"), 2, "multiples of 4"),
        (("--device", "xavier"), 3, "Python 3.8"),
        (("--bundle", "nowhere"), 4, "not a bundle"),
    ],
)
def test_errors_say_what_to_do(edgefusion, words: tuple[str, ...], code: int, says: str) -> None:
    result = edgefusion("estimate", *words)
    assert (result.exit_code, says in result.stderr) == (code, True), result.stderr


def test_a_file_that_is_no_model_is_named() -> None:
    with pytest.raises(BundleError, match="the model cannot be read"):
        graph.read_operations(b"not a model", (64, 64))


def test_the_page_shows_what_its_command_prints(edgefusion) -> None:
    command, _, table = PAGE.read_text().partition("```text\n$ ")[2].partition("```")[0].partition("\n")
    words = shlex.split(command)
    assert words[:2] == ["edgefusion", "estimate"]
    assert edgefusion(*words[1:]).stdout == table


def operations(*outputs: ov.Node, x: ov.Node) -> tuple[graph.Operation, ...]:
    return tuple(graph.operations(ov.Model(list(outputs), [x])))


def test_a_grouped_a_transposed_and_a_matrix_product_are_counted() -> None:
    ops = ov.opset13
    x = ops.parameter([1, 8, 6, 4], np.float32)
    deep = ops.group_convolution(x, np.ones((8, 1, 1, 3, 3), np.float32), [1, 1], [1, 1], [1, 1], [1, 1])
    up = ops.convolution_backprop_data(x, np.ones((8, 5, 2, 2), np.float32), [2, 2])
    product = ops.matmul(x, np.ones((4, 7), np.float32), False, False)
    found = {operation.kind: operation.macs for operation in operations(deep, up, product, x=x)}
    assert found["GroupConvolution"] == 8 * 6 * 4 * 9
    assert found["ConvolutionBackpropData"] == 8 * 6 * 4 * 5 * 4
    assert found["MatMul"] == 8 * 6 * 7 * 4


def test_element_wise_operations_on_both_sides_of_a_convolution_are_two_launches() -> None:
    """A skip around a convolution must not make one launch wait for itself."""
    ops = ov.opset13
    x = ops.parameter([1, 2, 4, 4], np.float32)
    before = ops.sigmoid(ops.multiply(x, ops.sigmoid(x)))
    inside = ops.convolution(before, np.ones((2, 2, 1, 1), np.float32), [1, 1], [0, 0], [0, 0], [1, 1])
    after = ops.tanh(ops.add(ops.relu(inside), before))
    found = layers.fuse(operations(after, x=x)).layers
    assert [layer.macs for layer in found] == [0, 2 * 2 * 16, 0]
    assert [layer.bytes_read for layer in found] == [128, 128, 256]
    assert [layer.bytes_written for layer in found] == [128, 128, 128]


def test_what_takes_a_part_of_a_tensor_reads_no_more() -> None:
    ops = ov.opset13
    x = ops.parameter([1, 8, 4, 4], np.float32)
    halves = [ops.gather(x, np.array([0, 1, 2, 3]), 1), ops.slice(x, [4], [8], [1], [1])]
    found = layers.fuse(operations(*halves, x=x)).layers
    assert [layer.bytes_read for layer in found] == [4 * 16 * 4] * 2
