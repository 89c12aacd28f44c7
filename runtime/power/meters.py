"""The power meters of this machine, through one table."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from edgefusion.core.errors import MachineError, UsageError
from runtime.power import hwmon, jtop, nvml, rapl
from runtime.power.base import Meter


@dataclass(frozen=True)
class Found:
    """The meters of a machine, and why it has not the others, by name."""

    meters: list[Meter]
    missing: dict[str, str]


METERS: dict[str, Callable[[Path], Meter]] = {
    "hwmon": hwmon.open_meter,
    "jtop": jtop.open_meter,
    "nvml": nvml.open_meter,
    "rapl": rapl.open_meter,
}
"""How each kind is opened; raises MachineError where there is none."""

INSTEAD = {"jtop": "hwmon"}
"""jtop reads the same sensors through a service: only where hwmon cannot, or where it is asked for by name."""


def find_meters(root: Path = Path("/"), names: Collection[str] | None = None) -> list[Meter]:
    """The meters that this machine has; none: power is not measured.

    Args:
        root: where /sys and /proc are.
        names: exactly these; all that are there by default.

    Raises:
        UsageError: no such kind of meter.
        MachineError: one that was named is not there.
    """
    found = search(root, names)
    if names is not None and found.missing:
        name, why = next(iter(found.missing.items()))
        for meter in found.meters:
            meter.close()
        raise MachineError(f"power cannot be measured with {name}: {why}", remedy="edgefusion doctor lists the meters")
    return found.meters


def search(root: Path = Path("/"), names: Collection[str] | None = None) -> Found:
    """As ``find_meters``, with the reasons why there are not more, and no error for one that is not there."""
    unknown = set(names or ()).difference(METERS)
    if unknown:
        raise UsageError(f"unknown power meter {min(unknown)!r}", remedy=f"one of {', '.join(METERS)}")
    found = Found([], {})
    for name in METERS:
        if _wanted(name, names, found):
            _try(name, root, found)
    return found


def _wanted(name: str, names: Collection[str] | None, found: Found) -> bool:
    if names is not None:
        return name in names
    return INSTEAD.get(name) not in {meter.name for meter in found.meters}


def _try(name: str, root: Path, found: Found) -> None:
    try:
        found.meters.append(METERS[name](root))
    except MachineError as error:
        found.missing[name] = str(error)
