"""``edgefusion estimate``: bounds of a bundle's models on devices that need not be here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgefusion.core.bundle import Precision, load_bundle
from edgefusion.core.devices import Device, find_device, load_devices
from edgefusion.core.geometry import Size
from runtime.estimate.graph import read_operations
from runtime.estimate.layers import Model, fuse


@dataclass(frozen=True)
class Estimate:
    """What was asked: a bundle's models at a size, and devices."""

    bundle: str
    size_px: Size
    models: dict[Precision, Model]
    devices: tuple[Device, ...]


def estimate(
    bundle_path: Path | None, device_names: Sequence[str], *, size: Size | None, precisions: Sequence[Precision]
) -> Estimate:
    """Read a bundle's models and find the devices.

    Args:
        bundle_path: the shipped bundle if None.
        device_names: as in devices.toml, ``auto``, or ``all``.
        size: (width, height) of the images; the bundle's if None.
        precisions: which of its models; all it has if empty. Quality gates do not matter here.

    Raises:
        EdgeFusionError: whatever is wrong with the bundle, the size or a device.
    """
    bundle = load_bundle(bundle_path, ungated=True)
    size = size or bundle.manifest.layout.size_px
    asked: Sequence[Precision] = precisions or tuple(bundle.manifest.precisions)
    models = {name: fuse(read_operations(bundle.model(name).read_bytes(), size)) for name in asked}
    return Estimate(bundle.manifest.name, size, models, _devices(device_names))


def _devices(names: Sequence[str]) -> tuple[Device, ...]:
    """Each once, in the order they were asked for; ``all`` means those that are not refused."""
    found: dict[str, Device] = {}
    for name in names:
        every = [device for device in load_devices() if not device.refused]
        for device in every if name == "all" else [find_device(name)]:
            found[device.name] = device
    return tuple(found.values())
