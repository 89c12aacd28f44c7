"""What of the hardware that tests are marked with is missing on this machine."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

from edgefusion.core import nvml
from edgefusion.core.devices import find_device, this_module
from edgefusion.core.errors import EdgeFusionError
from runtime.engines.trt_api import has_driver


def missing_gpu() -> str:
    """Why no engine can be executed on an NVIDIA GPU here, a Jetson's or another; empty if one can."""
    if not has_driver():
        return "no NVIDIA driver answers (libcuda.so.1)"
    if not find_spec("tensorrt") and not find_spec("tensorrt_rtx"):
        return "neither TensorRT nor TensorRT-RTX is installed"
    if not find_spec("pycuda"):
        return "pycuda is not installed ([cuda12] or [cuda13])"
    return _unknown()


def missing_jetson() -> str:
    """Why this is no Jetson on which engines can be executed; empty if it is."""
    try:
        module = this_module()
    except EdgeFusionError as error:
        return str(error)
    return missing_gpu() if module else "not a Jetson: no known p-number in /proc/device-tree/compatible"


def _unknown() -> str:
    try:
        device = find_device("auto")
    except EdgeFusionError as error:
        return str(error)
    return f"devices.toml has no row for {nvml.gpu_name()}" if device.family == "cpu" else ""


MISSING: dict[str, Callable[[], str]] = {"gpu": missing_gpu, "jetson": missing_jetson}
"""Marker -> what is missing."""


def missing(markers: set[str]) -> str:
    """Why a test with these markers cannot run here; with both, either kind of machine will do."""
    reasons = [MISSING[name]() for name in sorted(markers & MISSING.keys())]
    return "; ".join(dict.fromkeys(reasons)) if all(reasons) else ""
