"""Temperatures, clocks, throttling and load, to be read about once a second."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from runtime.machine.files import Value, cpu_clocks, gpu_clocks, text

COLDEST_C, HOTTEST_C = -50.0, 200.0
"""Beyond, it is no temperature: a zone of a part that is off says -256."""
STEAL, GUEST = 7, 8
"""Columns of /proc/stat: from the second on, time is already counted in the first ones."""
FANS = ("rpm", "fan1_input")
THROTTLED = "sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count"
SLOWS = re.compile(r"-throttle-alert$|^(thermal-)?(cpufreq|devfreq)-|^Processor$")
"""Cooling devices that slow something down: a Jetson's alerts (cpu, gpu, cv0, soc012 ...), Linux' own limits of clocks,
ACPI's. Fans are cooling devices too."""


@dataclass(frozen=True)
class State:
    """The machine now; the names are those of ``schema.Second``.

    Attributes:
        temperatures_c: by thermal zone.
        clocks_mhz: of each group of cores and of the GPU.
        fan_rpm: of the fastest fan, or None.
        throttled: events since ``Readings`` began, by counter; what lasts (an alarm, a cooling device at work, a clock
            that may not rise as far as in the beginning) counts once each time it is seen to begin.
        steal: part of all processors' time since the last call that the hypervisor took.
        cpu: processors that this process used since the last call.
        resident_mb: memory of this process, in 10^6 bytes.
    """

    temperatures_c: dict[str, float]
    clocks_mhz: dict[str, float]
    fan_rpm: float | None
    throttled: dict[str, int]
    steal: float | None
    cpu: float | None
    resident_mb: float | None


class Readings(AbstractContextManager["Readings"]):
    """Keeps the files open; what is not there or cannot be read is left out."""

    def __init__(self, root: Path = Path("/")) -> None:
        """``root`` is where /sys and /proc are."""
        self._zones = _opened(_zones(root))
        self._clocks = _opened((name, path) for name, (path, _) in _clocks(root).items())
        self._scale = {name: per_mhz for name, (_, per_mhz) in _clocks(root).items()}
        self._fans = _opened((path.parent.name, path) for path in _hwmon(root, FANS))
        self._events = _opened(_events(root))
        self._alarms = _opened([*_alarms(root), *_cooling(root)])
        self._limits = _opened(_limits(root))
        self._first = {name: value.number() or 0.0 for name, value in (self._events | self._limits).items()}
        self._alarmed = dict.fromkeys([*self._alarms, *self._limits], False)
        self._began = dict.fromkeys(self._alarmed, 0)
        self._stat = _opened([("stat", root / "proc/stat"), ("memory", root / "proc/self/statm")])
        self._jiffies = self._all_jiffies()
        self._used = time.monotonic(), time.process_time()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def read(self) -> State:
        """Everything, now."""
        return State(
            temperatures_c=dict(self._temperatures()),
            clocks_mhz={name: hz / self._scale[name] for name, hz in _numbers(self._clocks)},
            fan_rpm=max((rpm for _, rpm in _numbers(self._fans)), default=None),
            throttled=self._throttled(),
            steal=self._steal(),
            cpu=self._cpu(),
            resident_mb=self._resident_mb(),
        )

    def close(self) -> None:
        """Close the files."""
        groups = (self._zones, self._clocks, self._fans, self._events, self._alarms, self._limits, self._stat)
        for group in groups:
            for value in group.values():
                value.close()
            group.clear()

    def _temperatures(self) -> Iterator[tuple[str, float]]:
        for name, millidegrees in _numbers(self._zones):
            if COLDEST_C < millidegrees / 1e3 < HOTTEST_C:
                yield name, millidegrees / 1e3

    def _throttled(self) -> dict[str, int]:
        for name, on in self._alarming():
            self._began[name] += on and not self._alarmed[name]
            self._alarmed[name] = on
        counted = {name: max(int(count - self._first[name]), 0) for name, count in _numbers(self._events)}
        return counted | self._began

    def _alarming(self) -> Iterator[tuple[str, bool]]:
        yield from ((name, state > 0) for name, state in _numbers(self._alarms))
        yield from ((name, limit < self._first[name]) for name, limit in _numbers(self._limits))

    def _steal(self) -> float | None:
        before, self._jiffies = self._jiffies, self._all_jiffies()
        passed = [now - then for then, now in zip(before, self._jiffies, strict=False)]
        known = len(passed) > STEAL and sum(passed) > 0  # the kernel's counts of single kinds may go back a little
        return min(max(passed[STEAL] / sum(passed), 0.0), 1.0) if known else None

    def _all_jiffies(self) -> list[int]:
        """By kind of time, all processors together: user, nice, system, idle, iowait, irq, softirq, steal."""
        content = self._stat["stat"].read() if "stat" in self._stat else None
        return [int(word) for word in (content or "cpu").split("\n", 1)[0].split()[1 : GUEST + 1]]

    def _cpu(self) -> float | None:
        before, self._used = self._used, (time.monotonic(), time.process_time())
        passed_s = self._used[0] - before[0]
        return (self._used[1] - before[1]) / passed_s if passed_s > 0 else None

    def _resident_mb(self) -> float | None:
        content = self._stat["memory"].read() if "memory" in self._stat else None
        return int(content.split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6 if content else None


def _opened(named: Iterable[tuple[str, Path]]) -> dict[str, Value]:
    """Those that can be opened; of two of one name the first."""
    found: dict[str, Value] = {}
    for name, path in named:
        if name not in found:
            try:
                found[name] = Value(path)
            except OSError:
                continue  # it is not there, or needs root: it is left out
    return found


def _numbers(values: dict[str, Value]) -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        number = value.number()
        if number is not None:
            yield name, number


def _zones(root: Path) -> Iterator[tuple[str, Path]]:
    for folder in sorted(root.glob("sys/class/thermal/thermal_zone*")):
        yield text(folder / "type") or folder.name, folder / "temp"


def _clocks(root: Path) -> dict[str, tuple[Path, float]]:
    """(file, its unit's part of a MHz): cpufreq says kHz, devfreq Hz."""
    cores = {name: (folder / "scaling_cur_freq", 1e3) for name, folder in cpu_clocks(root).items()}
    return cores | {name: (folder / "cur_freq", 1e6) for name, folder in gpu_clocks(root).items()}


def _hwmon(root: Path, names: Iterable[str]) -> Iterator[Path]:
    for folder in sorted(root.glob("sys/class/hwmon/hwmon*")):
        yield from (folder / name for name in names if (folder / name).exists())


def _events(root: Path) -> Iterator[tuple[str, Path]]:
    """Counters: a Jetson's over-current events; throttling of an Intel processor."""
    for path in sorted(root.glob("sys/class/hwmon/hwmon*/oc*_event_cnt")):
        yield path.name.removesuffix("_event_cnt"), path
    yield "package", root / THROTTLED


def _alarms(root: Path) -> Iterator[tuple[str, Path]]:
    """Flags of the power monitors: the current of a rail is beyond its critical limit."""
    for path in sorted(root.glob("sys/class/hwmon/hwmon*/curr*_crit_alarm")):
        channel = path.name.removeprefix("curr").removesuffix("_crit_alarm")
        label = text(path.with_name(f"in{channel}_label"))
        if label not in ("", "NC"):
            yield f"{label} critical", path


def _cooling(root: Path) -> Iterator[tuple[str, Path]]:
    """How far something is slowed down, 0 not at all."""
    for folder in sorted(root.glob("sys/class/thermal/cooling_device*")):
        kind = text(folder / "type")
        if SLOWS.search(kind):
            yield kind, folder / "cur_state"


def _limits(root: Path) -> Iterator[tuple[str, Path]]:
    """The most that clocks may rise to: what power mode and governor allow, less when it is hot."""
    for name, folder in cpu_clocks(root).items():
        yield f"{name} limit lowered", folder / "scaling_max_freq"
    for name, folder in gpu_clocks(root).items():
        yield f"{name} limit lowered", folder / "max_freq"
