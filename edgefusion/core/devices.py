"""Compute targets: the rows of devices.toml, and which of them this machine is."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from functools import cache
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from edgefusion.core import nvml, toml
from edgefusion.core.errors import MachineError, UsageError

DEVICE_TREE = Path("/proc/device-tree/compatible")

Family = Literal["cpu", "orin", "thor", "xavier", "rtx"]
ALIASES = {"orin": "the Orin module", "thor": "the Thor module", "rtx": "the RTX GPU"}
"""Families that are also names: whichever of them the machine has."""


class PowerMode(BaseModel):
    """What a power mode caps: the GPU's clock, and the memory bandwidth in 10^9 bytes per second if known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    gpu_ghz: float
    bandwidth_gb_s: float | None = None


class Device(BaseModel):
    """One row of devices.toml.

    Throughputs are dense peaks in 10^12 operations per second, None where unknown; NVIDIA advertises twice
    that (sparse). ``super_...`` are those of the Super power modes. ``power_modes`` names all modes,
    ``modes`` has those whose clock is known. ``gpu_names`` are NVML's, without "NVIDIA".
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    family: Family
    description: str
    p_numbers: tuple[str, ...] = ()
    gpu_names: tuple[str, ...] = ()
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
    modes: tuple[PowerMode, ...] = ()
    backend: Literal["openvino", "tensorrt", "tensorrt_rtx"]
    refused: str = ""


@cache
def load_devices() -> tuple[Device, ...]:
    """Every device, in the order of devices.toml."""
    file = toml.loads(resources.files("edgefusion.core").joinpath("devices.toml").read_text())
    series = ({**group["common"], **row} for group in file["series"] for row in group["device"])
    return tuple(Device(**row) for row in [*file["device"], *series])


def find_device(name: str) -> Device:
    """The device of a name; ``auto``, ``orin``, ``thor`` and ``rtx`` ask the machine.

    Raises:
        UsageError: no such device.
        MachineError: an alias of a family that this machine is not of, or a device that is not supported.
    """
    devices = {device.name: device for device in load_devices()}
    if name in devices:
        return _supported(devices[name])
    if name != "auto" and name not in ALIASES:
        raise UsageError(f"unknown device {name!r}", remedy=_suggest(name, [*devices, *ALIASES, "auto"]))
    found = this_module() or this_gpu()
    if name == "auto":
        return found if found and _usable(found) else devices["cpu"]
    if found is None or found.family != name:
        raise MachineError(
            f"{name!r} means {ALIASES[name]} of the machine it runs on, and this has none",
            remedy="engines of TensorRT are bound to the GPU they are built on and cannot be cross-built: run this on "
            "the device, or from here with --host user@rig (docs/jetson.md)",
        )
    return found


def this_module(compatible: Path | None = None) -> Device | None:
    """The Jetson module this machine is, by the p-number in its device tree, or None.

    Args:
        compatible: the file that says so; the kernel's by default.

    Raises:
        MachineError: a Jetson that is not supported.
    """
    try:
        text = (compatible or DEVICE_TREE).read_bytes().decode(errors="replace")
    except OSError:
        return None
    numbers = {part for entry in text.split("\0") for part in entry.rpartition(",")[2].split("+")}
    for device in load_devices():
        if numbers.intersection(device.p_numbers):
            return _supported(device)
    return None


def this_gpu(library: str | None = None) -> Device | None:
    """The GPU of this machine by its exact product name, or None: no GPU, or one that has no row.

    Args:
        library: NVML to ask; the driver's own by default.
    """
    name = nvml.gpu_name(library)
    if name is None:
        return None
    product = name.removeprefix("NVIDIA ")  # drivers before 470 left the maker out
    return next((device for device in load_devices() if product in device.gpu_names), None)


def _usable(device: Device) -> bool:
    """A Jetson is always meant; a workstation's GPU only where what executes on it is installed."""
    return device.family != "rtx" or all(find_spec(module) for module in ("tensorrt_rtx", "pycuda"))


def _supported(device: Device) -> Device:
    if device.refused:
        raise MachineError(f"{device.name} is not supported: {device.refused}")
    return device


def _suggest(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name.lower(), known, n=5, cutoff=0.5)
    meant = f"did you mean {', '.join(near)}? " if near else ""
    return f"{meant}edgefusion devices lists them all"
