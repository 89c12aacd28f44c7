"""The NVIDIA GPU of this machine, by the name its driver gives it.

NVML's C interface (https://docs.nvidia.com/deploy/nvml-api) through ctypes. A Jetson has the library too, and it
answers "not supported" to everything: ask the device tree first.
"""

from __future__ import annotations

import ctypes

LIBRARY = "libnvidia-ml.so.1"
NAME_BYTES = 96
"""NVML_DEVICE_NAME_V2_BUFFER_SIZE."""


def gpu_name(library: str | None = None) -> str | None:
    """The first GPU's product name, such as ``NVIDIA GeForce RTX 4070``.

    Args:
        library: the shared library to load; the driver's own by default.

    Returns:
        None without a driver, without a GPU, or where NVML does not name it.
    """
    try:
        nvml = ctypes.CDLL(library or LIBRARY)
    except OSError:
        return None
    if nvml.nvmlInit_v2() != 0:
        return None
    try:
        return _first_name(nvml)
    finally:
        nvml.nvmlShutdown()


def _first_name(nvml: ctypes.CDLL) -> str | None:
    handle, name = ctypes.c_void_p(), ctypes.create_string_buffer(NAME_BYTES)
    if nvml.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(0), ctypes.byref(handle)) != 0:
        return None
    if nvml.nvmlDeviceGetName(handle, name, ctypes.c_uint(NAME_BYTES)) != 0:
        return None
    return name.value.decode(errors="replace")
