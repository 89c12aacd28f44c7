"""A profile as one HTML file that needs no network and no script: charts and a table."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from edgefusion.core.files import atomic_write
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
    style = (files(__package__) / "templates" / "style.css").read_text()
    drawing = {"width": WIDTH, "height": HEIGHT, "left": LEFT, "right": RIGHT, "top": TOP, "bottom": BOTTOM}
    return _environment().get_template("page.html").render(
        summary=summary, charts=charts(summary), drawing=drawing, policy=_policy(style),
        style=Markup(style),  # noqa: S704 - our own file
    )  # fmt: skip


def _policy(style: str) -> str:
    """A content security policy: nothing is fetched, and nothing runs, whatever a name contains."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'"


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["fixed"] = _fixed
    return environment


def _fixed(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
