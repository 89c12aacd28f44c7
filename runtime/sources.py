"""Where a run's moments come from: a recording, the simulated drive, or the cameras of rigs."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edgefusion.core.errors import RigError, UsageError
from edgefusion.core.frames import Form, FramePair
from edgefusion.core.geometry import Registration
from edgefusion.core.rig import Drift, Output, Policy, Rig, load_rig, registered
from edgefusion.kernels.inputs import RegistrationFor
from edgefusion.recordings.options import chosen_paths
from edgefusion.recordings.pairing import Side
from edgefusion.recordings.recording import open_recording
from runtime import log
from runtime.capture import base as capture
from runtime.capture.simulated import THERMAL_BITS, SimulatedRig
from runtime.pipeline.lane import Moments
from runtime.pipeline.stream import PairStream
from runtime.sync.exchange import Arrived, unheard
from runtime.sync.live import LiveRig

if TYPE_CHECKING:
    from runtime.run import RunSettings

SIMULATED_FRAMES = 300
LIVE_FPS = 30.0
"""Of videos of a camera that goes at its own rate: they are begun before it is open."""


@dataclass(frozen=True)
class Source:
    """Moments with what the run must know about them.

    Attributes:
        name: of the lane.
        described: where the frames come from, for the record.
        moments: the stream.
        registration: of the two cameras.
        bits: significant bits of a Y16 reading.
        fps: of videos made of it.
        asked_fps: the pace that was asked for, of a recording or of the visible camera; None: its own.
        stills: unrelated pictures, not a stream.
        live: cameras, which wait for nobody.
        forms: what the first frames will be; None if there are none.
        frames: the lane ends when so many are published.
        expected: so many will come, if that is known.
        policy: of its rig.
        outputs: of its rig.
        tell: whom cameras tell of each frame from now on; called before ``moments`` is entered.
        drift: of its rig; None where there is none, or its registration is not to be watched.
    """

    name: str
    described: str
    moments: Moments
    registration: RegistrationFor
    bits: int
    fps: float
    stills: bool = False
    live: bool = False
    forms: tuple[Form, Form] | None = None
    frames: int | None = None
    expected: int | None = None
    policy: Policy = field(default_factory=Policy)
    outputs: tuple[Output, ...] = ()
    tell: Callable[[Arrived], None] = unheard
    drift: Drift | None = None
    asked_fps: float | None = None

    @property
    def deadline_ms(self) -> float | None:
        """From exposure to published: what the rig says, or one frame time at the pace that was asked for."""
        return self.policy.deadline_ms or (1e3 / self.asked_fps if self.asked_fps else None)


def open_sources(settings: RunSettings, *, stop: threading.Event, wake: threading.Condition) -> list[Source]:
    """What the settings name. Cameras run while one is inside ``moments``.

    Raises:
        EdgeFusionError: options that do not go together, or whatever is wrong with a recording, a rig or a camera.
    """
    paths = chosen_paths(settings.recording, settings.visible, settings.thermal, topics=settings.topics)
    if (paths or settings.rigs) and (settings.prerender or settings.fog or settings.seed):
        raise UsageError(
            "--seed, --fog and --prerender are for the simulated rig", remedy="leave the recording and --rig out"
        )
    if paths:
        return [_recorded(settings, paths, stop)]
    if settings.rigs:
        return _live(settings, stop, wake)
    return [_simulated(settings, stop)]


def _simulated(settings: RunSettings, stop: threading.Event) -> Source:
    size_px = settings.size_px or SimulatedRig.visible_size_px
    rig = SimulatedRig(seed=settings.seed, fog=settings.fog, visible_size_px=size_px)
    frames = SIMULATED_FRAMES if settings.frames is None else settings.frames or None
    pairs: Iterable[FramePair] = map(rig.render, itertools.count())
    if settings.prerender:
        pairs = itertools.cycle([rig.render(index) for index in range(settings.prerender)])
    stream = PairStream(pairs, stop=stop, frames=frames, fps=settings.fps)
    return Source(
        "simulated",
        f"simulated rig, seed {settings.seed}, fog {settings.fog:g}",
        stream,
        lambda visible, thermal: Registration(rig.registration),
        THERMAL_BITS,
        settings.fps or rig.fps,
        forms=stream.forms(),
        expected=frames,
        asked_fps=settings.fps,
    )


def _recorded(settings: RunSettings, paths: tuple[Path, Path], stop: threading.Event) -> Source:
    if len(settings.rigs) > 1:
        raise UsageError("several rigs for one recording", remedy="give the --rig it was made with")
    rig = load_rig(settings.rigs[0]) if settings.rigs else None
    recording = open_recording(*paths, intersect=settings.intersect, topics=settings.topics, rig=rig)
    frames = settings.frames or recording.length or None
    frames = min(frames, recording.length) if frames and recording.length else frames
    apart_ns = rig.visible.time_offset_ns - rig.thermal.time_offset_ns if rig and recording.fps else 0
    stream = PairStream(recording, stop=stop, frames=frames, fps=settings.fps, apart_ns=apart_ns)
    return Source(
        rig.name if rig else "recording",
        str(settings.recording or settings.visible),
        stream,
        rig.registration_for if rig else registered,
        rig.thermal.bits if rig else 16,
        settings.fps or recording.fps or 10.0,
        stills=recording.fps is None,
        forms=stream.forms(),
        expected=frames,
        drift=rig.drift if rig and rig.drift.watch and recording.fps else None,
        asked_fps=settings.fps,
    )


def _live(settings: RunSettings, stop: threading.Event, wake: threading.Condition) -> list[Source]:
    if settings.fps:
        raise UsageError("--fps paces recordings", remedy="set fps of the cameras in rig.toml")
    rigs = [load_rig(path) for path in settings.rigs]
    names = [rig.name for rig in rigs]
    for path, name in zip(settings.rigs, names, strict=True):
        if names.count(name) > 1:
            raise RigError(f"another rig is named {name!r} too", where=path, remedy="give each a name of its own")
    return [_live_source(rig, settings, stop, wake) for rig in rigs]


def _live_source(rig: Rig, settings: RunSettings, stop: threading.Event, wake: threading.Condition) -> Source:
    cameras: dict[Side, capture.Camera] = {
        "visible": capture.open_camera("visible", rig.visible),
        "thermal": capture.open_camera("thermal", rig.thermal),
    }
    moments = LiveRig(
        rig, cameras, stop=stop, wake=wake, changed=lambda side, state, why: _say(rig.name, side, state, why)
    )
    devices = " + ".join(capture.without_passwords(camera.device or "") for camera in (rig.visible, rig.thermal))
    return Source(
        rig.name,
        devices,
        moments,
        rig.registration_for,
        rig.thermal.bits,
        rig.visible.fps or LIVE_FPS,
        live=True,
        forms=((rig.visible.delivered, rig.visible.size_px), (rig.thermal.delivered, rig.thermal.size_px)),
        frames=settings.frames or None,
        policy=rig.policy,
        outputs=rig.outputs,
        tell=moments.tell,
        drift=rig.drift if rig.drift.watch else None,
        asked_fps=rig.visible.fps,
    )


def _say(rig: str, side: str, state: str, why: str) -> None:
    log.event("camera", rig=rig, side=side, state=state, **({"why": why} if why else {}))
