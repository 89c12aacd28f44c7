"""A GPU for numba's simulator: ``pycuda.driver`` and ``cuda.bindings.driver`` whose device memory is the host's.

Work is done when it is enqueued. Device pointers lie ``FAR`` above the host's, so that one cannot pass for the other.
Types and enumerations are those of the real ``cuda.bindings``; a function that it has not cannot be faked.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
from cuda.bindings import driver as real

FAR = 1 << 45
OK = real.CUresult.CUDA_SUCCESS


def host(pointer: int, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """The array at a device pointer."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = (ctypes.c_uint8 * size).from_address(pointer - FAR)
    return np.frombuffer(memory, dtype).reshape(shape)


class DriverError(Exception):
    """What pycuda raises."""


class Allocation:
    """What ``mem_alloc`` gives."""

    def __init__(self, size: int) -> None:
        self.memory = np.full(size, 0xA5, np.uint8)

    def __int__(self) -> int:
        return self.memory.ctypes.data + FAR


class Gpu:
    """Everything that was asked of the driver, and what it answers.

    Attributes:
        log: names of calls, in order.
        registered: host address -> bytes.
        refuses: name of a function -> the error it returns.
        attributes: name -> value.
        contexts: on the stack.
        images: EGL images that the driver has.
        graphs: that can be launched.
    """

    def __init__(self) -> None:
        self.log: list[str] = []
        self.registered: dict[int, int] = {}
        self.refuses: dict[str, Any] = {}
        self.attributes = {
            "CAN_MAP_HOST_MEMORY": 1,
            "HOST_REGISTER_SUPPORTED": 1,
            "READ_ONLY_HOST_REGISTER_SUPPORTED": 0,
        }
        self.capturing = False
        self.captured: list[Callable[[], None]] = []
        self.contexts = self.images = self.graphs = 0
        self.pagelocked: list[int] = []

    def pycuda(self) -> Any:
        """``pycuda.driver``."""
        module: Any = ModuleType("pycuda.driver")
        context = SimpleNamespace(push=lambda: self._count(1), pop=lambda: self._count(-1))
        module.init = lambda: self.log.append("init")
        module.Device = lambda number: SimpleNamespace(retain_primary_context=lambda: context)
        module.Stream = lambda: SimpleNamespace(handle=7, synchronize=lambda: self.log.append("synchronize"))
        module.Event = lambda flags=0: self._event()
        module.Error = DriverError
        module.mem_alloc = self._allocate
        module.pagelocked_zeros = self._pagelocked
        module.memcpy_htod_async = lambda to, array, stream: np.copyto(host(int(to), array.shape, array.dtype), array)
        module.memcpy_dtoh = lambda array, at: np.copyto(array, host(int(at), array.shape, array.dtype))
        module.memcpy_dtoh_async = lambda array, at, stream: np.copyto(array, host(int(at), array.shape, array.dtype))
        return module

    def bindings(self) -> Any:
        """``cuda.bindings.driver``."""
        module: Any = ModuleType("cuda.bindings.driver")
        for name in (
            "CUstream",
            "CUresult",
            "CUdevice_attribute",
            "CUstreamCaptureMode",
            "EGLImageKHR",
            "CUeglFrameType",
        ):
            setattr(module, name, getattr(real, name))
        for name in dir(self):
            if name.startswith("cu"):
                assert hasattr(real, name) or not callable(getattr(self, name)), name
                setattr(module, name, self._answering(name))
        return module

    def cuDeviceGet(self, number: int) -> Any:  # noqa: N802
        return number

    def cuDeviceGetAttribute(self, attribute: Any, device: Any) -> int:  # noqa: N802
        return self.attributes[attribute.name.removeprefix("CU_DEVICE_ATTRIBUTE_")]

    def cuMemHostRegister(self, start: int, size: int, flags: int) -> None:  # noqa: N802
        assert start % mmap.PAGESIZE == size % mmap.PAGESIZE == 0
        assert flags & real.CU_MEMHOSTREGISTER_DEVICEMAP
        assert not any(begin < start + size and start < begin + length for begin, length in self.registered.items())
        self.registered[start] = size

    def cuMemHostGetDevicePointer(self, start: int, flags: int) -> Any:  # noqa: N802
        assert start in self.registered or start in self.pagelocked
        return real.CUdeviceptr(start + FAR)

    def cuMemHostUnregister(self, start: int) -> None:  # noqa: N802
        del self.registered[start]

    def cuStreamBeginCapture(self, stream: Any, mode: Any) -> None:  # noqa: N802
        assert isinstance(stream, real.CUstream)
        assert isinstance(mode, real.CUstreamCaptureMode)
        self.capturing, self.captured = True, []

    def cuStreamEndCapture(self, stream: Any) -> Any:  # noqa: N802
        self.capturing = False
        return tuple(self.captured)

    def cuGraphInstantiate(self, graph: Any, flags: int) -> Any:  # noqa: N802
        self.graphs += 1
        return graph

    def cuGraphExecDestroy(self, executable: Any) -> None:  # noqa: N802
        self.graphs -= 1

    def cuGraphDestroy(self, graph: Any) -> None:  # noqa: N802
        pass

    def cuGraphLaunch(self, executable: Any, stream: Any) -> None:  # noqa: N802
        for work in executable:
            work()

    def cuGraphicsEGLRegisterImage(self, image: Any, flags: int) -> int:  # noqa: N802
        assert isinstance(image, real.EGLImageKHR)
        self.images += 1
        return int(image)

    def cuGraphicsResourceGetMappedEglFrame(self, resource: int, index: int, level: int) -> Any:  # noqa: N802
        kind = real.CUeglFrameType.CU_EGL_FRAME_TYPE_PITCH
        return SimpleNamespace(frameType=kind, pitch=4096, frame=SimpleNamespace(pPitch=[resource + FAR]))

    def cuGraphicsUnregisterResource(self, resource: int) -> None:  # noqa: N802
        self.images -= 1

    def enqueue(self, work: Callable[[], None]) -> None:
        """Do the work, or note it for the graph."""
        if self.capturing:
            self.captured.append(work)
        else:
            work()

    def _answering(self, name: str) -> Callable[..., tuple[Any, ...]]:
        def call(*arguments: Any) -> tuple[Any, ...]:
            self.log.append(name)
            result = getattr(self, name)(*arguments) if name not in self.refuses else None
            if name in self.refuses:
                if name == "cuStreamEndCapture":
                    self.capturing = False
                return (self.refuses[name], None)
            return (OK,) if result is None else (OK, result)

        return call

    def _event(self) -> Any:
        event = SimpleNamespace(time_since=lambda other: 1.5)
        event.record = lambda stream: self.log.append("record")
        event.synchronize = self._wait
        return event

    def _wait(self) -> None:
        self.log.append("wait")
        if "synchronize" in self.refuses:
            raise DriverError("cuEventSynchronize failed: an illegal memory access was encountered")

    def _allocate(self, size: int) -> Allocation:
        if "mem_alloc" in self.refuses:
            raise DriverError("cuMemAlloc failed: out of memory")
        return Allocation(size)

    def _pagelocked(self, shape: Any, dtype: Any, order: str = "C", mem_flags: int = 0) -> npt.NDArray[Any]:
        array = np.zeros(shape, dtype)
        self.pagelocked.append(array.ctypes.data)
        return array

    def _count(self, change: int) -> None:
        self.contexts += change
