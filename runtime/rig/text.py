"""What ``edgefusion rig`` prints."""

from __future__ import annotations

import json
from typing import Any

from rich.table import Table

from runtime.rig.findings import Finding, RigReport
from runtime.tables import render

ROWS = ("format", "size_px", "fps", "lost", "latency_ms", "clock", "memory", "copies")
"""What is shown first of a camera, where it says it."""


def to_json(report: RigReport) -> str:
    """A report as JSON."""
    return json.dumps(report.to_dict(), indent=2, default=str)


def describe(report: RigReport) -> str:
    """A report in a few lines: what the cameras do, then what is wrong, with line and field."""
    lines = [_summary(report)]
    if report.coverage is not None:
        lines.append(f"registration: the thermal camera sees {report.coverage:.0%} of the visible image")
    if report.cameras:
        lines.append(_cameras(report.cameras))
    if report.pairs and report.pairs["skew_ms"]:
        skew = report.pairs["skew_ms"]
        lines.append(
            f"pairs: {report.pairs['within_tolerance']:.0%} within the tolerance, "
            f"skew p50 {skew['p50']:g} ms, max {skew['max']:g} ms"
        )
    ordered = sorted(report.findings, key=lambda finding: finding.line or 0)
    return "\n".join(lines + [_finding(report.path, each) for each in ordered])


def _summary(report: RigReport) -> str:
    name = f" (rig {report.name})" if report.name else ""
    errors, warnings = len(report.errors), len(report.findings) - len(report.errors)
    if not report.findings:
        return f"{report.path}{name}: nothing is wrong"
    return f"{report.path}{name}: {errors} error{'s' * (errors != 1)}, {warnings} warning{'s' * (warnings != 1)}"


def _finding(path: str, finding: Finding) -> str:
    place = f"{path}:{finding.line}" if finding.line else path
    named = f"{finding.field}: " if finding.field else ""
    return f"{place}: {finding.level}: {named}{finding.what}"


def _cameras(cameras: dict[str, dict[str, Any]]) -> str:
    table = Table("", *cameras)
    names = list(dict.fromkeys([*ROWS, *(name for facts in cameras.values() for name in facts)]))
    for name in names:
        values = [facts.get(name) for facts in cameras.values()]
        if any(value is not None for value in values):
            table.add_row(name.replace("_px", "").replace("_", " "), *map(_value, values))
    return render(table)


def _value(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, (list, tuple)):
        return "x".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
