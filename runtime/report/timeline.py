"""A run through time with fewer entries, so that a day is drawn as readily as a minute."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from statistics import fmean, median

from runtime.report.schema import Second, Timeline

Rail = tuple[float, float, float]


def thin(timeline: Timeline, most: int) -> Timeline:
    """No more than ``most`` entries: p50 is their middle one, p99 and temperatures their highest."""
    group = math.ceil(len(timeline.seconds) / most)
    if group <= 1:
        return timeline
    parts = [timeline.seconds[start : start + group] for start in range(0, len(timeline.seconds), group)]
    return Timeline(step_s=timeline.step_s * group, seconds=[_together(part) for part in parts])


def _together(part: Sequence[Second]) -> Second:
    return Second(
        t_s=part[-1].t_s,
        frames=sum(one.frames for one in part),
        dropped=sum(one.dropped for one in part),
        p50_ms=_of((one.p50_ms for one in part), median),
        p99_ms=_of((one.p99_ms for one in part), max),
        rails_mw=_rails(part),
        temperatures_c=_each([one.temperatures_c for one in part], max),
        clocks_mhz=_each([one.clocks_mhz for one in part], fmean),
        fan_rpm=_of((one.fan_rpm for one in part), fmean),
        throttled=next((one.throttled for one in reversed(part) if one.throttled), {}),
        steal=_of((one.steal for one in part), fmean),
        cpu=_of((one.cpu for one in part), fmean),
        resident_mb=_of((one.resident_mb for one in part), max),
    )


def _of(values: Iterable[float | None], reduce: Callable[[list[float]], float]) -> float | None:
    known = [value for value in values if value is not None]
    return reduce(known) if known else None


def _each(parts: Sequence[dict[str, float]], reduce: Callable[[list[float]], float]) -> dict[str, float]:
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: reduce([part[name] for part in parts if name in part]) for name in names}


def _rails(part: Sequence[Second]) -> dict[str, Rail]:
    names = dict.fromkeys(name for one in part for name in one.rails_mw)
    found: dict[str, Rail] = {}
    for name in names:
        lows, means, highs = zip(*(one.rails_mw[name] for one in part if name in one.rails_mw), strict=True)
        found[name] = (min(lows), fmean(means), max(highs))
    return found


def throttle_events(timeline: Timeline) -> list[tuple[float, dict[str, int]]]:
    """When counters of throttling rose, and by how much each."""
    before: dict[str, int] = {}
    found = []
    for second in timeline.seconds:
        rises = {name: count - before.get(name, 0) for name, count in second.throttled.items()}
        rises = {name: rise for name, rise in rises.items() if rise > 0}
        if rises:
            found.append((second.t_s, rises))
        before |= second.throttled
    return found
