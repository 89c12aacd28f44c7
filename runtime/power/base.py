"""What every power meter offers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from runtime.power.rails import Layout
from runtime.power.remarks import Remarks


@dataclass(frozen=True)
class Reading:
    """What a meter said once.

    Attributes:
        timestamp_ns: CLOCK_MONOTONIC, of the middle of the reading.
        mw: milliwatts by rail; a rail that could not be read is not in it.
    """

    timestamp_ns: int
    mw: dict[str, float]


class Meter(Protocol):
    """Reads one kind of sensor. One thread uses it.

    Attributes:
        name: hwmon, jtop, nvml or rapl.
        interval_s: how often its sensor has something new; it is not read more often.
        averages: its readings are means since the one before (it counts energy), and not of the instant.
        layout: which rail is the total or which are summed, of those that it knows now; more may appear.
        remarks: what went wrong so far, each thing once.
    """

    name: str
    interval_s: float
    averages: bool
    layout: Layout
    remarks: Remarks

    def rails(self) -> tuple[str, ...]:
        """Rails that it knows now."""

    def read(self) -> Reading:
        """Read every rail. Never raises for what a sensor does in mid-run: what cannot be read is missing."""

    def close(self) -> None:
        """Give back what is open."""
