"""The energy counters of x86 processors (RAPL), as the kernel shows them: /sys/class/powercap/intel-rapl:*, AMD too.

Since 2020 only root may read them (CVE-2020-8694: they leak secrets), and virtual machines have none.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from edgefusion.core.errors import MachineError
from runtime.power.base import Reading
from runtime.power.counter import Counter
from runtime.power.rails import Layout
from runtime.power.remarks import Remarks

FOLDER = "sys/class/powercap"
PACKAGE = "package"
LONGEST_NUMBER = 32


@dataclass(frozen=True)
class Zone:
    """One domain: a package, or core, uncore or dram of one (``package-0/core``)."""

    name: str
    file: int
    counter: Counter


class RaplMeter:
    """All domains; the packages are the total. Memory (dram) is beside its package, not in it, where it is measured."""

    name = "rapl"
    interval_s = 0.1
    averages = True

    def __init__(self, zones: list[Zone]) -> None:
        """Takes over the files of the zones."""
        self._zones = zones
        self.remarks = Remarks()
        packages = tuple(zone.name for zone in zones if zone.name.startswith(PACKAGE) and "/" not in zone.name)
        one = packages[0] if len(packages) == 1 else None
        self.layout = Layout("package", total=one, summed=() if one else packages)

    def rails(self) -> tuple[str, ...]:
        """Rails that it knows now."""
        return tuple(zone.name for zone in self._zones)

    def read(self) -> Reading:
        """Mean power of each domain since the last reading."""
        counted: list[tuple[Zone, float]] = []
        start = time.monotonic_ns()
        for zone in self._zones:
            try:
                counted.append((zone, int(os.pread(zone.file, LONGEST_NUMBER, 0)) / 1e3))
            except (OSError, ValueError) as error:
                self.remarks.add(f"{zone.name} could not be read for a time: {error}")
        timestamp_ns = (start + time.monotonic_ns()) // 2
        means = {zone.name: zone.counter.mean_mw(timestamp_ns, mj) for zone, mj in counted}
        return Reading(timestamp_ns, {name: mw for name, mw in means.items() if mw is not None})

    def close(self) -> None:
        """Close the files."""
        for zone in self._zones:
            os.close(zone.file)
        self._zones.clear()


def open_meter(root: Path) -> RaplMeter:
    """The meter of this machine's processors.

    Raises:
        MachineError: there are no counters, or they may not be read.
    """
    folders = sorted((root / FOLDER).glob("intel-rapl:*"))
    if not folders:
        raise MachineError("no energy counters", where=root / FOLDER, remedy="virtual machines and ARM have none")
    zones: list[Zone] = []
    try:
        for folder in folders:
            zones.append(_open_zone(folder))
    except OSError as error:
        for zone in zones:
            os.close(zone.file)
        raise MachineError(
            f"{error.strerror}", where=error.filename, remedy="run as root, or chmod a+r its energy_uj files"
        ) from error
    return RaplMeter(zones)


def _open_zone(folder: Path) -> Zone:
    name = (folder / "name").read_text().strip()
    if folder.name.count(":") > 1:
        parent = folder.parent / folder.name.rpartition(":")[0]
        name = f"{(parent / 'name').read_text().strip()}/{name}"
    range_mj = int((folder / "max_energy_range_uj").read_text()) / 1e3
    return Zone(name, os.open(folder / "energy_uj", os.O_RDONLY | os.O_CLOEXEC), Counter(range_mj))
