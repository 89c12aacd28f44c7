"""A run as one HTML file that needs no network and no script: the verdict, charts, tables, and how to do it again."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from edgefusion.core.files import atomic_write
from edgefusion.pages import render_page
from runtime.report import numbers
from runtime.report.compare import RULE, Comparison
from runtime.report.page.distribution import distribution, overlaid
from runtime.report.page.facts import cameras, causes, energy_rows, facts, layers, machine, quality
from runtime.report.page.power import power_over_time
from runtime.report.page.roofline import roofline
from runtime.report.page.stages import budget
from runtime.report.page.through_time import latency_over_time
from runtime.report.result import Report
from runtime.report.schema import RunRecord
from runtime.report.verdict import verdict

__all__ = ["render", "write_page"]

FILTERS = {
    each.__name__: each for each in (numbers.short, numbers.whole, numbers.signed, numbers.percent, numbers.duration)
}


def write_page(path: Path, report: Report) -> None:
    """Write the page, whole or not at all.

    Raises:
        MachineError: the place is not writable or full.
    """
    with atomic_write(path) as stream:
        stream.write(render(report).encode())


def render(report: Report) -> str:
    """The page's HTML."""
    record = report.record
    roof, unknown = roofline(record)
    values = {
        "report": report,
        "record": record,
        "verdict": verdict(record),
        "facts": facts(record),
        "distribution": distribution(record),
        "over_time": latency_over_time(record),
        "power": power_over_time(record),
        "budget": budget(record),
        "roofline": roof,
        "roof_unknown": unknown,
        "energy": energy_rows(record),
        "layers": layers(record),
        "quality": quality(record),
        "causes": causes(record),
        "cameras": cameras(record),
        "machine": machine(record),
        "command": shlex.join(record.command),
        "rule": RULE,
        "overlaid": _overlaid(report.name, record, report.comparisons),
    }
    return render_page((__name__,), "page.html", values, filters=FILTERS)


def _overlaid(name: str, record: RunRecord, comparisons: Sequence[Comparison]) -> object:
    return overlaid([(name, record), *((one.name, one.record) for one in comparisons)]) if comparisons else None
