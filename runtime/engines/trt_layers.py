"""What an engine of TensorRT is made of: its inspector's JSON, or the list a builder prints where nothing can load it.

Both are documented for reading by people ("Engine Inspector", and ``ProfilingVerbosity.DETAILED``); what is not found
in them is left empty, never guessed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from runtime.engines.base import BuiltLayer

TYPES = {"Int8": "i8", "Half": "f16", "BFloat16": "bf16", "Float": "f32", "FP8": "f8", "FP16": "f16", "FP32": "f32"}
KINDS = {"correlation": "convolution", "CaskConvolution": "convolution", "Convolution": "convolution",
         "Reformat": "reformat", "NoOp": "no operation", "kgen": "pointwise", "PointWiseV2": "pointwise",
         "PointWise": "pointwise"}  # fmt: skip
NO_WORK = ("signal", "wait")
"""Synchronisation between streams: nothing is computed."""


def from_inspector(text: str) -> tuple[BuiltLayer, ...]:
    """The layers in an engine inspector's JSON."""
    layers = json.loads(text).get("Layers", [])
    return tuple(_inspected(layer) for layer in layers if isinstance(layer, dict))


def _inspected(layer: dict[str, Any]) -> BuiltLayer:
    formats = [str(tensor.get("Format/Datatype", "")) for tensor in layer.get("Inputs", [])]
    kind, nodes = str(layer.get("LayerType", "")), _nodes(str(layer.get("Metadata", "")))
    where = "dla" if "dla" in kind.lower() else "gpu"
    return BuiltLayer(str(layer.get("Name", "")), KINDS.get(kind, kind), _type_of(formats), nodes, where)


def from_log(messages: Sequence[str]) -> tuple[BuiltLayer, ...]:
    """The layers in a builder's verbose log: lines ``Name: ..., LayerType: ..., Inputs: [ ... ], ...``."""
    listed = [line for message in messages if message.startswith("Layers:") for line in message.splitlines()]
    layers = [_logged(line) for line in listed if line.startswith("Name: ")]
    return tuple(layer for layer in layers if layer.kind not in NO_WORK)


def _logged(line: str) -> BuiltLayer:
    name, kind = (re.search(rf"{field}: ([^,]*)", line) for field in ("Name", "LayerType"))
    inputs = re.search(r"Inputs: \[(.*?)\], (?:Constants|Outputs):", line)
    types = re.findall(r"Datatype: (\w+)", inputs.group(1)) if inputs else []
    word = kind.group(1) if kind else ""
    return BuiltLayer(name.group(1) if name else "", KINDS.get(word, word), _type_of(types), _nodes(line))


def _type_of(formats: Sequence[str]) -> str:
    """The narrowest number format among a layer's inputs: what it computes in."""
    found = {short for text in formats for word, short in TYPES.items() if word.lower() in text.lower()}
    return next((short for short in ("i8", "f8", "f16", "bf16", "f32") if short in found), "")


def _nodes(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\[ONNX Layer: ([^\]]+)\]", text))


def compute_of(layers: Sequence[BuiltLayer], fallback: str) -> str:
    """What the convolutions compute in: the narrowest that any does."""
    found = {layer.precision for layer in layers if layer.kind == "convolution"}
    return next((short for short in ("i8", "f8", "f16", "bf16", "f32") if short in found), fallback)
