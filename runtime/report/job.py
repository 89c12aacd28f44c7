"""The report command: records in; text, a page and gates out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from edgefusion.core.errors import UsageError
from runtime.journal.load import load_record
from runtime.report.compare import compare
from runtime.report.gates import judge, parse_gate
from runtime.report.result import Report
from runtime.report.schema import RunRecord


def report(path: Path, *, others: Sequence[Path] = (), fail_if: Sequence[str] = (), html: Path | None = None) -> Report:
    """Read a run, compare it, judge its gates, and write the page where one is asked for.

    Args:
        path: the run's record.
        others: records to set beside it.
        fail_if: conditions, such as ``p99_ms>20``.
        html: where the page goes.

    Raises:
        InputError: a record cannot be read or is none.
        UsageError: a condition is not one, or names what there is not.
        MachineError: the page cannot be written.
    """
    gates = [parse_gate(text) for text in fail_if]
    record = load_record(path)
    names = _names([path, *others])
    comparisons = compare(record, list(zip(names[1:], map(load_record, others), strict=True)))
    found = Report(names[0], record, comparisons, judge(record, gates), html)
    if html:
        from runtime.report.page import write_page

        write_page(html, found)
    return found


def _names(paths: Sequence[Path]) -> list[str]:
    """Each file's own name, or its path where several have the same."""
    names = [path.name for path in paths]
    return [path.name if names.count(path.name) == 1 else str(path) for path in paths]


def needed(path: Path | None) -> Path:
    """The record that was named.

    Raises:
        UsageError: none was.
    """
    if path is None:
        raise UsageError("no run was named", remedy="name a run.json, or ask for --schema")
    return path


def schema() -> str:
    """The JSON Schema of run records."""
    return json.dumps(RunRecord.model_json_schema(by_alias=True), indent=2)
