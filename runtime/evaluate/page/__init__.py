"""An evaluation as one HTML file that needs no network: figures, curves, pairs, and what to make of them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from edgefusion.core.files import atomic_write
from edgefusion.pages import render_page
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

FILTERS = {
    each.__name__: each for each in (numbers.fixed, numbers.signed, numbers.percent, numbers.chance, numbers.plural)
}

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
    script = "\n".join((folder / name).read_text() for name in (SCRIPTS if result.pairs else SCRIPTS[:-1]))
    names = names_of(result)
    values = {
        "result": result,
        "verdict": verdict(result),
        "judged_in": judged_in,
        "unit": unit_of(result),
        "views": views(result) if result.pairs else [],
        "places": places_of(result) if result.pairs else {},
        "guide": GUIDE,
        "marks": {name: index % COLOURS for index, name in enumerate(names)},
        "figures": figures(result, thumbnails),
        "significant": SIGNIFICANT,
        "few_pairs": FEW_PAIRS,
        "worst": WORST,
        "best": BEST,
    }
    return render_page((__name__,), "page.html", values, script=script, filters=FILTERS)
