"""From a student checkpoint to a bundle with its FP32 model."""

from __future__ import annotations

import dataclasses
import platform
from pathlib import Path
from typing import Any

import onnx
import torch

from distill import checkpoint
from distill.students.proxy import Proxy
from edgefusion.core.bundle import Bundle, write_bundle
from edgefusion.core.geometry import Size, check_engine_size
from edgefusion.kernels.agc import AgcSpec

OPSET = 19


def export(folder: Path, out: Path, *, name: str, size_px: Size, licence: str) -> Bundle:
    """Fold a student and write it as a bundle.

    Args:
        folder: the checkpoint.
        out: the bundle to make; one of that name is replaced.
        name: what the bundle is called.
        size_px: (width, height) the model is stored for, multiples of four.
        licence: of the weights, in words.

    Raises:
        UsageError: a size that is not a multiple of four.
        InputError: not a checkpoint.
    """
    check_engine_size(size_px)
    student, config = checkpoint.load_student(folder)
    folded = student.fold()
    training = config["training"]
    fields = {
        "name": name,
        "licence": licence,
        "student": {
            "arch": config["arch"],
            "parameters": sum(parameter.numel() for parameter in folded.parameters()),
            "objective": training.pop("objective"),
        },
        "layout": {"size_px": list(size_px)},
        "agc": dataclasses.asdict(AgcSpec()),
        "precisions": {"fp32": "model.fp32.onnx"},
        "training": {**training, "versions": {**training["versions"], "python": platform.python_version()}},
    }
    return write_bundle(out, {"model.fp32.onnx": to_onnx(folded, size_px)}, fields)


def to_onnx(folded: Proxy, size_px: Size) -> bytes:
    """The student as ONNX with the input ``x`` and the output ``y`` of the engine contract.

    The exporter's notes on where each node came from are left out: they hold paths of this machine.
    """
    x = torch.zeros(1, 32, size_px[1] // 4, size_px[0] // 4)
    program: Any = torch.onnx.export(
        folded, (x,), dynamo=True, opset_version=OPSET, input_names=["x"], output_names=["y"], verbose=False
    )
    model: onnx.ModelProto = program.model_proto
    for part in (
        model,
        model.graph,
        *model.graph.node,
        *model.graph.value_info,
        *model.graph.input,
        *model.graph.output,
    ):
        del part.metadata_props[:]
    model.producer_version = model.doc_string = ""
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))
