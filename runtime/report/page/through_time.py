"""The run through time: latency, and power, temperatures, clocks and load on one axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from runtime.report.figures import seconds_of
from runtime.report.numbers import plural, short, whole
from runtime.report.page.chart import LEFT, RIGHT, Chart, Key, colour, drawing
from runtime.report.page.svg import GAP, Axis, Point, below, beside, line, path, rect, tag, text, upper
from runtime.report.schema import RunRecord, Second, Timeline
from runtime.report.timeline import thin, throttle_events

MOST_POINTS, MOST_ROWS = 640, 60
STEEP = 12
"""Where the largest latency is so many times the usual one, the axis is one of equal ratios."""
TOP, BOTTOM = 34, 250

Get = Callable[[Second], float | None]


@dataclass(frozen=True)
class Times:
    """The axis of time and its unit."""

    axis: Axis
    scale: float
    title: str


def times(timeline: Timeline) -> Times:
    """Seconds up to three minutes, minutes up to three hours, then hours."""
    end = timeline.seconds[-1].t_s
    scale, unit = next((one for one in ((1.0, "s"), (60.0, "min")) if end <= 180 * one[0]), (3600.0, "h"))
    return Times(Axis(0.0, end, LEFT, RIGHT), scale, f"time since the start, {unit}")


def thinned(record: RunRecord, most: int = MOST_POINTS) -> Timeline | None:
    """The timeline with as many points as can be drawn; None where nothing was recorded."""
    return thin(record.timeline, most) if record.timeline and record.timeline.seconds else None


def series(timeline: Timeline, get: Get, x: Axis, y: Axis) -> list[Point | None]:
    """Points of a figure through time, with None where it is unknown or time passed without entries."""
    found: list[Point | None] = []
    before: float | None = None
    for second in timeline.seconds:
        value = get(second)
        if before is not None and second.t_s - before > GAP * timeline.step_s:
            found.append(None)
        found.append(None if value is None else (x.at(second.t_s - timeline.step_s / 2), y.at(value)))
        before = second.t_s
    return found


def thinning_note(record: RunRecord, timeline: Timeline) -> str:
    """What a point stands for, where it is more than an entry."""
    if record.timeline and len(timeline.seconds) < len(record.timeline.seconds):
        return (
            f"Each point stands for {short(timeline.step_s)} s: of p50 the middle one, of p99 and temperatures the "
            "highest, of power and clocks the mean."
        )
    return ""


def latency_over_time(record: RunRecord) -> Chart | None:
    """p50 and p99 of each second, with the deadline and dropped frames."""
    timeline = thinned(record)
    values = [second.p99_ms or second.p50_ms for second in timeline.seconds if second.p50_ms] if timeline else []
    known = [value for value in values if value]
    if timeline is None or not known:
        return None
    when, deadline = times(timeline), record.latency.deadline_ms
    near = deadline is not None and deadline <= STEEP * max(known)
    y = _latency_axis(timeline, max([*known, *([deadline] if near and deadline else [])]))
    low, high = (series(timeline, get, when.axis, y) for get in (lambda one: one.p50_ms, lambda one: one.p99_ms))
    parts = [beside(y, (LEFT, RIGHT), "latency, ms" + (" (equal ratios)" if y.log else ""))]
    parts += [path(line(high), "line s1"), path(line(low), "line thick s0")]
    if near and deadline:
        parts += [
            path(f"M{LEFT} {y.at(deadline)}H{RIGHT}", "limit"),
            text(
                RIGHT - 4,
                y.at(deadline) - 6,
                f"deadline {short(deadline)} ms",
                anchor="end",
                class_="label limit-label",
            ),
        ]
    lost = sum(second.dropped for second in timeline.seconds)
    parts += [*_drops(timeline, when.axis), below(when.axis, BOTTOM, when.title, scale=when.scale)]
    keys = [Key("s1", "p99 of each second", "line"), Key("s0", "p50 of each second", "line")]
    keys += [Key("limit", "deadline", "dash")] if near else []
    keys += [Key("late", f"dropped frames ({whole(lost)} in all)", "line")] if lost else []
    title = "Latency over time"
    description = f"p50 and p99 over {short(when.axis.high)} s; {plural(lost, 'frame')} dropped."
    rows = [
        [short(one.t_s), whole(one.frames), whole(one.dropped), short(one.p50_ms), short(one.p99_ms)]
        for one in _few(timeline)
    ]
    return Chart(
        title,
        drawing(BOTTOM + 44, title, description, parts),
        keys,
        thinning_note(record, timeline),
        ("until, s", "frames", "dropped", "p50, ms", "p99, ms"),
        rows,
    )


def _latency_axis(timeline: Timeline, most: float) -> Axis:
    usual = sorted(second.p50_ms for second in timeline.seconds if second.p50_ms)
    least, middle = usual[0], usual[len(usual) // 2]
    if most > STEEP * middle:
        return Axis(least / 1.3, most * 1.3, BOTTOM, TOP, log=True)
    return Axis(0.0, upper(most * 1.04), BOTTOM, TOP)


def _few(timeline: Timeline) -> Sequence[Second]:
    return thin(timeline, MOST_ROWS).seconds


def _drops(timeline: Timeline, x: Axis) -> list[Markup]:
    most = max(second.dropped for second in timeline.seconds)
    return [
        rect(
            x.at(second.t_s - timeline.step_s),
            BOTTOM - 4 - 14 * second.dropped / most,
            max(x.at(second.t_s) - x.at(second.t_s - timeline.step_s), 2.0),
            4 + 14 * second.dropped / most,
            "drop",
            f"{plural(second.dropped, 'frame')} dropped until {short(second.t_s)} s",
        )
        for second in timeline.seconds
        if second.dropped
    ]


def throttle_marks(record: RunRecord, x: Axis, top_px: float, bottom_px: float) -> list[Markup]:
    """A stripe over all panels wherever a counter of throttling rose."""
    timeline = thinned(record)
    if timeline is None:
        return []
    parts = []
    for t_s, rises in throttle_events(timeline):
        words = ", ".join(f"{name} +{whole(rise)}" for name, rise in rises.items())
        left, right = x.at(t_s - timeline.step_s), x.at(t_s)
        width = max(right - left, 1.2)
        parts.append(rect(left, top_px, width, bottom_px - top_px, "throttle"))
        parts.append(rect(left, top_px - 9, width, 7, "throttle-head", f"throttled until {short(t_s)} s: {words}"))
    return parts


def lines_panel(
    timeline: Timeline,
    names: Sequence[str],
    get: Callable[[Second, str], float | None],
    when: Times,
    y: Axis,
    unit: str,
    *,
    first_colour: int = 0,
) -> list[Markup]:
    """A panel of lines, one for each name."""
    parts = [beside(y, (LEFT, RIGHT), unit, most=4)]
    for index, name in enumerate(names):
        points = series(timeline, lambda second, name=name: get(second, name), when.axis, y)  # type: ignore[misc]
        parts.append(path(line(points), f"line {colour(first_colour + index)} dash{index // 8}", tag("title", name)))
    return parts


def has_any(record: RunRecord, get: Callable[[Second], object]) -> bool:
    """Whether any entry of the timeline has it."""
    return any(get(second) for second in seconds_of(record))
