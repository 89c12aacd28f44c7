"""What one combination is measured with."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Protocol

from runtime import run as room
from runtime.machine.readings import Readings
from runtime.preview import Show


class Bench(Protocol):
    """Runs one combination, and knows how the machine is in between."""

    def temperatures_c(self) -> Mapping[str, float]:
        """Of the machine now, by zone; empty where none can be read."""

    def rest(self, seconds: float, stop: threading.Event) -> None:
        """Leave the machine alone for so long, or until ``stop``: what it draws is the next run's idle baseline."""

    def run(self, settings: room.RunSettings, *, show: Show, stop: threading.Event) -> bool:
        """Run, and write the record that the settings name; whether it went to its end.

        Raises:
            EdgeFusionError: the run failed.
        """


class MachineBench:
    """Runs in this process, on this machine."""

    def __init__(self) -> None:
        self._idle_s = 0.0

    def temperatures_c(self) -> Mapping[str, float]:
        """See ``Bench``."""
        with Readings() as readings:
            return readings.read().temperatures_c

    def rest(self, seconds: float, stop: threading.Event) -> None:
        """See ``Bench``: the run itself rests first, for its meters are open then; without one it does not."""
        self._idle_s = seconds

    def run(self, settings: room.RunSettings, *, show: Show, stop: threading.Event) -> bool:
        """See ``Bench``."""
        room.run(replace(settings, idle_s=self._idle_s), show=show, stopping=lambda: nullcontext(stop))
        return not stop.is_set()
