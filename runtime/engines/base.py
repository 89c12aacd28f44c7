"""What every backend offers: compiling an ONNX model, loading what was compiled, executing it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edgefusion.core.bundle import Precision
from edgefusion.core.geometry import Size

Tensor = npt.NDArray[np.float32]


@dataclass(frozen=True)
class BuiltLayer:
    """A layer of an engine, as its backend reports it.

    Attributes:
        name: the backend's.
        kind: convolution, reformat, pointwise ... in the backend's word.
        precision: that of its inputs: i8, f16, bf16, f32, or nothing where it reads none.
        nodes: the ONNX nodes in it.
        where: gpu, dla or cpu.
    """

    name: str
    kind: str
    precision: str
    nodes: tuple[str, ...] = ()
    where: str = "gpu"


@dataclass(frozen=True)
class BuildOptions:
    """What one may ask of a build beyond the precision.

    Attributes:
        dla: core to put layers on, or None.
        workspace_mb: most memory that tactics may use, or None for what is free.
        fit_every_gpu: one engine for all desktop GPUs from Ampere on.
        timing_cache: file of tactic timings to begin with and to keep; the device's own in the cache if None.
    """

    dla: int | None = None
    workspace_mb: int | None = None
    fit_every_gpu: bool = False
    timing_cache: Path | None = None


@dataclass(frozen=True)
class Source:
    """What an engine is made of.

    Attributes:
        onnx: the model of a precision.
        size_px: (width, height) of the image, multiples of four.
        precision: the model's.
        dla: name -> content of the bundle's files in ``dla/``, where they are wanted.
    """

    onnx: bytes
    size_px: Size
    precision: Precision
    dla: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Compiled:
    """An engine as bytes, with what the backend says about it.

    Attributes:
        blob: the engine.
        compute: the number format the backend really calculates in: f32, bf16, f16 or i8.
        layers: what it is made of.
        warnings: what the builder said, in its words.
        remarks: facts that only this backend knows: memory, clamped workspace, typing.
    """

    blob: bytes
    compute: str
    layers: tuple[BuiltLayer, ...] = ()
    warnings: tuple[str, ...] = ()
    remarks: dict[str, Any] = field(default_factory=dict)


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

    def another(self) -> Engine:
        """An engine with the same weights and tensors of its own."""

    def time_ms(self) -> float:
        """Execute once; the time it took, by the clock nearest to the hardware, without copies to and from it."""

    def layer_times_ms(self) -> dict[str, float]:
        """Median time of each layer, of an engine that was loaded ``profiled``."""


class Backend(Protocol):
    """A library that compiles and executes engines for one device.

    Attributes:
        name: as in devices.toml.
        executes: whether engines can be executed on this machine.
    """

    name: str
    executes: bool

    def target(self, precision: Precision, options: BuildOptions) -> dict[str, Any]:
        """What an engine of that precision is bound to: exact versions, hardware, options. Part of the cache key."""

    def compile(self, source: Source, options: BuildOptions) -> Compiled:
        """Compile a model."""

    def load(self, blob: bytes, size_px: Size, precision: Precision, *, profiled: bool = False) -> Engine:
        """Make an engine of bytes that ``compile`` gave on this machine for that size and precision.

        Args:
            blob: the bytes, whose seal was checked.
            size_px: (width, height) of the image.
            precision: of the model.
            profiled: the engine also tells the times of its layers; it is a little slower.
        """
