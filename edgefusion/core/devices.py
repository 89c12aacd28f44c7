"""Compute targets: the rows of devices.toml, and which of them this machine is."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from edgefusion.core import toml
from edgefusion.core.errors import MachineError, UsageError

DEVICE_TREE = Path("/proc/device-tree/compatible")

Family = Literal["cpu", "orin", "thor", "xavier"]


class Device(BaseModel):
    """One row of devices.toml.

    Throughputs are dense peaks in 10^12 operations per second, None where unknown; NVIDIA advertises twice
    that (sparse). ``super_...`` are those of the Super power modes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    family: Family
    description: str
    p_numbers: tuple[str, ...] = ()
    sm: str = ""
    sm_count: int | None = None
    cuda_cores: int | None = None
    gpu_ghz: float | None = None
    super_gpu_ghz: float | None = None
    int8_tops: float | None = None
    fp16_tops: float | None = None
    super_int8_tops: float | None = None
    super_fp16_tops: float | None = None
    dla_cores: int = 0
    memory_gb: int | None = None
    bandwidth_gb_s: float | None = None
    super_bandwidth_gb_s: float | None = None
    power_modes: str = ""
    backend: Literal["openvino", "tensorrt"]
    refused: str = ""


def load_devices() -> tuple[Device, ...]:
    """Every device, in the order of devices.toml."""
    text = resources.files("edgefusion.core").joinpath("devices.toml").read_text()
    return tuple(Device(**row) for row in toml.loads(text)["device"])


def find_device(name: str) -> Device:
    """The device of a name; ``auto``, ``orin`` and ``thor`` ask the machine.

    Raises:
        UsageError: no such device.
        MachineError: an alias of a family that this machine is not of, or a device that is not supported.
    """
    devices = {device.name: device for device in load_devices()}
    if name == "auto":
        return this_module() or devices["cpu"]
    if name in devices:
        return _supported(devices[name])
    if name not in {device.family for device in devices.values()}:
        known = ", ".join(["auto", "orin", "thor", *devices])
        raise UsageError(f"unknown device {name!r}", remedy=f"one of: {known}")
    module = this_module()
    if module is None or module.family != name:
        raise MachineError(
            f"{name!r} means the {name.capitalize()} module of the machine it runs on, and this is not one",
            remedy="run it on the Jetson or name a device (edgefusion devices)",
        )
    return module


def this_module(compatible: Path = DEVICE_TREE) -> Device | None:
    """The Jetson module this machine is, by the p-number in its device tree, or None.

    Raises:
        MachineError: a Jetson that is not supported.
    """
    try:
        text = compatible.read_bytes().decode(errors="replace")
    except OSError:
        return None
    numbers = {part for entry in text.split("\0") for part in entry.rpartition(",")[2].split("+")}
    for device in load_devices():
        if numbers.intersection(device.p_numbers):
            return _supported(device)
    return None


def _supported(device: Device) -> Device:
    if device.refused:
        raise MachineError(f"{device.name} is not supported: {device.refused}")
    return device
