"""From a student checkpoint to a bundle with its FP32 model."""

from __future__ import annotations

import dataclasses
import platform
from pathlib import Path
from typing import Any

import onnx
import torch

from distill import checkpoint
from distill.students.student import Student
from edgefusion.core.bundle import OPERATORS, Bundle, write_bundle
from edgefusion.core.errors import InputError
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
        InputError: not a checkpoint, or see ``to_onnx``.
    """
    check_engine_size(size_px)
    student, config = checkpoint.load_student(folder)
    folded = student.fold()
    training = config["training"]
    model = to_onnx(folded, size_px)
    fields = {
        "name": name,
        "licence": licence,
        "student": {
            "arch": config["arch"],
            "parameters": sum(parameter.numel() for parameter in folded.parameters()),
            "objective": training.pop("objective"),
        },
        "layout": {"size_px": list(size_px), "inside": operators_inside(model)},
        "agc": dataclasses.asdict(AgcSpec()),
        "precisions": {"fp32": "model.fp32.onnx"},
        "training": {**training, "versions": {**training["versions"], "python": platform.python_version()}},
    }
    return write_bundle(out, {"model.fp32.onnx": model}, fields)


def to_onnx(folded: Student, size_px: Size) -> bytes:
    """The student as ONNX with the input ``x`` and the output ``y`` of the engine contract.

    The exporter's notes on where each node came from are left out: they hold paths of this machine.

    Raises:
        InputError: the network is tied to one size, which ``--size`` could not rewrite on the vehicle.
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
    _check_rewritable(model, folded.arch)
    return bytes(model.SerializeToString(deterministic=True))


def operators_inside(model: bytes) -> list[str]:
    """The operators of a model that are not in the engine contract."""
    return sorted({node.op_type for node in onnx.load_model_from_string(model).graph.node} - OPERATORS)


def _check_rewritable(model: onnx.ModelProto, arch: str) -> None:
    """Follow the shapes through the model for images that are four pixels larger each way."""
    larger = onnx.ModelProto()
    larger.CopyFrom(model)
    del larger.graph.value_info[:]
    for value in (*larger.graph.input, *larger.graph.output):
        for side in value.type.tensor_type.shape.dim[2:]:
            side.dim_value += 1
    try:
        onnx.shape_inference.infer_shapes(larger, check_type=True, strict_mode=True)
    except onnx.shape_inference.InferenceError as error:
        first = str(error).splitlines()[0]
        raise InputError(f"{arch} computes for one image size alone ({first})", remedy="choose another one") from error
