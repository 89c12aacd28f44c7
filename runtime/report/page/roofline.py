"""The engine's place under its device's roofline."""

from __future__ import annotations

from dataclasses import dataclass

from edgefusion.pages.axis import Axis
from runtime.report.figures import percentile
from runtime.report.numbers import percent, short
from runtime.report.page.chart import LEFT, RIGHT, Chart, Key, drawing
from runtime.report.page.svg import below, beside, path, tag, text
from runtime.report.schema import RunRecord

TOP, BOTTOM = 34, 300
LEAST = 1e-6
"""A byte, a thousand operations, a nanosecond: less is nothing, or no figure."""


@dataclass(frozen=True)
class Place:
    """What a roofline needs, all of it known.

    Attributes:
        peak_tops, bandwidth_gb_s: of the device, dense.
        gmacs, moved_mb: of the model at this size.
        time_ms: of execute, p50.
    """

    peak_tops: float
    bandwidth_gb_s: float
    gmacs: float
    moved_mb: float
    time_ms: float

    @property
    def intensity(self) -> float:
        """Operations per byte; a multiply-add is two."""
        return 2e3 * self.gmacs / self.moved_mb

    @property
    def reached_tops(self) -> float:
        """Operations per second, in T."""
        return 2 * self.gmacs / self.time_ms

    @property
    def ridge(self) -> float:
        """Operations per byte from which on computing, not memory, is the limit."""
        return 1e3 * self.peak_tops / self.bandwidth_gb_s

    @property
    def limit(self) -> str:
        """What limits a model of this intensity."""
        return "memory" if self.intensity < self.ridge else "compute"

    def roof_tops(self, intensity: float) -> float:
        """What the device allows."""
        return min(self.peak_tops, self.bandwidth_gb_s * intensity / 1e3)


def roofline(record: RunRecord) -> tuple[Chart | None, str]:
    """The chart, or what is unknown."""
    engine = record.engine
    wanted = {
        "the device's dense peak": engine.peak_tops,
        "its memory bandwidth": engine.bandwidth_gb_s,
        "the model's operations": engine.gmacs,
        "the bytes it moves": engine.moved_mb,
        "the time of execute": percentile(record.latency.stages.get("execute"), "p50"),
    }
    known = [value for value in wanted.values() if value and value >= LEAST]
    if len(known) < len(wanted):
        unknown = ", ".join(name for name, value in wanted.items() if not value or value < LEAST)
        return None, f"Unknown: {unknown}. So how much of the device the engine uses is not told."
    return _chart(Place(*known), engine.precision), ""


def _chart(place: Place, precision: str) -> Chart:
    roof = place.roof_tops(place.intensity)
    x = Axis(min(place.ridge, place.intensity) / 20, max(place.ridge, place.intensity) * 8, LEFT, RIGHT, log=True)
    low, high = min(place.reached_tops / 4, place.roof_tops(x.low)), max(place.peak_tops, place.reached_tops) * 2
    y = Axis(low, high, BOTTOM, TOP, log=True)
    words = f"{short(place.reached_tops)} TOPS, {percent(place.reached_tops / roof)} of what {place.limit} allows"
    parts = [
        beside(y, (LEFT, RIGHT), "operations per second, T (log scale)"),
        *_roof(place, x, y, precision),
        *_mark(place, x, y, words),
        below(x, BOTTOM, "operations per byte (log scale)"),
    ]
    note = (
        f"{short(place.gmacs)} G multiply-adds, two operations each, in {short(place.time_ms)} ms of execute (p50); at "
        f"least {short(place.moved_mb)} MB moved. Peaks are dense. At this intensity {place.limit} is the limit: no "
        f"engine of this model takes less than {short(2 * place.gmacs / roof)} ms here."
    )
    rows = [["reached", short(place.reached_tops)], ["roof here", short(roof)], ["dense peak", short(place.peak_tops)]]
    keys = [Key("s1", f"this engine ({precision})"), Key("roof", "what the device allows", "line")]
    title = "Roofline"
    return Chart(title, drawing(BOTTOM + 44, title, f"{words}.", parts), keys, note, ("", "TOPS"), rows)


def _roof(place: Place, x: Axis, y: Axis, precision: str) -> list[str]:
    middle = (x.low * place.ridge) ** 0.5
    peak = f"dense peak {short(place.peak_tops)} TOPS ({precision})"
    start, ridge = (x.at(x.low), y.at(place.roof_tops(x.low))), (x.at(place.ridge), y.at(place.peak_tops))
    memory = f"memory {short(place.bandwidth_gb_s)} GB/s"
    return [
        path(f"M{start[0]} {start[1]}L{ridge[0]} {ridge[1]}H{RIGHT}", "roof"),
        text(RIGHT - 4, ridge[1] - 8, peak, anchor="end", class_="label"),
        text(x.at(middle) - 10, y.at(place.roof_tops(middle)) - 10, memory, anchor="end", class_="label"),
    ]


def _mark(place: Place, x: Axis, y: Axis, words: str) -> list[str]:
    at, here, above = x.at(place.intensity), y.at(place.reached_tops), y.at(place.roof_tops(place.intensity))
    beyond = at > RIGHT - 330
    return [
        path(f"M{at} {here}V{above}", "mark dashed"),
        tag("circle", tag("title", words), cx=at, cy=here, r=6, class_="dot s1"),
        text(at - 12 if beyond else at + 12, here + 4, words, anchor="end" if beyond else "start", class_="label"),
    ]
