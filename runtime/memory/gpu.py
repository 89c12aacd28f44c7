"""The GPU of this process: its primary context, shared by pycuda, numba-cuda and TensorRT.

pycuda has contexts, streams, events and allocations; what it has not (graphs, EGL images, registering memory whose
array has a base already) is asked of NVIDIA's own bindings, which numba-cuda brings. Never ``pycuda.autoinit``: that
makes a context of its own, in which numba-cuda refuses to work.

Not yet run on hardware (docs/hardware-status.md).
"""

from __future__ import annotations

import atexit
import threading
from functools import cache
from typing import Any

from edgefusion.core.errors import RunError
from edgefusion.core.optional import require
from runtime.engines.trt_api import need_driver

_BLOCKING_SYNC = 1
"""CU_EVENT_BLOCKING_SYNC: whoever waits sleeps instead of turning in circles."""
_DISABLE_TIMING = 2
_THREAD = threading.local()


class CudaError(RunError):
    """The driver refused a call; says which, and why."""


class Gpu:
    """The first GPU and its primary context, current in the thread that made it; see ``this_gpu``.

    Attributes:
        pycuda: ``pycuda.driver``.
        bindings: ``cuda.bindings.driver``.

    Raises:
        MachineError: no driver, or pycuda or numba-cuda is not installed.
    """

    def __init__(self) -> None:
        need_driver()
        self.pycuda = require("pycuda.driver", "cuda12")
        self.bindings = require("cuda.bindings.driver", "cuda12")
        self.pycuda.init()
        self._context = self.pycuda.Device(0).retain_primary_context()
        self._device = self.call("cuDeviceGet", 0)

    def attach(self) -> None:
        """Make the context current in this thread, until the process ends. Only threads that live so long may call."""
        if not getattr(_THREAD, "attached", False):
            self._context.push()
            _THREAD.attached = True
            atexit.register(self._detach)  # pycuda ends the process if one is left on its stack

    def attribute(self, name: str) -> int:
        """A device attribute by the driver's name without CU_DEVICE_ATTRIBUTE_; 0 where it is not known."""
        kinds = self.bindings.CUdevice_attribute
        wanted = getattr(kinds, f"CU_DEVICE_ATTRIBUTE_{name}", None)
        if wanted is None:
            return 0
        error, value = self.bindings.cuDeviceGetAttribute(wanted, self._device)
        return 0 if int(error) else int(value)

    def call(self, name: str, *arguments: Any) -> Any:
        """Call a function of the driver; what it returns beside the error code.

        Raises:
            CudaError: the driver refuses.
        """
        error, *results = getattr(self.bindings, name)(*arguments)
        if int(error):
            raise CudaError(f"{name}: {error.name}")
        return results[0] if results else None

    def new_stream(self) -> Any:
        """A stream of pycuda's."""
        return self.pycuda.Stream()

    def new_mark(self) -> Any:
        """An event of pycuda's to wait for, without the time."""
        return self.pycuda.Event(_BLOCKING_SYNC | _DISABLE_TIMING)

    def _detach(self) -> None:
        self._context.pop()


@cache
def _only() -> Gpu:
    return Gpu()


def this_gpu() -> Gpu:
    """The GPU of this process, its context current in the calling thread."""
    gpu = _only()
    gpu.attach()
    return gpu
