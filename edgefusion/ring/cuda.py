"""A ring's frame on the GPU: the driver maps the ring once, and the GPU reads the very memory the writer wrote.

Written against the driver's and pycuda's documentation; not yet run on hardware (docs/hardware-status.md).
"""

from __future__ import annotations

from typing import Any

from edgefusion.core.errors import MachineError
from edgefusion.core.optional import require
from edgefusion.ring.frame import Lease

_READ_ONLY = 8
"""CU_MEMHOSTREGISTER_READ_ONLY, for which pycuda has no name: needed for memory that the CPU may only read."""


class CudaView:
    """[H, W, 3] uint8 as ``__cuda_array_interface__`` (version 3, read-only), which numba, CuPy and torch take.

    Holds the lease of its frame. Whoever passes it to a kernel keeps it until that kernel has run.
    """

    def __init__(self, lease: Lease, address: int) -> None:
        self._lease = lease
        self.__cuda_array_interface__ = {
            "version": 3, "typestr": "|u1", "shape": lease.attachment.shape, "strides": None, "data": (address, True),
        }  # fmt: skip


def view(lease: Lease) -> CudaView:
    """The pixels of a leased frame in the current CUDA context.

    Raises:
        MachineError: no pycuda, no context, or the driver cannot map memory that may only be read.
    """
    ring = lease.attachment
    if ring.registered is None:
        ring.registered = _register(ring.memory)
    offset = lease.address - ring.memory.ctypes.data
    return CudaView(lease, int(ring.registered.base.get_device_pointer()) + offset)


def _register(memory: Any) -> Any:
    """The same array, registered for as long as it lives."""
    driver = require("pycuda.driver", "cuda12")
    try:
        return driver.register_host_memory(memory, driver.mem_host_register_flags.DEVICEMAP | _READ_ONLY)
    except driver.Error as error:
        remedy = "needs a current context and a device that registers read-only memory; else upload frame.copy()"
        raise MachineError(f"the ring cannot be mapped into the GPU ({error})", remedy=remedy) from error
