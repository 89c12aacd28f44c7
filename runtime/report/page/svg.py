"""SVG by functions: elements, axes and lines. Colours are classes, so that one drawing serves light, dark and paper."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from markupsafe import Markup, escape

from edgefusion.pages.axis import Axis, steps
from runtime.report.numbers import short

GAP = 2.5
"""A line breaks where two points are further apart than so many steps."""

ROW_PX = 15
"""From one row of labels to the next."""
WIDE_PX, NARROW_PX = 9.0, 6.7
"""Capitals and the like; all other letters."""

Point = tuple[float, float]


def tag(name: str, *inside: str, **attributes: object) -> Markup:
    """An element. Text and attributes are escaped; attributes that are None are left out, ``_`` becomes ``-``."""
    words = [
        Markup('{}="{}"').format(key.rstrip("_").replace("_", "-"), _plain(value))
        for key, value in attributes.items()
        if value is not None
    ]
    opening = Markup(" ").join([escape(name), *words])
    return Markup("<{}>{}</{}>").format(opening, join(inside), name)


def _plain(value: object) -> object:
    return f"{value:.1f}".rstrip("0").rstrip(".") if isinstance(value, float) else value


def join(parts: Iterable[str]) -> Markup:
    """Parts one after the other; what is not markup yet is escaped."""
    return Markup("").join(parts)


def text(x: float, y: float, words: str, *, anchor: str = "start", class_: str | None = None) -> Markup:
    """Words at a place."""
    return tag("text", words, x=x, y=y, text_anchor=anchor if anchor != "start" else None, class_=class_)


def path(points: str, class_: str, *inside: str) -> Markup:
    """A path."""
    return tag("path", *inside, d=points, class_=class_)


def rect(x: float, y: float, width: float, height: float, class_: str, title: str = "") -> Markup:
    """A rectangle that says ``title`` when pointed at."""
    inside = [tag("title", title)] if title else []
    return tag("rect", *inside, x=x, y=y, width=max(width, 0.0), height=max(height, 0.0), class_=class_)


def upper(value: float) -> float:
    """A round top for an axis from nought."""
    if value <= 0:
        return 1.0
    found = steps(0, value * 1.0001, most=5)
    step = found[1] if len(found) > 1 else value or 1.0
    return step * math.ceil(value / step - 1e-9) or 1.0


def below(axis: Axis, y_px: float, title: str, *, scale: float = 1.0) -> Markup:
    """Ticks, their values (divided by ``scale``) and the title under a horizontal axis."""
    parts = [path(f"M{axis.start_px} {y_px}H{axis.end_px}", "axis")]
    scaled = Axis(axis.low / scale, axis.high / scale, axis.start_px, axis.end_px, axis.log)
    for value in scaled.ticks(most=10):
        x = scaled.at(value)
        parts += [path(f"M{x} {y_px}v4", "axis"), text(x, y_px + 17, short(value), anchor="middle")]
    middle = (axis.start_px + axis.end_px) / 2
    return join([*parts, text(middle, y_px + 35, title, anchor="middle", class_="name")])


def beside(axis: Axis, x: tuple[float, float], title: str, *, most: int = 5) -> Markup:
    """Grid lines from ``x[0]`` to ``x[1]``, their values, and the title above a vertical axis."""
    parts = [text(x[0] - 46, axis.end_px - 14, title, class_="name")]
    for value in axis.ticks(most=most):
        y = axis.at(value)
        parts += [path(f"M{x[0]} {y}H{x[1]}", "grid"), text(x[0] - 7, y + 4, short(value), anchor="end")]
    return join(parts)


def line(points: Sequence[Point | None]) -> str:
    """A path's data through points, broken where there is none."""
    words, begin = [], True
    for point in points:
        if point is not None:
            words.append(f"{'M' if begin else 'L'}{point[0]:g} {point[1]:g}")
        begin = point is None
    return "".join(words)


def band(upper_points: Sequence[Point], lower_points: Sequence[Point]) -> str:
    """A path's data around the area between two lines over the same places."""
    both = [*upper_points, *reversed(lower_points)]
    return f"{line(both)}Z" if both else ""


def width_px(words: str) -> float:
    """About how wide a label is, whatever the font."""
    wide = sum(letter.isupper() or letter in "_%m" for letter in words)
    return wide * WIDE_PX + (len(words) - wide) * NARROW_PX


def labels(places: Sequence[tuple[float, str]], *, bottom_px: float) -> list[Point]:
    """Where labels of places along a horizontal axis begin, each right of its place: left edge, baseline.

    ``places`` ascend. A label that would cover the next one's place goes a row higher, so that no label covers another
    and no line down from a label crosses one.
    """
    found: list[Point] = []
    rows: list[float] = []
    for place, words in reversed(places):
        left, right = place + 4, place + 12 + width_px(words)
        row = next((number for number, taken in enumerate(rows) if right < taken), len(rows))
        rows[row : row + 1] = [place]
        rows[:row] = [min(taken, place) for taken in rows[:row]]
        found.append((left, bottom_px - ROW_PX * row))
    return found[::-1]


Mark = tuple[float, str, str]
"""A value, its label and the class of its line."""


def rows_of(x: Axis, marks: Sequence[Mark]) -> int:
    """How many rows of labels ``marked`` needs."""
    baselines = [y for _, y in labels([(x.at(value), words) for value, words, _ in marks], bottom_px=0)]
    return round(-min(baselines, default=0) / ROW_PX) + 1 if marks else 0


def marked(x: Axis, marks: Sequence[Mark], *, bottom_px: float, base_px: float) -> Markup:
    """Lines up from ``base_px`` at values in ascending order, with their labels from ``bottom_px`` upwards."""
    places = labels([(x.at(value), words) for value, words, _ in marks], bottom_px=bottom_px)
    parts = []
    for (value, words, kind), (left, baseline) in zip(marks, places, strict=True):
        parts.append(path(f"M{x.at(value)} {baseline - 9}V{base_px}", kind))
        parts.append(text(left, baseline, words, class_=f"label {kind}-label"))
    return join(parts)


def with_room(axis: Axis, room_px: float) -> Axis:
    """The axis with its end moved on, so that so many pixels are free right of what was its end."""
    stretch = (axis.end_px - axis.start_px) / (axis.end_px - room_px - axis.start_px)
    if axis.log:
        return replace(axis, high=axis.low * (axis.high / axis.low) ** stretch)
    return replace(axis, high=axis.low + (axis.high - axis.low) * stretch)


def legend(keys: Sequence[tuple[str, str, str]], left_px: float, right_px: float, top_px: float) -> tuple[Markup, int]:
    """A legend (class, label, shape ``box`` or ``line``) in rows between two edges, and how many rows it took."""
    x, row, parts = left_px, 0, []
    for class_, label, shape in keys:
        length = 32 + width_px(label)
        if x > left_px and x + length > right_px:
            x, row = left_px, row + 1
        y = top_px + ROW_PX * row
        box = rect(x, y - 9, 10, 10, f"bar {class_}")
        parts += [box if shape == "box" else path(f"M{x - 3} {y - 4}h16", f"line {class_} {shape}")]
        parts += [text(x + 17, y, label, class_="label")]
        x += length
    return join(parts), row + 1
