"""Fusing one frame pair on the GPU: what ``runtime.fusion.Fusion`` does, without leaving the GPU's memory in between.

The camera's buffers and the ring's slots are mapped into the GPU; ``pack`` and ``execute`` only enqueue, ``unpack``
waits. So nothing reads a camera's buffer any more when ``unpack`` or ``pass_...`` returns, and it may be released.

Not yet run on hardware (docs/hardware-status.md).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from edgefusion.core.bundle import Bundle, Precision
from edgefusion.core.devices import Device
from edgefusion.core.errors import RunError
from edgefusion.core.frames import Frame, FramePair, Pixels
from edgefusion.core.geometry import Size
from edgefusion.core.rig import registered
from edgefusion.kernels.agc import AgcSpec
from edgefusion.kernels.inputs import Registration
from edgefusion.kernels.layout import Form, shuffle, tensor_size
from edgefusion.recordings.pairing import Side
from runtime.engines.cache import BuiltEngine, build
from runtime.engines.trt_engine import Plan, TensorRtEngine
from runtime.memory.gpu import this_gpu
from runtime.memory.stages import CudaInputPacker, RigMemory
from runtime.memory.views import device_view

WARM_UP_RUNS = 5
BACKENDS = ("tensorrt", "tensorrt_rtx")
"""Whose engines this class executes."""


class CudaFusion:
    """The three stages for one bundle on one GPU; call them in order for each pair, from the thread that made it.

    Args:
        bundle: a checked bundle.
        device: the compute target, of one of ``BACKENDS``.
        precision: which of the bundle's models.
        registration: the rig's; by default both images show the same view.
        bits: significant bits of a Y16 thermal reading.

    Attributes:
        built: the engine in use, for the size of the last pair.
        size_px: (width, height) of fused images.

    Raises:
        MachineError: no driver, or pycuda or numba-cuda is not installed.
    """

    built: BuiltEngine
    engine: TensorRtEngine
    size_px: Size

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
        gpu = this_gpu()
        self._memory = RigMemory(gpu, gpu.new_stream())
        spec = AgcSpec(**bundle.manifest.agc.model_dump())
        self._packer = CudaInputPacker(self._memory, spec, registration=registration, bits=bits)
        self._forms: dict[Side, Form] = {}
        self._plans: dict[Size, tuple[BuiltEngine, Plan]] = {}
        self._engine_size: Size | None = None
        self._rgb = np.zeros((0, 0, 3), np.uint8)
        self._frames = 0

    @property
    def copies(self) -> float:
        """Images copied per frame because a camera's buffer or the output could not be mapped into the GPU."""
        return self._memory.copied / self._frames if self._frames else 0.0

    @property
    def facts(self) -> dict[str, Any]:
        """For the status: why maps were refused, and why the enqueue is no CUDA graph; empty where all is well."""
        return {"not_mapped": self._memory.host.refused, "no_graph": self.engine.no_graph}

    def beside(self, *, registration: Registration, bits: int) -> CudaFusion:
        """The same student for another rig: one set of weights where the sizes are the same, tensors of its own."""
        other = CudaFusion(
            self._bundle, self._device, precision=self._precision, registration=registration, bits=bits
        )  # fmt: skip
        other._plans = self._plans
        return other

    def share(self, memory: npt.NDArray[np.uint8], *, dmabuf: int = -1) -> bool:
        """Map a buffer into the GPU before the first frame; whether the GPU will read and write it where it is.

        Args:
            memory: [bytes] all of a ring's memory or of a camera's buffer, not yet handed to its driver.
            dmabuf: its descriptor, where it is a DMABUF.
        """
        return self._memory.host.share(memory, dmabuf)

    def warm_up(self, visible: Form, thermal: Form) -> None:
        """Make ready for frames of these forms and run every stage: a camera's first frames come at full speed."""
        pair = FramePair(_blank(visible), _blank(thermal))
        for _ in range(WARM_UP_RUNS):
            self.fuse(pair)
        self.pass_visible(pair.visible, self._rgb)
        self.pass_thermal(pair.thermal, self._rgb)
        self.forget()
        self._memory.copied = self._frames = 0

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
        self._packer.pack(pair, self._x)

    def execute(self) -> None:
        """Second stage: the student."""
        try:
            self.engine.enqueue()
        except RunError:
            self._memory.wait()  # pack may still be reading buffers that the caller gives back now
            raise

    def unpack(self, visible: Frame, rgb: Pixels) -> None:
        """Third stage: the engine's output and the visible chroma into ``rgb`` [H, W, 3] uint8; waits for all three."""
        self._merge(self._y, visible, rgb)

    def pass_visible(self, visible: Frame, rgb: Pixels) -> None:
        """The visible image as it is into ``rgb``, without the student."""
        self._packer.pack_visible(visible, self._x)
        self._merge(self._luma, visible, rgb)

    def pass_thermal(self, thermal: Frame, rgb: Pixels) -> None:
        """The thermal image into ``rgb``, as the student would see it: registered, normalised, grey."""
        self._packer.pack_thermal(thermal, self._x)
        self._memory.into(rgb, lambda out: self._unpack.grey(self._thermal, out))
        self._finish()

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
        self.engine.fetch()
        view: npt.NDArray[np.uint8] = (self._image(self.engine.x[16:]) * 255 + 0.5).astype(np.uint8)
        return view

    def luma(self) -> npt.NDArray[np.float32]:
        """[H, W], 0..1: fused luma as ``execute`` left it, before any rounding."""
        self.engine.fetch()
        return self._image(self.engine.y)

    def close(self) -> None:
        """Let the cameras' buffers and the ring go from the GPU."""
        self._memory.wait()
        self._memory.host.close()

    def _merge(self, luma: Any, visible: Frame, rgb: Pixels) -> None:
        words = self._packer.visible_words(visible)
        self._memory.into(rgb, lambda out: self._unpack(luma, words, out))
        self._finish()

    def _finish(self) -> None:
        self._packer.settle()
        self._frames += 1

    def _image(self, phases: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """[H, W] of 16 phases [16, H/4, W/4], without the padding."""
        width, height = self.size_px
        return shuffle(phases)[:height, :width]

    def _fit(self, visible: Form, thermal: Form) -> None:
        from edgefusion.kernels.cuda import Unpack  # imports numba.cuda

        size = tensor_size(visible[1])
        if size != self._engine_size:
            self._take_engine(size)
        if self._packer.fit_forms(visible, thermal):
            self._unpack = Unpack(visible, stream=self._memory.numba_stream)
            self.size_px = visible[1]

    def _take_engine(self, size: Size) -> None:
        """An engine for images of this size on our stream, with the weights of the one that another rig has."""
        if size not in self._plans:
            built = build(self._bundle, self._device, size_px=size, precision=self._precision)
            loaded = built.load()
            assert isinstance(loaded, TensorRtEngine)  # noqa: S101  # as BACKENDS says
            self._plans[size] = built, loaded.plan
        self.built, plan = self._plans[size]
        self.engine = TensorRtEngine(plan, size, stream=self._memory.stream)
        x, y = self.engine.device_x, self.engine.device_y
        self._x = device_view(x.pointer, x.host.shape, x.host.dtype, owner=x)
        self._y = device_view(y.pointer, y.host.shape, y.host.dtype, owner=y)
        self._luma, self._thermal = self._x[:16], self._x[16:]
        self._engine_size = size


def _blank(form: Form) -> Frame:
    pixel_format, size = form
    return Frame(np.zeros(pixel_format.array_shape(*size), pixel_format.dtype), pixel_format, 0, "monotonic", 0)
