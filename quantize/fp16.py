"""The FP16 model of a bundle, made from its FP32 one by modelopt's autocast."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx

from edgefusion.core.errors import InputError
from edgefusion.core.optional import modelopt
from quantize.graph import Graph, parse, serialise

LARGEST = float(np.finfo(np.float16).max)


def to_fp16(content: bytes) -> bytes:
    """The same network with FP16 weights, input and output, without Casts.

    Raises:
        InputError: as ``graph.parse``, or a weight that FP16 cannot hold.
    """
    return serialise(cast(parse(content)))


def cast(model: onnx.ModelProto) -> onnx.ModelProto:
    """See ``to_fp16``; nodes keep their names."""
    graph = Graph(model)
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and not _fits(graph.array(tensor.name)):
            raise InputError(f"weights {tensor.name} do not fit FP16", remedy="keep the student in fp32")
    with tempfile.TemporaryDirectory() as folder, modelopt("onnx.autocast") as autocast:
        path = Path(folder) / "model.onnx"
        onnx.save_model(model, str(path))
        made: onnx.ModelProto = autocast.convert_to_mixed_precision(
            str(path), low_precision_type="fp16", keep_io_types=False, data_max=np.inf, init_max=np.inf,
            providers=["cpu"],
        )  # fmt: skip
    return made


def _fits(weights: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> bool:
    return bool(np.isfinite(weights).all() and np.abs(weights).max(initial=0) <= LARGEST)
