"""The run through time: latency, and power, temperatures, clocks and load on one axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from edgefusion.pages.axis import Axis
from runtime.report.figures import seconds_of
from runtime.report.numbers import plural, short, whole
from runtime.report.page.chart import LEFT, RIGHT, Chart, Key, colour, drawing
from runtime.report.page.svg import GAP, Point, below, beside, line, path, rect, tag, text, upper
from runtime.report.schema import RunRecord, Second, Timeline
from runtime.report.timeline import thin, throttle_events

MOST_POINTS, MOST_ROWS = 640, 60
STEEP = 12
"""Where the largest latency is so many times the usual one, the axis is one of equal ratios."""
TOP, BOTTOM = 34, 250
TOUCHING_PX = 6

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
    """p50 and p99 of each second, with the deadline, dropped frames and throttling."""
    timeline = thinned(record)
    known = [value for one in timeline.seconds if (value := one.p99_ms or one.p50_ms)] if timeline else []
    if timeline is None or not known:
        return None
    when, deadline = times(timeline), record.latency.deadline_ms
    limit = deadline if deadline and deadline <= STEEP * max(known) else None
    y = _latency_axis(timeline, max(known + ([limit] if limit else [])))
    hot = throttle_marks(record, when.axis, TOP, BOTTOM)
    parts = [*hot, *_latency_lines(timeline, when.axis, y), *(_limit(limit, y) if limit else [])]
    parts += [*_drops(timeline, when.axis), below(when.axis, BOTTOM, when.title, scale=when.scale)]
    title, lost = "Latency over time", sum(second.dropped for second in timeline.seconds)
    told = f"p50 and p99 over {short(when.axis.high)} s; {plural(lost, 'frame')} dropped."
    each = "second" if timeline.step_s == 1 else f"{short(timeline.step_s)} s"
    keys = [Key("s1", f"p99 of each {each}", "line"), Key("s0", f"p50 of each {each}", "line")]
    keys += [Key("limit", "deadline", "dash")] * bool(limit) + [Key("throttle", "throttled")] * bool(hot)
    keys += [Key("drop", f"dropped frames ({whole(lost)} in all)")] * bool(lost)
    head, note = ("until, s", "frames", "dropped", "p50, ms", "p99, ms"), thinning_note(record, timeline)
    return Chart(title, drawing(BOTTOM + 44, title, told, parts), keys, note, head, _latency_rows(timeline))


def _latency_lines(timeline: Timeline, x: Axis, y: Axis) -> list[Markup]:
    low = series(timeline, lambda second: second.p50_ms, x, y)
    high = series(timeline, lambda second: second.p99_ms, x, y)
    name = "latency, ms (log scale)" if y.log else "latency, ms"
    return [beside(y, (LEFT, RIGHT), name), path(line(high), "line s1"), path(line(low), "line thick s0")]


def _limit(deadline_ms: float, y: Axis) -> list[Markup]:
    at, words = y.at(deadline_ms), f"deadline {short(deadline_ms)} ms"
    label = text(RIGHT - 4, at - 6, words, anchor="end", class_="label limit-label")
    return [path(f"M{LEFT} {at}H{RIGHT}", "limit"), label]


def _latency_rows(timeline: Timeline) -> list[list[str]]:
    return [
        [short(one.t_s), whole(one.frames), whole(one.dropped), short(one.p50_ms), short(one.p99_ms)]
        for one in thin(timeline, MOST_ROWS).seconds
    ]


def _latency_axis(timeline: Timeline, most: float) -> Axis:
    usual = sorted(second.p50_ms for second in timeline.seconds if second.p50_ms) or [most]
    least, middle = usual[0], usual[len(usual) // 2]
    if most > STEEP * middle:
        return Axis(least / 1.3, most * 1.3, BOTTOM, TOP, log=True)
    return Axis(0.0, upper(most * 1.04), BOTTOM, TOP)


def _drops(timeline: Timeline, x: Axis) -> list[Markup]:
    most = max(second.dropped for second in timeline.seconds)
    return [_drop(second, timeline.step_s, x, second.dropped / most) for second in timeline.seconds if second.dropped]


def _drop(second: Second, step_s: float, x: Axis, share: float) -> Markup:
    left, height = x.at(second.t_s - step_s), 4 + 14 * share
    words = f"{plural(second.dropped, 'frame')} dropped until {short(second.t_s)} s"
    return rect(left, BOTTOM - height, max(x.at(second.t_s) - left, 2.0), height, "drop", words)


def throttle_marks(record: RunRecord, x: Axis, top_px: float, bottom_px: float) -> list[Markup]:
    """A stripe over all panels wherever counters of throttling rose; stripes that would touch are one."""
    timeline = thinned(record)
    parts = []
    for begin_s, end_s, rises in _stretches(timeline, x) if timeline else []:
        words = ", ".join(f"{name} +{whole(rise)}" for name, rise in rises.items())
        left, width = x.at(begin_s), max(x.at(end_s) - x.at(begin_s), 1.2)
        parts.append(rect(left, top_px, width, bottom_px - top_px, "throttle"))
        title = f"throttled from {short(begin_s)} to {short(end_s)} s: {words}"
        parts.append(rect(left, top_px - 9, width, 7, "throttle-head", title))
    return parts


def _stretches(timeline: Timeline, x: Axis) -> list[tuple[float, float, dict[str, int]]]:
    found: list[tuple[float, float, dict[str, int]]] = []
    for t_s, rises in throttle_events(timeline):
        begin_s = t_s - timeline.step_s
        if found and x.at(begin_s) - x.at(found[-1][1]) <= TOUCHING_PX:
            first_s, _, before = found.pop()
            begin_s, rises = first_s, {name: before.get(name, 0) + rises.get(name, 0) for name in {**before, **rises}}
        found.append((begin_s, t_s, rises))
    return found


def lines_panel(
    timeline: Timeline,
    names: Sequence[str],
    get: Callable[[Second, str], float | None],
    when: Times,
    y: Axis,
    unit: str,
) -> list[Markup]:
    """A panel of lines, one for each name."""
    parts = [beside(y, (LEFT, RIGHT), unit, most=4)]
    for index, name in enumerate(names):
        points = series(timeline, lambda second, name=name: get(second, name), when.axis, y)  # type: ignore[misc]
        parts.append(path(line(points), f"line {colour(index)} dash{index // 8}", tag("title", name)))
    return parts


def has_any(record: RunRecord, get: Callable[[Second], object]) -> bool:
    """Whether any entry of the timeline has it."""
    return any(get(second) for second in seconds_of(record))
