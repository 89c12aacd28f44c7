"""Power stacked by rail; temperatures, fan, clocks and load on the same axis of time; and where it was throttled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from edgefusion.pages.axis import Axis
from runtime.report.figures import main_meters
from runtime.report.numbers import short
from runtime.report.page.chart import LEFT, RIGHT, Chart, Key, colour, drawing
from runtime.report.page.svg import ROW_PX, Point, band, below, beside, legend, line, path, tag, upper
from runtime.report.page.through_time import (
    MOST_ROWS,
    Times,
    has_any,
    lines_panel,
    series,
    thinned,
    thinning_note,
    throttle_marks,
    times,
)
from runtime.report.schema import Meter, RunRecord, Second, Timeline
from runtime.report.timeline import thin

GAP_PX = 44
FIRST_TOP = 38
LEGEND = 230
"""Where legends begin, right of a panel's heading."""
REST = "rest of {total}"


@dataclass(frozen=True)
class Layer:
    """One rail in the stack: mean watts of each entry, None where it was not read."""

    name: str
    colour: str
    watts: list[float | None]


@dataclass(frozen=True)
class Panel:
    """A part of the chart: heading, legend and what draws it between two heights."""

    heading: str
    keys: list[Key]
    height: float
    draw: Callable[[float, float], list[Markup]]


def stack(meter: Meter, timeline: Timeline) -> tuple[list[Layer], list[float | None]]:
    """What to stack, and the total: a total's parts with what they leave of it, or the rails that are summed."""
    seconds = timeline.seconds
    totals = meter.total_rails
    total = [_sum([_watts(second, meter, name) for name in totals]) if totals else None for second in seconds]
    parts = [rail.name for rail in meter.rails if rail.name != meter.total] if meter.total else totals
    layers = [Layer(name, colour(n), [_watts(one, meter, name) for one in seconds]) for n, name in enumerate(parts)]
    if meter.total and layers:
        rest = [_rest(whole, [layer.watts[n] for layer in layers]) for n, whole in enumerate(total)]
        layers.append(Layer(REST.format(total=meter.total), "rest", rest))
    elif meter.total:
        layers.append(Layer(meter.total, colour(0), total))
    return layers, total


def _watts(second: Second, meter: Meter, rail: str) -> float | None:
    found = second.rails_mw.get(f"{meter.name}/{rail}")
    return None if found is None else found[1] / 1e3


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _rest(whole: float | None, parts: Sequence[float | None]) -> float | None:
    return None if whole is None else max(whole - sum(part or 0.0 for part in parts), 0.0)


def power_over_time(record: RunRecord) -> Chart | None:
    """All panels that were measured; None where none was."""
    timeline = thinned(record)
    if timeline is None:
        return None
    when = times(timeline)
    panels = list(_panels(record, timeline, when))
    if not panels:
        return None
    parts: list[str] = []
    top = float(FIRST_TOP)
    for panel in panels:
        drawn, taken = legend([(key.colour, key.label, key.shape) for key in panel.keys], LEGEND, RIGHT, top - 14)
        shift = ROW_PX * (taken - 1)
        parts += [drawn, *panel.draw(top + shift, top + shift + panel.height)]
        top += panel.height + shift + GAP_PX
    bottom = top - GAP_PX
    marks = throttle_marks(record, when.axis, FIRST_TOP, bottom)
    parts = [*marks, *parts, below(when.axis, bottom, when.title, scale=when.scale)]
    names = list(dict.fromkeys(panel.heading for panel in panels))
    title = f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
    title = f"{title[0].upper()}{title[1:]} over time"
    keys = [Key("throttle", "throttled")] if marks else []
    description = (
        f"{len(panels)} panels over {short(when.axis.high)} s; {'throttled' if marks else 'no throttle event'}."
    )
    head, rows = _table(record, timeline)
    return Chart(
        title, drawing(bottom + 44, title, description, parts), keys, thinning_note(record, timeline), head, rows
    )


def _panels(record: RunRecord, timeline: Timeline, when: Times) -> Iterator[Panel]:
    if has_any(record, lambda second: second.rails_mw):
        yield from (_power_panel(meter, timeline, when) for meter in main_meters(record))
    if has_any(record, lambda second: second.temperatures_c):
        yield _named(timeline, when, "temperatures", "°C", lambda second: second.temperatures_c, from_nought=False)
    if has_any(record, lambda second: second.fan_rpm is not None):
        yield _named(timeline, when, "fan", "rpm", _fan, from_nought=True)
    if has_any(record, lambda second: second.clocks_mhz):
        yield _named(timeline, when, "clocks", "MHz", lambda second: second.clocks_mhz, from_nought=True)
    if has_any(record, lambda second: second.cpu is not None or second.steal is not None):
        yield _named(timeline, when, "load", "processors", _load, from_nought=True)


def _fan(second: Second) -> dict[str, float]:
    return {} if second.fan_rpm is None else {"the fastest": second.fan_rpm}


def _load(second: Second) -> dict[str, float]:
    found = {"used by this process": second.cpu, "stolen by the host (share)": second.steal}
    return {name: value for name, value in found.items() if value is not None}


def _power_panel(meter: Meter, timeline: Timeline, when: Times) -> Panel:
    layers, total = stack(meter, timeline)
    most = max(
        [value for value in total if value is not None]
        + [sum(layer.watts[n] or 0 for layer in layers) for n in range(len(total))],
        default=1.0,
    )
    words = f"total: {meter.total}" if meter.total else f"total: {meter.scope}, no rail is one"
    keys = [Key(layer.colour, layer.name) for layer in reversed(layers)]
    keys.insert(0, Key("total", f"{words} ({meter.name})", "line"))

    def draw(top: float, bottom: float) -> list[Markup]:
        y = Axis(0.0, upper(most * 1.02), bottom, top)
        watts = iter(total)
        outline = series(timeline, lambda second: next(watts), when.axis, y)
        return [
            beside(y, (LEFT, RIGHT), f"power, W ({meter.scope})"),
            *_areas(layers, timeline, when.axis, y),
            path(line(outline), "line total", tag("title", words)),
        ]

    return Panel("power", keys, 190, draw)


def _areas(layers: Sequence[Layer], timeline: Timeline, x: Axis, y: Axis) -> list[Markup]:
    floor = [0.0] * len(timeline.seconds)
    parts = []
    for layer in layers:
        top = [low + (value or 0.0) for low, value in zip(floor, layer.watts, strict=True)]
        known = [number for number, value in enumerate(layer.watts) if value is not None]
        data = "".join(_area(run, timeline, floor, top, x, y) for run in _runs(known, timeline))
        parts.append(path(data, f"area {layer.colour}", tag("title", layer.name)))
        floor = top
    return parts


def _runs(known: Sequence[int], timeline: Timeline) -> list[list[int]]:
    """Entries in a row, split where time passed without any."""
    runs: list[list[int]] = []
    for number in known:
        near = runs and runs[-1][-1] == number - 1 and _step(timeline, number) <= 2.5 * timeline.step_s
        if near:
            runs[-1].append(number)
        else:
            runs.append([number])
    return runs


def _step(timeline: Timeline, number: int) -> float:
    return timeline.seconds[number].t_s - timeline.seconds[number - 1].t_s


def _area(
    run: Sequence[int], timeline: Timeline, floor: Sequence[float], top: Sequence[float], x: Axis, y: Axis
) -> str:
    def points(values: Sequence[float]) -> list[Point]:
        return [(x.at(timeline.seconds[number].t_s - timeline.step_s / 2), y.at(values[number])) for number in run]

    return band(points(top), points(floor))


def _named(
    timeline: Timeline,
    when: Times,
    heading: str,
    unit: str,
    get: Callable[[Second], dict[str, float]],
    *,
    from_nought: bool,
) -> Panel:
    names = list(dict.fromkeys(name for second in timeline.seconds for name in get(second)))
    values = [value for second in timeline.seconds for value in get(second).values()]
    low = 0.0 if from_nought else 10 * ((min(values) - 2) // 10)
    keys = [Key(colour(n), name, f"dash{n // 8}") for n, name in enumerate(names)]

    def draw(top: float, bottom: float) -> list[Markup]:
        y = Axis(low, max(upper(max(values)), low + 1e-3), bottom, top)
        return lines_panel(timeline, names, lambda second, name: get(second).get(name), when, y, f"{heading}, {unit}")

    return Panel(heading, keys, 100, draw)


def _table(record: RunRecord, timeline: Timeline) -> tuple[list[str], list[list[str]]]:
    few = thin(timeline, MOST_ROWS).seconds
    rails = list(dict.fromkeys(name for second in few for name in second.rails_mw))
    degrees = list(dict.fromkeys(name for second in few for name in second.temperatures_c))
    clocks = list(dict.fromkeys(name for second in few for name in second.clocks_mhz))
    fan = any(one.fan_rpm is not None for one in few)
    head = [
        "until, s",
        *(f"{name}, W" for name in rails),
        *(f"{name}, °C" for name in degrees),
        *(["fan, rpm"] if fan else []),
        *(f"{name}, MHz" for name in clocks),
        "throttle events",
    ]
    rows = [
        [
            short(one.t_s),
            *(short(one.rails_mw[name][1] / 1e3) if name in one.rails_mw else short(None) for name in rails),
            *(short(one.temperatures_c.get(name)) for name in degrees),
            *([short(one.fan_rpm)] if fan else []),
            *(short(one.clocks_mhz.get(name), 4) for name in clocks),
            short(float(sum(one.throttled.values()))) if one.throttled else short(None),
        ]
        for one in few
    ]
    return head, rows
