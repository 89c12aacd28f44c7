"""A chart as the page shows it: a drawing, what its colours mean, and its figures as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from runtime.report.page.svg import join, tag

WIDTH = 960
LEFT, RIGHT = 60, 944
COLOURS = 8


@dataclass(frozen=True)
class Key:
    """One line of a legend; shapes are ``box``, ``line`` and ``dash``."""

    colour: str
    label: str
    shape: str = "box"


@dataclass(frozen=True)
class Chart:
    """A drawing with its title, legend, note and table."""

    title: str
    svg: Markup
    keys: list[Key] = field(default_factory=list)
    note: str = ""
    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()


def drawing(height: float, title: str, description: str, parts: Sequence[str]) -> Markup:
    """The SVG, named and described for those who do not see it."""
    name, box = f"{title}. {description}", f"0 0 {WIDTH} {height:g}"
    return tag("svg", tag("desc", description), join(parts), viewBox=box, role="img", aria_label=name)


def colour(index: int) -> str:
    """The class of the colour of the so-manieth thing."""
    return f"s{index % COLOURS}"
