"""What ``edgefusion estimate`` prints."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

from rich.table import Column, Table

from edgefusion.core.devices import Device
from runtime.estimate.bounds import Bound, Clock, bound, clocks, layer_ms
from runtime.estimate.job import Estimate
from runtime.estimate.layers import ASSUMPTIONS, Layer, Model
from runtime.tables import render

LABEL = "bound at maximum clock; not a measurement"
NOTES = f"""\
ms: every launch moves what it reads and writes through memory once, or computes at its peak, whichever takes longer.
cached ms: only input, output and weights go through memory; no run of direct convolutions is faster.
Neither counts launch overhead, pack or unpack. fp32 is on CUDA cores, without TF32.
*: memory alone, the peak is unknown. -: unknown.
{ASSUMPTIONS}"""


def to_json(result: Estimate) -> str:
    """The result as indented JSON."""
    body = {
        "label": LABEL,
        "assumptions": NOTES,
        "bundle": result.bundle,
        "size_px": list(result.size_px),
        "models": {name: _model_facts(model) for name, model in result.models.items()},
        "devices": [_device_facts(device, result) for device in result.devices],
    }
    return json.dumps(body, indent=2)


def _model_facts(model: Model) -> dict[str, Any]:
    layers = [{**dataclasses.asdict(layer), "intensity": _intensity(layer)} for layer in model.layers]
    return {**_totals(model), "layers": layers}


def _totals(model: Model) -> dict[str, int]:
    names = ("macs", "operations", "traffic", "weight_bytes")
    totals = {name: sum(getattr(layer, name) for layer in model.layers) for name in names}
    return {"launches": len(model.layers), **totals, "io_bytes": model.io_bytes}


def _intensity(layer: Layer) -> float:
    """Operations per byte."""
    return round(layer.operations / layer.traffic, 2)


def _device_facts(device: Device, result: Estimate) -> dict[str, Any]:
    settings = [_clock_facts(clock, result) for clock in clocks(device)]
    return {"device": device.name, "power_modes": device.power_modes, "clocks": settings}


def _clock_facts(clock: Clock, result: Estimate) -> dict[str, Any]:
    bounds = {}
    for name, model in result.models.items():
        found = bound(model, clock)
        layers = [layer_ms(layer, clock) for layer in model.layers]
        bounds[name] = {**dataclasses.asdict(found), "fps": found.fps, "layers_ms": layers}
    return {"clock": clock.name, "gpu_ghz": clock.gpu_ghz, "bounds": bounds}


def describe(result: Estimate) -> str:
    """The result in words and tables; launch by launch where there is one device."""
    width, height = result.size_px
    parts = [f"{result.bundle} at {width}x{height}: {LABEL}", _model_table(result), _bound_table(result), NOTES]
    if len(result.devices) == 1:
        parts[2:2] = _layer_tables(result, result.devices[0])
        parts.append(_other_modes(result.devices[0]))
    return "\n".join(part for part in parts if part)


def _model_table(result: Estimate) -> str:
    table = Table("model", *_right("launches", "MMAC", "Mop", "traffic kB", "weights kB", "in + out kB"))
    for name, model in result.models.items():
        facts = _totals(model)
        large = (facts["macs"] / 1e6, facts["operations"] / 1e6)
        bytes_ = (facts["traffic"] / 1e3, facts["weight_bytes"] / 1e3, facts["io_bytes"] / 1e3)
        table.add_row(name, str(facts["launches"]), *(f"{value:,.1f}" for value in (*large, *bytes_)))
    return render(table)


def _layer_tables(result: Estimate, device: Device) -> Iterator[str]:
    clock = next(iter(clocks(device)))
    for name, model in result.models.items():
        heads = _right("MMAC", "read kB", "written kB", "weights kB", "op/byte", f"us, {clock.name}")
        table = Table(f"{name} launch", "computes in", *heads)
        for layer in model.layers:
            table.add_row(layer.name, layer.compute, *_layer_cells(layer, clock))
        yield render(table)


def _layer_cells(layer: Layer, clock: Clock) -> Iterator[str]:
    yield f"{layer.macs / 1e6:,.1f}"
    for moved in (layer.bytes_read, layer.bytes_written, layer.weight_bytes):
        yield f"{moved / 1e3:,.1f}"
    yield f"{_intensity(layer):,.1f}"
    milliseconds = layer_ms(layer, clock)
    yield "-" if milliseconds is None else f"{1e3 * milliseconds:,.1f}"


def _bound_table(result: Estimate) -> str:
    heads = [f"{name} {what}" for name in result.models for what in ("ms", "FPS", "cached ms")]
    table = Table("device", "clock", *_right("GPU GHz", *heads))
    for device in result.devices:
        for clock in clocks(device):
            cells = [cell for model in result.models.values() for cell in _bound_cells(bound(model, clock))]
            table.add_row(device.name, clock.name, f"{clock.gpu_ghz:g}" if clock.gpu_ghz else "-", *cells)
    return render(table)


def _bound_cells(found: Bound) -> tuple[str, str, str]:
    if found.ms is None or found.cached_ms is None:
        return ("-", "-", "-")
    mark = "*" if found.limit == "memory alone" else ""
    return (f"{found.ms:.3f}{mark}", f"{found.fps:,.0f}{mark}", f"{found.cached_ms:.3f}{mark}")


def _other_modes(device: Device) -> str:
    if not device.power_modes:
        return ""
    return f"power modes: {device.power_modes}. Those that are no row above: unknown, their GPU clock is not cited."


def _right(*heads: str) -> Iterator[Column]:
    return (Column(head, justify="right") for head in heads)
