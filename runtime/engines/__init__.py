"""Engines: one file per backend, and which backend serves which device."""

from __future__ import annotations

from importlib import import_module

from edgefusion.core.devices import Device
from edgefusion.core.errors import MachineError
from runtime.engines.base import Backend

BACKENDS = {
    "openvino": "runtime.engines.openvino:OpenVinoBackend",
    "tensorrt": "runtime.engines.tensorrt:TensorRtBackend",
    "tensorrt_rtx": "runtime.engines.tensorrt:TensorRtRtxBackend",
}
"""Backend name -> where its class is."""


def backend_for(device: Device) -> Backend:
    """The backend of a device.

    Raises:
        MachineError: this machine lacks its library or driver.
    """
    module, name = BACKENDS[device.backend].split(":")
    try:
        backend: Backend = getattr(import_module(module), name)(device)
    except MachineError as error:
        raise MachineError(f"cannot build for {device.name}: {error.what}", remedy=_ways(device, error)) from error
    return backend


def _ways(device: Device, error: MachineError) -> str:
    """What to do where a backend is missing; a Jetson's engines are built on the Jetson."""
    if device.backend != "tensorrt":
        return error.remedy
    return (
        "engines of TensorRT are bound to the GPU they are built on and cannot be cross-built; run this command on the "
        f"{device.name} itself, or from here with --host user@rig ({error.remedy})"
    )
