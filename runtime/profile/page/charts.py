"""Charts of a profile as places on a drawing; the template turns them into SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from runtime.profile.summary import Row, Summary, dominates

WIDTH, HEIGHT = 560, 380
LEFT, RIGHT, TOP, BOTTOM = 70, 24, 16, 52
TICKS = 5


@dataclass(frozen=True)
class Axis:
    """One axis of a chart.

    Attributes:
        title: with its unit, and which way is better.
        rising: larger is better.
    """

    title: str
    rising: bool = False


@dataclass(frozen=True)
class Tick:
    """A mark of an axis: where, in pixels, and its number."""

    place: float
    label: str


@dataclass(frozen=True)
class Point:
    """One combination: where, which size it is of, and what is written beside it; the size is in its colour."""

    x: float
    y: float
    series: int
    name: str
    label: str
    front: bool
    title: str


@dataclass(frozen=True)
class Chart:
    """One chart.

    Attributes:
        name: what it compares.
        series: the sizes, in the order of their colours.
        fronts: for each size the line through its best combinations, as SVG points.
    """

    name: str
    x: Axis
    y: Axis
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    points: list[Point]
    series: list[str]
    fronts: list[tuple[int, str]]


def charts(summary: Summary) -> list[Chart]:
    """Latency against energy, energy against quality, latency against quality; those that there are figures for."""
    latency = Axis(f"latency from {summary.latency_from}, median, ms (less is better)")
    energy = Axis("energy per frame, mJ (less is better)")
    quality = Axis(f"quality: {summary.metric} of the bundle (more is better)", rising=True)
    rows = [row for row in summary.rows if row.state == "finished"]
    values = {
        latency: [row.p50_ms for row in rows],
        energy: [row.energy_mj for row in rows],
        quality: [row.quality.get(summary.metric or "") for row in rows],
    }
    wanted = (
        ("Latency and energy", latency, energy),
        ("Latency and quality", latency, quality),
        ("Energy and quality", energy, quality),
    )
    made = [_chart(name, x, y, rows, values[x], values[y]) for name, x, y in wanted]
    return [chart for chart in made if chart is not None]


def _chart(
    name: str, x: Axis, y: Axis, rows: Sequence[Row], xs: Sequence[float | None], ys: Sequence[float | None]
) -> Chart | None:
    known = [(row, a, b) for row, a, b in zip(rows, xs, ys, strict=True) if a is not None and b is not None]
    if not known:
        return None
    x_marks, y_marks = _marks([a for _, a, _ in known]), _marks([b for _, _, b in known])
    sizes = list(dict.fromkeys(_size(row) for row, _, _ in known))
    costs = [(_size(row), -a if x.rising else a, -b if y.rising else b) for row, a, b in known]
    points = []
    for (row, a, b), cost in zip(known, costs, strict=True):
        front = not any(dominates(other[1:], cost[1:]) for other in costs if other[0] == cost[0])
        at = _place(a, x_marks, LEFT, WIDTH - RIGHT), _place(b, y_marks, HEIGHT - BOTTOM, TOP)
        points.append(
            Point(*at, sizes.index(_size(row)), row.name, _label(row), front, f"{row.name}: {a:.4g}, {b:.4g}")
        )
    return Chart(
        name, x, y,
        [Tick(_place(mark, x_marks, LEFT, WIDTH - RIGHT), f"{mark:.6g}") for mark in x_marks],
        [Tick(_place(mark, y_marks, HEIGHT - BOTTOM, TOP), f"{mark:.6g}") for mark in y_marks],
        points, sizes, [(index, line) for index in range(len(sizes)) if (line := _front(points, index))],
    )  # fmt: skip


def _size(row: Row) -> str:
    return f"{row.size_px[0]}x{row.size_px[1]}" if row.size_px else "rig"


def _label(row: Row) -> str:
    return f"{row.precision} {row.power_mode}" if row.power_mode else row.precision


def _front(points: Sequence[Point], series: int) -> str:
    best = sorted((point.x, point.y) for point in points if point.front and point.series == series)
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in best) if len(best) > 1 else ""


def _marks(values: Sequence[float]) -> list[float]:
    """Round numbers around the values, evenly spaced."""
    low, high = min(values), max(values)
    spread = (high - low) or abs(high) or 1.0
    rough = spread / (TICKS - 1)
    scale = 10.0 ** math.floor(math.log10(rough))
    step = next(scale * digit for digit in (1, 2, 2.5, 5, 10) if scale * digit >= rough)
    first = math.floor((low - 0.05 * spread) / step)
    last = math.ceil((high + 0.05 * spread) / step)
    return [step * number for number in range(first, last + 1)]


def _place(value: float, marks: Sequence[float], begin: float, end: float) -> float:
    return round(begin + (value - marks[0]) / (marks[-1] - marks[0]) * (end - begin), 1)
