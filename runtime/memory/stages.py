"""Pack and unpack on the GPU, with the signatures of ``kernels.inputs.InputPacker`` and ``kernels.cpu.Unpack``.

Not yet run on hardware (docs/hardware-status.md).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from edgefusion.core.frames import Form, Frame, FramePair, Pixels
from edgefusion.core.geometry import Registration
from edgefusion.core.rig import registered
from edgefusion.kernels.agc import AgcSpec
from edgefusion.kernels.inputs import Packer, RegistrationFor
from edgefusion.kernels.layout import check_form
from edgefusion.recordings.pairing import SIDES
from runtime.memory.gpu import CudaError, Gpu
from runtime.memory.host import HostMemory, Staging
from runtime.memory.views import device_view, numba_stream

if TYPE_CHECKING:
    from edgefusion.kernels.cuda import Pack

_VIEWS = 256
"""Arrays of numba's that are kept: one for each buffer of the cameras and each slot of the ring."""


class RigMemory:
    """What the stages of one rig share on the GPU: its stream, mapped buffers, and copies where there is no map.

    Args:
        gpu: whose context is current.
        stream: of pycuda's.

    Attributes:
        host: the mapped buffers.
        copied: images that were copied so far.
    """

    def __init__(self, gpu: Gpu, stream: Any) -> None:
        self.gpu, self.stream, self.numba_stream = gpu, stream, numba_stream(stream.handle)
        self.host = HostMemory(gpu)
        self.copied = 0
        self._staging: dict[tuple[str, int], Staging] = {}
        self._views: dict[tuple[int, int], Any] = {}
        self._done = gpu.new_mark()

    def words(self, pixels: Pixels, use: str) -> Any:
        """An image of the host as words for the kernels; copied where it cannot be mapped.

        ``use`` tells the copies apart that are held at the same time.
        """
        pointer = self.host.find(pixels)
        if pointer == 0 or pointer % 4:
            pointer = self.staging(use, pixels.nbytes).put(pixels)
            self.copied += 1
        return self.view(pointer, -(-pixels.nbytes // 4), np.uint32)

    def staging(self, use: str, size_bytes: int) -> Staging:
        """Page-locked memory for an image."""
        key = use, size_bytes
        if key not in self._staging:
            self._staging[key] = Staging(self.gpu, size_bytes)
        return self._staging[key]

    def view(self, pointer: int, count: int, dtype: Any) -> Any:
        """``count`` elements at a pointer as kernels take them; made once."""
        key = pointer, count
        if key not in self._views:
            if len(self._views) == _VIEWS:
                self._views.clear()
            self._views[key] = device_view(pointer, (count,), dtype)
        return self._views[key]

    def wait(self) -> None:
        """Until all that is on the stream is done: from here on cameras may have their buffers back.

        Raises:
            CudaError: something on the stream failed.
        """
        try:
            self._done.record(self.stream)
            self._done.synchronize()
        except self.gpu.pycuda.Error as error:
            raise CudaError(f"the GPU failed while fusing ({error})", remedy="see dmesg for GPU errors") from error

    def into(self, rgb: Pixels, write: Callable[[Any], None]) -> None:
        """Let ``write`` fill an array [bytes] uint8 of the GPU's that is ``rgb``, or is copied there; waits for it."""
        pointer = self.host.find(rgb)
        if pointer:
            write(self.view(pointer, rgb.nbytes, np.uint8))
            self.wait()
            return
        staging = self.staging("rgb", rgb.nbytes)
        write(self.view(staging.pointer, rgb.nbytes, np.uint8))
        self.wait()
        staging.get(rgb)
        self.copied += 1


class CudaInputPacker(Packer):
    """``Packer`` on the GPU: every call only enqueues. ``settle`` comes after the wait, once for each pack.

    Args:
        memory: of the rig, with its stream.
        spec: the bundle's gain control.
        registration: the rig's; by default both images show the same view.
        bits: significant bits of a Y16 thermal reading.
    """

    _pack: Pack

    def __init__(
        self, memory: RigMemory, spec: AgcSpec, *, registration: RegistrationFor = registered, bits: int = 16
    ) -> None:
        super().__init__(spec, registration=registration, bits=bits)
        self._memory = memory
        self._counted = False
        self._last: tuple[Frame, Any] | None = None

    def _set_up(self, visible: Form, thermal: Form, registration: Registration) -> None:
        from edgefusion.kernels.cuda import Pack  # imports numba.cuda

        self._pack = Pack(
            visible, thermal, registration=registration, bits=self._bits, stream=self._memory.numba_stream
        )
        self._histogram = self._memory.staging("histogram", 4 * max(self._pack.bins, 1))
        self._taken = self._histogram.view((max(self._pack.bins, 1),), np.uint32)
        self._counted = False

    def pack(self, pair: FramePair, x: Any) -> None:
        """Write a pair into ``x`` [32, H/4, W/4] on the GPU."""
        visible, thermal = self.visible_words(pair.visible), self._words(pair.thermal, 1)
        low, high = self._agc.range(pair.thermal)
        self._pack(visible, thermal, x, low=low, high=high)
        self._count()

    def pack_visible(self, frame: Frame, x: Any) -> None:
        """Write a visible frame alone into the luma phases ``x[:16]``."""
        self._pack.pack_visible(self.visible_words(frame), x)

    def pack_thermal(self, frame: Frame, x: Any) -> None:
        """Write a thermal frame alone into the thermal phases ``x[16:]``."""
        words = self._words(frame, 1)
        low, high = self._agc.range(frame)
        self._pack.pack_thermal(words, x, low=low, high=high)
        self._count()

    def settle(self) -> None:
        """Take in the histogram of the frame packed last, once the stream was waited for; it counts from then on."""
        if self._counted:
            self._agc.update(self._histogram.host.view(np.uint32), self._pack.bin_width)
            self._counted = False
        self._last = None

    def visible_words(self, frame: Frame) -> Any:
        """A visible frame's pixels for the kernels; copied once until ``settle``, if at all."""
        if self._last is None or self._last[0] is not frame:
            self._last = frame, self._words(frame, 0)
        return self._last[1]

    def _words(self, frame: Frame, side: int) -> Any:
        assert self._forms is not None  # noqa: S101  # fit_forms came before
        check_form(frame, self._forms[side])
        return self._memory.words(frame.pixels, SIDES[side])

    def _count(self) -> None:
        if self._pack.bins:
            self._pack.take_histogram(self._taken)
            self._counted = True
