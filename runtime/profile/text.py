"""A profile on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.table import Table

from runtime.profile.job import Tell
from runtime.profile.summary import Row, Summary
from runtime.tables import render


def describe(summary: Summary, out: Path) -> str:
    """The summary as a table, with where everything is."""
    table = Table("combination", "fps", "p50 ms", "p99 ms", "dropped", *_power(summary), *_quality(summary), "best")
    for row in summary.rows:
        table.add_row(*_cells(row, summary))
    lines = [f"{summary.bundle} on {summary.device}, {summary.source}", render(table), *summary.rules]
    lines += [f"latency from {summary.latency_from}; best: no other of its size is better in all respects"]
    lines += [] if summary.measured_power else ["power: not measured"]
    lines += [f"{row.name} failed: {row.why}" for row in summary.rows if row.state == "failed"]
    if any(row.state == "pending" for row in summary.rows):
        lines.append("interrupted: the same command goes on with what is pending")
    return "\n".join([*lines, f"page: {out / 'summary.html'}", f"records: {out}"])


def _power(summary: Summary) -> list[str]:
    return ["mJ/frame", "above idle", "FPS/W"] if summary.measured_power else []


def _quality(summary: Summary) -> list[str]:
    return [summary.metric] if summary.metric else []


def _cells(row: Row, summary: Summary) -> list[str]:
    if row.state != "finished":
        return [row.name, row.state]
    power = [_figure(row.energy_mj), _figure(row.net_mj), _figure(row.fps_per_w)] if summary.measured_power else []
    quality = [_figure(row.quality.get(summary.metric), ".4f")] if summary.metric else []
    dropped = "-" if row.dropped is None else str(row.dropped)
    return [
        row.name, _figure(row.fps, ".1f"), _figure(row.p50_ms), _figure(row.p99_ms), dropped, *power, *quality,
        "yes" if row.front else "",
    ]  # fmt: skip


def _figure(value: float | None, form: str = ".2f") -> str:
    return "-" if value is None else format(value, form)


@contextmanager
def progress(*, hidden: bool) -> Iterator[Tell]:
    """A bar for each combination; nothing where there is no terminal. Drawn once a second: it is being measured."""
    if hidden or not sys.stderr.isatty():
        yield lambda name, what, done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[what]}"), TimeRemainingColumn())
    bars: dict[str, TaskID] = {}
    with Progress(*columns, console=Console(stderr=True), transient=True, refresh_per_second=1) as shown:

        def tell(name: str, what: str, done: float) -> None:
            if name not in bars:
                bars[name] = shown.add_task(name, total=1.0, what=what)
            shown.update(bars[name], completed=done, what=what)

        yield tell
