"""The power monitors of a Jetson, read from the kernel's own files: INA3221 and INA238.

hwmon numbers differ from boot to boot: chips are found by name, rails by label. Files stay open and are read again from
their start, which asks the sensor again: at 30 readings a second, opening them would cost more than reading.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgefusion.core.errors import MachineError
from runtime.machine.files import text
from runtime.power.base import Reading
from runtime.power.rails import layout_of
from runtime.power.remarks import Remarks

CHIPS = ("ina3221", "ina238")
PLACES = ("sys/class/hwmon/hwmon*", "sys/bus/i2c/devices/*/hwmon/hwmon*")
CHANNELS = (1, 2, 3)
"""The INA3221's channel 7 is a sum of shunt voltages, and its current 4 a sum of currents: neither is a rail."""
NOT_CONNECTED = "NC"
UNLABELLED = {"ina238": "VIN"}
"""The kernel names no channel of an INA238; Thor's carrier has one, at its input."""
FASTEST_S, USUAL_S = 0.02, 0.1
"""Not more often than the first, whatever the sensor can; the second where it does not say how often."""
REDISCOVER_S = 3.0
LONGEST_NUMBER = 32


@dataclass(frozen=True)
class Rail:
    """Open files of one rail, and how their product becomes milliwatts: mV x mA / 1000, or uW / 1000."""

    files: tuple[int, ...]

    def read_mw(self) -> float:
        """Raises OSError or ValueError if it cannot be read."""
        product = 1.0
        for file in self.files:
            product *= int(os.pread(file, LONGEST_NUMBER, 0))
        return product / 1000.0

    def close(self) -> None:
        """Close the files."""
        for file in self.files:
            os.close(file)


class HwmonMeter:
    """Every rail of every power monitor there is. Rails that appear later are found within a few seconds."""

    name = "hwmon"
    averages = False

    def __init__(self, root: Path) -> None:
        """``root`` is where /sys is."""
        self._root = root
        self._known: dict[str, Rail | None] = {}
        self._failed: set[str] = set()
        self.remarks = Remarks()
        self._next_look = 0.0
        self.interval_s = USUAL_S
        self._look()

    def rails(self) -> tuple[str, ...]:
        """Rails that it knows now."""
        return tuple(self._known)

    def read(self) -> Reading:
        """Read every rail."""
        if time.monotonic() >= self._next_look:
            self._look()
        mw: dict[str, float] = {}
        start = time.monotonic_ns()
        for name, rail in self._known.items():
            if rail is None:
                continue
            try:
                mw[name] = rail.read_mw()
            except (OSError, ValueError) as error:
                self._failed.add(name)
                self.remarks.add(f"{name} could not be read for a time: {_reason(error)}")
        return Reading((start + time.monotonic_ns()) // 2, mw)

    def close(self) -> None:
        """Close the files."""
        for name in self._known:
            self._give_up(name)

    def _look(self) -> None:
        """Open what is not open; again what failed since the last look, in case its driver was loaded anew."""
        self._next_look = time.monotonic() + REDISCOVER_S
        for name in self._failed:
            self._give_up(name)
        self._failed.clear()
        intervals = []
        for folder, chip in _chips(self._root):
            intervals.append(_interval_s(folder))
            for name, paths in _channels(folder, chip):
                if self._known.get(name) is None:
                    self._known[name] = self._opened(name, paths)
        self.layout = layout_of(self._known)
        self.interval_s = max([FASTEST_S, *filter(None, intervals)]) if any(intervals) else USUAL_S

    def _opened(self, name: str, paths: tuple[Path, ...]) -> Rail | None:
        files: list[int] = []
        try:
            for path in paths:
                files.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            self.remarks.add(f"{name} cannot be read: {_reason(error)}")
            Rail(tuple(files)).close()
            return None
        return Rail(tuple(files))

    def _give_up(self, name: str) -> None:
        rail = self._known[name]
        self._known[name] = None
        if rail is not None:
            rail.close()


def open_meter(root: Path) -> HwmonMeter:
    """The meter of this machine's power monitors.

    Raises:
        MachineError: there are none, or none of them can be read.
    """
    meter = HwmonMeter(root)
    if meter.read().mw:
        return meter
    meter.close()
    chips = {chip for _, chip in _chips(root)}
    if not chips:
        raise MachineError("no INA3221 or INA238 among the hwmon devices", remedy="a Jetson has them")
    why = "; ".join(meter.remarks.all()) or "no rail is labelled"
    raise MachineError(f"{', '.join(sorted(chips))} is there, but {why}", remedy="root may read it, or jtop's service")


def _chips(root: Path) -> Iterator[tuple[Path, str]]:
    """(folder, chip name) of each power monitor once: both places link to the same folders."""
    seen = set()
    for place in PLACES:
        for folder in sorted(root.glob(place)):
            real = folder.resolve()
            chip = text(real / "name")
            if chip in CHIPS and real not in seen:
                seen.add(real)
                yield real, chip


def _channels(folder: Path, chip: str) -> Iterator[tuple[str, tuple[Path, ...]]]:
    """(rail, the files whose product is its power) of each connected channel."""
    for k in CHANNELS:
        label = text(folder / f"in{k}_label") or (UNLABELLED.get(chip, "") if k == 1 else "")
        volts, amperes, watts = (folder / f"{what}{k}_input" for what in ("in", "curr", "power"))
        if label in ("", NOT_CONNECTED):
            continue
        if volts.exists() and amperes.exists():
            yield label, (volts, amperes)
        elif watts.exists():
            yield label, (watts,)


def _interval_s(folder: Path) -> float | None:
    said = text(folder / "update_interval")
    return int(said) / 1000 if said.isdecimal() and int(said) else None


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else "it does not answer with a number"
