"""The run record, ``run.json``: what one run of one rig did, on what, how fast, and what it cost.

The only input of ``edgefusion report``. Its JSON Schema is ``edgefusion report --schema``. Times are in ms unless named
otherwise, since ``started`` where they are on the run's own axis (``t_s``). None means not measured, never 0.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

SCHEMA: Final = 3

MOST: Final = 1e15
"""No figure is larger: 30,000 years in ms. Sums and products of such ones stay finite."""
Amount = Annotated[float, Field(ge=0, le=MOST)]
Signed = Annotated[float, Field(ge=-MOST, le=MOST)]
Count = Annotated[int, Field(ge=0, le=10**15)]
Percentile = Annotated[str, Field(pattern=r"^p(50|90|99|99\.9)$")]
Stage = Annotated[str, Field(pattern="^(source|pack|execute|unpack|sink)$")]

State = Literal["complete", "interrupted", "killed"]
"""It ended by itself; a signal ended it; it never ended, and this is what its journal holds."""

Since = Literal["exposure", "receive"]
"""When a camera exposed the frame, or would have; when the source handed it over."""


class Part(BaseModel):
    """Frozen, and nothing unknown in it."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)


class Software(Part):
    """Where it ran, and on which versions; what is not there is None."""

    edgefusion: str
    python: str
    system: str
    processor: str
    module: str | None = None
    jetpack: str | None = None
    l4t: str | None = None
    driver: str | None = None
    cuda: str | None = None
    backend_version: str | None = None
    power_mode: str | None = None
    governors: dict[str, str] = {}


class Engine(Part):
    """What computed."""

    device: str
    backend: str
    precision: str
    compute: str
    key: str | None = None
    sm: str | None = None
    layers: list[dict[str, Any]] = Field([], description="name, kind, precision, where of each, as the backend says")
    peak_tops: Amount | None = Field(None, description="dense, of the device at this precision, where it is known")
    bandwidth_gb_s: Amount | None = None
    gmacs: Amount | None = Field(None, description="of the model at this size")
    moved_mb: Amount | None = Field(None, description="least bytes that the model reads and writes, at this size")


class Histogram(Part):
    """Durations in buckets of equal ratio; the last percentiles are hidden where there are too few.

    ``counts`` maps a bucket's index to its count; bucket ``i`` spans ``floor_ns * 2 ** (i / per_octave)`` to the next.
    """

    count: Count
    max_ms: Amount | None
    mean_ms: Amount | None
    percentiles_ms: dict[Percentile, Amount | None] = Field(
        description="p50, p90, p99, p99.9; a tail is None where less than ten durations lie beyond (p99: under 1,000)"
    )
    floor_ns: PositiveInt
    per_octave: PositiveInt
    counts: dict[int, Count] = {}


class Latency(Part):
    """How long things took, after warm-up.

    Attributes:
        since: what latency counts from, to the moment a frame is published.
        published: exposure (or receive) to published.
        stages: of the loop.
        jitter_ms: p99 minus p50 of the intervals between published frames.
        deadline_ms: later is missed; a dropped frame too.
        longest_streak: of missed deadlines in a row.
    """

    since: Since
    published: Histogram
    stages: dict[Stage, Histogram]
    interval: Histogram | None = None
    jitter_ms: Amount | None = None
    skew: Histogram | None = None
    deadline_ms: Amount | None = None
    deadline_misses: Count = 0
    longest_streak: Count = 0


class Rail(Part):
    """One power rail between the run's first and last counted frame."""

    name: str
    joules: Signed
    mean_mw: Signed
    min_mw: Signed
    max_mw: Signed
    idle_mw: Signed | None = None


class Meter(Part):
    """What one meter measured.

    Attributes:
        name: hwmon, jtop, nvml, rapl.
        total: the rail that is the total, or None if none is; then ``joules`` is the sum of ``summed``.
        scope: what ``joules`` is of: module input, sum of rails, package, board.
        interval_ms: how often its sensor has something new.
        coverage: part of the time (0..1) that readings no more than three intervals apart span.
        missed: readings that failed or came late.
        remarks: what is worth knowing: a rail appeared late, a service stopped.
    """

    name: str
    scope: str
    total: str | None
    summed: list[str] = []
    interval_ms: Amount
    samples: Count
    missed: Count
    coverage: Annotated[float, Field(ge=0, le=1)]
    joules: Amount | None
    idle_mw: Signed | None = None
    rails: list[Rail]
    remarks: list[str] = []

    @property
    def total_rails(self) -> list[str]:
        """The rails whose sum is the total: the one that is, or those that are summed; none where nobody knows."""
        return [self.total] if self.total else self.summed


class Energy(Part):
    """Cost of a frame, by the meter of the widest scope ("nvml + rapl": together); None where nothing measured it.

    ``net`` is above the idle baseline. ``interval_mj`` is a 95 % confidence interval of the gross figure over
    blocks of the run. ``stages_mj`` shares the gross by time: an estimate, and labelled so wherever it is shown.
    """

    meter: str
    scope: str
    frames: Count
    gross_mj: Amount
    net_mj: Signed | None = None
    interval_mj: tuple[Signed, Signed] | None = None
    fps_per_w: Amount | None = None
    stages_mj: dict[Stage, Amount] = {}


class Second(Part):
    """One second of the run (longer in long runs: ``Timeline.step_s``).

    ``frames``, ``dropped``, percentiles, rails, ``steal`` and ``cpu`` are of the time since the entry before, all
    others of its end. Percentiles are of these frames alone, however few: the p99 of 30 is the longest.
    """

    t_s: Amount = Field(description="its end, since ``started``")
    frames: Count
    dropped: Count = 0
    p50_ms: Amount | None = None
    p99_ms: Amount | None = None
    rails_mw: dict[str, tuple[Signed, Signed, Signed]] = Field({}, description="min, mean, max by METER/RAIL")
    temperatures_c: dict[str, Annotated[float, Field(ge=-273.15, le=1000)]] = {}
    clocks_mhz: dict[str, Amount] = {}
    fan_rpm: Amount | None = None
    throttled: dict[str, Count] = Field({}, description="events since the start, by counter")
    steal: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="part of processor time that the hypervisor took"
    )
    cpu: Amount | None = Field(None, description="processors that this process used")
    resident_mb: Amount | None = None


class Timeline(Part):
    """The run through time."""

    step_s: Annotated[float, Field(gt=0, le=MOST)]
    seconds: list[Second]


class Counts(Part):
    """What became of the frames.

    Attributes:
        published: all, warm-up included.
        dropped, flagged: by cause; by what was unusual about published ones.
        cameras: each camera's facts and counts at the end.
        copies_per_frame: copies of pixels beyond pack and unpack.
    """

    published: Count
    warm_up: Count
    dropped: dict[str, Count] = {}
    flagged: dict[str, Count] = {}
    cameras: dict[str, dict[str, Any]] = {}
    copies_per_frame: Amount = 0.0


class RunRecord(Part):
    """One run of one rig."""

    schema_version: Literal[3] = Field(default=SCHEMA, alias="schema")
    state: State
    started: str = Field(description="UTC, ISO 8601")
    command: list[str] = Field([], description="how to do it again")
    rig: str
    source: str
    outputs: list[str]
    bundle: str
    student: str
    width: Count
    height: Count
    paced_fps: Amount | None
    seconds: Amount = Field(description="wall clock after warm-up, time without frames included")
    warm_up_s: Amount
    fps: Amount
    fusion_fps: Amount | None = Field(description="1 / (median pack + execute + unpack)")
    counts: Counts
    latency: Latency
    engine: Engine
    software: Software
    meters: list[Meter] = Field([], description="empty: not measured")
    energy: Energy | None = None
    timeline: Timeline | None = None
    quality: dict[str, Any] = Field({}, description="the bundle's figures of this precision")
    remarks: list[str] = []
