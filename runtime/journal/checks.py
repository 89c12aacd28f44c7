"""Whether the figures of a record agree with one another: a page is made of none that do not."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from edgefusion.core.errors import InputError
from runtime.latency import BUCKETS, PERCENTS, LatencyHistogram, bucket_of, edge_of, jitter_ms
from runtime.power.rails import ENOUGH_COVERAGE
from runtime.report.schema import Energy, Histogram, Latency, Meter, Rail, RunRecord, Timeline

ROUNDING = 0.005
"""Figures are rounded before they are written, and worked out again from rounded ones."""
BUCKET = 0.012
"""A bucket is 1.09 % wide."""
LOOSE = 0.1
"""Of what is the same only about, such as the time between marks."""
FUSION = ("pack", "execute", "unpack")
"""What ``fusion_fps`` is made of."""
SLACK_S = 2.0
"""Clocks are read one after the other, by threads that may have to wait."""
SHOWN = 3
"""So many contradictions are told; one is enough to refuse."""


def check(record: RunRecord, where: Path) -> None:
    """Refuse a record that contradicts itself.

    Raises:
        InputError: no frame was published, or figures contradict each other; says which.
    """
    if not record.counts.published or not record.latency.published.count:
        raise InputError("no frame was published: there is nothing to report", where=where, remedy="run again")
    found = list(_contradictions(record))
    if found:
        more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise InputError(
            f"its figures contradict each other: {'; '.join(found[:SHOWN])}{more}",
            where=where,
            remedy="it was edited or damaged: take it from where it was recorded, or run again",
        )


def _contradictions(record: RunRecord) -> Iterator[str]:
    yield from _frames(record)
    yield from _latency(record)
    yield from _late(record)
    for meter in record.meters:
        yield from _meter(meter, _marked_s(record))
    if record.energy is not None:
        yield from _energy(record.energy, record)
    if record.timeline is not None:
        yield from _timeline(record.timeline, record)
        yield from _entries(record.timeline, record)
        yield from _rails_in_time(record.timeline, record)


def _frames(record: RunRecord) -> Iterator[str]:
    counts, latency, counted = record.counts, record.latency, record.latency.published.count
    if counts.published - counts.warm_up != counted:
        yield f"{counts.published} frames less {counts.warm_up} of warm-up, and {counted} latencies"
    if abs(record.fps * record.seconds - counted) > 1 + ROUNDING * counted:
        yield f"{record.fps:g} fps for {record.seconds:g} s, and {counted} frames"
    if not record.width or not record.height:
        yield f"frames of {record.width}x{record.height}"
    # the first interval may have begun before warm-up was over, and the last frame may be newer than the clock
    ends_ms = 2 * ((latency.interval.max_ms if latency.interval else None) or 0.0)
    if _intervals_s(record) - ends_ms / 1e3 > record.seconds * (1 + ROUNDING) + SLACK_S:
        yield f"{record.seconds:g} s after warm-up, and intervals of {_intervals_s(record):g} s"
    for cause, count in counts.flagged.items():
        if count > counts.published:
            yield f"{count} of {counts.published} frames flagged {cause}"


def _latency(record: RunRecord) -> Iterator[str]:
    latency = record.latency
    most = latency.published.count + _slack(record)
    histograms = {"published": latency.published, **latency.stages}
    histograms |= {name: each for name, each in (("interval", latency.interval), ("skew", latency.skew)) if each}
    for name, histogram in histograms.items():
        yield from (f"latency of {name}: {what}" for what in _histogram(histogram))
        if histogram.count > most and name != "skew":  # of pairs, those included that were dropped later
            yield f"latency of {name}: {histogram.count} durations of {latency.published.count} frames"
    yield from _derived(latency, record.fusion_fps)


def _intervals_s(record: RunRecord) -> float:
    """From the last frame of warm-up to the last of all: what lies between the first and the last interval."""
    intervals = record.latency.interval
    return (intervals.mean_ms or 0.0) * intervals.count / 1e3 if intervals else 0.0


def _slack(record: RunRecord) -> int:
    """Where the run was killed, frames that were published while a snapshot was taken."""
    return 10 + record.latency.published.count // 100 if record.state == "killed" else 0


def _histogram(model: Histogram) -> Iterator[str]:
    if sum(model.counts.values()) != model.count:
        yield f"{model.count} durations, and {sum(model.counts.values())} in its buckets"
        return
    try:
        again = LatencyHistogram.from_model(model).to_model()
    except InputError as error:
        yield error.what
        return
    for percent in PERCENTS:
        name = f"p{percent:g}"
        given, worked_out = model.percentiles_ms.get(name), again.percentiles_ms[name]
        if not _near(given, worked_out):
            yield f"{name} is {_ms(given)}, and {_ms(worked_out)} by its buckets"
    yield from _extremes(model)


def _extremes(model: Histogram) -> Iterator[str]:
    """Mean and maximum, as far as buckets tell them."""
    if not model.count:
        return
    if model.max_ms is None or model.mean_ms is None:
        yield "no mean or maximum"
        return
    last = max(bucket for bucket, count in model.counts.items() if count)
    if abs(bucket_of(model.max_ms * 1e6) - last) > 1:
        yield f"a maximum of {_ms(model.max_ms)}, and {_ms(edge_of(last + 0.5) / 1e6)} by its buckets"
    middles_ms = sum(min(edge_of(bucket + 0.5) / 1e6, model.max_ms) * n for bucket, n in model.counts.items())
    inside = min(model.counts) > 0 and last < BUCKETS - 1  # outside, a bucket does not tell
    if inside and not _near(model.mean_ms, middles_ms / model.count):
        yield f"a mean of {_ms(model.mean_ms)}, and {_ms(middles_ms / model.count)} by its buckets"


def _derived(latency: Latency, fusion_fps: float | None) -> Iterator[str]:
    intervals = _known(latency.interval)
    if intervals is not None:
        jitter = jitter_ms(intervals)
        if (jitter is None) != (latency.jitter_ms is None) or abs((jitter or 0) - (latency.jitter_ms or 0)) > 1e-3:
            yield f"jitter is {_ms(latency.jitter_ms)}, and {_ms(jitter)} by the intervals"
    elif latency.interval is None and latency.jitter_ms is not None:
        yield f"jitter is {_ms(latency.jitter_ms)}, and there are no intervals"
    medians = [each.percentiles_ms.get("p50") or 0.0 for name, each in latency.stages.items() if name in FUSION]
    if fusion_fps is not None and (not sum(medians) or not _near(fusion_fps, 1e3 / sum(medians))):
        yield f"{fusion_fps:g} fps of fusion alone, and stages of {_ms(sum(medians))}"


def _known(model: Histogram | None) -> LatencyHistogram | None:
    """None where there is none, or its buckets are others, of which ``_histogram`` tells."""
    try:
        return None if model is None else LatencyHistogram.from_model(model)
    except InputError:
        return None


def _late(record: RunRecord) -> Iterator[str]:
    """Deadlines: as many as there may be, by frames that were late for sure and by those that were dropped."""
    latency, counts = record.latency, record.counts
    slack = _slack(record)
    if latency.longest_streak > latency.deadline_misses + slack:
        yield f"{latency.longest_streak} deadlines missed in a row, of {latency.deadline_misses}"
    if latency.deadline_misses > slack and not latency.longest_streak:
        yield f"{latency.deadline_misses} deadlines missed, and none in a row"
    if latency.deadline_ms is None:
        if latency.deadline_misses:
            yield f"{latency.deadline_misses} deadlines missed without a deadline"
        return
    published = _known(latency.published)
    if published is None:
        return
    least, most = published.over(latency.deadline_ms * 1e6)
    most += counts.warm_up + sum(counts.dropped.values())
    if not least - slack <= latency.deadline_misses <= most + slack:
        yield f"{latency.deadline_misses} deadlines missed, and {least} to {most} frames late or dropped"


def _warmed_up(record: RunRecord) -> tuple[float, int]:
    """End of the entry in which warm-up was over at the latest, and the frames published until then."""
    frames, end_s = 0, 0.0
    for second in record.timeline.seconds if record.timeline else []:
        frames, end_s = frames + second.frames, second.t_s
        if frames > record.counts.warm_up:
            break
    return end_s, frames


def _marked_s(record: RunRecord) -> tuple[float, float]:
    """Least and most time that energy may count: its first mark is in that entry, its last one the last frame."""
    if record.timeline is None or not record.timeline.seconds:
        return 0.0, math.inf
    least_s, most_s = _intervals_s(record) - _warmed_up(record)[0], record.timeline.seconds[-1].t_s
    return max(least_s * (1 - LOOSE) - SLACK_S, 0.0), most_s * (1 + LOOSE) + SLACK_S


def _meter(meter: Meter, marked_s: tuple[float, float]) -> Iterator[str]:
    rails = {rail.name: rail for rail in meter.rails}
    for rail in meter.rails:
        if not rail.min_mw - 0.1 <= rail.mean_mw <= rail.max_mw + 0.1:
            yield f"{meter.name}/{rail.name}: a mean of {rail.mean_mw:g} mW outside its least and most"
        if _covered_s(rail, marked_s[1]) > marked_s[1]:
            yield f"{meter.name}/{rail.name}: {rail.joules:g} J of {rail.mean_mw:g} mW in a run of {marked_s[1]:g} s"
    if meter.joules is None:
        return
    parts = [rails[name] for name in meter.total_rails if name in rails]
    if not parts or len(parts) < len(meter.total_rails) or len(set(meter.summed)) < len(meter.summed):
        yield f"{meter.name}: {meter.joules:g} J, which its rails do not add up to"
        return
    sum_j = sum(rail.joules for rail in parts)
    whole = meter.total is not None or meter.missed == 0
    if whole and not _near(meter.joules, sum_j):
        yield f"{meter.name}: {meter.joules:g} J, and {sum_j:g} J by its rails"
    yield from _total(meter, meter.joules, parts, marked_s)


def _total(meter: Meter, joules: float, parts: list[Rail], marked_s: tuple[float, float]) -> Iterator[str]:
    """The total as far as its rails tell, one of which may have been missing just when another drew little."""
    least_s, most_s = (meter.coverage * each for each in marked_s)
    least_j, sum_j = sum(rail.min_mw for rail in parts) * least_s / 1e3, sum(rail.joules for rail in parts)
    if not least_j * (1 - LOOSE) - 1 <= joules <= 2 * sum_j + 1:
        yield f"{meter.name}: {joules:g} J, of rails that have {sum_j:g} J"
    for rail in parts:
        if _covered_s(rail, least_s) < least_s or (meter.total and _covered_s(rail, most_s) > most_s):
            yield f"{meter.name}/{rail.name}: {rail.joules:g} J of {rail.mean_mw:g} mW in {least_s:g} to {most_s:g} s"


def _covered_s(rail: Rail, unknown_s: float) -> float:
    """How long a rail was measured; what is given where next to nothing was drawn, which tells nothing."""
    return rail.joules * 1e3 / rail.mean_mw if abs(rail.mean_mw) > 1 else unknown_s


def _energy(energy: Energy, record: RunRecord) -> Iterator[str]:
    names = energy.meter.split(" + ")
    meters = [meter for meter in record.meters if meter.name in names]
    parts = [joules for meter in meters if (joules := _joules(meter)) is not None]
    if len(parts) != len(names):
        yield f"energy by {energy.meter}, which measured {'too little' if meters else 'none'}"
    elif sorted(energy.scope.split(" + ")) != sorted(meter.scope for meter in meters):
        yield f"energy of {energy.scope}, by a meter of {' + '.join(meter.scope for meter in meters)}"
    elif not _near(energy.gross_mj * energy.frames / 1e3, sum(parts)):
        yield f"{energy.gross_mj:g} mJ for {energy.frames} frames, and {sum(parts):g} J by {energy.meter}"
    if energy.frames > record.counts.published + _slack(record):
        yield f"energy of {energy.frames} frames, and {record.counts.published} published"
    yield from _energy_frames(energy, record)
    if energy.interval_mj is not None:
        low, high = energy.interval_mj
        if not low <= high or not low * (1 - LOOSE) <= energy.gross_mj <= high * (1 + LOOSE):
            yield f"{energy.gross_mj:g} mJ a frame, in an interval of {low:g} to {high:g} mJ"
    if energy.net_mj is not None and energy.net_mj > energy.gross_mj * (1 + ROUNDING):
        yield f"{energy.net_mj:g} mJ above idle, and {energy.gross_mj:g} mJ gross"
    if energy.fps_per_w is not None and not _near(energy.fps_per_w * energy.gross_mj, 1e3, 0.02):
        yield f"{energy.fps_per_w:g} frames per joule of {energy.gross_mj:g} mJ each"
    if sum(energy.stages_mj.values()) > energy.gross_mj * (1 + 2 * ROUNDING):
        yield f"stages of {sum(energy.stages_mj.values()):g} mJ, and {energy.gross_mj:g} mJ a frame"


def _energy_frames(energy: Energy, record: RunRecord) -> Iterator[str]:
    """All that were counted when intervals were, but for those of the entry in which warm-up ended."""
    intervals = record.latency.interval
    if record.timeline is None or intervals is None:
        return
    early = max(_warmed_up(record)[1] - record.counts.warm_up, 0)
    slack = 10 + intervals.count // 100
    if not intervals.count - early - slack <= energy.frames <= intervals.count + slack:
        yield f"energy of {energy.frames} frames, and {intervals.count} intervals between frames"


def _joules(meter: Meter) -> float | None:
    """Of the whole time: what a meter missed counts at its mean."""
    return None if meter.joules is None or meter.coverage < ENOUGH_COVERAGE else meter.joules / meter.coverage


def _timeline(timeline: Timeline, record: RunRecord) -> Iterator[str]:
    seconds, counts = timeline.seconds, record.counts
    for before, after in pairwise(seconds):
        if after.t_s <= before.t_s:
            yield f"the clock goes backwards, from {before.t_s:g} s to {after.t_s:g} s"
            return
    published, dropped = sum(each.frames for each in seconds), sum(each.dropped for each in seconds)
    if published != counts.published:
        yield f"{published} frames on the timeline, and {counts.published} published"
    if dropped != sum(counts.dropped.values()):
        yield f"{dropped} dropped on the timeline, and {sum(counts.dropped.values())} by cause"
    end_s = seconds[-1].t_s if seconds else 0.0
    if record.warm_up_s + record.seconds > end_s + 2 * timeline.step_s + ROUNDING * end_s:
        yield f"{record.seconds:g} s after {record.warm_up_s:g} s of warm-up, and a timeline of {end_s:g} s"


def _entries(timeline: Timeline, record: RunRecord) -> Iterator[str]:
    """What entries say of their frames, as far as the histograms of all frames tell."""
    seconds, counts, latency = timeline.seconds, record.counts, record.latency
    end_s = seconds[-1].t_s if seconds else 0.0
    least_ms, most_ms = _least_ms(latency.published), (latency.published.max_ms or 0.0) * (1 + BUCKET) + 1e-3
    # a killed run's last frames are in no interval
    shortest_s = _least_ms(latency.interval) / 1e3 if record.state != "killed" else 0.0
    if (len(seconds) - 3) * timeline.step_s > 2 * end_s + SLACK_S:
        yield f"{len(seconds)} entries of {timeline.step_s:g} s in {end_s:g} s"
    frames, before_s = 0, 0.0
    for each in seconds:
        low_ms = least_ms if each.p50_ms is None else each.p50_ms
        high_ms = most_ms if each.p99_ms is None else each.p99_ms
        counted = frames >= counts.warm_up  # latencies of warm-up are in no histogram
        if counted and not least_ms <= low_ms <= high_ms + 1e-3 <= most_ms + 2e-3:
            yield f"p50 and p99 of {_ms(each.p50_ms)} and {_ms(each.p99_ms)} until {each.t_s:g} s"
        if (each.frames - counts.warm_up - 1) * shortest_s > 2 * (each.t_s - before_s) + SLACK_S:
            yield f"{each.frames} frames from {before_s:g} s to {each.t_s:g} s, never less than {shortest_s:g} s apart"
        frames, before_s = frames + each.frames, each.t_s


def _least_ms(model: Histogram | None) -> float:
    """No duration is shorter; 0 where buckets do not tell."""
    known = _known(model)
    first = min(known.counts, default=0) if known else 0
    return edge_of(first) / 1e6 * (1 - BUCKET) if first else 0.0


def _rails_in_time(timeline: Timeline, record: RunRecord) -> Iterator[str]:
    """Rails of each entry: in order, and of the size that the meters say."""
    for each in timeline.seconds:
        for name, (low, mean, high) in each.rails_mw.items():
            if not low - 0.1 <= mean <= high + 0.1:
                yield f"{name}: {low:g}, {mean:g}, {high:g} mW as least, mean and most until {each.t_s:g} s"
    if any(after.t_s - before.t_s > 5 * timeline.step_s for before, after in pairwise(timeline.seconds)):
        return  # entries that could not be written took their rails with them
    for meter in record.meters:
        for rail in meter.rails:
            name = f"{meter.name}/{rail.name}"
            seen = [each.rails_mw[name] for each in timeline.seconds if name in each.rails_mw]
            least = min((low for low, _, _ in seen), default=-math.inf)
            most = max((high for _, _, high in seen), default=math.inf)
            if not least / 2 - 100 <= rail.mean_mw <= most * 2 + 100:
                yield f"{name}: a mean of {rail.mean_mw:g} mW, and {least:g} to {most:g} mW on the timeline"


def _near(a: float | None, b: float | None, relative: float = BUCKET) -> bool:
    """Whether two figures are one, but for rounding; None is only near None."""
    if a is None or b is None:
        return a is b
    return math.isclose(a, b, rel_tol=relative, abs_tol=1e-3)


def _ms(value: float | None) -> str:
    return "not known" if value is None else f"{value:g} ms"
