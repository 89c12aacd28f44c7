"""What every backend offers: compiling an ONNX model, loading what was compiled, executing it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edgefusion.core.bundle import Precision
from edgefusion.core.geometry import Size

Tensor = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Compiled:
    """An engine as bytes, with what the backend says about it.

    ``compute`` is the number format the backend really calculates in: f32, bf16, f16 or i8.
    """

    blob: bytes
    compute: str


class Engine(Protocol):
    """A loaded engine with its tensors bound: write ``x``, ``execute``, read ``y``.

    Attributes:
        x: [32, H/4, W/4], the input.
        y: [16, H/4, W/4], the output of the last ``execute``.
    """

    x: Tensor
    y: Tensor

    def execute(self) -> None:
        """Compute ``y`` from ``x``."""


class Backend(Protocol):
    """A library that compiles and executes engines.

    Attributes:
        name: as in devices.toml.
    """

    name: str

    def target(self, precision: Precision) -> dict[str, Any]:
        """What an engine of that precision is bound to: exact versions, hardware, options. Part of the cache key."""

    def compile(self, onnx: bytes, size_px: Size, precision: Precision) -> Compiled:
        """Compile a model for images of (width, height), each a multiple of four."""

    def load(self, blob: bytes, size_px: Size, precision: Precision) -> Engine:
        """Make an engine of bytes that ``compile`` gave on this machine for that size and precision."""
