"""Fusing one frame pair: pack, execute, unpack, with everything they need held ready."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgefusion.core.bundle import Bundle, Precision
from edgefusion.core.devices import Device
from edgefusion.core.frames import FramePair
from edgefusion.core.geometry import Size
from edgefusion.core.rig import registered
from edgefusion.kernels.agc import AgcSpec
from edgefusion.kernels.cpu import Unpack
from edgefusion.kernels.inputs import InputPacker, Registration
from edgefusion.kernels.layout import shuffle, tensor_size
from runtime.engines.base import Engine
from runtime.engines.cache import BuiltEngine, build


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
        spec = AgcSpec(**bundle.manifest.agc.model_dump())
        self._packer = InputPacker(spec, registration=registration, bits=bits)
        self._size: Size | None = None

    def prepare(self, pair: FramePair) -> None:
        """Make ready for pairs of this one's sizes and formats: build or load the engine, set up the kernels."""
        width, height = pair.visible.size_px
        size = tensor_size((width, height))
        if size != self._size:
            self.built = build(self._bundle, self._device, size_px=size, precision=self._precision)
            self.engine = self.built.load()
            self._size = size
        if self._packer.fit(pair):
            self._unpack = Unpack((pair.visible.format, (width, height)))
            self.rgb = np.zeros((height, width, 3), np.uint8)

    def forget(self) -> None:
        """The next pair is not of the same scene: the thermal range starts anew."""
        self._packer.forget()

    def pack(self, pair: FramePair) -> None:
        """First stage: the pair into the engine's input."""
        self._packer.pack(pair, self.engine.x)

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
