"""The files of a bundle's ``dla/`` folder, which ``quantize --dla`` makes and ``build`` reads.

They are for TensorRT 10.3 to 10.7, whose DLA takes int8 without Q/DQ: a plain model, a calibration cache with the scale
of every tensor, and a list of layers. From JetPack 7.2.2 on, DLA takes ``model.int8.onnx`` itself.

The cache is text: ``TRT-100300-EntropyCalibration2`` (100300: TensorRT 10.3.0, as ``NV_TENSORRT_VERSION`` counts), then
``tensor: 3c010204`` for each tensor, the scale (largest absolute value / 127) as the eight hexadecimal digits of a
big-endian IEEE 754 float32; 3c010204 is 1/127. NVIDIA's manual names the calibrator but not the format. It is what
TensorRT writes (caches in NVIDIA/TensorRT issue 2036, ultralytics issue 14121), what NVIDIA writes for DLA by hand
(``export_to_trt_calib`` in NVIDIA/Deep-Learning-Accelerator-SW, tools/qdq-translator/utils.py) and what it reads
(``import_scales_from_calib_cache`` in nvidia-modelopt, onnx/quantization/calib_utils.py). DLA needs the
``EntropyCalibration2`` kind: "the required calibrator for DLA" (IInt8EntropyCalibrator2, TensorRT 8.6 C++ reference).

TensorRT checks the first line. One of another version is passed over ("trt will skip the file if it is incompatible",
NVIDIA/TensorRT issue 1378); 10.3 given a cache of 8.6 says "Calibration table does not match calibrator algorithm type"
and asks for frames, which a cure on the first line alone heals (reported for JetPack 6.2 and NVIDIA's cuDLA-samples).
So whoever builds writes the cache anew, for the TensorRT at hand.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from edgefusion.core.errors import InputError

FOLDER = "dla/"
MODEL, CACHE, LAYERS = (FOLDER + name for name in ("model.onnx", "calibration.cache", "layers.json"))

KIND = "EntropyCalibration2"
VERSION = (10, 3, 0)
"""Of the cache in a bundle: JetPack 6.1 to 6.2."""

Version = tuple[int, int, int]


def write_cache(scales: Mapping[str, float], version: Version = VERSION) -> bytes:
    """A calibration cache, for one version of TensorRT 10.

    Args:
        scales: tensor -> what one int8 level is worth.
        version: of TensorRT, major, minor and patch.

    Raises:
        InputError: a scale that is not positive, or a name that spans lines.
    """
    wrong = [name for name, scale in scales.items() if not (math.isfinite(scale) and scale > 0) or "\n" in name]
    if wrong:
        raise InputError(f"no calibration cache can hold {wrong[0]!r} with the scale {scales[wrong[0]]}")
    major, minor, patch = version
    lines = [f"TRT-{major * 10000 + minor * 100 + patch}-{KIND}"]
    lines += [f"{name}: {struct.pack('>f', scale).hex()}" for name, scale in scales.items()]
    return ("\n".join(lines) + "\n").encode()


def read_cache(content: bytes) -> dict[str, float]:
    """The scale of each tensor of a calibration cache, whatever version wrote it.

    Raises:
        InputError: not such a cache.
    """
    try:
        first, *lines = content.decode().splitlines()
        pairs = [line.rsplit(": ", 1) for line in lines]
        scales = {name: struct.unpack(">f", bytes.fromhex(digits))[0] for name, digits in pairs}
    except (ValueError, struct.error) as error:
        raise InputError("not a calibration cache", remedy="edgefusion quantize --dla makes one") from error
    if not (first.startswith("TRT-") and first.endswith(f"-{KIND}")):
        raise InputError(f"a calibration cache of {first!r}, not of {KIND}, which a DLA needs")
    return scales


class DlaLayer(BaseModel):
    """Where one node of the model runs.

    Attributes:
        node: its name in ``dla/model.onnx``, which TensorRT keeps as the layer's.
        op: its operator.
        runs_on: DLA, or the GPU, to which TensorRT falls back.
        precision: to set for the layer.
        why: the documented limit that it keeps or breaks.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    node: str
    op: str
    runs_on: Literal["DLA", "GPU"]
    precision: Literal["int8", "fp16"]
    why: str


class DlaLayers(BaseModel):
    """``dla/layers.json``, schema 1.

    Attributes:
        gate: the precision whose quality gate speaks for this model too, which is not judged again: its int8 tensors,
            weights and scales are that one's, and there are fewer of them.
        basis: where ``runs_on`` is from.
        layers: every node, in the order they are computed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = Field(alias="schema")
    gate: Literal["int8"] = "int8"
    basis: str
    layers: tuple[DlaLayer, ...]

    @property
    def on_gpu(self) -> tuple[DlaLayer, ...]:
        """The layers that fall back."""
        return tuple(layer for layer in self.layers if layer.runs_on == "GPU")

    def to_bytes(self) -> bytes:
        """For the file."""
        return (self.model_dump_json(by_alias=True, indent=2) + "\n").encode()
