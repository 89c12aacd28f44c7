"""What the listing commands print."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from edgefusion.core.bundle import Bundle
from edgefusion.core.devices import Device, load_devices
from edgefusion.core.dla import CACHE
from runtime.doctor import Finding


def devices_json() -> str:
    """Every device as JSON."""
    return json.dumps({"devices": [device.model_dump() for device in load_devices()]}, indent=2)


def devices_table() -> str:
    """Every device as a table."""
    table = Table("device", "module", "SM", "SMs", "GPU GHz", "dense INT8 / FP16 TOPS", "DLA", "memory", "power modes")
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
    return _render(table)


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


def bundle_json(bundle: Bundle) -> str:
    """A bundle's manifest as JSON, with its place."""
    return json.dumps({"path": str(bundle.path), **bundle.manifest.model_dump(by_alias=True)}, indent=2)


def bundle_table(bundle: Bundle) -> str:
    """A bundle in a few lines."""
    manifest = bundle.manifest
    width, height = manifest.layout.size_px
    data = "; ".join(f"{source.name} ({source.pairs} pairs, {source.licence})" for source in manifest.training.data)
    inside = f", with {', '.join(manifest.layout.inside)} inside" if manifest.layout.inside else ""
    dla = ", and files for a DLA" if CACHE in manifest.files else ""
    return "\n".join(
        [
            f"bundle      {manifest.name} at {bundle.path}",
            f"student     {manifest.student.arch}, {manifest.student.parameters} parameters",
            f"objective   {manifest.student.objective}",
            f"layout      {manifest.layout.name}, stored for {width}x{height}{inside}",
            f"precisions  {', '.join(manifest.precisions)}{dla}",
            f"licence     {manifest.licence}",
            f"trained on  {data}",
            f"files       {len(manifest.files)}, every hash right",
        ]
    )


def _render(table: Table) -> str:
    console = Console(file=io.StringIO(), width=160)
    console.print(table)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text.rstrip()
