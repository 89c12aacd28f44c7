"""From steps to the timeline of a record: neighbours become one until all are equally long."""

from __future__ import annotations

from collections import Counter

from runtime.journal.lines import Added, Step
from runtime.report.schema import Second, Timeline

LEVELS = 40
"""A step longer than 2 ** 40 s is nonsense."""


class TimelineMaker:
    """Takes steps in order; holds as many as there were of the last two lengths at most."""

    def __init__(self) -> None:
        self._steps: list[Step] = []
        self._begins_s: list[float] = []
        self.end_s = 0.0

    def add(self, step: Step) -> None:
        """One more, of the length of the one before or longer; it is later than all others."""
        if self._steps and step.step_s > self._steps[0].step_s:
            self._thin(step.step_s)
        self._steps.append(step)
        self._begins_s.append(self.end_s)
        self.end_s = step.second.t_s

    def timeline(self) -> Timeline | None:
        """All of them; None if there was none."""
        if not self._steps:
            return None
        return Timeline(step_s=self._steps[-1].step_s, seconds=[step.second for step in self._steps])

    def _thin(self, step_s: float) -> None:
        for _ in range(LEVELS):
            if self._steps[0].step_s >= step_s:
                break
            pairs = range(0, len(self._steps) - 1, 2)
            joined = [join(self._steps[at], self._steps[at + 1], begin_s=self._begins_s[at]) for at in pairs]
            lone = self._steps[2 * len(joined) :]
            doubled = 2 * self._steps[0].step_s
            self._steps = joined + [step.model_copy(update={"step_s": doubled}) for step in lone]
            self._begins_s = self._begins_s[::2]


def join(first: Step, second: Step, *, begin_s: float) -> Step:
    """Two neighbours as one; the first began at ``begin_s``."""
    latency = first.latency.histogram()
    latency.merge(second.latency.histogram())
    percentiles = latency.summary(50, 99)
    a, b = first.second, second.second
    spans_s = a.t_s - begin_s, b.t_s - a.t_s
    seconds = b.model_copy(
        update={
            "frames": a.frames + b.frames,
            "dropped": a.dropped + b.dropped,
            "p50_ms": percentiles["p50"],
            "p99_ms": percentiles["p99"],
            "rails_mw": _rails(a, b, spans_s),
            "steal": _mean(a.steal, b.steal, spans_s),
            "cpu": _mean(a.cpu, b.cpu, spans_s),
        }
    )
    dropped = dict(Counter(first.dropped) + Counter(second.dropped))
    changed = {"step_s": first.step_s * 2, "second": seconds, "dropped": dropped, "latency": Added.of(latency)}
    return second.model_copy(update=changed)


def _rails(a: Second, b: Second, spans_s: tuple[float, float]) -> dict[str, tuple[float, float, float]]:
    joined = {**a.rails_mw, **b.rails_mw}
    for rail in a.rails_mw.keys() & b.rails_mw.keys():
        low, mean, high = zip(a.rails_mw[rail], b.rails_mw[rail], strict=True)
        joined[rail] = min(low), round(_weighted(mean, spans_s), 1), max(high)
    return joined


def _mean(a: float | None, b: float | None, spans_s: tuple[float, float]) -> float | None:
    if a is None or b is None:
        return a if b is None else b
    return round(_weighted((a, b), spans_s), 4)


def _weighted(values: tuple[float, float], spans_s: tuple[float, float]) -> float:
    return (values[0] * spans_s[0] + values[1] * spans_s[1]) / sum(spans_s)
