"""The power of a desktop GPU, from its driver: NVML's C interface (https://docs.nvidia.com/deploy/nvml-api).

Its counter of energy (Volta and later) loses nothing between readings; where it has none, its power is read, which from
Ampere on is a mean over the last second. On a Jetson NVML answers "not supported".
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from pathlib import Path

from edgefusion.core.errors import MachineError
from edgefusion.core.nvml import LIBRARY
from runtime.power.base import Reading
from runtime.power.counter import Counter
from runtime.power.rails import Layout
from runtime.power.remarks import Remarks

RAIL = "GPU"
NOT_SUPPORTED = 3
"""NVML_ERROR_NOT_SUPPORTED."""


class NvmlMeter:
    """The first GPU, which is the one that edgefusion computes on."""

    name = "nvml"
    interval_s = 0.1
    layout = Layout("GPU board", total=RAIL)

    def __init__(self, nvml: ctypes.CDLL, device: ctypes.c_void_p, *, counts_energy: bool) -> None:
        """Takes over an initialised library."""
        self._nvml, self._device = nvml, device
        self._counter = Counter()
        self.remarks = Remarks()
        self.averages = counts_energy

    def rails(self) -> tuple[str, ...]:
        """Rails that it knows now."""
        return (RAIL,)

    def read(self) -> Reading:
        """Ask the driver."""
        start = time.monotonic_ns()
        if self.averages:
            number = self._asked(self._nvml.nvmlDeviceGetTotalEnergyConsumption, ctypes.c_ulonglong())
        else:
            number = self._asked(self._nvml.nvmlDeviceGetPowerUsage, ctypes.c_uint())
        timestamp_ns = (start + time.monotonic_ns()) // 2
        mw = self._counter.mean_mw(timestamp_ns, number) if self.averages and number is not None else number
        return Reading(timestamp_ns, {} if mw is None else {RAIL: float(mw)})

    def close(self) -> None:
        """Let go of NVML."""
        self._nvml.nvmlShutdown()

    def _asked(self, function: Callable[..., int], number: ctypes.c_uint | ctypes.c_ulonglong) -> int | None:
        error = function(self._device, ctypes.byref(number))
        if error:
            self.remarks.add(f"the driver did not answer for a time (NVML error {error})")
            return None
        return number.value


def open_meter(root: Path, library: str = LIBRARY) -> NvmlMeter:
    """The meter of the first NVIDIA GPU.

    Args:
        root: not used: the driver is asked, not files.
        library: NVML to ask; the driver's own by default.

    Raises:
        MachineError: no driver or no GPU, or it does not measure power.
    """
    try:
        nvml = ctypes.CDLL(library)
    except OSError as error:
        raise MachineError("no NVIDIA driver for a GPU of its own", where=library) from error
    failed = nvml.nvmlInit_v2()
    if failed:
        raise MachineError(f"NVML does not start (error {failed})", where=library)
    device = ctypes.c_void_p()
    try:
        return _open_first(nvml, device)
    except MachineError:
        nvml.nvmlShutdown()
        raise


def _open_first(nvml: ctypes.CDLL, device: ctypes.c_void_p) -> NvmlMeter:
    if error := nvml.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(0), ctypes.byref(device)):
        raise MachineError(f"NVML has no GPU (error {error})")
    if nvml.nvmlDeviceGetTotalEnergyConsumption(device, ctypes.byref(ctypes.c_ulonglong())) == 0:
        return NvmlMeter(nvml, device, counts_energy=True)
    error = nvml.nvmlDeviceGetPowerUsage(device, ctypes.byref(ctypes.c_uint()))
    if error:
        why = "a Jetson's NVML does not measure power" if error == NOT_SUPPORTED else f"NVML error {error}"
        raise MachineError(f"the GPU does not tell its power: {why}")
    return NvmlMeter(nvml, device, counts_energy=False)
