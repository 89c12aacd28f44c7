"""The drift monitor: a thread beside the loop that has the registration measured, says how it is, and corrects it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgefusion.core.geometry import Matrix
from edgefusion.core.rig import Drift
from edgefusion.kernels.cpu import SamplingTable
from runtime import log
from runtime.fusion import Fusion
from runtime.registration.allowance import Allowance
from runtime.registration.sample import Sample, chosen, unfit
from runtime.registration.watch import State, Trained, Watch
from runtime.registration.worker import Worker

TICK_S = 0.1
"""Between two looks at what is to be done, at most, and between two steps of a correction, at least."""

PATIENCE_S, AGAIN_S = 60.0, 60.0
"""A measurement that takes so long never comes; after a failure of its process the next one waits so long."""


@dataclass(frozen=True)
class Step:
    """A table that waits to be used, if by then nothing was set up anew."""

    table: SamplingTable
    correction: Matrix
    set_up: int


class Monitor:
    """Watches one rig's registration, as a context manager. What the loop calls of it returns at once.

    Args:
        name: of the rig, for the log.
        fusion: whose registration it is.
        settings: of the rig.
        live: the rig's cameras run: the registration may be corrected, and given up; else it is only reported.
        trained: of the student, if the bundle says so.
        drifted: told when the registration is beyond its budget, and when it is good again.

    Attributes:
        due: a sample of the next pair is wanted.
        used: [3, 3] the correction in use.
    """

    def __init__(
        self,
        name: str,
        fusion: Fusion,
        settings: Drift,
        *,
        live: bool,
        trained: Trained | None = None,
        drifted: Callable[[bool], None] = lambda beyond: None,
    ) -> None:
        self._name, self._fusion, self._settings, self._live = name, fusion, settings, live
        self._trained, self._drifted = trained, drifted
        self._worker, self._allowance = Worker(), Allowance()
        self._watch: Watch | None = None
        self._set_up = self._watched = 0
        self._sample: Sample | None = None
        self._step: Step | None = None
        self._said: dict[str, Any] = {}
        self._asked_s = self._begin_s = time.monotonic()
        self._rest_s = self._stepped_s = 0.0
        self._cpu_s = 0.0
        self._over, self._wake = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"drift of {name}", daemon=True)
        self.due = False
        self.used: Matrix = np.eye(3)

    def __enter__(self) -> Monitor:
        self._begin_s = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *reason: object) -> None:
        self._over.set()
        self._wake.set()
        self._thread.join()
        self._worker.close()

    def before(self) -> None:
        """The loop is about to pack a pair: from here on the newest correction is used."""
        step, self._step = self._step, None
        if self._set_up != self._fusion.set_ups:  # anew, by the rig's own registration, be it for forms known before
            self._set_up, self.used = self._fusion.set_ups, np.eye(3)
        if step is not None and step.set_up == self._set_up:
            self._fusion.register(step.table)
            self.used = step.correction

    def look(self) -> None:
        """The loop is done with a pair that it packed, and has published it: take a sample of it."""
        size = self._fusion.size_px
        planes = self._fusion.packed(chosen(size[0]))
        self._sample, self.due = Sample(planes, size, self._set_up, self.used, time.monotonic()), False
        self._wake.set()  # at once, while the loop waits for its next frame

    def status(self) -> dict[str, Any]:
        """``Watch.status`` and ``cpu``: the share of one processor that measuring takes."""
        watch = self._watch
        if watch is None or self._watched != self._set_up:
            return {"state": "unknown"}
        share = self._cpu_s / max(time.monotonic() - self._begin_s, 1.0)
        return {**watch.status(), "cpu": round(share, 4)}

    def _run(self) -> None:
        while not self._over.is_set():
            self._wake.wait(self._tick_s)
            self._wake.clear()
            now_s = time.monotonic()
            if self._sample is not None:
                self._measure(self._sample)
                self._sample = None
            elif not self.due and now_s >= self._asked_s + self._period_s and now_s >= self._rest_s:
                urgent = self._watch is not None and self._watch.urgent
                self.due = self._allowance.permits(now_s, urgent=urgent)
            self._correct()

    @property
    def _tick_s(self) -> float:
        """Until there may be something to do: the next step of a correction is not put off by what woke the thread."""
        left_s = self._stepped_s + TICK_S - time.monotonic()
        return left_s if left_s > 0 else TICK_S

    @property
    def _period_s(self) -> float:
        return self._watch.period_s if self._watch else self._settings.every_s

    def _measure(self, sample: Sample) -> None:
        watch = self._watch_for(sample)
        self._asked_s = sample.at_s
        if (doubt := unfit(sample.size_px)) is not None:
            watch.add(doubt, sample.correction, sample.at_s)
            self._tell(watch)
            return
        try:
            self._worker.ask(sample.planes, sample.size_px, watch.start(sample.correction))
            while (found := self._worker.answer(self._tick_s)) is None:
                self._correct()
                if self._over.is_set():
                    return
                if time.monotonic() > self._asked_s + PATIENCE_S:
                    raise TimeoutError("no answer")
        except (OSError, EOFError) as error:
            self._lose(error)
            return
        self._spend(found.cpu_s)
        watch.add(found, sample.correction, sample.at_s)
        self._tell(watch)

    def _watch_for(self, sample: Sample) -> Watch:
        if self._watch is None or self._watched != sample.set_up:
            correct = self._live and self._settings.auto_correct
            self._watch = Watch(sample.size_px, self._settings, correct=correct, trained=self._trained)
            self._watched = sample.set_up
        return self._watch

    def _correct(self) -> None:
        """Make the table of the next step, once the loop has taken the last one."""
        watch, set_up = self._watch, self._watched
        now_s = time.monotonic()
        if watch is None or set_up != self._set_up or self._step is not None or now_s < self._stepped_s + TICK_S:
            return
        correction = watch.step(now_s)
        if correction is not None:
            begin_s = time.thread_time()
            self._step = Step(self._fusion.table(correction), correction, set_up)
            self._stepped_s = time.monotonic()
            self._spend(time.thread_time() - begin_s)
            self._tell(watch)

    def _spend(self, cpu_s: float) -> None:
        self._cpu_s += cpu_s
        self._allowance.spend(cpu_s)

    def _tell(self, watch: Watch) -> None:
        """Log what changed, and pass the visible image through or not."""
        status = watch.status()
        now = {name: status[name] for name in ("state", "untrained")}
        if now == self._said:
            return
        self._said = now
        known = {name: status[name] for name in ("residual_px", "uncertainty_px", "corrected_px")}
        log.event("registration", rig=self._name, **now, **known)
        if self._live:
            self._drifted(watch.state is State.BEYOND)

    def _lose(self, error: Exception) -> None:
        why = str(error) or type(error).__name__
        log.event("registration", rig=self._name, state="not measured", why=f"its process is gone: {why}")
        self._worker.close()
        self._rest_s = time.monotonic() + AGAIN_S
