"""Where a frame's time goes: stages against the frame's period and the deadline."""

from __future__ import annotations

from markupsafe import Markup

from edgefusion.pages.axis import Axis
from runtime.report.figures import WORK, percentile
from runtime.report.numbers import percent, short, whole
from runtime.report.page.chart import RIGHT, Chart, Key, colour, drawing
from runtime.report.page.svg import Mark, below, marked, path, rect, rows_of, text, with_room
from runtime.report.schema import Histogram, RunRecord
from runtime.report.verdict import period_ms, stage_means

START = 96
ROW_PX, BAR_PX = 30, 18
LABEL_PX = 200
"""Room for figures right of the longest bar or line."""
FAR = 6
"""A limit so many times longer than all the stages is left out."""


def budget(record: RunRecord) -> Chart | None:
    """Mean times end to end, then p50 and p99 of each stage."""
    stages = {name: found for name, found in record.latency.stages.items() if found.count}
    means = {name: ms for name, ms in stage_means(record).items() if name in stages}
    if not means:
        return None
    tails = [percentile(found, "p99") or percentile(found, "p50") or 0.0 for found in stages.values()]
    longest = max(sum(means.values()), *tails)
    limits = [mark for mark in _limits(record) if mark[0] <= FAR * longest]
    x = with_room(Axis(0.0, max([longest, *(ms for ms, _, _ in limits)]), START, RIGHT), LABEL_PX)
    top = 14 + 15 * rows_of(x, limits)
    bottom = top + ROW_PX * (len(stages) + 1) + 8
    parts = [path(f"M{x.at(value)} {top - 4}V{bottom}", "grid") for value in x.ticks(most=10)]
    parts += [text(START - 8, top + 13, "mean of all", anchor="end", class_="label"), *_end_to_end(means, x, top)]
    for row, (name, found) in enumerate(stages.items()):
        parts += _stage(name, found, top + ROW_PX * (row + 1), x, _colour_of(name, means))
    parts += [marked(x, limits, bottom_px=top - 8, base_px=bottom), below(x, bottom, "time per frame, ms")]
    title = "Stage budget"
    keys = [
        Key(_colour_of(name, means), f"{name}{' (waits for a pair)' if name == 'source' else ''}") for name in means
    ]
    keys += [Key("mark", "bar to p50, whisker to p99", "line")]
    head = ("stage", "frames", "mean, ms", "p50", "p90", "p99", "p99.9", "longest")
    told = f"Stages: {', '.join(f'{name} {short(ms)} ms' for name, ms in means.items())}."
    return Chart(title, drawing(bottom + 44, title, told, parts), keys, _note(record, means), head, _rows(stages))


def _note(record: RunRecord, means: dict[str, float]) -> str:
    work, period = sum(ms for name, ms in means.items() if name in WORK), period_ms(record)
    share = ""
    if period:
        share = f"The loop works {short(work)} ms of a frame's {short(period)} ms ({percent(work / period)}). "
    return f"{share}Means add up; percentiles do not. A deadline counts from {record.latency.since}."


def _colour_of(name: str, means: dict[str, float]) -> str:
    return "rest" if name == "source" else colour([one for one in means if one != "source"].index(name))


def _limits(record: RunRecord) -> list[Mark]:
    deadline, period = record.latency.deadline_ms, period_ms(record)
    word = "frame period" if record.paced_fps else "mean frame period"
    found = [(deadline, f"deadline {short(deadline)} ms", "limit")] if deadline else []
    return sorted([*found, *([(period, f"{word} {short(period)} ms", "mark")] if period else [])])


def _end_to_end(means: dict[str, float], x: Axis, top: float) -> list[Markup]:
    begin, parts = 0.0, []
    ordered = sorted(means.items(), key=lambda one: one[0] == "source")
    for name, ms in ordered:
        left, right = x.at(begin), x.at(begin + ms)
        parts.append(
            rect(
                left, top, right - left, BAR_PX, f"bar {_colour_of(name, means)}", f"{name}: {short(ms)} ms on average"
            )
        )
        begin += ms
    return parts


def _stage(name: str, found: Histogram, top: float, x: Axis, class_: str) -> list[Markup]:
    p50, p99 = percentile(found, "p50"), percentile(found, "p99")
    middle, end = top + BAR_PX / 2, x.at(p50 or 0.0)
    parts = [
        text(START - 8, top + 13, name, anchor="end", class_="label"),
        rect(START, top, end - START, BAR_PX, f"bar {class_}", f"{name}: p50 {short(p50)} ms, p99 {short(p99)} ms"),
    ]
    if p99:
        parts.append(path(f"M{end} {middle}H{x.at(p99)}m0 -5v10", "whisker"))
    words = f"{short(p50)} ms" + (f" (p99 {short(p99)})" if p99 else "")
    return [*parts, text(x.at(p99 or p50 or 0.0) + 7, top + 13, words, class_="value")]


def _rows(stages: dict[str, Histogram]) -> list[list[str]]:
    return [
        [
            name,
            whole(found.count),
            short(found.mean_ms),
            *(short(percentile(found, one)) for one in ("p50", "p90", "p99", "p99.9")),
            short(found.max_ms),
        ]
        for name, found in stages.items()
    ]
