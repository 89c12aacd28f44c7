"""``edgefusion run``: sources, lanes and outputs, from plain settings."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from edgefusion.core.bundle import Bundle, Precision
from edgefusion.core.devices import Device, find_device
from edgefusion.core.errors import RunError, UsageError
from edgefusion.core.files import check_folder
from edgefusion.core.geometry import Size
from edgefusion.core.rig import Output
from edgefusion.core.signing import load_signed
from edgefusion.ring.writer import Slot
from runtime import log
from runtime.build import Asked, fastest
from runtime.fusion import Fusion, open_fusion
from runtime.gauges import Gauges
from runtime.journal.begin import begin_record
from runtime.journal.recorder import Recorder
from runtime.live_metrics import Collector, parse_address, serve_metrics
from runtime.measured import Measured
from runtime.nvtx import Ranges, open_ranges
from runtime.pipeline.keeper import Keeper
from runtime.pipeline.lane import Lane
from runtime.pipeline.loop import abandoned_on_error, run_lanes
from runtime.pipeline.outputs import Outputs
from runtime.pipeline.statistics import Statistics
from runtime.pipeline.turn import Timed, untimed
from runtime.preview import Preview, Show
from runtime.registration.monitor import Monitor
from runtime.registration.watch import Trained, trained_range
from runtime.report.schema import Counts, Histogram, RunRecord, State
from runtime.sources import Source, open_sources
from runtime.stopping import stop_on_signals
from runtime.sync.moments import Moment
from runtime.trace import Trace


@dataclass(frozen=True)
class RunSettings:
    """What the options of ``edgefusion run`` say; see its help.

    ``size_px``: of the simulated rig's visible camera. ``duration_s`` counts from the end of warm-up, which takes
    ``warm_up_s`` at least.
    """

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
    rigs: tuple[Path, ...] = ()
    outputs: tuple[str, ...] = ()
    view: bool = False
    preview: Path | None = None
    record: Path | None = None
    trace: Path | None = None
    metrics: str | None = None
    frames: int | None = None
    fps: float | None = None
    seed: int = 0
    fog: float = 0.0
    prerender: int | None = None
    size_px: Size | None = None
    duration_s: float | None = None
    warm_up_s: float = 0.0
    idle_s: float = 0.0


@dataclass(frozen=True)
class Watchers:
    """What looks on while lanes run.

    Attributes:
        show: the line on the terminal.
        preview: the one picture that is kept.
        ranges: for NVIDIA's profilers.
        trace: of every frame, if it is wanted.
    """

    show: Show
    preview: Preview
    ranges: Ranges
    trace: Trace | None = None


def run(
    settings: RunSettings,
    show: Show = lambda lane: None,
    *,
    stopping: Callable[[], AbstractContextManager[threading.Event]] = stop_on_signals,
) -> list[RunRecord]:
    """Fuse what the settings name; one record for each rig, but for one without a frame in a run that was stopped.

    Args:
        settings: the options.
        show: told of every published frame.
        stopping: opens the event that ends the run.

    Raises:
        EdgeFusionError: whatever is wrong with the settings, the input, this machine or the run.
    """
    bundle = load_signed(settings.bundle_path, settings.require_signature, ungated=settings.ungated)
    device = find_device(settings.device_name)
    for path in (settings.preview, settings.record, settings.trace):
        check_folder(path)
    _check_single(settings)
    if settings.metrics is not None:
        parse_address(settings.metrics)
    precision = _chosen(settings.precision, bundle, device)
    wake = threading.Condition()
    with stopping() as stop, ExitStack() as stack:
        sources = open_sources(settings, stop=stop, wake=wake)
        measured = _measured(settings, stack)
        gauges = measured.gauges if measured else Gauges
        trace = stack.enter_context(Trace(settings.trace, gauges=gauges)) if settings.trace else None
        preview = Preview((sources[0].expected or 1) // 2)
        watchers = Watchers(show, preview, open_ranges(device.backend), trace)
        lanes = stack.enter_context(abandoned_on_error())
        fusions = _fusions(sources, bundle, device, precision)
        for fusion in fusions:
            stack.callback(fusion.close)
        trained = trained_range(bundle)
        for source, fusion in zip(sources, fusions, strict=True):
            monitor = _monitor(source, fusion, trained, stack)
            lanes.append(_lane(source, fusion, settings, watchers=watchers, monitor=monitor))
            _warm_up(source, lanes[-1])
        if measured and settings.idle_s:
            measured.measure_idle(settings.idle_s, stop)
        for source in sources:
            stack.enter_context(source.moments)
        watchdog_s = min((source.policy.watchdog_s for source in sources if source.live), default=None)
        facts = {"bundle": bundle.manifest.name, "device": device.name, "precision": precision}
        recorders = _recorders(sources, lanes, bundle, settings, measured=measured, stack=stack)
        if settings.metrics is not None:
            stack.enter_context(serve_metrics(settings.metrics, Collector(lanes, facts, gauges=gauges)))
        with Keeper(lanes, facts, watchdog_s=watchdog_s) as keeper:
            run_lanes(lanes, stop=stop, wake=wake, turned=keeper.turned)
        for lane in lanes:  # no turn, so nothing for the keeper's watchdog: an output may take long to finish
            lane.finish()
        state: State = "interrupted" if stop.is_set() else "complete"
        records = [recorder.finish(state) for recorder in _worth(sources, lanes, recorders, state)]
    if settings.preview:
        preview.write(settings.preview)
    return records


def _recorders(
    sources: list[Source],
    lanes: list[Lane],
    bundle: Bundle,
    settings: RunSettings,
    *,
    measured: Measured | None,
    stack: ExitStack,
) -> list[Recorder]:
    """One for each rig."""
    return [
        stack.enter_context(
            begin_record(
                settings.record, source, lane, bundle,
                outputs=[output.to for output in _wanted(source, settings)], measured=measured, stack=stack,
            )
        )
        for source, lane in zip(sources, lanes, strict=True)
    ]  # fmt: skip


def _worth(sources: list[Source], lanes: list[Lane], recorders: list[Recorder], state: State) -> list[Recorder]:
    """Those of the rigs that have frames. An operator may end a run before a camera brings one: that is only said.

    Raises:
        RunError: a rig has no frame, although nobody ended the run.
    """
    worth = []
    for source, lane, recorder in zip(sources, lanes, recorders, strict=True):
        if lane.statistics.frames:
            worth.append(recorder)
        elif state == "interrupted":
            log.event("run", rig=lane.name, state="ended", why="no frame was fused: there is no record")
        else:
            raise RunError("no frame was fused", where=source.described)
    return worth


def _measured(settings: RunSettings, stack: ExitStack) -> Measured | None:
    """Power and the state of the machine, where anybody wants to know."""
    if settings.record is None and settings.trace is None and settings.metrics is None:
        return None
    return stack.enter_context(Measured(recorded=settings.record is not None))


def _check_single(settings: RunSettings) -> None:
    """What names one file or one stream does not do for several rigs."""
    if len(settings.rigs) > 1 and (settings.outputs or settings.preview or settings.record):
        raise UsageError(
            "--output, --preview and --record are of one rig", remedy="name outputs in each rig.toml, as [[output]]"
        )


def _chosen(asked: Asked, bundle: Bundle, device: Device) -> Precision:
    """The precision asked for, or the fastest here at the bundle's own size."""
    if asked != "auto":
        return asked
    precision: Precision = fastest(bundle, device, size_px=bundle.manifest.layout.size_px).facts["precision"]
    return precision


def _fusions(sources: list[Source], bundle: Bundle, device: Device, precision: Precision) -> list[Fusion]:
    """The stages of each rig; all have one set of weights."""
    first, *others = sources
    fusion = open_fusion(bundle, device, precision=precision, registration=first.registration, bits=first.bits)
    return [fusion, *(fusion.beside(registration=each.registration, bits=each.bits) for each in others)]


def _lane(
    source: Source, fusion: Fusion, settings: RunSettings, *, watchers: Watchers, monitor: Monitor | None
) -> Lane:
    def observe(moment: Moment, slot: Slot, statistics: Statistics) -> None:
        watchers.show(lane)
        if settings.preview:
            watchers.preview.consider(moment, slot, fusion, number=statistics.frames - 1)

    wanted = _wanted(source, settings)
    outputs = Outputs(wanted, fps=source.fps, live=source.live, failed=partial(_failed, source.name))
    for url in outputs.urls:
        log.event("view", rig=source.name, url=url)
    lane = Lane(
        source.name, source.moments, fusion, outputs,
        frames=source.frames, duration_s=settings.duration_s, warm_up_s=settings.warm_up_s,
        deadline_ms=source.deadline_ms, stills=source.stills, observe=observe,
        timed=_timed(source, watchers.trace), ranges=watchers.ranges,
        monitor=monitor,
    )  # fmt: skip
    return lane


def _monitor(source: Source, fusion: Fusion, trained: Trained | None, stack: ExitStack) -> Monitor | None:
    """Of a rig's registration, from now to the end of the run."""
    if source.drift is None:
        return None
    return stack.enter_context(
        Monitor(
            source.name, fusion, source.drift, live=source.live, trained=trained, drifted=source.moments.set_drifted
        )
    )  # fmt: skip


def _wanted(source: Source, settings: RunSettings) -> list[Output]:
    """Where a rig's frames go."""
    view = [Output(to="rerun:")] if settings.view else []
    return [*source.outputs, *(Output(to=to) for to in settings.outputs), *view]


def _timed(source: Source, trace: Trace | None) -> Timed:
    """Who is told the times of the source's frames."""
    if trace is None:
        return untimed
    traced = trace.rig(source.name, since=source.moments.since)
    source.tell(traced.arrived)
    return traced.timed


def _warm_up(source: Source, lane: Lane) -> None:
    """The engine is built, and every stage has run, before the first frame is taken.

    Raises:
        RunError: there is no first frame.
    """
    if source.forms is None:
        raise RunError("no frame was fused", where=source.described)
    lane.fusion.warm_up(*source.forms)
    lane.fusion.share(lane.outputs.prepare(lane.fusion.size_px).memory)


def _failed(rig: str, to: str, error: Exception) -> None:
    log.event("output", rig=rig, to=to, state="failed", why=str(error))


def describe(record: RunRecord, settings: RunSettings) -> str:
    """A finished run in a few lines, with where its files are."""
    latency, engine, counts = record.latency, record.engine, record.counts
    stages = "  ".join(f"{name} {_ms(stage, 'p50')}" for name, stage in latency.stages.items() if stage.count)
    alone = f" (fusion alone: {record.fusion_fps:.0f})" if record.fusion_fps else ""
    lines = [
        f"{counts.published} frames of {record.width}x{record.height}, {_drops(counts)}, "
        f"{record.fps:.1f} frames per second{alone}",
        f"latency from {latency.since}, ms: p50 {_ms(latency.published, 'p50')}, p99 {_ms(latency.published, 'p99')}, "
        f"max {latency.published.max_ms:.2f}",
        f"stages, median ms: {stages}",
        f"{record.student} {engine.precision} on {engine.device} ({engine.backend}, computing in {engine.compute}), "
        f"{counts.copies_per_frame:g} copies per frame",
    ]
    named = [("fused", output) for output in record.outputs]
    files: list[tuple[str, Any]] = [
        *named,
        ("preview", settings.preview),
        ("record", settings.record),
        ("trace", settings.trace),
    ]
    return "\n".join(lines + [f"{name}: {path}" for name, path in files if path])


def _ms(histogram: Histogram, name: str) -> str:
    value = histogram.percentiles_ms[name]
    return f"{value:.2f}" if value is not None else f"(of {histogram.count} frames: none)"


def _drops(counts: Counts) -> str:
    causes = ", ".join(f"{count} {cause}" for cause, count in counts.dropped.items() if count)
    return f"dropped: {causes}" if causes else "0 dropped"
