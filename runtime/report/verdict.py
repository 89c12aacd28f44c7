"""What a run comes to, by rules: one sentence first, then what one must know before believing it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from runtime.latency import needed
from runtime.report.figures import WORK, figures, main_meters, mean_w, percentile, seconds_of, throttles, unpaced
from runtime.report.numbers import duration, percent, plural, short, whole
from runtime.report.schema import Histogram, RunRecord

KEPT_PACE = 0.98
ENOUGH_COVERAGE = 0.95
MUCH_STEAL = 0.01
SHORT_S = 60


@dataclass(frozen=True)
class Verdict:
    """What stands at the top of a report.

    Attributes:
        headline: the sentence.
        alarms: why the run is not what it was meant to be.
        findings: heading and sentence, in the order they are read.
        cautions: what weakens the figures.
    """

    headline: str
    alarms: list[str]
    findings: list[tuple[str, str]]
    cautions: list[str]


def verdict(record: RunRecord) -> Verdict:
    """The verdict on a run."""
    return Verdict(headline(record), list(_alarms(record)), list(_findings(record)), list(_cautions(record)))


def headline(record: RunRecord) -> str:
    """Such as: 84 fps, p99 13 ms, 0 misses in 600 s, 0.21 J/frame (module input); bound by execute."""
    ended = {"killed": "Unfinished run: ", "interrupted": "Interrupted run: ", "complete": ""}[record.state]
    parts = [f"{short(record.fps)} fps", _slow(record.latency.published), _misses(record), _cost(record)]
    hot = ", throttled" if any((throttles(record) or {}).values()) else ""
    return f"{ended}{', '.join(parts)}; {bound(record)}{hot}"


def _slow(histogram: Histogram) -> str:
    for name in ("p99", "p90", "p50"):
        value = percentile(histogram, name)
        if value is not None:
            return f"{name} {short(value)} ms"
    return "latency not measured"


def _misses(record: RunRecord) -> str:
    latency, length = record.latency, duration(record.seconds)
    if latency.deadline_ms is None:
        return f"{whole(sum(record.counts.dropped.values()))} dropped in {length}"
    return f"{plural(latency.deadline_misses, 'miss', 'misses')} in {length}"


def _cost(record: RunRecord) -> str:
    if record.energy:
        return f"{short(record.energy.gross_mj / 1e3)} J/frame ({record.energy.scope})"
    watts, scope = mean_w(record), " + ".join(meter.scope for meter in main_meters(record))
    return f"{short(watts)} W ({scope})" if watts is not None else "power not measured"


def stage_means(record: RunRecord) -> dict[str, float]:
    """Mean time of each stage that was counted, in ms: means add up, percentiles do not."""
    return {name: found.mean_ms for name, found in record.latency.stages.items() if found.mean_ms is not None}


def period_ms(record: RunRecord) -> float | None:
    """Time there is for a frame: of the pace, else what a frame took."""
    fps = record.paced_fps or record.fps
    return 1e3 / fps if fps else None


def busy_share(record: RunRecord) -> float | None:
    """Part of the frame's period in which the loop worked rather than waited."""
    period, means = period_ms(record), stage_means(record)
    work = [means[name] for name in WORK if name in means]
    return sum(work) / period if work and period else None


def bound(record: RunRecord) -> str:
    """What would have to be faster for more frames: the pace, the source, or the slowest stage."""
    means = stage_means(record)
    if record.paced_fps and record.fps >= KEPT_PACE * record.paced_fps:
        return f"bound by the pace of {short(record.paced_fps)} fps"
    if not means:
        return "stages not measured"
    return f"bound by {max(means, key=lambda name: means[name])}"


def _alarms(record: RunRecord) -> Iterator[str]:
    if record.state == "killed":
        yield (
            "The end of this run was not recorded: it was killed, its machine lost power, or it still goes on. What "
            f"follows is what its journal holds after {duration(record.seconds)}; the last seconds may be missing."
        )
    if record.state == "interrupted":
        yield f"This run was stopped by a signal after {duration(record.seconds)}."
    if not record.latency.published.count:
        yield "No frame was published after warm-up: there is nothing to judge."


def _findings(record: RunRecord) -> Iterator[tuple[str, str]]:
    yield "Speed", _speed(record)
    yield "Latency", _latency(record)
    yield "Deadline", _deadline(record)
    yield "Frames", _frames(record)
    yield "Energy", _energy(record)
    yield "Heat", _heat(record)


def _speed(record: RunRecord) -> str:
    pace = f" of {short(record.paced_fps)} asked for" if record.paced_fps else f", {unpaced(record)}"
    text = f"{short(record.fps)} frames per second{pace}; {bound(record)}."
    share, means = busy_share(record), {name: ms for name, ms in stage_means(record).items() if name in WORK}
    if share is None or not means:
        return text
    slowest = max(means, key=lambda name: means[name])
    return (
        f"{text} The loop works {percent(share)} of a frame's {short(period_ms(record))} ms, most of it in {slowest} "
        f"({short(means[slowest])} ms)."
    )


def _latency(record: RunRecord) -> str:
    found = record.latency.published
    if not found.count:
        return "not measured"
    shown = [f"{name} {short(value)} ms" for name, value in found.percentiles_ms.items() if value is not None]
    since = "exposure" if record.latency.since == "exposure" else "the moment a frame was received"
    jitter = "" if record.latency.jitter_ms is None else f" Jitter {short(record.latency.jitter_ms)} ms."
    return (
        f"{', '.join(shown)}, longest {short(found.max_ms)} ms, from {since} to published, of "
        f"{plural(found.count, 'frame')}.{jitter}"
    )


def _deadline(record: RunRecord) -> str:
    latency = record.latency
    if latency.deadline_ms is None:
        return "none was set"
    limit = f"{short(latency.deadline_ms)} ms, a dropped frame counting as missed"
    if not latency.deadline_misses:
        return f"kept by every frame ({limit})."
    moments = latency.published.count + sum(record.counts.dropped.values())
    share = f" ({percent(latency.deadline_misses / moments)})" if moments else ""
    return (
        f"missed {plural(latency.deadline_misses, 'time')}{share}, at most {latency.longest_streak} in a row ({limit})."
    )


def _frames(record: RunRecord) -> str:
    counts = record.counts
    text = f"{whole(counts.published)} published, {whole(counts.warm_up)} of them warm-up"
    for word, causes in (("dropped", counts.dropped), ("flagged", counts.flagged)):
        named = ", ".join(f"{name.replace('_', ' ')} {whole(count)}" for name, count in causes.items() if count)
        text += f"; {word}: {named or 'none'}"
    return f"{text}; {plural_copies(counts.copies_per_frame)}."


def plural_copies(copies: float) -> str:
    """Copies per frame in words."""
    return f"{short(copies)} {'copy' if copies == 1 else 'copies'} of pixels per frame beyond pack and unpack"


def _energy(record: RunRecord) -> str:
    energy, watts = record.energy, mean_w(record)
    if energy is None:
        return "not measured" if watts is None else f"{short(watts)} W on average; energy per frame not measured"
    between = ""
    if energy.interval_mj:
        low, high = (short(value / 1e3) for value in energy.interval_mj)
        between = f" (95 % interval {low} to {high})"
    above = "idle not measured" if energy.net_mj is None else f"{short(energy.net_mj / 1e3)} J above idle"
    mean = "" if watts is None else f"{short(watts)} W on average; "
    each = "" if energy.fps_per_w is None else f"; {short(energy.fps_per_w)} frames per second and watt"
    gross = f"{short(energy.gross_mj / 1e3)} J per frame{between}"
    return f"{mean}{gross}, {above}{each}. Scope: {energy.scope}, by {energy.meter}."


def _heat(record: RunRecord) -> str:
    highest = {name: value for second in seconds_of(record) for name, value in second.temperatures_c.items()}
    for second in seconds_of(record):
        highest = {name: max(value, second.temperatures_c.get(name, value)) for name, value in highest.items()}
    counters = throttles(record)
    text = f"{_fan(record)}{'throttling not measured' if counters is None else _throttled(counters)}"
    if not highest:
        return f"temperatures not measured; {text}."
    hottest = max(highest, key=lambda name: highest[name])
    return f"up to {short(highest[hottest])} °C ({hottest}); {text}."


def _fan(record: RunRecord) -> str:
    known = [second.fan_rpm for second in seconds_of(record) if second.fan_rpm is not None]
    return f"fan {short(min(known))} to {short(max(known))} rpm; " if known else ""


def _throttled(counters: dict[str, int]) -> str:
    named = [f"{name} {whole(count)}" for name, count in counters.items() if count]
    return (
        f"throttled: {', '.join(named)}" if named else f"no throttle event ({plural(len(counters), 'counter')} watched)"
    )


def _cautions(record: RunRecord) -> Iterator[str]:
    counters, values = throttles(record) or {}, figures(record)
    if any(counters.values()):
        yield f"The machine was throttled during the run ({_throttled(counters)}): a cooler one is faster."
    if record.seconds < SHORT_S:
        yield f"{duration(record.seconds)} is too short for temperatures and clocks to settle."
    yield from _power_cautions(record)
    steal = values["steal"]
    if steal is not None and steal > MUCH_STEAL:
        yield f"Another guest took {percent(steal)} of the processors' time: latency is the host's as much as ours."
    hidden = hidden_percentiles(record.latency.published)
    if hidden:
        yield hidden
    if not record.timeline or not record.timeline.seconds:
        yield "Nothing was recorded through time: whether the run was steady cannot be told."
    for remark in record.remarks:
        yield f"Remark: {remark}"


def _power_cautions(record: RunRecord) -> Iterator[str]:
    for meter in main_meters(record):
        if meter.total is None and meter.summed:
            sum_of = ", ".join(meter.summed)
            yield f"No rail is the total: energy is the sum of {sum_of}, less than the supply delivers."
        if meter.coverage < ENOUGH_COVERAGE:
            yield f"{meter.name}: readings span {percent(meter.coverage)} of the run; the gaps are not in the energy."
        for remark in meter.remarks:
            yield f"{meter.name}: {remark}"


def hidden_percentiles(histogram: Histogram) -> str:
    """Which percentiles are not shown, and why; empty where all are."""
    names = [name for name, value in histogram.percentiles_ms.items() if value is None]
    if not names or not histogram.count:
        return ""
    wanted = ", ".join(f"{name} {whole(needed(float(name.removeprefix('p'))))}" for name in names)
    return (
        f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} hidden: too few frames lie beyond. "
        f"Needed: {wanted}; counted: {whole(histogram.count)}."
    )
