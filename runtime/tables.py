"""What the listing commands print."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from edgefusion.core.devices import Device, load_devices

if TYPE_CHECKING:
    from runtime.doctor import Finding


def devices_json() -> str:
    """Every device as JSON."""
    return json.dumps({"devices": [device.model_dump() for device in load_devices()]}, indent=2)


def devices_table() -> str:
    """Every device as a table."""
    table = Table("device", "product", "SM", "SMs", "GPU GHz", "dense INT8 / FP16 TOPS", "DLA", "memory", "power modes")
    for device in load_devices():
        table.add_row(
            device.name,
            device.description if not device.refused else f"{device.description}: not supported, {device.refused}",
            device.sm or "-",
            _known(device.sm_count),
            _with_super(device.gpu_ghz, device.super_gpu_ghz),
            _peaks(device),
            str(device.dla_cores),
            f"{device.memory_gb} GB, {device.bandwidth_gb_s:g} GB/s" if device.bandwidth_gb_s else "-",
            device.power_modes or "-",
        )
    return render(table)


def _peaks(device: Device) -> str:
    if device.int8_tops is None:
        return "-"
    more = f" ({device.super_int8_tops:g} / {device.super_fp16_tops:g})" if device.super_int8_tops else ""
    return f"{device.int8_tops:g} / {device.fp16_tops:g}{more}"


def _with_super(usual: float | None, fast: float | None) -> str:
    return _known(usual) + (f" ({fast:g})" if fast else "")


def _known(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"


def doctor_json(findings: Sequence[Finding]) -> str:
    """The doctor's findings as JSON."""
    return json.dumps({"findings": [dataclasses.asdict(finding) for finding in findings]}, indent=2)


def doctor_table(findings: Sequence[Finding]) -> str:
    """The doctor's findings, a line each."""
    lines = []
    for finding in findings:
        remedy = f"; {finding.remedy}" if finding.remedy else ""
        lines.append(f"{finding.name:<13} {'ok' if finding.ok else 'missing':<8} {finding.detail}{remedy}")
    return "\n".join(lines)


def as_json(facts: dict[str, Any]) -> str:
    """Facts as JSON."""
    return json.dumps(facts, indent=2)


def facts_table(facts: dict[str, Any]) -> str:
    """Facts, a line each."""
    return _lines([(name.replace("_", " "), str(value)) for name, value in facts.items()])


def verified_table(facts: dict[str, Any]) -> str:
    """What ``edgefusion bundle verify`` found right."""
    checked = f"checked with {facts['key']}" if facts["key"] else "not checked: give --key KEY.pub"
    return _lines(
        [
            ("bundle", facts["bundle"]),
            ("files", f"{facts['files']}, every hash right"),
            ("models", f"{', '.join(facts['models'])}: all readable"),
            ("signature", f"by key {facts['signed_by']}, {checked}" if facts["signed_by"] else "none"),
        ]
    )


def bundle_table(facts: dict[str, Any]) -> str:
    """A bundle (``runtime.bundles.inspect``) in a few lines."""
    student, layout = facts["student"], facts["layout"]
    inside = f", with {', '.join(layout['inside'])} inside" if layout["inside"] else ""
    return _lines(
        [
            ("bundle", f"{facts['name']} at {facts['path']}"),
            ("student", f"{student['arch']}, {student['parameters']} parameters"),
            ("objective", student["objective"]),
            ("layout", f"{layout['name']}, stored for {layout['size_px'][0]}x{layout['size_px'][1]}{inside}"),
            ("models", ", ".join(f"{name} {_size(model['bytes'])}" for name, model in facts["models"].items())),
            *_under("gates", [_gate(name, facts["gates"].get(name)) for name in facts["models"] if name != "fp32"]),
            *_under("DLA", [f"{name} {_size(size)}" for name, size in facts["dla"].items()]),
            ("licence", facts["licence"]),
            *_under("trained on", [_data(source) for source in facts["training"]["data"]]),
            ("signature", _signature(facts["signature"])),
            *_under("engines", [_engine(engine) for engine in facts["engines"]] or ["none in this machine's cache"]),
            ("files", f"{len(facts['files'])}, every hash right"),
        ]
    )


def _lines(rows: Sequence[tuple[str, str]]) -> str:
    return "\n".join(f"{name:<11} {value}" for name, value in rows)


def _under(name: str, values: Sequence[str]) -> list[tuple[str, str]]:
    """A line for each value, the name before the first."""
    return [(name if number == 0 else "", value) for number, value in enumerate(values)]


def _gate(precision: str, gate: dict[str, Any] | None) -> str:
    if gate is None:
        return f"{precision}: none; it runs with --ungated only"
    found = "passed" if gate["passed"] else "over its budget" + (", accepted" if gate["accepted"] else "")
    return (
        f"{precision}: {found} (budget {100 * gate['max_drop']:g} % of each figure), "
        f"{gate['psnr_db']:.1f} dB from fp32 on {gate['holdout']}"
    )


def _data(source: dict[str, Any]) -> str:
    return f"{source['name']} ({source['pairs']} pairs), licence: {source['licence']}"


def _signature(found: dict[str, Any] | None) -> str:
    return f"by key {found['fingerprint']}; edgefusion bundle verify --key checks it" if found else "none"


def _engine(engine: dict[str, Any]) -> str:
    facts = engine["facts"]
    size = "x".join(map(str, facts.get("size_px", "?")))
    what = " ".join(str(facts.get(name, "?")) for name in ("device", "backend", "precision"))
    return f"{what} {size}, computing in {facts.get('compute', '?')}, {_size(engine['bytes'])}, built {engine['built']}"


def _size(size: int) -> str:
    return f"{size / 1024:.0f} KiB" if size < 1 << 20 else f"{size / (1 << 20):.1f} MiB"


def layers_table(layers: Sequence[dict[str, Any]]) -> str:
    """An engine's layers: what computes what, where, in which format, and its share of the time."""
    table = Table()
    for heading in ("layer", "kind", "reads", "where", "time", "ONNX nodes"):
        table.add_column(heading, justify="right" if heading == "time" else "left", overflow="fold")
    for layer in layers:
        share = f"{layer['share']:.1%}" if "share" in layer else "not measured"
        kind = f"{layer['kind']} (!)" if layer["kind"] == "reformat" else layer["kind"]
        table.add_row(layer["name"], kind, layer["precision"], layer["where"], share, ", ".join(layer["nodes"]))
    count = sum(layer["kind"] == "reformat" for layer in layers)
    note = f"\n(!) {count} layers only change how tensors lie in memory" if count else ""
    return render(table) + note


def render(table: Table) -> str:
    """A table as text, as wide as it needs to be up to 160 columns."""
    console = Console(file=io.StringIO(), width=160)
    console.print(table)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text.rstrip()
