"""Fusing one frame pair: pack, execute, unpack, with everything they need held ready."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgefusion.core.bundle import Bundle, Precision
from edgefusion.core.devices import Device
from edgefusion.core.frames import Frame, FramePair, Pixels
from edgefusion.core.geometry import Size
from edgefusion.core.rig import registered
from edgefusion.kernels.agc import AgcSpec
from edgefusion.kernels.cpu import Unpack
from edgefusion.kernels.inputs import InputPacker, Registration
from edgefusion.kernels.layout import Form, shuffle, tensor_size
from edgefusion.recordings.pairing import Side
from runtime.engines.base import Engine
from runtime.engines.cache import BuiltEngine, build

WARM_UP_RUNS = 5


class Fusion:
    """The three stages for one bundle on one device; call them in order for each pair.

    Args:
        bundle: a checked bundle.
        device: the compute target.
        precision: which of the bundle's models.
        registration: the rig's; by default both images show the same view.
        bits: significant bits of a Y16 thermal reading.

    Attributes:
        built: the engine in use, for the size of the last pair.
        size_px: (width, height) of fused images.
        copies: how often a frame's pixels are copied beyond pack and unpack.
    """

    built: BuiltEngine
    engine: Engine
    size_px: Size
    copies = 0.0

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
        self._forms: dict[Side, Form] = {}
        self._engines: dict[Size, tuple[BuiltEngine, Engine]] = {}
        self._engine_size: Size | None = None
        self._rgb = np.zeros((0, 0, 3), np.uint8)

    def beside(self, *, registration: Registration, bits: int) -> Fusion:
        """The same student for another rig: one set of weights where the sizes are the same, tensors of its own."""
        other = Fusion(
            self._bundle, self._device, precision=self._precision, registration=registration, bits=bits
        )  # fmt: skip
        other._engines = self._engines
        return other

    def warm_up(self, visible: Form, thermal: Form) -> None:
        """Make ready for frames of these forms and run every stage: a camera's first frames come at full speed."""
        pair = FramePair(_blank(visible), _blank(thermal))
        for _ in range(WARM_UP_RUNS):
            self.fuse(pair)
        self.pass_visible(pair.visible, self._rgb)
        self.forget()

    def prepare(self, visible: Frame | None, thermal: Frame | None) -> Size:
        """Make ready for frames of these forms, of which one may be missing if its form is known; their ``size_px``."""
        if visible is not None:
            self._forms["visible"] = (visible.format, visible.size_px)
        if thermal is not None:
            self._forms["thermal"] = (thermal.format, thermal.size_px)
        self._fit(self._forms["visible"], self._forms["thermal"])
        return self.size_px

    def forget(self) -> None:
        """The next pair is not of the same scene: the thermal range starts anew."""
        self._packer.forget()

    def pack(self, pair: FramePair) -> None:
        """First stage: the pair into the engine's input."""
        self._packer.pack(pair, self.engine.x)

    def execute(self) -> None:
        """Second stage: the student."""
        self.engine.execute()

    def unpack(self, visible: Frame, rgb: Pixels) -> None:
        """Third stage: the engine's output and the visible chroma into ``rgb`` [H, W, 3] uint8."""
        self._unpack(self.engine.y, visible, rgb)

    def pass_visible(self, visible: Frame, rgb: Pixels) -> None:
        """The visible image as it is into ``rgb``, without the student."""
        self._packer.pack_visible(visible, self.engine.x)
        self._unpack(self.engine.x[:16], visible, rgb)

    def pass_thermal(self, thermal: Frame, rgb: Pixels) -> None:
        """The thermal image into ``rgb``, as the student would see it: registered, normalised, grey."""
        self._packer.pack_thermal(thermal, self.engine.x)
        self._unpack.grey(self.engine.x[16:], rgb)

    def fuse(self, pair: FramePair) -> npt.NDArray[np.uint8]:
        """All stages; returns [H, W, 3] uint8, which the next pair overwrites."""
        width, height = self.prepare(pair.visible, pair.thermal)
        if self._rgb.shape != (height, width, 3):
            self._rgb = np.zeros((height, width, 3), np.uint8)
        self.pack(pair)
        self.execute()
        self.unpack(pair.visible, self._rgb)
        return self._rgb

    def thermal_view(self) -> npt.NDArray[np.uint8]:
        """[H, W] uint8: thermal as the student saw it last, registered and normalised."""
        view: npt.NDArray[np.uint8] = (self._image(self.engine.x[16:]) * 255 + 0.5).astype(np.uint8)
        return view

    def luma(self) -> npt.NDArray[np.float32]:
        """[H, W], 0..1: fused luma as ``execute`` left it, before any rounding."""
        return self._image(self.engine.y)

    def _image(self, phases: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """[H, W] of 16 phases [16, H/4, W/4], without the padding."""
        width, height = self.size_px
        return np.asarray(shuffle(phases)[:height, :width], np.float32)

    def _fit(self, visible: Form, thermal: Form) -> None:
        size = tensor_size(visible[1])
        if size != self._engine_size:
            self._take_engine(size)
        if self._packer.fit_forms(visible, thermal):
            self._unpack = Unpack(visible)
            self.size_px = visible[1]

    def _take_engine(self, size: Size) -> None:
        """An engine for images of this size, with the weights of the one that another rig has."""
        if size in self._engines:
            self.built, first = self._engines[size]
            self.engine = first.another()
        else:
            self.built = build(self._bundle, self._device, size_px=size, precision=self._precision)
            self.engine = self.built.load()
            self._engines[size] = self.built, self.engine
        self._engine_size = size


def _blank(form: Form) -> Frame:
    pixel_format, size = form
    return Frame(np.zeros(pixel_format.array_shape(*size), pixel_format.dtype), pixel_format, 0, "monotonic", 0)
