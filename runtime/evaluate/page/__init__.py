"""An evaluation as one HTML file that needs no network: figures, curves, pairs, and what to make of them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from edgefusion.core.files import atomic_write
from runtime.evaluate.page import numbers
from runtime.evaluate.page.figures import figures, judged_in, names_of, places_of
from runtime.evaluate.page.guide import GUIDE
from runtime.evaluate.page.table import views
from runtime.evaluate.page.thumbnails import BEST, WORST, Thumbnails, make_thumbnails, shown_pairs
from runtime.evaluate.page.verdict import FEW_PAIRS, unit_of, verdict
from runtime.evaluate.result import Evaluation
from runtime.evaluate.text import SIGNIFICANT

__all__ = ["Thumbnails", "make_thumbnails", "render", "shown_pairs", "write_page"]

SCRIPTS = ("core.js", "charts.js", "table.js", "pairs.js")
COLOURS = 8
"""How many entries have a colour and a mark of their own; from there on both repeat."""

NO_THUMBNAILS: Mapping[int, Thumbnails] = {}


def write_page(path: Path, result: Evaluation, *, thumbnails: Mapping[int, Thumbnails] = NO_THUMBNAILS) -> None:
    """Write the page, whole or not at all.

    Raises:
        MachineError: the place is not writable or full.
    """
    with atomic_write(path) as stream:
        stream.write(render(result, thumbnails=thumbnails).encode())


def render(result: Evaluation, *, thumbnails: Mapping[int, Thumbnails] = NO_THUMBNAILS) -> str:
    """The page's HTML.

    Args:
        result: what is shown.
        thumbnails: by the pair's place in ``result.per_pair``; pairs without one are listed without pictures.
    """
    folder = files(__package__) / "templates"
    style = (folder / "style.css").read_text()
    script = "\n".join((folder / name).read_text() for name in (SCRIPTS if result.pairs else SCRIPTS[:-1]))
    names = names_of(result)
    return _environment().get_template("page.html").render(
        result=result,
        style=Markup(style),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        policy=_policy(style, script),
        verdict=verdict(result),
        judged_in=judged_in,
        unit=unit_of(result),
        views=views(result) if result.pairs else [],
        places=places_of(result) if result.pairs else {},
        guide=GUIDE,
        marks={name: index % COLOURS for index, name in enumerate(names)},
        figures=figures(result, thumbnails),
        significant=SIGNIFICANT,
        few_pairs=FEW_PAIRS,
        worst=WORST,
        best=BEST,
    )  # fmt: skip


def _policy(style: str, script: str) -> str:
    """A content security policy: nothing is fetched, and no script runs but ours, whatever a name contains."""
    allowed = [
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in (style, script)
    ]
    return f"default-src 'none'; img-src data:; style-src {allowed[0]}; script-src {allowed[1]}"


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = {"fixed": numbers.fixed, "signed": numbers.signed, "percent": numbers.percent, "chance": numbers.chance}
    environment.filters.update(filters)
    environment.globals["plural"] = numbers.plural
    return environment
