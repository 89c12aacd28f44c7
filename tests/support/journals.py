"""A run that takes no time, for what records runs; its clock moves when a test says so."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from runtime.journal.lines import Header
from runtime.journal.recording import Recording
from runtime.journal.snapshot import Snapshot, Spent
from runtime.latency import Deadlines, Intervals, LatencyHistogram
from runtime.report.schema import Energy, Engine, Meter, Rail, Software

STAGES = ("source", "pack", "execute", "unpack", "sink")
WARM_UP = 5
WATTS = 9.0


def header(**changes: Any) -> Header:
    facts: dict[str, Any] = {
        "started": "2026-11-26T01:52:00Z",
        "command": ["edgefusion", "run", "--record", "run.json"],
        "rig": "front",
        "source": "approach",
        "outputs": ["null"],
        "bundle": "proxy-small",
        "student": "proxy-small",
        "paced_fps": 30.0,
        "since": "exposure",
        "deadline_ms": 33.0,
        "engine": Engine(device="cpu", backend="openvino", precision="fp16", compute="f32"),
        "software": Software(edgefusion="0.1.0", python="3.11", system="Linux", processor="some"),
    }
    return Header(**(facts | changes))


class Rehearsal:
    """A lane, its clock, its machine and its power meter.

    Attributes:
        spread: how widely durations scatter.
        watts: what the meter measures now.
    """

    def __init__(self, *, fps: float = 30.0, seed: int = 0, spread: float = 0.2) -> None:
        self.now_ns = 1_000_000_000_000
        self.fps, self.spread, self.watts = fps, spread, WATTS
        self._start_ns = self.now_ns
        self._random = random.Random(seed)
        self._published, self._skew = LatencyHistogram(), LatencyHistogram()
        self._stages = {name: LatencyHistogram() for name in STAGES}
        self._intervals, self._deadlines = Intervals(), Deadlines(33_000_000)
        self._frames = self._warm_up = self._joules_from_ns = 0
        self._last_ns: int | None = None
        self._warm_up_s = self._seconds = 0.0
        self.dropped = {"late": 0, "no free slot": 0}
        self._mj = 0.0

    def clock(self) -> int:
        return self.now_ns

    def drive(self, seconds: float) -> None:
        """Publish frames for so long."""
        for _ in range(round(seconds * self.fps)):
            self.frame(1 / self.fps)

    def frame(self, period_s: float) -> None:
        if self._frames == WARM_UP:
            self._warmed_up()
        self.now_ns += round(period_s * 1e9)
        self._mj += self.watts * 1e3 * period_s
        self._frames += 1
        scatter = self._random.lognormvariate(0, self.spread)
        for number, name in enumerate(STAGES):
            self._stages[name].add(round(1e6 * (number + 1) * scatter))
        self._published.add(round(20e6 * scatter))
        self._skew.add(round(2e6 * scatter))
        self._last_ns = self.now_ns
        self._intervals.published(self.now_ns)
        self._deadlines.published(round(20e6 * scatter), dropped=sum(self.dropped.values()))
        self._seconds = (self.now_ns - self._start_ns) / 1e9

    def snapshot(self) -> Snapshot:
        return Snapshot(
            published=self._published.copy(),
            warm_up=self._warm_up,
            warm_up_s=self._warm_up_s,
            seconds=self._seconds - self._warm_up_s,
            last_ns=self._last_ns,
            size_px=(640, 480),
            stages={name: each.copy() for name, each in self._stages.items()},
            intervals=self._intervals.histogram.copy(),
            skew=self._skew.copy(),
            dropped=dict(self.dropped),
            flagged={"stale": self._frames // 10},
            deadline_misses=self._deadlines.misses,
            longest_streak=self._deadlines.longest_streak,
            cameras={"visible": {"kind": "simulated", "lost": 0}},
        )

    def begin(self, timestamp_ns: int) -> None:
        """Of the power sampler."""
        self._joules_from_ns, self._mj = timestamp_ns, 0.0

    def so_far(self, timestamp_ns: int) -> list[Meter]:
        """Of the power sampler."""
        joules, seconds = self._mj / 1e3, (timestamp_ns - self._joules_from_ns) / 1e9
        mean_mw = self._mj / seconds if seconds else self.watts * 1e3
        rail = Rail(name="VDD_IN", joules=joules, mean_mw=mean_mw, min_mw=0, max_mw=50_000)
        return [
            Meter(
                name="hwmon", scope="module input", total="VDD_IN", interval_ms=100, samples=round(seconds * 10),
                missed=0, coverage=1, joules=joules, rails=[rail],
            )
        ]  # fmt: skip

    def second(self) -> dict[str, tuple[float, float, float]]:
        """Of the power sampler: as many rails as a Thor has."""
        watts = self.watts
        rails = ("VDD_IN", "VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0")
        return {f"hwmon/{rail}": (900 * watts, 1000 * watts, 1100 * watts) for rail in rails}

    def read(self) -> SimpleNamespace:
        """Of the machine."""
        zones = ("cpu", "gpu", "soc0", "soc1", "soc2", "tj")
        clocks = ("cpu0", "cpu4", "cpu8", "gpu", "emc")
        return SimpleNamespace(
            temperatures_c=dict.fromkeys(zones, 51.25),
            clocks_mhz=dict.fromkeys(clocks, 1984.0),
            fan_rpm=2100.0,
            throttled={"oc1": 0, "oc2": 0, "oc3": 0},
            steal=0.0,
            cpu=1.25,
            resident_mb=812.5,
        )

    def recording(self, path: Path, **options: Any) -> Recording:
        """A recording of it."""
        given = {"power": self, "readings": self, "energy": energy_of, "clock": self.clock, "say": lambda what: None}
        return Recording(path, header(), self.snapshot, **(given | options))

    def _warmed_up(self) -> None:
        self._warm_up, self._warm_up_s = self._frames, self._seconds
        for each in (self._published, self._skew, self._intervals, self._deadlines, *self._stages.values()):
            each.clear()


class LongRehearsal(Rehearsal):
    """One at 30 fps whose seconds are drawn from a hundred that were driven before: a day takes seconds."""

    def __init__(self) -> None:
        super().__init__(spread=0.5)
        self._pool = [self._second(seed) for seed in range(100)]
        self.frame(1 / 30)
        for _ in range(WARM_UP):
            self.frame(1 / 30)
        self.elapsed_s = 0

    def pass_by(self, seconds: int) -> None:
        """Let so many seconds pass."""
        for _ in range(seconds):
            drawn = self._random.choice(self._pool)
            self._published.merge(drawn.published)
            self._skew.merge(_some(drawn.skew))
            self._intervals.histogram.merge(_some(drawn.intervals))
            for name, each in self._stages.items():
                each.merge(drawn.stages[name])
            self._deadlines.misses += drawn.deadline_misses
            self._deadlines.longest_streak = max(self._deadlines.longest_streak, drawn.longest_streak)
            self._frames += drawn.published.count
        self.elapsed_s += seconds
        self.now_ns += seconds * 1_000_000_000
        self._last_ns = self.now_ns
        self._mj += self.watts * 1e3 * seconds
        self._seconds = (self.now_ns - self._start_ns) / 1e9

    @staticmethod
    def _second(seed: int) -> Snapshot:
        other = Rehearsal(seed=seed, spread=0.5)
        for _ in range(WARM_UP + 30):
            other.frame(other._random.uniform(0.9, 1.1) / 30)
        return other.snapshot()


def _some(histogram: LatencyHistogram | None) -> LatencyHistogram:
    assert histogram is not None
    return histogram


def energy_of(spent: Spent) -> Energy | None:
    """The least that makes an energy of what was spent."""
    (meter,) = spent.meters
    assert meter.joules is not None
    gross_mj = meter.joules / spent.frames * 1e3
    blocks = [block.joules["hwmon"] / block.frames * 1e3 for block in spent.blocks]
    return Energy(
        meter=meter.name,
        scope=meter.scope,
        frames=spent.frames,
        gross_mj=gross_mj,
        interval_mj=(min(blocks), max(blocks)),
        fps_per_w=1e3 / gross_mj,
    )


def record_of(path: Path, seconds: int = 12, **options: Any) -> Rehearsal:
    """Record a run of so many seconds to its end, and leave the journal."""
    run = Rehearsal()
    recording = run.recording(path, **options)
    for _ in range(seconds):
        run.drive(1)
        recording.step()
    recording.end("complete")
    return run
