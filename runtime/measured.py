"""What is measured beside a run: power and the state of the machine, for its record, its trace and live metrics."""

from __future__ import annotations

import threading
import time
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from types import TracebackType

from runtime.gauges import Gauges
from runtime.machine.readings import Readings, State
from runtime.power.meters import find_meters
from runtime.power.sampler import Sampler
from runtime.report import schema

FRESH_NS = 900_000_000


class Measured(AbstractContextManager["Measured"]):
    """Meters and files, open while it is entered.

    A record asks for ``second`` and ``read``, which give what came since they were asked last; ``gauges`` shows what
    the record was told. Without a record ``gauges`` asks itself, once a second.

    Args:
        recorded: whether there is a record.
    """

    def __init__(self, *, recorded: bool) -> None:
        self._recorded, self._stack = recorded, ExitStack()
        self._last, self._asked_ns, self._lock = Gauges(), 0, threading.Lock()

    def __enter__(self) -> Measured:
        self._sampler = self._stack.enter_context(Sampler(find_meters()))
        self._readings = self._stack.enter_context(Readings())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def begin(self, timestamp_ns: int) -> None:
        """Energy counts from this moment of the monotonic clock."""
        self._sampler.begin(timestamp_ns)

    def so_far(self, timestamp_ns: int) -> list[schema.Meter]:
        """Energy up to this moment."""
        return self._sampler.so_far(timestamp_ns)

    def measure_idle(self, seconds: float, stop: threading.Event) -> None:
        """Wait, and take what is drawn meanwhile as the baseline; see ``Sampler``."""
        self._sampler.measure_idle(seconds, stop)

    def second(self) -> dict[str, tuple[float, float, float]]:
        """(least, mean, most) mW by METER/RAIL since asked last."""
        seen = self._sampler.second()
        power_mw = {name: mean for name, (_, mean, _) in seen.items()}
        self._last = replace(self._last, power_mw=power_mw)
        return seen

    def read(self) -> State:
        """The state of the machine now."""
        state = self._readings.read()
        self._last = Gauges(self._last.power_mw, state.temperatures_c, state.clocks_mhz, state.fan_rpm)
        return state

    def gauges(self) -> Gauges:
        """The last readings."""
        with self._lock:
            now_ns = time.monotonic_ns()
            if not self._recorded and now_ns - self._asked_ns > FRESH_NS:
                self._asked_ns = now_ns
                self.second()
                self.read()
        return self._last
