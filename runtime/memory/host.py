"""Host memory in the GPU's address space: the cameras' buffers and the ring where they can be mapped, else a copy.

A buffer can be mapped if it lies in an ``mmap`` of this process: a V4L2 driver's buffers, page-aligned memory given to
one, a DMABUF, the ring. Each such map is registered with the driver once, when the first array in it comes along, and
kept alive as long as it is registered: memory is unregistered before it is unmapped. Whatever else comes (a decoded
picture, a recording) is copied into page-locked memory, and counted.

Not yet run on hardware (docs/hardware-status.md).
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.memory.dmabuf import Bytes, Import
from runtime.memory.gpu import CudaError, Gpu
from runtime.memory.views import device_view

UNUSED_AFTER = 2_000
"""Look-ups after which a map that nobody asked for is let go: the buffers of a camera that was opened again."""
_SWEEP = 1_024
_PORTABLE, _DEVICEMAP, _READ_ONLY = 1, 2, 8
_HOST_ALLOC_DEVICEMAP = 2


@dataclass
class _Map:
    """A registered ``mmap``.

    Attributes:
        memory: all of it; keeps it mapped.
        pointer: where the GPU finds it; 0: the driver refuses to map it.
        used: the look-up that asked for it last.
        imported: what mapped it, if not its registration.
    """

    memory: Bytes
    pointer: int
    used: int
    imported: Import | None = None


class HostMemory:
    """Finds the GPU's pointer of arrays of the host.

    Args:
        gpu: whose context is current.

    Attributes:
        refused: why maps could not be registered, in the driver's words; each reason once.
    """

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        self._maps: dict[int, _Map] = {}
        self._asked = 0
        self.refused: list[str] = []
        self._able = bool(gpu.attribute("CAN_MAP_HOST_MEMORY") and gpu.attribute("HOST_REGISTER_SUPPORTED"))
        self._able_read_only = bool(gpu.attribute("READ_ONLY_HOST_REGISTER_SUPPORTED"))

    def find(self, array: npt.NDArray[Any]) -> int:
        """Where the GPU finds a C-contiguous array; 0 if it must be copied."""
        self._asked += 1
        if self._asked % _SWEEP == 0:
            self._drop_unused()
        root = _root(array) if array.flags.c_contiguous else None
        if root is None:
            return 0
        known = self._maps.get(id(root)) or self._register(root)
        known.used = self._asked
        if known.pointer == 0:
            return 0
        offset = address(array) - address(known.memory)
        return known.pointer + offset

    def share(self, memory: Bytes, dmabuf: int = -1) -> bool:
        """Map a buffer before its first use, a DMABUF through EGL if it cannot be registered; whether that succeeded.

        Args:
            memory: all of it, as the CPU sees it. A DMABUF is written to: no driver may own it yet.
            dmabuf: its descriptor, where it is one.
        """
        root = _root(memory)
        if self.find(memory) or root is None or dmabuf < 0:
            return self.find(memory) != 0
        try:
            imported = Import(self._gpu, dmabuf, memory)
        except CudaError as error:
            self._refuse(error)
            return False
        self._maps[id(root)] = _Map(memory, imported.pointer, self._asked, imported)
        return True

    def close(self) -> None:
        """Unregister everything. The GPU must not be reading any of it."""
        for each in self._maps.values():
            self._unregister(each)
        self._maps.clear()

    def _register(self, root: mmap.mmap) -> _Map:
        memory = np.frombuffer(root, np.uint8)
        pointer = 0
        try:
            pointer = self._map(memory)
        except CudaError as error:
            self._refuse(error)
        made = self._maps[id(root)] = _Map(memory, pointer, self._asked)
        return made

    def _map(self, memory: Bytes) -> int:
        if not self._able:
            raise CudaError("the device does not map host memory")
        if not memory.flags.writeable and not self._able_read_only:
            raise CudaError("the device does not map memory that may only be read")
        flags = _PORTABLE | _DEVICEMAP | (0 if memory.flags.writeable else _READ_ONLY)
        start = address(memory)
        whole_pages = -(-memory.nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
        self._gpu.call("cuMemHostRegister", start, whole_pages, flags)
        return int(self._gpu.call("cuMemHostGetDevicePointer", start, 0))

    def _drop_unused(self) -> None:
        for key, each in list(self._maps.items()):
            if self._asked - each.used > UNUSED_AFTER:
                self._unregister(each)
                del self._maps[key]

    def _refuse(self, error: CudaError) -> None:
        if str(error) not in self.refused:
            self.refused.append(str(error))

    def _unregister(self, each: _Map) -> None:
        if each.imported:
            each.imported.close()
        elif each.pointer:
            self._gpu.call("cuMemHostUnregister", address(each.memory))


class Staging:
    """Page-locked memory that both sides reach, for one image that could not be mapped.

    Args:
        gpu: whose context is current.
        size_bytes: of the image.
    """

    def __init__(self, gpu: Gpu, size_bytes: int) -> None:
        whole = -(-size_bytes // 4) * 4
        self.host: Bytes = gpu.pycuda.pagelocked_zeros(whole, np.uint8, mem_flags=_HOST_ALLOC_DEVICEMAP)
        self.pointer = int(gpu.call("cuMemHostGetDevicePointer", address(self.host), 0))

    def put(self, pixels: npt.NDArray[Any]) -> int:
        """Copy an image in; where the GPU finds it."""
        np.copyto(self.host[: pixels.nbytes], pixels.reshape(-1).view(np.uint8))
        return self.pointer

    def get(self, pixels: npt.NDArray[Any]) -> None:
        """Copy the image out."""
        np.copyto(pixels.reshape(-1).view(np.uint8), self.host[: pixels.nbytes])

    def view(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Any:
        """The memory as kernels take it."""
        return device_view(self.pointer, shape, dtype, owner=self)


def address(array: npt.NDArray[Any]) -> int:
    """Of the array's first byte, for the CPU."""
    return int(array.__array_interface__["data"][0])


def _root(array: npt.NDArray[Any]) -> mmap.mmap | None:
    """The ``mmap`` that an array lies in."""
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    owner = base.obj if isinstance(base, memoryview) else base
    return owner if isinstance(owner, mmap.mmap) else None
