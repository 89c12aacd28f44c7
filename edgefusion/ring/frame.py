"""One frame as a reader gets it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edgefusion.core.errors import RingLostError, RunError
from edgefusion.core.frames import Clock, Flag, FusedInfo

if TYPE_CHECKING:
    from edgefusion.ring.attachment import Attachment
    from edgefusion.ring.cuda import CudaView

Rgb = npt.NDArray[np.uint8]

_VERSIONED = (1, 0)
"""DLPack from this version on can say that memory is read-only."""
_CPU = (1, 0)
"""DLPack's name for ordinary memory."""


class Lease:
    """Keeps the writer off one slot, for as long as this object lives or until it is freed.

    Arrays are views of it by NumPy's array interface: a view that outlives its frame keeps the lease.
    """

    def __init__(self, attachment: Attachment, slot: int) -> None:
        self.address = attachment.pixels(slot)
        self.__array_interface__ = {
            "version": 3, "typestr": "|u1", "shape": attachment.shape, "data": (self.address, True),
        }  # fmt: skip
        self.attachment = attachment
        self._slot = [slot]

    def free(self) -> None:
        """End the lease. From any thread, any number of times."""
        try:
            slot = self._slot.pop()  # one thread gets it
        except IndexError:
            return
        self.attachment.free(slot)

    def __del__(self) -> None:
        self.free()


class RingFrame:
    """A fused frame of a ring.

    Its pixels stay as they are until the frame and every view of them is gone, or until ``release`` is called: the
    writer leaves the slot alone. Frames that are kept take slots from the writer, so keep copies. Used as a context
    manager it is released at the end.

    Attributes:
        info: what travels with it; each of its fields is an attribute of the frame, too.
        published_ns: when it was published, of CLOCK_MONOTONIC.
        leased: whether the pixels are the writer's own, not a copy.
    """

    def __init__(
        self, info: FusedInfo, published_ns: int, *, attachment: Attachment, at: tuple[int, int], pixels: Rgb | Lease
    ) -> None:
        self.info = info
        self.published_ns = published_ns
        self.leased = isinstance(pixels, Lease)
        self._attachment = attachment
        self._at = at
        self._lease = pixels if isinstance(pixels, Lease) else None
        self._rgb: Rgb | None = np.asarray(pixels)

    @property
    def rgb(self) -> Rgb:
        """[H, W, 3] uint8, read-only.

        Raises:
            RunError: the frame was released.
        """
        if self._rgb is None:
            raise RunError(f"frame {self.info.frame_id} was released", remedy="copy() what is needed for longer")
        return self._rgb

    def copy(self) -> Rgb:
        """[H, W, 3] uint8 of the caller's own, never torn.

        Raises:
            RunError: the frame was released.
            RingLostError: the writer took the lease for a dead process's and wrote over the frame.
        """
        pixels: Rgb = self.rgb.copy()
        if self.leased and not self._attachment.holds(*self._at):
            raise RingLostError(f"frame {self.info.frame_id} was overwritten while it was read")
        return pixels

    def release(self) -> None:
        """Give the slot back to the writer. No view of the pixels may be read from here on."""
        self._rgb = None
        if self._lease is not None:
            self._lease.free()

    def cuda(self) -> CudaView:
        """The pixels as the GPU sees them, without a copy, by ``__cuda_array_interface__``. Needs a current context.

        Raises:
            MachineError: no pycuda, or a driver that cannot map memory that is only read.
            RunError: the frame was released, or is a copy (``lease=False``).
        """
        from edgefusion.ring.cuda import view

        self.rgb  # noqa: B018 (raises if it was released)
        if self._lease is None:
            raise RunError("a copied frame is not in the ring", remedy="subscribe with lease=True")
        return view(self._lease)

    def __dlpack__(
        self,
        *,
        stream: None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """The pixels for another library: without a copy where it and NumPy know DLPack 1.0, which can say read-only.

        An older consumer would take the memory for writable, and is given a copy.

        Raises:
            BufferError: it asked for no copy, and that is not possible, or for another device.
        """
        if dl_device not in (None, _CPU):
            raise BufferError("this frame is in ordinary memory")
        if not copy and self._says_read_only(max_version):
            return self.rgb.__dlpack__(max_version=max_version)
        if copy is False:
            raise BufferError("a ring's frame is read-only, which DLPack can say from 1.0 on (NumPy from 2.1 on)")
        return self.copy().__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        """Ordinary memory."""
        return _CPU

    def _says_read_only(self, max_version: tuple[int, int] | None) -> bool:
        numpy_version = tuple(int(part) for part in np.__version__.split(".")[:2])
        return max_version is not None and max_version >= _VERSIONED and numpy_version >= (2, 1)

    @property
    def frame_id(self) -> int:
        """Counts the published frames of a run, from 0."""
        return self.info.frame_id

    @property
    def timestamp_ns(self) -> int:
        """When it was exposed, on ``clock``."""
        return self.info.timestamp_ns

    @property
    def clock(self) -> Clock:
        """What ``timestamp_ns`` counts on."""
        return self.info.clock

    @property
    def visible_sequence(self) -> int:
        """The visible camera's own number, -1 where there was no such frame."""
        return self.info.visible_sequence

    @property
    def thermal_sequence(self) -> int:
        """The thermal camera's own number, -1 where there was no such frame."""
        return self.info.thermal_sequence

    @property
    def thermal_age_ns(self) -> int:
        """Exposure of visible minus that of thermal."""
        return self.info.thermal_age_ns

    @property
    def flags(self) -> Flag:
        """What is unusual."""
        return self.info.flags

    @property
    def degraded(self) -> bool:
        """Whether this is not a fusion of both cameras."""
        return self.info.degraded

    @property
    def name(self) -> str:
        """What the pair is called in its recording, or empty."""
        return self.info.name

    def __enter__(self) -> RingFrame:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def __repr__(self) -> str:
        shape = "x".join(map(str, self._attachment.shape[1::-1]))
        return f"<RingFrame {self.info.frame_id}: {shape}, {self.flags!r}, published_ns={self.published_ns}>"
