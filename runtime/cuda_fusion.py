"""Fusing one frame pair on the GPU: what ``runtime.fusion.Fusion`` does, without leaving the GPU's memory in between.

The camera's buffers and the ring's slots are mapped into the GPU; ``pack`` and ``execute`` only enqueue, ``unpack``
waits. So nothing reads a camera's buffer any more when ``unpack`` or ``pass_...`` returns, and it may be released.

Not yet run on hardware (docs/hardware-status.md).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from edgefusion.core.errors import RunError
from edgefusion.core.frames import Form, Frame, FramePair, Pixels
from edgefusion.core.geometry import Size
from edgefusion.kernels.layout import Tensor
from runtime.engines.cache import build
from runtime.engines.tensorrt import TensorRtBackend
from runtime.engines.trt_engine import TensorRtEngine
from runtime.fusion import Fusion
from runtime.memory.gpu import this_gpu
from runtime.memory.stages import CudaInputPacker, RigMemory
from runtime.memory.views import device_view


class CudaFusion(Fusion):
    """See ``Fusion``; the thread that made it is the one that calls it.

    Raises:
        MachineError: no driver, or pycuda or numba-cuda is not installed.
    """

    engine: TensorRtEngine
    _packer: CudaInputPacker

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        gpu = this_gpu()
        self._memory = RigMemory(gpu, gpu.new_stream())
        self._packer = CudaInputPacker(self._memory, self._spec, registration=self._registration, bits=self._bits)
        self._frames = 0

    @property
    def copies(self) -> float:
        """Images copied per frame because a camera's buffer or the output could not be mapped into the GPU."""
        return self._memory.copied / self._frames if self._frames else 0.0

    @property
    def facts(self) -> dict[str, Any]:
        """For the status: why maps were refused, and why the enqueue is no CUDA graph; empty where all is well."""
        return {"not_mapped": self._memory.host.refused, "no_graph": self.engine.no_graph}

    def share(self, memory: npt.NDArray[np.uint8], *, dmabuf: int = -1) -> bool:
        """See ``Fusion.share``."""
        return self._memory.host.share(memory, dmabuf)

    def warm_up(self, visible: Form, thermal: Form) -> None:
        """See ``Fusion.warm_up``; what it copies is not counted."""
        super().warm_up(visible, thermal)
        self._memory.copied = self._frames = 0

    def pack(self, pair: FramePair) -> None:
        """See ``Fusion.pack``; only enqueues."""
        self._packer.pack(pair, self._x)

    def execute(self) -> None:
        """See ``Fusion.execute``; only enqueues."""
        try:
            self.engine.enqueue()
        except RunError:
            self._memory.wait()  # pack may still be reading buffers that the caller gives back now
            raise

    def unpack(self, visible: Frame, rgb: Pixels) -> None:
        """See ``Fusion.unpack``; waits for all three stages."""
        self._merge(self._y, visible, rgb)

    def pass_visible(self, visible: Frame, rgb: Pixels) -> None:
        """See ``Fusion.pass_visible``."""
        self._packer.pack_visible(visible, self._x)
        self._merge(self._luma, visible, rgb)

    def pass_thermal(self, thermal: Frame, rgb: Pixels) -> None:
        """See ``Fusion.pass_thermal``."""
        self._packer.pack_thermal(thermal, self._x)
        self._memory.into(rgb, lambda out: self._unpack.grey(self._thermal, out))
        self._finish()

    def close(self) -> None:
        """Let the cameras' buffers and the ring go from the GPU."""
        self._memory.wait()
        self._memory.host.close()

    def _input(self) -> Tensor:
        self.engine.fetch_x()
        return self.engine.x

    def _output(self) -> Tensor:
        self.engine.fetch_y()
        return self.engine.y

    def _merge(self, luma: Any, visible: Frame, rgb: Pixels) -> None:
        words = self._packer.visible_words(visible)
        self._memory.into(rgb, lambda out: self._unpack(luma, words, out))
        self._finish()

    def _finish(self) -> None:
        self._packer.settle()
        self._frames += 1

    def _take_engine(self, size: Size) -> None:
        """An engine for images of this size on our stream, with the weights of the one that another rig has."""
        if size not in self._shared:
            built = build(self._bundle, self._device, size_px=size, precision=self._precision)
            assert isinstance(built.backend, TensorRtBackend)  # noqa: S101  # as WHERE says
            self._shared[size] = built, built.backend.plan(built.blob)
        self.built, plan = self._shared[size]
        self.engine = TensorRtEngine(plan, size, stream=self._memory.stream)
        x, y = self.engine.device_x, self.engine.device_y
        self._x = device_view(x.pointer, x.host.shape, x.host.dtype, owner=x)
        self._y = device_view(y.pointer, y.host.shape, y.host.dtype, owner=y)
        self._luma, self._thermal = self._x[:16], self._x[16:]

    def _take_unpack(self, visible: Form) -> None:
        from edgefusion.kernels.cuda import Unpack  # imports numba.cuda

        self._unpack = Unpack(visible, stream=self._memory.numba_stream)
