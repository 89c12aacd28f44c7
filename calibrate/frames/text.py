"""A calibration set in a few lines, or as JSON."""

from __future__ import annotations

import dataclasses
import io
import json

from rich.console import Console
from rich.table import Table

from calibrate.frames.job import PAGE, Result


def to_json(result: Result) -> str:
    """What was chosen, from what, and what lacks; the frames themselves are in the set's list."""
    contents = result.made.list
    whole = contents.model_dump(mode="json", by_alias=True, exclude={"frames", "holdout"})
    counts = {"frames": len(contents.frames), "holdout": len(contents.holdout)}
    rows = [dataclasses.asdict(row) for row in result.rows]
    return json.dumps({"out": str(result.made.path), **whole, **counts, "strata": rows}, indent=2)


def describe(result: Result) -> str:
    """Frames of each stratum, what lacks, and where it all is."""
    contents, path = result.made.list, result.made.path
    seen = contents.seen
    left_out = [f"{count} {reason}" for reason, count in seen.items() if count and reason not in KEPT]
    lines = [
        f"{seen['chosen']} frames to calibrate on and {seen['holdout']} to judge on, of {seen['frames']}"
        f" of {contents.size_px[0]}x{contents.size_px[1]}",
        *([f"left out: {', '.join(left_out)}"] if left_out else []),
        _table(result).rstrip(),
        *[f"lacks: {sentence}" for sentence in contents.lacks],
        f"calibration set: {path}",
        f"coverage: {path / PAGE}",
    ]
    return "\n".join(lines)


KEPT = ("frames", "chosen", "holdout")


def _table(result: Result) -> str:
    table = Table("", "", "usable", "chosen", "holdout", box=None, pad_edge=False)
    for column in table.columns[2:]:
        column.justify = "right"
    axis = ""
    for row in result.rows:
        table.add_row(
            row.axis if row.axis != axis else "", row.name, str(row.usable), str(row.chosen), str(row.holdout)
        )
        axis = row.axis
    stream = io.StringIO()
    Console(file=stream, width=100).print(table)
    return stream.getvalue()
