"""``edgefusion run``: a source, a sink and the pipeline between them, from plain settings."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgefusion.core.bundle import Bundle, Precision
from edgefusion.core.devices import Device, find_device
from edgefusion.core.errors import MachineError, RunError, UsageError
from edgefusion.core.frames import FramePair
from edgefusion.core.rig import Rig, load_rig, registered
from edgefusion.core.signing import load_signed
from edgefusion.kernels.cpu import to_rgb
from edgefusion.kernels.inputs import Registration
from edgefusion.recordings.images import write_png
from edgefusion.recordings.options import chosen_recording
from edgefusion.recordings.recording import Recording
from runtime.build import Asked, fastest
from runtime.capture.simulated import THERMAL_BITS, SimulatedRig
from runtime.fusion import Fusion
from runtime.pipeline import Pipeline, Statistics, stop_on_signals
from runtime.record import RunRecord, make_record, write_record
from runtime.sinks import open_sink

SIMULATED_FRAMES = 300
Show = Callable[[Statistics], None]


@dataclass(frozen=True)
class RunSettings:
    """What the options of ``edgefusion run`` say; see its help."""

    recording: Path | None = None
    visible: Path | None = None
    thermal: Path | None = None
    topics: tuple[str, str] | None = None
    intersect: bool = False
    bundle_path: Path | None = None
    device_name: str = "auto"
    precision: Asked = "fp16"
    ungated: bool = False
    require_signature: Path | None = None
    rig_path: Path | None = None
    output: str | None = None
    preview: Path | None = None
    record: Path | None = None
    frames: int | None = None
    fps: float | None = None
    seed: int = 0
    fog: float = 0.0
    prerender: int | None = None


@dataclass(frozen=True)
class _Source:
    """Frame pairs with what the run must know about them."""

    name: str
    pairs: Iterable[FramePair]
    frames: int | None
    fps: float
    stills: bool
    registration: Registration
    bits: int


def _chosen(asked: Asked, bundle: Bundle, device: Device) -> Precision:
    """The precision asked for, or the fastest here at the bundle's own size."""
    if asked != "auto":
        return asked
    precision: Precision = fastest(bundle, device, size_px=bundle.manifest.layout.size_px).facts["precision"]
    return precision


def run(settings: RunSettings, show: Show = lambda statistics: None) -> RunRecord:
    """Fuse what the settings name.

    Raises:
        EdgeFusionError: whatever is wrong with the settings, the input, this machine or the run.
    """
    bundle = load_signed(settings.bundle_path, settings.require_signature, ungated=settings.ungated)
    device = find_device(settings.device_name)
    source = _open_source(settings)
    for path in (settings.preview, settings.record):
        _check_folder(path)
    sink = open_sink(settings.output, fps=settings.fps or source.fps)
    precision = _chosen(settings.precision, bundle, device)
    fusion = Fusion(bundle, device, precision=precision, registration=source.registration, bits=source.bits)
    preview = Preview(fusion, (source.frames or 1) // 2)

    def observe(pair: FramePair, statistics: Statistics) -> None:
        show(statistics)
        if settings.preview:
            preview.consider(pair, statistics.frames - 1)

    with stop_on_signals() as stop:
        pipeline = Pipeline(fusion, sink, stop=stop, fps=settings.fps, stills=source.stills, observe=observe)
        statistics = pipeline.run(source.pairs, source.frames)
    if not statistics.frames:
        raise RunError("no frame was fused", where=source.name)
    record = make_record(
        statistics, fusion.built, bundle, source=source.name, output=settings.output, paced_fps=settings.fps
    )
    if settings.preview:
        preview.write(settings.preview)
    if settings.record:
        write_record(settings.record, record)
    return record


def _open_source(settings: RunSettings) -> _Source:
    recording = chosen_recording(
        settings.recording, settings.visible, settings.thermal, intersect=settings.intersect, topics=settings.topics
    )
    rig = load_rig(settings.rig_path) if settings.rig_path else None
    if recording is None:
        return _simulated(settings, rig)
    if settings.prerender or settings.fog or settings.seed:
        raise UsageError("--seed, --fog and --prerender are for the simulated rig", remedy="leave the recording out")
    return _recorded(settings, recording, rig)


def _simulated(settings: RunSettings, rig: Rig | None) -> _Source:
    if rig:
        raise UsageError("--rig needs a recording", remedy="give --recording; live cameras are not supported yet")
    simulated = SimulatedRig(seed=settings.seed, fog=settings.fog)
    frames = SIMULATED_FRAMES if settings.frames is None else settings.frames or None
    pairs: Iterable[FramePair] = map(simulated.render, itertools.count())
    if settings.prerender:
        pairs = itertools.cycle([simulated.render(index) for index in range(settings.prerender)])
    name = f"simulated rig, seed {settings.seed}, fog {settings.fog:g}"
    return _Source(
        name, pairs, frames, simulated.fps, False, lambda visible, thermal: simulated.registration, THERMAL_BITS
    )


def _recorded(settings: RunSettings, recording: Recording, rig: Rig | None) -> _Source:
    frames = settings.frames or recording.length or None
    name = str(settings.recording or settings.visible)
    return _Source(
        name,
        recording,
        min(frames, recording.length) if frames and recording.length else frames,
        recording.fps or 10.0,
        recording.fps is None,
        rig.registration_for if rig else registered,
        rig.thermal.bits if rig else 16,
    )


def _check_folder(path: Path | None) -> None:
    if path and not path.parent.is_dir():
        raise MachineError("no such folder", where=path.parent, remedy="make it first")


class Preview:
    """Keeps one frame as a picture: visible | thermal | fused.

    Args:
        fusion: the stages, which hold the thermal view and the fused image of the last pair.
        wanted: number of the frame to keep; the first is kept until that one comes.
    """

    def __init__(self, fusion: Fusion, wanted: int) -> None:
        self._fusion, self._wanted = fusion, wanted
        self._picture: npt.NDArray[np.uint8] | None = None

    def consider(self, pair: FramePair, number: int) -> None:
        """Keep the pair that was just fused, if it is the one."""
        if number not in (0, self._wanted):
            return
        thermal = np.repeat(self._fusion.thermal_view()[..., None], 3, axis=2)
        self._picture = np.hstack([to_rgb(pair.visible), thermal, self._fusion.rgb])

    def write(self, path: Path) -> None:
        """Write the picture as a PNG."""
        if self._picture is not None:
            write_png(path, self._picture)


@contextmanager
def live_line(*, hidden: bool) -> Iterator[Show]:
    """A line on the terminal with frames per second, latency and drops; nothing where there is no terminal."""
    if hidden or not sys.stderr.isatty():
        yield lambda statistics: None
        return
    from rich.console import Console

    with Console(stderr=True).status("starting") as status:

        def show(statistics: Statistics) -> None:
            if statistics.frames % 5 == 0 and statistics.latency.count:
                status.update(
                    f"{statistics.frames} frames  {statistics.fps:.1f} fps  "
                    f"p50 {statistics.latency.percentile_ms(50):.1f} ms  "
                    f"p99 {statistics.latency.percentile_ms(99):.1f} ms  {statistics.dropped} dropped"
                )

        yield show


def describe(record: RunRecord, settings: RunSettings) -> str:
    """A finished run in a few lines, with where its files are."""
    latency = record.latency_ms
    stages = "  ".join(f"{name} {times['p50']:.2f}" for name, times in record.stages_ms.items() if times["p50"])
    lines = [
        f"{record.frames} frames of {record.width}x{record.height}, {record.dropped} dropped, "
        f"{record.fps:.1f} frames per second (fusion alone: {record.fusion_fps:.0f})",
        f"latency from {record.latency_from}: p50 {latency['p50']:.2f} ms, p90 {latency['p90']:.2f} ms, "
        f"p99 {latency['p99']:.2f} ms, max {latency['max']:.2f} ms",
        f"stages, median ms: {stages}",
        f"{record.student} {record.precision} on {record.device} ({record.backend}, computing in {record.compute})",
    ]
    files = {"fused": settings.output, "preview": settings.preview, "record": settings.record}
    return "\n".join(lines + [f"{name}: {path}" for name, path in files.items() if path])
