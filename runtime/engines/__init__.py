"""Engines: one file per backend, and which backend serves which device."""

from __future__ import annotations

from importlib import import_module

from edgefusion.core.devices import Device
from edgefusion.core.errors import MachineError
from runtime.engines.base import Backend

BACKENDS = {
    "openvino": "runtime.engines.openvino:OpenVinoBackend",
}
"""Backend name -> where its class is."""


def backend_for(device: Device) -> Backend:
    """The backend of a device.

    Raises:
        MachineError: this version has no such backend.
    """
    if device.backend not in BACKENDS:
        raise MachineError(
            f"{device.name} needs the {device.backend} backend, which this version does not have yet",
            remedy=f"this machine can run: --device cpu (backends here: {', '.join(BACKENDS)})",
        )
    module, name = BACKENDS[device.backend].split(":")
    backend: Backend = getattr(import_module(module), name)()
    return backend
