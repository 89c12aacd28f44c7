"""A profile as one HTML file that needs no network and no script: charts and a table."""

from __future__ import annotations

from pathlib import Path

from edgefusion.core.files import atomic_write
from edgefusion.pages import render_page
from runtime.profile.page.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, charts
from runtime.profile.summary import Summary


def write_page(path: Path, summary: Summary) -> None:
    """Write the page, whole or not at all.

    Raises:
        MachineError: the place is not writable or full.
    """
    with atomic_write(path) as stream:
        stream.write(render(summary).encode())


def render(summary: Summary) -> str:
    """The page's HTML."""
    drawing = {"width": WIDTH, "height": HEIGHT, "left": LEFT, "right": RIGHT, "top": TOP, "bottom": BOTTOM}
    values = {"summary": summary, "charts": charts(summary), "drawing": drawing}
    return render_page((__name__,), "page.html", values, images=False, filters={"fixed": _fixed})


def _fixed(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
