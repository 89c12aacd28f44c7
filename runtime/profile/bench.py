"""What one combination is measured with."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Protocol

from runtime import run as room
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


class PlainBench:
    """Runs in this process, without a meter."""

    def temperatures_c(self) -> Mapping[str, float]:
        """See ``Bench``."""
        return {}

    def rest(self, seconds: float, stop: threading.Event) -> None:
        """See ``Bench``; there is no meter, so there is no baseline to wait for."""

    def run(self, settings: room.RunSettings, *, show: Show, stop: threading.Event) -> bool:
        """See ``Bench``."""
        room.run(settings, show=show, stopping=lambda: nullcontext(stop))
        return not stop.is_set()
