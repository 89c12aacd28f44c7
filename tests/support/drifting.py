"""Drift injected into clips and into the simulated rig, met by the monitor's parts in simulated time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from clips import clip_reader

from edgefusion.core.bundle import load_bundle
from edgefusion.core.frames import FramePair
from edgefusion.core.geometry import Matrix, Size, apply, grid
from edgefusion.core.rig import Drift, registered
from edgefusion.kernels.agc import AgcSpec
from edgefusion.kernels.inputs import InputPacker, RegistrationFor
from edgefusion.kernels.layout import tensor_size
from edgefusion.recordings.pairing import SIDES
from runtime.registration.allowance import Allowance
from runtime.registration.monitor import TICK_S
from runtime.registration.sample import chosen, measure
from runtime.registration.watch import Watch

FPS = 30.0
CPU_S = 0.03
"""What a measurement is taken to cost, whatever this machine does meanwhile."""

ANSWER_S = 0.1
"""What it is taken to last."""

Path_ = Callable[[float], tuple[float, float]]
"""Seconds -> (right, down) in visible pixels."""


def clip(data: Path, name: str) -> Iterator[FramePair]:
    sides = [clip_reader(data, name, kind) for kind in SIDES]
    yield from (FramePair(visible, thermal) for visible, thermal in zip(*sides, strict=True))
    for side in sides:
        side.close()


def ramp(begin_s: float, *, most_px: float = 15.0, px_per_frame: float = 0.05) -> Path_:
    """A drift of so much a frame to the right and up, from then on until it is so far."""

    def path(at_s: float) -> tuple[float, float]:
        off = min(max(at_s - begin_s, 0.0) * FPS * px_per_frame, most_px)
        return 0.8 * off, -0.6 * off

    return path


def shift(off: tuple[float, float]) -> Matrix:
    return np.array([[1, 0, off[0]], [0, 1, off[1]], [0, 0, 1.0]])


def still(at_s: float) -> tuple[float, float]:
    return 0.0, 0.0


def moved(pair: FramePair, off: tuple[float, float], scale: float = 1.0) -> FramePair:
    """The pair as if the thermal camera had turned: what it sees lies elsewhere, by so many visible pixels."""
    if not any(off):
        return pair
    thermal = pair.thermal
    height, width = thermal.pixels.shape
    matrix = shift((off[0] * scale, off[1] * scale))[:2]
    pixels = cv2.warpAffine(thermal.pixels, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return replace(pair, thermal=replace(thermal, pixels=np.asarray(pixels, thermal.pixels.dtype)))


@dataclass
class Outcome:
    """What happened in simulated time.

    Attributes:
        states: (seconds, state), whenever it changed.
        off_px: of each frame, between the correction in use and the drift.
        largest_step_px: from one frame's correction to the next.
        measurements: how many.
        seconds: simulated.
        status: at the end.
    """

    states: list[tuple[float, str]] = field(default_factory=list)
    off_px: list[float] = field(default_factory=list)
    largest_step_px: float = 0.0
    measurements: int = 0
    seconds: float = 0.0
    status: dict[str, Any] = field(default_factory=dict)

    def noticed_s(self, since_s: float) -> float:
        """How long after that the drift was reported, or followed."""
        return min((at for at, state in self.states if at > since_s and state in ALARMS), default=np.inf) - since_s

    @property
    def alarms(self) -> list[tuple[float, str]]:
        return [(at, state) for at, state in self.states if state in ("drifted", "beyond")]


ALARMS = ("drifted", "beyond", "correcting")


class Drive:
    """The monitor without its thread and process: packs and measures only the frames that it wants.

    Args:
        settings: of the rig.
        path: the drift.
        registration, bits, scale: of the rig; thermal pixels in a visible one.
    """

    def __init__(
        self, settings: Drift, path: Path_ = still, *, registration: RegistrationFor = registered, bits: int = 16,
        scale: float = 1.0,
    ) -> None:  # fmt: skip
        self.settings, self.path, self.scale = settings, path, scale
        spec = AgcSpec(**load_bundle().manifest.agc.model_dump())
        self.packer = InputPacker(spec, registration=registration, bits=bits)
        self.used: Matrix = np.eye(3)
        self.outcome = Outcome()
        self._allowance, self._watch = Allowance(), None
        self._asked_s = self._stepped_s = -np.inf
        self._waiting: tuple[Any, ...] | None = None

    def go(self, pairs: Iterable[FramePair]) -> Outcome:
        for number, pair in enumerate(pairs):
            self.frame(pair, number / FPS)
        return self.outcome

    def wanted(self, at_s: float) -> bool:
        watch = self._watch
        if watch is None:
            return True
        due = self._waiting is None and at_s - self._asked_s >= watch.period_s - 1e-6
        return due and self._allowance.permits(at_s, urgent=watch.urgent)

    def frame(self, pair: FramePair, at_s: float, *, packed: Any = None) -> None:
        """One frame, and what the monitor does meanwhile.

        Args:
            pair: as the rig saw it.
            at_s: when.
            packed: the engine's input, if somebody else packed it.
        """
        size = pair.visible.size_px
        if self._watch is None:
            self._watch = Watch(size, self.settings, correct=self.settings.auto_correct, trained=None)
        watch = self._watch
        if self.wanted(at_s):
            x = self._packed(pair, self.path(at_s)) if packed is None else packed
            found = measure(x[chosen(size[0])], size, watch.start(self.used))
            self._asked_s, self._waiting = at_s, (at_s + ANSWER_S, found, self.used, at_s)
            self._allowance.spend(CPU_S)
        if self._waiting and at_s >= self._waiting[0]:
            watch.add(*self._waiting[1:])
            self.outcome.measurements += 1
            self._waiting = None
        if at_s - self._stepped_s >= TICK_S - 1e-6 and (step := watch.step(at_s)) is not None:
            self.outcome.largest_step_px = max(self.outcome.largest_step_px, apart_px(step, self.used, size))
            self.used, self._stepped_s = step, at_s
            self.packer.register(self.packer.table(step))
        self._note(at_s, size)

    def _packed(self, pair: FramePair, off: tuple[float, float]) -> Any:
        drifted = moved(pair, off, self.scale)
        width, height = tensor_size(pair.visible.size_px)
        self.packer.fit(drifted)
        x = np.empty((32, height // 4, width // 4), np.float32)
        self.packer.pack(drifted, x)
        return x

    def _note(self, at_s: float, size: Size) -> None:
        self.outcome.status = self._watch.status()
        if not self.outcome.states or self.outcome.states[-1][1] != self.outcome.status["state"]:
            self.outcome.states.append((at_s, self.outcome.status["state"]))
        self.outcome.off_px.append(apart_px(self.used, shift(self.path(at_s)), size))
        self.outcome.seconds = at_s


def apart_px(first: Matrix, second: Matrix, size: Size) -> float:
    points = grid(size)
    return float(np.hypot(*(apply(first, points) - apply(second, points)).T).mean())
