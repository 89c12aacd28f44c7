"""Lanes over recordings of noise, without a camera."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scenes import noise_pair

from edgefusion.core.bundle import load_bundle
from edgefusion.core.devices import find_device
from edgefusion.core.frames import FramePair, FusedInfo, PixelFormat
from edgefusion.core.rig import Output, registered
from edgefusion.kernels.inputs import RegistrationFor
from runtime.fusion import Fusion, open_fusion
from runtime.nvtx import NO_RANGES, Ranges
from runtime.pipeline.lane import Lane, Moments
from runtime.pipeline.loop import abandoned_on_error, run_lanes
from runtime.pipeline.outputs import Outputs
from runtime.pipeline.statistics import Statistics
from runtime.pipeline.stream import PairStream
from runtime.pipeline.turn import Timed, untimed

SIZES = ((96, 64), (48, 32))


def make_fusion(registration: RegistrationFor = registered) -> Fusion:
    return open_fusion(load_bundle(), find_device("cpu"), precision="fp32", registration=registration, bits=14)


def pairs(count: int, seed: int = 0) -> list[FramePair]:
    noise = (noise_pair(PixelFormat.RGB24, PixelFormat.Y16, SIZES, seed + k) for k in range(count))
    return [replace(pair, name=f"{k:03d}") for k, pair in enumerate(noise)]


@dataclass
class Run:
    """One lane with its loop, and everything it published."""

    given: Iterable[FramePair] | Moments
    outputs: tuple[str, ...] = ()
    frames: int | None = None
    fps: float | None = None
    stills: bool = False
    live: bool = False
    deadline_ms: float | None = None
    duration_s: float | None = None
    warm_up_s: float = 0.0
    fusion: Fusion | None = None
    timed: Timed = untimed
    ranges: Ranges = NO_RANGES
    on_frame: Callable[[Run], None] = lambda run: None
    images: list[np.ndarray] = field(default_factory=list)
    infos: list[FusedInfo] = field(default_factory=list)
    failed: list[tuple[str, Exception]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stop, self.wake = threading.Event(), threading.Condition()
        moments: Any = self.given
        if not hasattr(moments, "next"):
            moments = PairStream(moments, stop=self.stop, frames=self.frames, fps=self.fps)
        wanted = [Output(to=to) for to in self.outputs]
        outputs = Outputs(
            wanted, fps=30, live=self.live, failed=lambda to, error: self.failed.append((to, error))
        )  # fmt: skip
        self.lane = Lane(
            "test", moments, self.fusion or make_fusion(), outputs,
            deadline_ms=self.deadline_ms, stills=self.stills, observe=self._keep,
            timed=self.timed, ranges=self.ranges, duration_s=self.duration_s, warm_up_s=self.warm_up_s,
        )  # fmt: skip

    def _keep(self, moment: Any, slot: Any, statistics: Statistics) -> None:
        self.last_slot = slot
        self.images.append(slot.pixels.copy())
        self.on_frame(self)

    def go(self) -> Statistics:
        with abandoned_on_error() as lanes:
            lanes.append(self.lane)
            run_lanes(lanes, stop=self.stop, wake=self.wake, turned=lambda: None)
            self.lane.finish()
        return self.lane.statistics
