"""Begins the record of a run: what is known before its first frame, and what is measured beside it."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edgefusion.core.bundle import Bundle, Precision
from edgefusion.core.devices import Device, find_device
from runtime import log
from runtime.engines.cache import BuiltEngine
from runtime.estimate.graph import read_operations
from runtime.estimate.layers import fuse
from runtime.journal.lines import Header
from runtime.journal.recorder import Recorder
from runtime.journal.snapshot import Spent
from runtime.machine.software import software
from runtime.measured import Measured
from runtime.pipeline.lane import Lane
from runtime.power.energy import Block, choose, energy
from runtime.report import schema
from runtime.report.figures import WORK
from runtime.sources import Source


def begin_record(
    path: Path | None, source: Source, lane: Lane, bundle: Bundle, *, outputs: list[str],
    measured: Measured | None, stack: ExitStack,
) -> Recorder:  # fmt: skip
    """A recorder for one rig's run, not yet entered.

    Args:
        path: where ``run.json`` is kept; None: nothing is kept, and power and the machine are left out.
        source: of the rig.
        lane: of the rig; its engine is built.
        bundle: that it runs.
        outputs: where its frames go.
        measured: power and the state of the machine.
        stack: removes what is not kept.

    Raises:
        MachineError: nothing can be written there, or another run records there.
    """
    header = _header(source, lane, bundle, outputs=outputs, thorough=path is not None)
    say = partial(_say, lane.name)
    if path is None:
        folder = stack.enter_context(TemporaryDirectory(prefix="edgefusion-"))
        return Recorder(Path(folder) / "run.json", header, lane.snapshot, say=say)
    return Recorder(path, header, lane.snapshot, say=say, power=measured, readings=measured, energy=cost)


def cost(spent: Spent) -> schema.Energy | None:
    """Energy per frame of what was spent so far."""
    names = [meter.name for meter in choose(spent.meters)]
    blocks = [
        Block(sum(block.joules[name] for name in names), block.frames)
        for block in spent.blocks
        if block.joules.keys() >= set(names)
    ]
    stages = {name: ms for name, ms in spent.stages_ms.items() if name in WORK}
    return energy(spent.meters, spent.frames, seconds=spent.seconds, stages_ms=stages, blocks=blocks)


def _say(rig: str, what: str) -> None:
    log.event("record", rig=rig, what=what)


def _header(source: Source, lane: Lane, bundle: Bundle, *, outputs: list[str], thorough: bool) -> Header:
    built = lane.fusion.built
    deadline_ns = lane.statistics.deadlines.deadline_ns
    return Header(
        started=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        command=["edgefusion", *sys.argv[1:]],
        rig=source.name,
        source=source.described,
        outputs=outputs,
        bundle=bundle.manifest.name,
        student=bundle.manifest.student.arch,
        paced_fps=source.asked_fps,
        since=lane.moments.since,
        deadline_ms=None if deadline_ns is None else deadline_ns / 1e6,
        engine=_engine(built, bundle, thorough=thorough),
        software=software(str(built.facts["target"]["version"])),
        quality=_quality(bundle, built.facts["precision"]),
    )


def _engine(built: BuiltEngine, bundle: Bundle, *, thorough: bool) -> schema.Engine:
    facts = built.facts
    device, precision = find_device(facts["device"]), facts["precision"]
    return schema.Engine(
        device=device.name,
        backend=facts["backend"],
        precision=precision,
        compute=built.compute,
        key=built.key,
        sm=facts["sm"] or None,
        layers=[{name: layer[name] for name in ("name", "kind", "precision", "where")} for layer in facts["layers"]],
        peak_tops=_peak_tops(device, precision),
        bandwidth_gb_s=device.bandwidth_gb_s,
        **(_work(bundle, built) if thorough else {}),
    )


def _peak_tops(device: Device, precision: Precision) -> float | None:
    return {"int8": device.int8_tops, "fp16": device.fp16_tops}.get(precision)


def _work(bundle: Bundle, built: BuiltEngine) -> dict[str, Any]:
    """What the model computes and must at least move, at this size."""
    onnx = bundle.model(built.facts["precision"]).read_bytes()
    model = fuse(read_operations(onnx, built.size_px))
    moved = model.io_bytes + sum(layer.weight_bytes for layer in model.layers)
    return {"gmacs": sum(layer.macs for layer in model.layers) / 1e9, "moved_mb": moved / 1e6}


def _quality(bundle: Bundle, precision: Precision) -> dict[str, Any]:
    """The bundle's figures of this precision, without those of single classes."""
    path = bundle.path / "quality.json"
    figures = json.loads(path.read_text()).get(precision, {}) if path.is_file() else {}
    return {name: value for name, value in figures.items() if not isinstance(value, dict | list)}
