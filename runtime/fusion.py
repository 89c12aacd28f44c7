"""Fusing one frame pair: pack, execute, unpack, with everything they need held ready."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from edgefusion.core.bundle import Bundle, Precision
from edgefusion.core.devices import Device
from edgefusion.core.frames import FramePair, PixelFormat
from edgefusion.core.geometry import Matrix, Size
from edgefusion.core.rig import registered
from edgefusion.kernels.agc import Agc, AgcSpec
from edgefusion.kernels.cpu import Pack, Unpack, shuffle, tensor_size
from runtime.engines.base import Engine
from runtime.engines.cache import BuiltEngine, build

Registration = Callable[[Size, Size], Matrix]
"""(visible size, thermal size) -> [3, 3] registration for frames of these sizes."""


class Fusion:
    """The three stages for one bundle on one device; call them in order for each pair.

    Args:
        bundle: a checked bundle.
        device: the compute target.
        precision: which of the bundle's models.
        registration: the rig's; by default both images show the same view.
        bits: significant bits of a Y16 thermal reading.

    Attributes:
        rgb: [H, W, 3] uint8, the fused image of the last ``unpack``.
        built: the engine in use, for the size of the last pair.
    """

    rgb: npt.NDArray[np.uint8]
    built: BuiltEngine
    engine: Engine

    def __init__(
        self,
        bundle: Bundle,
        device: Device,
        *,
        precision: Precision,
        registration: Registration = registered,
        bits: int = 16,
    ) -> None:
        self._bundle, self._device, self._precision = bundle, device, precision
        self._registration, self._bits = registration, bits
        self._spec = AgcSpec(**bundle.manifest.agc.model_dump())
        self._form: tuple[tuple[PixelFormat, Size], tuple[PixelFormat, Size]] | None = None

    def prepare(self, pair: FramePair) -> None:
        """Make ready for pairs of this one's sizes and formats: build or load the engine, set up the kernels."""
        visible, thermal = ((frame.format, frame.size_px) for frame in (pair.visible, pair.thermal))
        if (visible, thermal) == self._form:
            return
        size = tensor_size(visible[1])
        if self._form is None or size != self.built.size_px:
            self.built = build(self._bundle, self._device, size_px=size, precision=self._precision)
            self.engine = self.built.load()
        matrix = self._registration(visible[1], thermal[1])
        self._pack = Pack(visible, thermal, registration=matrix, bits=self._bits)
        self._unpack = Unpack(visible)
        self._agc = Agc(self._spec, thermal[0])
        self.rgb = np.zeros((visible[1][1], visible[1][0], 3), np.uint8)
        self._form = (visible, thermal)

    def forget(self) -> None:
        """The next pair is not of the same scene: the thermal range starts anew."""
        if self._form:
            self._agc.reset()

    def pack(self, pair: FramePair) -> None:
        """First stage: the pair into the engine's input."""
        low, high = self._agc.range(pair.thermal)
        self._pack(pair, self.engine.x, low=low, high=high)
        if pair.thermal.format is PixelFormat.Y16:
            self._agc.update(*self._pack.histogram())

    def execute(self) -> None:
        """Second stage: the student."""
        self.engine.execute()

    def unpack(self, pair: FramePair) -> None:
        """Third stage: the engine's output and the visible chroma into ``rgb``."""
        self._unpack(self.engine.y, pair.visible, self.rgb)

    def fuse(self, pair: FramePair) -> npt.NDArray[np.uint8]:
        """All stages; returns ``rgb``, which the next pair overwrites."""
        self.prepare(pair)
        self.pack(pair)
        self.execute()
        self.unpack(pair)
        return self.rgb

    def thermal_view(self) -> npt.NDArray[np.uint8]:
        """[H, W] uint8: thermal as the student saw it last, registered and normalised."""
        view: npt.NDArray[np.uint8] = (self._image(self.engine.x[16:]) * 255 + 0.5).astype(np.uint8)
        return view

    def luma(self) -> npt.NDArray[np.float32]:
        """[H, W], 0..1: fused luma as ``execute`` left it, before any rounding."""
        return self._image(self.engine.y)

    def _image(self, phases: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """[H, W] of 16 phases [16, H/4, W/4], without the padding."""
        height, width = self.rgb.shape[:2]
        return np.asarray(shuffle(phases)[:height, :width], np.float32)
