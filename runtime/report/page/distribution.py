"""How latency is distributed: a histogram of equal ratios, with its percentiles and the deadline."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from edgefusion.pages.axis import Axis
from runtime.report.histograms import Bar, bars, group_size, span_ms
from runtime.report.numbers import percent, plural, short, whole
from runtime.report.page.chart import LEFT, RIGHT, Chart, Key, colour, drawing
from runtime.report.page.svg import ROW_PX, Mark, below, beside, line, marked, path, rect, rows_of, tag, with_room
from runtime.report.schema import Histogram, RunRecord
from runtime.report.verdict import hidden_percentiles

TOP, PLOT_PX = 40, 246
LABEL_PX = 112
"""Room for the last label right of its mark."""
MOST_BARS = 110
FEW_FRAMES = 600
COARSE_BARS = 40
FAR = 4
"""A deadline further away than so many times the longest latency is told, not drawn."""
LEAST = 0.6
"""Where the axis of counts begins: below one frame, so that one frame is seen."""


def distribution(record: RunRecord) -> Chart | None:
    """Latency of every counted frame; None where there is none."""
    histogram, deadline = record.latency.published, record.latency.deadline_ms
    span = span_ms(histogram)
    if span is None:
        return None
    found = bars(histogram, group_size(histogram, MOST_BARS if histogram.count >= FEW_FRAMES else COARSE_BARS))
    near = deadline is not None and span[0] / FAR <= deadline <= span[1] * FAR
    x = _across(span, deadline if near else None)
    marks = _marks(histogram, deadline if near else None)
    top = TOP + ROW_PX * rows_of(x, marks)
    bottom = top + PLOT_PX
    y = Axis(LEAST, max(bar.count for bar in found) * 1.2, bottom, top, log=True)
    title, since = "Latency distribution", record.latency.since
    description = f"{plural(histogram.count, 'frame')} from {short(span[0])} to {short(span[1])} ms."
    parts = [
        beside(y, (LEFT, RIGHT), "frames per bar (log scale)"),
        *(_bar(bar, x, y, histogram.count, deadline) for bar in found),
        marked(x, marks, bottom_px=top - 28, base_px=bottom),
        below(x, bottom, f"latency from {since} to published, ms (log scale)"),
    ]
    keys = [Key("s0", f"frames, n = {whole(histogram.count)}"), Key("mark", "percentiles", "line")]
    keys += [Key("late", "later than the deadline"), Key("limit", "deadline", "dash")] if near else []
    far = f"The deadline of {short(deadline)} ms lies outside of the chart." if deadline and not near else ""
    note = " ".join(filter(None, [hidden_percentiles(histogram), far]))
    return Chart(
        title,
        drawing(bottom + 44, title, description, parts),
        keys,
        note,
        ("from, ms", "to, ms", "frames", "share"),
        _rows(found, histogram.count),
    )


def _across(span: tuple[float, float], deadline_ms: float | None) -> Axis:
    low, high = min(span[0], deadline_ms or span[0]), max(span[1], deadline_ms or span[1])
    return with_room(Axis(low / 1.04, high, LEFT, RIGHT, log=True), LABEL_PX)


def _bar(bar: Bar, x: Axis, y: Axis, total: int, deadline_ms: float | None) -> Markup:
    left, right, top = x.at(bar.low_ms), x.at(bar.high_ms), y.at(bar.count)
    late = deadline_ms is not None and bar.low_ms >= deadline_ms
    words = (
        f"{short(bar.low_ms)} to {short(bar.high_ms)} ms: {plural(bar.count, 'frame')} ({percent(bar.count / total)})"
    )
    gap = 1 if right - left > 4 else 0.2
    return rect(left, top, right - left - gap, y.start_px - top, "bar late" if late else "bar s0", words)


def _marks(histogram: Histogram, deadline_ms: float | None) -> list[Mark]:
    found = {**histogram.percentiles_ms, "longest": histogram.max_ms}
    known = [(value, f"{name} {short(value)}", "mark") for name, value in found.items() if value is not None]
    return sorted([*known, *([(deadline_ms, f"deadline {short(deadline_ms)}", "limit")] if deadline_ms else [])])


def _rows(found: Sequence[Bar], total: int) -> list[list[str]]:
    return [[short(bar.low_ms), short(bar.high_ms), whole(bar.count), percent(bar.count / total)] for bar in found]


def overlaid(runs: Sequence[tuple[str, RunRecord]]) -> Chart | None:
    """Several runs' latency as outlines: shares of frames, so that runs of unequal length compare."""
    known = [(name, run.latency.published) for name, run in runs if span_ms(run.latency.published)]
    if not known:
        return None
    spans = [span for _, histogram in known if (span := span_ms(histogram))]
    span = min(low for low, _ in spans), max(high for _, high in spans)
    group = max(group_size(histogram, MOST_BARS // 2) for _, histogram in known)
    outlines = [(name, bars(histogram, group), histogram.count) for name, histogram in known]
    x = _across(span, None)
    least = min(bar.count / count for _, found, count in outlines for bar in found)
    most = max(bar.count / count for _, found, count in outlines for bar in found)
    y = Axis(100 * least / 1.5, 100 * most * 1.2, 300, 30, log=True)
    title = "Latency, side by side"
    parts = [beside(y, (LEFT, RIGHT), "share of frames per step, % (log scale)")]
    for index, (name, found, count) in enumerate(outlines):
        parts.append(path(_outline(found, count, x, y), f"line {colour(index)} dash{index % 4}", tag("title", name)))
    parts.append(below(x, 300, "latency to published, ms (log scale)"))
    keys = [
        Key(colour(index), f"{name}, n = {whole(count)}", f"dash{index % 4}")
        for index, (name, _, count) in enumerate(outlines)
    ]
    return Chart(title, drawing(344, title, f"{len(known)} runs.", parts), keys)


def _outline(found: Sequence[Bar], count: int, x: Axis, y: Axis) -> str:
    points: list[tuple[float, float] | None] = []
    end = None
    for bar in found:
        if end is None or abs(bar.low_ms / end - 1) > 1e-6:
            points += [(x.at(end), y.start_px)] if end else []
            points += [None, (x.at(bar.low_ms), y.start_px)]
        height = y.at(100 * bar.count / count)
        points += [(x.at(bar.low_ms), height), (x.at(bar.high_ms), height)]
        end = bar.high_ms
    return line([*points, (x.at(end or 0), y.start_px)])
