"""A run as one HTML file that needs no network and no script: the verdict, charts, tables, and how to do it again."""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from edgefusion.core.files import atomic_write
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


def write_page(path: Path, report: Report) -> None:
    """Write the page, whole or not at all.

    Raises:
        MachineError: the place is not writable or full.
    """
    with atomic_write(path) as stream:
        stream.write(render(report).encode())


def render(report: Report) -> str:
    """The page's HTML."""
    style = (files(__package__) / "templates" / "style.css").read_text()
    record = report.record
    roof, unknown = roofline(record)
    return _environment().get_template("page.html").render(
        report=report,
        record=record,
        verdict=verdict(record),
        style=Markup(style),  # noqa: S704 - our own file
        policy=_policy(style),
        facts=facts(record),
        distribution=distribution(record),
        over_time=latency_over_time(record),
        power=power_over_time(record),
        budget=budget(record),
        roofline=roof,
        roof_unknown=unknown,
        energy=energy_rows(record),
        layers=layers(record),
        quality=quality(record),
        causes=causes(record),
        cameras=cameras(record),
        machine=machine(record),
        command=shlex.join(record.command),
        rule=RULE,
        overlaid=_overlaid(report.name, record, report.comparisons),
    )  # fmt: skip


def _overlaid(name: str, record: RunRecord, comparisons: Sequence[Comparison]) -> object:
    return overlaid([(name, record), *((one.name, one.record) for one in comparisons)]) if comparisons else None


def _policy(style: str) -> str:
    """A content security policy: nothing is fetched and no script runs, whatever a name contains."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'"


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for filter_ in (numbers.short, numbers.whole, numbers.signed, numbers.percent, numbers.duration):
        environment.filters[filter_.__name__] = filter_
    return environment
