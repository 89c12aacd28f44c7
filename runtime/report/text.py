"""A report for the terminal, for a pull request (Markdown), and for programs (JSON)."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from rich.table import Table

from runtime.report.compare import RULE, Comparison, Difference
from runtime.report.figures import FIGURES, figures, percentile
from runtime.report.numbers import short
from runtime.report.page.facts import facts
from runtime.report.result import Report
from runtime.report.schema import RunRecord
from runtime.report.verdict import stage_means, verdict
from runtime.tables import render

COLUMNS = ("figure", "first", "this", "difference", "relative", "told apart?")


def describe(report: Report) -> str:
    """A run in a screenful, then comparisons and gates."""
    found = verdict(report.record)
    parts = [*(f"! {alarm}" for alarm in found.alarms), found.headline, ""]
    parts += [f"{heading.lower():<10} {sentence}" for heading, sentence in found.findings]
    parts += [f"{'stages':<10} {_stage_line(report.record)}"]
    parts += [f"{name:<10} {value}" for name, value in facts(report.record) if name in ("device", "engine", "source")]
    parts += [f"mind: {caution}" for caution in found.cautions]
    for comparison in report.comparisons:
        parts += ["", *_compared(report.name, comparison)]
    parts += [RULE] if report.comparisons else []
    parts += ["", f"page: {report.page}"] if report.page else []
    return "\n".join([*parts, *([""] if report.gates else []), *map(str, report.gates)])


def _stage_line(record: RunRecord) -> str:
    means = [f"{name} {short(ms)}" for name, ms in stage_means(record).items()]
    return f"mean ms: {', '.join(means)}" if means else "not measured"


def _compared(name: str, comparison: Comparison) -> Iterator[str]:
    yield f"{comparison.name} against {name}"
    yield from (f"warning: {warning}" for warning in comparison.warnings)
    table = Table(*COLUMNS)
    for row in comparison.differences:
        table.add_row(*_cells(row))
    yield render(table)


def _cells(row: Difference) -> list[str]:
    unit = f", {row.figure.unit}" if row.figure.unit else ""
    first, other, change, interval, share = row.shown
    between = f" ({interval})" if interval else ""
    return [f"{row.figure.label}{unit}", first, other, f"{change}{between}", share, row.verdict]


def to_markdown(report: Report) -> str:
    """The report in Markdown, short enough for a comment on a pull request."""
    record, found = report.record, verdict(report.record)
    lines = [f"## {_plain(found.headline)}", ""]
    lines += [f"> **{_plain(alarm)}**\n" for alarm in found.alarms]
    lines += _rows(("", report.name), [[heading, sentence] for heading, sentence in found.findings + facts(record)])
    lines += ["", *_rows(("stage", "mean, ms", "p50", "p99"), _stages(record))]
    lines += ["", *(f"- {_plain(caution)}" for caution in found.cautions)] if found.cautions else []
    for comparison in report.comparisons:
        lines += ["", f"### {_plain(comparison.name)} against {_plain(report.name)}", ""]
        lines += [f"- warning: {_plain(warning)}" for warning in comparison.warnings]
        lines += ["", *_rows(COLUMNS, [_cells(row) for row in comparison.differences])]
    lines += ["", RULE] if report.comparisons else []
    lines += ["", "### Gates", "", *(f"- {_plain(str(gate))}" for gate in report.gates)] if report.gates else []
    if record.command:
        lines += ["", *(f"    {line}" for line in shlex.join(record.command).splitlines())]
    return "\n".join(lines)


def _stages(record: RunRecord) -> list[list[str]]:
    return [
        [name, short(found.mean_ms), short(percentile(found, "p50")), short(percentile(found, "p99"))]
        for name, found in record.latency.stages.items()
    ]


def _rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(_plain(cell) for cell in line)} |" for line in lines]


def _plain(text: str) -> str:
    """Text that Markdown takes as it is: nothing that a name contains becomes a link, a tag or a new cell."""
    one_line = " ".join(text.split())
    return (
        "".join(f"\\{letter}" if letter in "\\`*_[]<>|#&" else letter for letter in one_line)
        if one_line != "---"
        else "---"
    )


def to_json(report: Report) -> str:
    """The report for programs: the verdict, every figure by the name that gates use, comparisons and gates."""
    found = verdict(report.record)
    return json.dumps(
        {
            "run": report.name,
            "state": report.record.state,
            "headline": found.headline,
            "alarms": found.alarms,
            "findings": {heading.lower(): sentence for heading, sentence in found.findings},
            "cautions": found.cautions,
            "figures": figures(report.record),
            "units": {figure.name: figure.unit for figure in FIGURES},
            "comparisons": [_comparison(one) for one in report.comparisons],
            "gates": [
                {
                    "fail_if": gate.gate.text,
                    "value": gate.value,
                    "failed": gate.failed,
                    "measured": gate.value is not None,
                }
                for gate in report.gates
            ],
            "failed": report.failed,
        },
        indent=2,
    )


def _comparison(found: Comparison) -> dict[str, Any]:
    rows = {
        row.figure.name: {
            "first": row.first,
            "this": row.other,
            "difference": row.change,
            "interval": row.interval,
            "p": row.p,
            "told_apart": row.told_apart,
            "verdict": row.verdict,
        }
        for row in found.differences
    }
    return {"run": found.name, "warnings": found.warnings, "differences": rows}
