"""What TensorRT-RTX makes of a model: built ahead of time for another machine's GPU, which needs none here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pytest

trt = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX comes with [rtx]")


class _Log(trt.ILogger):  # type: ignore[misc]
    def __init__(self) -> None:
        trt.ILogger.__init__(self)
        self.lines: list[tuple[Any, str]] = []

    def log(self, severity: Any, message: str) -> None:
        self.lines.append((severity, message))


@dataclass(frozen=True)
class BuiltLayer:
    """A line of the builder's list: the ONNX nodes in it, and the types it reads."""

    kind: str
    nodes: tuple[str, ...]
    inputs: tuple[str, ...]
    constants: tuple[str, ...]


def build_layers(model: bytes) -> list[BuiltLayer]:
    """Parse, strongly typed, and build for SM89; the layers as the builder reports them."""
    log = _Log()
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    assert parser.parse(model), [str(parser.get_error(number)) for number in range(parser.num_errors)]
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM89, 0)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    assert builder.build_serialized_network(network, config) is not None, log.lines[-5:]
    (listed,) = [message for _, message in log.lines if message.startswith("Layers:")]
    return [_layer(line) for line in listed.splitlines() if line.startswith("Name: ")]


def _layer(line: str) -> BuiltLayer:
    kind = re.search(r"LayerType: (\w+)", line)
    parts = re.search(r"Inputs: \[(.*)\], Constants: \[(.*)\], Outputs:", line)
    assert kind, line
    assert parts, line
    nodes = re.findall(r"\[ONNX Layer: ([^\]]+)\]", line)
    inputs, constants = (tuple(re.findall(r"Datatype: (\w+)", part)) for part in parts.groups())
    return BuiltLayer(kind.group(1), tuple(nodes), inputs, constants)
