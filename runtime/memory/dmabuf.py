"""A DMABUF in the GPU's address space, by way of an EGL image (EGL_EXT_image_dma_buf_import, CUDA's EGL interop).

For buffers whose CPU mapping the driver does not register. NVIDIA's EGL takes foreign system memory without an error
and may then read other pages (reported for a desktop GPU beyond the first 2 MB: github.com/MrOz59/Hermes-KMS, pull
request 1), so every import is held against the CPU's view of the same buffer before it is trusted. The buffer is given
as one image of bytes, 4,096 to a row.

Not yet run on hardware (docs/hardware-status.md).
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from runtime.memory.gpu import CudaError, Gpu

Bytes = npt.NDArray[np.uint8]

ROW = 4096
_R8 = int.from_bytes(b"R8  ", "little")
_WIDTH, _HEIGHT, _NONE = 0x3057, 0x3056, 0x3038
_DMA_BUF, _FOURCC, _FD, _OFFSET, _PITCH = 0x3270, 0x3271, 0x3272, 0x3273, 0x3274


class Egl(Protocol):
    """What makes EGL images."""

    def image(self, fd: int, rows: int) -> int:
        """An image of ``rows`` times ``ROW`` bytes over a DMABUF; its handle. Raises CudaError."""

    def destroy(self, image: int) -> None:
        """Let an image go."""


class Import:
    """A DMABUF that the GPU reads where it is, until ``close``.

    Args:
        gpu: whose context is current.
        fd: descriptor of the DMABUF.
        memory: [bytes] the CPU's mapping of all of it; written to, for the comparison, so no driver may own it now.
        egl: makes the image; the library's own if None.

    Attributes:
        pointer: in the GPU's address space.

    Raises:
        CudaError: EGL or the driver refuses, or the GPU does not see what the CPU sees.
    """

    def __init__(self, gpu: Gpu, fd: int, memory: Bytes, *, egl: Egl | None = None) -> None:
        self._gpu, self._egl = gpu, egl or system_egl()
        self._image = self._egl.image(fd, -(-memory.nbytes // ROW))
        self._resource: Any = None
        try:
            self._resource = gpu.call("cuGraphicsEGLRegisterImage", gpu.bindings.EGLImageKHR(self._image), 0)
            self.pointer = self._mapped()
            self._compare(memory)
        except CudaError:
            self.close()
            raise

    def close(self) -> None:
        """Take it out of the GPU's address space. Nothing may be reading it."""
        if self._resource is not None:
            self._gpu.call("cuGraphicsUnregisterResource", self._resource)
            self._resource = None
        self._egl.destroy(self._image)

    def _mapped(self) -> int:
        frame = self._gpu.call("cuGraphicsResourceGetMappedEglFrame", self._resource, 0, 0)
        pitched = self._gpu.bindings.CUeglFrameType.CU_EGL_FRAME_TYPE_PITCH
        if frame.frameType != pitched or frame.pitch != ROW:
            raise CudaError("the EGL image is not in rows as the buffer is")
        return int(frame.frame.pPitch[0])

    def _compare(self, memory: Bytes) -> None:
        pattern = np.random.default_rng(0).integers(0, 256, memory.nbytes, np.uint8)
        seen, before = np.empty_like(pattern), memory.copy()
        memory[:] = pattern
        self._gpu.pycuda.memcpy_dtoh(seen, self.pointer)
        memory[:] = before
        if not np.array_equal(seen, pattern):
            raise CudaError("the GPU does not see in the DMABUF what the CPU wrote there")


class _SystemEgl:
    """libEGL on the default display, without a window."""

    def __init__(self) -> None:
        try:
            self._library = ctypes.CDLL("libEGL.so.1")
        except OSError as error:
            raise CudaError(f"no EGL: {error}") from error
        get_display, initialize = self._library.eglGetDisplay, self._library.eglInitialize
        get_display.restype, get_display.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
        initialize.restype, initialize.argtypes = ctypes.c_uint, [ctypes.c_void_p] * 3
        self._display = get_display(None)
        if not initialize(self._display, None, None):
            raise CudaError("EGL has no display")
        attributes = ctypes.POINTER(ctypes.c_int32)
        pointer = ctypes.c_void_p
        self._create = self._function("eglCreateImageKHR", pointer, pointer, ctypes.c_uint, pointer, attributes)
        self._destroy = self._function("eglDestroyImageKHR", pointer, pointer)

    def image(self, fd: int, rows: int) -> int:
        words = [_WIDTH, ROW, _HEIGHT, rows, _FOURCC, _R8, _FD, fd, _OFFSET, 0, _PITCH, ROW, _NONE]
        made = self._create(self._display, None, _DMA_BUF, None, (ctypes.c_int32 * len(words))(*words))
        if not made:
            raise CudaError(f"eglCreateImageKHR: error {self._library.eglGetError():#x}")
        return int(made)

    def destroy(self, image: int) -> None:
        self._destroy(self._display, image)

    def _function(self, name: str, *arguments: Any) -> Any:
        find = self._library.eglGetProcAddress
        find.restype, find.argtypes = ctypes.c_void_p, [ctypes.c_char_p]
        address = find(name.encode())
        if not address:
            raise CudaError(f"EGL has no {name}")
        return ctypes.CFUNCTYPE(ctypes.c_void_p, *arguments)(address)


@cache
def system_egl() -> Egl:
    """The library's.

    Raises:
        CudaError: there is none, or it has no display.
    """
    return _SystemEgl()
