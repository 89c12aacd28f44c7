"""Fusing one frame pair: pack, execute, unpack, with everything they need held ready."""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib import import_module
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

from edgefusion.core.bundle import Bundle, Precision
from edgefusion.core.devices import Device
from edgefusion.core.frames import Form, Frame, FramePair, Pixels
from edgefusion.core.geometry import Matrix, Size
from edgefusion.core.rig import registered
from edgefusion.kernels.agc import AgcSpec
from edgefusion.kernels.cpu import SamplingTable
from edgefusion.kernels.inputs import Packer, RegistrationFor
from edgefusion.kernels.layout import Tensor, shuffle, tensor_size
from edgefusion.recordings.pairing import Side
from runtime.engines.base import Engine
from runtime.engines.cache import BuiltEngine

WARM_UP_RUNS = 5

WHERE = {
    "openvino": "runtime.cpu_fusion:CpuFusion",
    "tensorrt": "runtime.cuda_fusion:CudaFusion",
    "tensorrt_rtx": "runtime.cuda_fusion:CudaFusion",
}
"""Backend -> class whose kernels work where its engines do."""

Kind = TypeVar("Kind", bound="Fusion")


class Fusion(ABC):
    """The three stages for one bundle on one device; call them in order for each pair, from one thread.

    When ``unpack`` or ``pass_...`` returns, nothing reads the cameras' buffers any more.

    Args:
        bundle: a checked bundle.
        device: the compute target.
        precision: which of the bundle's models.
        registration: the rig's; by default both images show the same view.
        bits: significant bits of a Y16 thermal reading.

    Attributes:
        built: the engine in use, for the size of the last pair.
        size_px: (width, height) of fused images.
        set_ups: how often the kernels were made for frames of other forms, with the rig's own registration.

    Raises:
        MachineError: what the device needs is missing.
    """

    built: BuiltEngine
    engine: Engine
    size_px: Size
    _packer: Packer

    def __init__(
        self,
        bundle: Bundle,
        device: Device,
        *,
        precision: Precision,
        registration: RegistrationFor = registered,
        bits: int = 16,
    ) -> None:
        self._bundle, self._device, self._precision = bundle, device, precision
        self._registration, self._bits = registration, bits
        self._spec = AgcSpec(**bundle.manifest.agc.model_dump())
        self._forms: dict[Side, Form] = {}
        self.set_ups = 0
        self._engine_size: Size | None = None
        self._shared: dict[Size, Any] = {}
        self._rgb = np.zeros((0, 0, 3), np.uint8)

    @property
    @abstractmethod
    def copies(self) -> float:
        """How often the pixels of a frame are copied beyond pack and unpack."""

    @property
    def facts(self) -> dict[str, Any]:
        """What the status shows of it, beside ``copies``."""
        return {}

    def forget(self) -> None:
        """The next pair is not of the same scene: the thermal range starts anew."""
        self._packer.forget()

    @abstractmethod
    def pack(self, pair: FramePair) -> None:
        """First stage: the pair into the engine's input."""

    @abstractmethod
    def execute(self) -> None:
        """Second stage: the student."""

    @abstractmethod
    def unpack(self, visible: Frame, rgb: Pixels) -> None:
        """Third stage: the engine's output and the visible chroma into ``rgb`` [H, W, 3] uint8."""

    def table(self, correction: Matrix) -> SamplingTable:
        """How ``pack`` is to sample thermal if the registration is off; from any thread, takes milliseconds.

        Args:
            correction: [3, 3] among visible pixels; see ``Registration.corrected``.
        """
        return self._packer.table(correction)

    def register(self, table: SamplingTable) -> None:
        """Let ``pack`` sample by a table of ``table`` from the next pair on, until the frames' forms change."""
        self._packer.register(table)

    def packed(self, phases: npt.NDArray[np.intp]) -> Tensor:
        """A copy [N, H/4, W/4] of some of the 32 phases ``pack`` wrote, after ``unpack`` or ``pass_...``."""
        return np.asarray(self._input()[phases], np.float32)

    @abstractmethod
    def pass_visible(self, visible: Frame, rgb: Pixels) -> None:
        """The visible image as it is into ``rgb``, without the student."""

    @abstractmethod
    def pass_thermal(self, thermal: Frame, rgb: Pixels) -> None:
        """The thermal image into ``rgb``, as the student would see it: registered, normalised, grey."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the cameras' buffers and of the ring."""

    def _fit(self, visible: Form, thermal: Form) -> None:
        """Set up engine and kernels for frames of these forms, if that changes anything."""
        size = tensor_size(visible[1])
        if size != self._engine_size:
            self._take_engine(size)
            self._engine_size = size
        if self._packer.fit_forms(visible, thermal):
            self.set_ups += 1
            self._take_unpack(visible)
            self.size_px = visible[1]

    @abstractmethod
    def _take_engine(self, size: Size) -> None:
        """Set ``built`` and ``engine`` for images of this size, with the weights of the one that another rig has."""

    @abstractmethod
    def _take_unpack(self, visible: Form) -> None:
        """The kernel of ``unpack`` for visible frames of this form."""

    @abstractmethod
    def _input(self) -> Tensor:
        """[32, H/4, W/4]: the engine's ``x`` as it was last."""

    @abstractmethod
    def _output(self) -> Tensor:
        """[16, H/4, W/4]: the engine's ``y`` as it was last."""

    def beside(self: Kind, *, registration: RegistrationFor, bits: int) -> Kind:
        """The same student for another rig: one set of weights where the sizes are the same, tensors of its own."""
        other = type(self)(
            self._bundle, self._device, precision=self._precision, registration=registration, bits=bits
        )  # fmt: skip
        other._shared = self._shared
        return other

    def share(self, memory: npt.NDArray[np.uint8], *, dmabuf: int = -1) -> bool:
        """Map a buffer before its first frame; whether the kernels will read and write it where it is.

        Args:
            memory: [bytes] all of a ring's memory or of a camera's buffer, not yet handed to its driver.
            dmabuf: its descriptor, where it is a DMABUF.
        """
        return True

    def warm_up(self, visible: Form, thermal: Form) -> None:
        """Make ready for frames of these forms and run every stage: a camera's first frames come at full speed."""
        pair = FramePair(_blank(visible), _blank(thermal))
        for _ in range(WARM_UP_RUNS):
            self.fuse(pair)
        self.pass_visible(pair.visible, self._rgb)
        self.pass_thermal(pair.thermal, self._rgb)
        self.forget()

    def prepare(self, visible: Frame | None, thermal: Frame | None) -> Size:
        """Make ready for frames of these forms, of which one may be missing if its form is known; their ``size_px``."""
        if visible is not None:
            self._forms["visible"] = visible.form
        if thermal is not None:
            self._forms["thermal"] = thermal.form
        self._fit(self._forms["visible"], self._forms["thermal"])
        return self.size_px

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
        view: npt.NDArray[np.uint8] = (self._image(self._input()[16:]) * 255 + 0.5).astype(np.uint8)
        return view

    def luma(self) -> npt.NDArray[np.float32]:
        """[H, W], 0..1: fused luma as ``execute`` left it, before any rounding."""
        return self._image(self._output())

    def _image(self, phases: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """[H, W] of 16 phases [16, H/4, W/4], without the padding."""
        width, height = self.size_px
        return np.asarray(shuffle(phases)[:height, :width], np.float32)


def open_fusion(
    bundle: Bundle, device: Device, *, precision: Precision, registration: RegistrationFor = registered, bits: int = 16
) -> Fusion:
    """The stages for a device; see ``Fusion``."""
    module, _, name = WHERE[device.backend].partition(":")
    made = getattr(import_module(module), name)(
        bundle, device, precision=precision, registration=registration, bits=bits
    )  # fmt: skip
    return cast(Fusion, made)


def _blank(form: Form) -> Frame:
    pixel_format, size = form
    return Frame(np.zeros(pixel_format.array_shape(*size), pixel_format.dtype), pixel_format, 0, "monotonic", 0)
