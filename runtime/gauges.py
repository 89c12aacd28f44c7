"""What a run's machine reads off now: watts, temperatures, clocks, fan. Shown by the trace and by live metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Gauges:
    """The last readings; what is not measured is not in it.

    Attributes:
        power_mw: by METER/RAIL, as in the run record.
        temperatures_c: by thermal zone.
        clocks_mhz: by clock.
        fan_rpm: of the fastest fan.
    """

    power_mw: Mapping[str, float] = field(default_factory=dict)
    temperatures_c: Mapping[str, float] = field(default_factory=dict)
    clocks_mhz: Mapping[str, float] = field(default_factory=dict)
    fan_rpm: float | None = None


Read = Callable[[], Gauges]
"""Asked about once a second, from several threads; must return at once."""
